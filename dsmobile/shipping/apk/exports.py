"""Which exports the models of an APK should be: what the artifact, the generated module, and the cards inside the APK say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dsmobile.errors import DataError, ModelError
from dsmobile.exporters.artifact import read_manifest
from dsmobile.files import sha256
from dsmobile.shipping.apk import card as apk_card
from dsmobile.shipping.apk.archive import Archive, Entry, EntryError
from dsmobile.shipping.apk.card import Card, read_card
from dsmobile.shipping.record import RECORD
from dsmobile.shipping.record import SCHEMA as RECORD_SCHEMA

_MOST_CARDS = 64


@dataclass(frozen=True)
class Export:
    """What a model should be, by somebody's word.

    Args:
        said_by: Whose word it is: `the artifact x.tflite`, `the module vision`, `the card assets/x.dsmobile.json`.
        sha256: The model's hash.
        labels: The labels it was exported with, where they are known.
        card: What else is known of it.
        card_path: Where the card lies in the APK; empty where it is not from there.
    """

    said_by: str
    sha256: str
    labels: tuple[str, ...] = ()
    card: Card | None = None
    card_path: str = ""


def artifact_export(path: Path) -> Export:
    """What an exported file says: its own hash, and its manifest's labels.

    Raises:
        ModelError: There is no such file, or its manifest is damaged.
    """
    if not path.is_file():
        raise ModelError(f"{path} is not a file", "give --artifact the .tflite that was shipped")
    manifest = read_manifest(path)
    return Export(f"the artifact {path.name}", sha256(path), manifest.labels if manifest else ())


def module_export(folder: Path) -> Export:
    """What a generated module says: its record, and the card in its assets.

    Raises:
        DataError: It is no module, or its record or card is damaged.
    """
    advice = "give --module the folder that `dsmobile ship android` wrote"
    record = folder / RECORD
    if not record.is_file():
        raise DataError(f"{folder} holds no {RECORD}, so it is no generated module", advice)
    try:
        document = json.loads(record.read_bytes())
        if document["schema"] != RECORD_SCHEMA:
            raise DataError(f"{record} has the schema {str(document['schema'])[:80]!r}, not {RECORD_SCHEMA!r}", advice)
        digest, path = str(document["model_sha256"]), folder / str(document["model"])
        card_file = path.with_name(path.stem + apk_card.SUFFIX)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{record} is damaged: {error}", advice) from error
    card = None
    if card_file.is_file():
        if card_file.stat().st_size > apk_card.LARGEST_BYTES:
            raise DataError(f"{card_file} is larger than {apk_card.LARGEST_BYTES >> 20} MiB", advice)
        try:
            card = read_card(card_file.read_bytes())
        except DataError as error:
            raise DataError(f"{card_file}: {error.message}", error.advice) from error
    return Export(f"the module {folder.resolve().name}", digest, (), card)


def card_exports(archive: Archive, left_alone: frozenset[Entry] = frozenset()) -> tuple[tuple[Export, ...], tuple[str, ...]]:
    """What the cards in an APK say.

    Args:
        archive: The APK.
        left_alone: Entries that are not to be inflated.

    Returns:
        One export for each card, and the cards that cannot be read, each with the reason.
    """
    exports, damaged = [], []
    found = [entry for entry in archive.entries if entry.name.endswith(apk_card.SUFFIX) and entry not in left_alone]
    if len(found) > _MOST_CARDS:
        return (), (f"it holds {len(found)} cards, and more than {_MOST_CARDS} are not read",)
    for entry in found:
        try:
            card = read_card(archive.read(entry, apk_card.LARGEST_BYTES))
        except EntryError as error:
            damaged.append(f"{entry.name} {error}")
        except DataError as error:
            damaged.append(f"{entry.name}: {error.message}")
        else:
            exports.append(Export(f"the card {entry.name}", card.sha256, (), card, entry.name))
    return tuple(exports), tuple(damaged)
