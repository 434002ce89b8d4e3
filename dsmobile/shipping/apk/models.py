"""The models in an APK: found by their contents, wherever they lie and whatever they are called; every entry is read through once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath

from dsmobile.shipping.apk.archive import Archive, Entry, EntryError

_FORMATS = {".tflite": "tflite", ".onnx": "onnx", ".ort": "ort"}
_MAGICS = {b"TFL3": "tflite", b"ORTM": "ort"}
_NESTED = (".zip", ".jar", ".apk", ".task")
_BOMB_BYTES = 4 << 20
_BOMB_RATIO = 100
_LARGEST_ENTRIES_BYTES = 64 << 20  # where entries overlap, each may be in proportion and all together not
_LARGEST_APK_BYTES = 8 << 30


@dataclass(frozen=True)
class Model:
    """A model file in the APK.

    Args:
        path: Its path in the archive.
        format: `tflite`, `onnx` or `ort`.
        sha256: Of the model itself; None where it could not be read.
        size_bytes: Of the model itself.
        compressed_bytes: What it takes in the archive.
        stored: Whether it lies there as it is, and not deflated.
        zip_alignment_bytes: The largest power of two that its place in the file is a multiple of; None where it is deflated.
        problem: Why it is not what its name says; empty where it is.
    """

    path: str
    format: str
    sha256: str | None
    size_bytes: int
    compressed_bytes: int
    stored: bool
    zip_alignment_bytes: int | None
    problem: str = ""

    @property
    def whole(self) -> bool:
        """Whether it could be read and is what its name says."""
        return self.sha256 is not None and not self.problem


@dataclass(frozen=True)
class Contents:
    """What reading every entry showed.

    Args:
        models: The models.
        damaged: Entries that cannot be read, each with the reason.
        nested: Archives within the archive, which were not looked into.
        bombs: Entries that would inflate out of all proportion and were left alone.
        too_large: Whether all entries together would, so that none was read.
    """

    models: tuple[Model, ...]
    damaged: tuple[str, ...]
    nested: tuple[str, ...]
    bombs: frozenset[Entry]
    too_large: bool


def read_contents(archive: Archive) -> Contents:
    """Reads every entry through once, in bounded pieces, and finds the models."""
    files = [entry for entry in archive.entries if not entry.name.endswith("/")]
    bombs = frozenset(entry for entry in files if _is_bomb(entry))
    total = sum(entry.size_bytes for entry in files if entry not in bombs)
    too_large = total > _LARGEST_APK_BYTES or (total > _LARGEST_ENTRIES_BYTES and total > _BOMB_RATIO * archive.size_bytes)
    models, damaged, nested = [], [], []
    for entry in files:
        if too_large or entry in bombs:
            model = _by_name(entry, "it was not read: it would inflate out of all proportion")
        else:
            head, digest, problem = _read(archive, entry)
            damaged += [f"{entry.name} {problem}"] if problem else []
            nested += [entry.name] if entry.name.lower().endswith(_NESTED) and head.startswith(b"PK\x03\x04") else []
            model = _by_name(entry, f"it {problem}") if problem else _model(entry, head, digest)
        if model is not None:
            models.append(model)
    return Contents(tuple(models), tuple(damaged), tuple(nested), bombs, too_large)


def alignment(entry: Entry) -> int | None:
    """The largest power of two that an entry's place in the file is a multiple of; None where it is deflated or cannot be found."""
    return entry.data_offset & -entry.data_offset if entry.stored and entry.data_offset > 0 else None


def _is_bomb(entry: Entry) -> bool:
    return entry.size_bytes > _BOMB_BYTES and entry.size_bytes > _BOMB_RATIO * entry.compressed_bytes


def _read(archive: Archive, entry: Entry) -> tuple[bytes, str, str]:
    """An entry's first bytes, its SHA-256, and why it cannot be read."""
    digest, head = hashlib.sha256(), b""
    try:
        for piece in archive.pieces(entry):
            digest.update(piece)
            head = (head + piece)[:16] if len(head) < 16 else head
    except EntryError as error:
        return head, "", str(error)
    return head, digest.hexdigest(), ""


def _model(entry: Entry, head: bytes, digest: str) -> Model | None:
    kind = _MAGICS.get(head[4:8], "")
    by_name = _FORMATS.get(PurePosixPath(entry.name).suffix.lower(), "")
    if not kind and not by_name:
        return None
    problem = ""
    if by_name in _MAGICS.values() and kind != by_name and not (by_name == "ort" and not kind and head):
        problem = f"it is no {'TFLite' if by_name == 'tflite' else 'ORT-format'} file: its first bytes are {head[:8]!r}"
    if not entry.size_bytes:
        problem = "it is empty"
    return Model(entry.name, kind or by_name, digest, entry.size_bytes, entry.compressed_bytes, entry.stored, alignment(entry), problem)


def _by_name(entry: Entry, problem: str) -> Model | None:
    kind = _FORMATS.get(PurePosixPath(entry.name).suffix.lower(), "")
    if not kind:
        return None
    return Model(entry.name, kind, None, entry.size_bytes, entry.compressed_bytes, entry.stored, alignment(entry), problem)
