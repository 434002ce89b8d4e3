"""`dsmobile ship goldens`: the golden vectors alone, for any other platform, from synthetic images and a person's own photographs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsmobile.dataset.images import IMAGE_SUFFIXES
from dsmobile.errors import DataError
from dsmobile.files import prepare_folder, refuse_overwriting, write_bytes
from dsmobile.labels import read_labels
from dsmobile.pixels import Bytes, decode, resample, shorter_side_to
from dsmobile.shipping.artifact_check import Shippable, open_runner_of, open_shippable
from dsmobile.shipping.goldens import Golden, Run, golden_files, make_golden, make_goldens
from dsmobile.shipping.names import asset_stem

DEFAULT_OUT = Path("dsmobile-out") / "goldens"
MOST_PHOTOGRAPHS = 100


@dataclass(frozen=True)
class WrittenGoldens:
    """Golden vectors that were written.

    Args:
        folder: Where, absolute.
        files: Their files, absolute; `index.json` describes the others.
        goldens: Their names, `exact` first.
        model_sha256: The model file's hash.
    """

    folder: Path
    files: tuple[Path, ...]
    goldens: tuple[str, ...]
    model_sha256: str

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "folder": str(self.folder),
            "files": [str(path) for path in self.files],
            "goldens": list(self.goldens),
            "model_sha256": self.model_sha256,
        }


def write_goldens(artifact: Path, labels: Path, out: Path | None = None, images: Path | None = None, *, force: bool = False) -> WrittenGoldens:
    """Writes golden vectors to a folder.

    Args:
        artifact: A float32-in, float32-out `.tflite` classifier that `dsmobile export` wrote, its manifest beside it.
        labels: One class a line, in the network's order.
        out: The folder; None means `dsmobile-out/goldens/NAME` after the artifact's name.
        images: A folder of photographs, used besides the synthetic images; None for none.
        force: Replace goldens that are already there.

    Raises:
        ModelError: The artifact is none that an app can take.
        DataError: The labels are not one per class, or a photograph cannot be read or does not fit.
        OutputError: The folder cannot be written, or holds goldens already.
    """
    shippable = open_shippable(artifact)
    names = read_labels(labels, shippable.classes)
    run = open_runner_of(shippable)
    goldens = make_goldens(shippable, run)
    if images is not None:
        goldens += photograph_goldens(shippable, images, run, taken={golden.name for golden in goldens})
    files = golden_files(shippable, names, goldens, artifact.name)
    folder = prepare_folder(out if out is not None else DEFAULT_OUT / asset_stem(artifact.stem))
    paths = tuple(folder / name for name in files)
    refuse_overwriting(list(paths), force=force)
    for path in reversed(paths):  # the index comes last: who finds it finds the rest
        write_bytes(path, files[path.name])
    return WrittenGoldens(folder, paths, tuple(golden.name for golden in goldens), shippable.manifest.sha256)


def photograph_goldens(shippable: Shippable, images: Path, run: Run, taken: set[str]) -> tuple[Golden, ...]:
    """Makes goldens of the photographs in a folder, which are kept no larger than the network needs them.

    Args:
        shippable: The artifact.
        images: The folder; its subfolders are left out.
        run: Runs the artifact.
        taken: Names that other goldens have.

    Raises:
        DataError: There are none or too many, one cannot be read, or one does not fit.
    """
    if not images.is_dir():
        raise DataError(f"{images} is not a folder", f"give a folder of photographs that end in {', '.join(IMAGE_SUFFIXES)}")
    paths = sorted(path for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not 1 <= len(paths) <= MOST_PHOTOGRAPHS:
        raise DataError(f"{images} holds {len(paths)} photographs", f"give a folder with 1 to {MOST_PHOTOGRAPHS} of them, none in a subfolder")
    goldens = []
    for path in paths:
        try:
            goldens.append(make_golden(shippable, run, _free_name(path, taken), shrunk(shippable, decode(path))))
        except DataError as error:
            raise DataError(error.message if str(path) in error.message else f"{path}: {error.message}", error.advice) from error
    return tuple(goldens)


def shrunk(shippable: Shippable, image: Bytes) -> Bytes:
    """A photograph as small as it can be and still become the same tensor, bit for bit.

    Args:
        shippable: The artifact.
        image: RGB bytes, shape (height, width, 3).

    Raises:
        DataError: The network's preprocessing does not make its input of such an image.
    """
    preprocessing = shippable.preprocessing
    if preprocessing.resize is not None:
        height, width = shorter_side_to(image.shape[0], image.shape[1], preprocessing.resize)
        image = resample(image, height, width)  # resized again, to the size that it has, it stays as it is
    height, width = image.shape[:2]
    fits = (height, width) == (shippable.height, shippable.width)
    if not fits and (preprocessing.crop is None or height < shippable.height or width < shippable.width):
        raise DataError(
            f"an image of {height} x {width} pixels does not become the network's input of {shippable.height} x {shippable.width}",
            "give photographs of the network's own size, or export it again with a resize and a crop",
        )
    if preprocessing.resize is None:
        top, left = (height - shippable.height) // 2, (width - shippable.width) // 2
        image = image[top : top + shippable.height, left : left + shippable.width]
    return image


def _free_name(path: Path, taken: set[str]) -> str:
    stem = asset_stem(path.stem)
    name, number = stem, 1
    while name.lower() in {other.lower() for other in taken}:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name
