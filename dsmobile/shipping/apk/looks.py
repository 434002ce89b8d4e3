"""Each TFLite model of an APK, taken out under a name of our own and looked at: whole, what it says of itself, what it computes."""

from __future__ import annotations

import posixpath
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from dsmobile.errors import ModelError
from dsmobile.exporters.sniff import check_model_file
from dsmobile.shipping.apk.archive import Archive
from dsmobile.shipping.apk.card import Card
from dsmobile.shipping.apk.exports import Export
from dsmobile.shipping.apk.goldens import Trial, try_model
from dsmobile.shipping.apk.metadata import Metadata, read_metadata
from dsmobile.shipping.apk.models import Model

_LARGEST_BYTES = 512 << 20
_MOST_MODELS = 16
_MOST_S = 180.0


@dataclass(frozen=True)
class Look:
    """What looking at a model showed.

    Args:
        model: The model.
        exports: What it should be, by everybody who says so.
        damage: Why its file is none that a runtime could open; empty where it is sound.
        metadata: What it says of itself; None where it is damaged.
        trial: What it computes; None where no card says what it should.
    """

    model: Model
    exports: tuple[Export, ...]
    damage: str = ""
    metadata: Metadata | None = None
    trial: Trial | None = None

    @property
    def card(self) -> Card | None:
        """Its card, where there is one."""
        return next((export.card for export in self.exports if export.card), None)

    def beside(self, file: str) -> str:
        """The path of a file in the model's own folder."""
        return posixpath.join(posixpath.dirname(self.model.path), file)


def look_at_models(archive: Archive, models: tuple[Model, ...], exports: tuple[Export, ...]) -> tuple[tuple[Look, ...], tuple[str, ...]]:
    """Looks at every TFLite model.

    Args:
        archive: The APK.
        models: The models in it.
        exports: What they should be.

    Returns:
        What was seen, and the models that were not looked at since they are too large or too many.
    """
    wanted = [model for model in models if model.whole and model.format == "tflite"]
    looks: list[Look] = []
    left: list[str] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dsmobile-") as folder:
        path = Path(folder) / "model.tflite"
        for model in wanted:
            if model.size_bytes > _LARGEST_BYTES or len(looks) >= _MOST_MODELS or time.monotonic() - started > _MOST_S:
                left.append(model.path)
                continue
            _take_out(archive, model, path)
            looks.append(_look(path, model, tuple(export for export in exports if is_about(export, model))))
    return tuple(looks), tuple(left)


def is_about(export: Export, model: Model) -> bool:
    """Whether somebody's word is about a model: a card about the file beside it, anything else about its bytes or its name."""
    if export.card_path and export.card:
        return posixpath.join(posixpath.dirname(export.card_path), export.card.model) == model.path
    return export.sha256 == model.sha256 or (export.card is not None and posixpath.basename(model.path) == export.card.model)


def _take_out(archive: Archive, model: Model, path: Path) -> None:
    entry = next(entry for entry in archive.entries if entry.name == model.path)
    with path.open("wb") as file:
        for piece in archive.pieces(entry):
            file.write(piece)


def _look(path: Path, model: Model, exports: tuple[Export, ...]) -> Look:
    try:
        check_model_file(path)
    except ModelError as error:
        return Look(model, exports, error.message.replace(str(path), "it"))
    card = next((export.card for export in exports if export.card), None)
    return Look(model, exports, "", read_metadata(path), try_model(path, card) if card else None)
