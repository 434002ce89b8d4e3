"""The archive of files behind a model: written stored and with fixed dates, read with bounds, since it may be a stranger's."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from typing import IO

from dsmobile.tflite_metadata.flatbuffer import DamagedError
from dsmobile.tflite_metadata.values import PackedFile

_MOST_FILES = 100
_LONGEST_NAME = 1000
LARGEST_TEXT_BYTES = 8 << 20
_LARGEST_TOTAL_BYTES = 16 << 20
_DATE = (1980, 1, 1, 0, 0, 0)  # the oldest that an archive can hold
_UNIX = 3
_FAULTS = (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, NotImplementedError, zlib.error, lzma.LZMAError)


def with_files(model: bytes, files: dict[str, bytes]) -> bytes:
    """A model with an archive behind it.

    Args:
        model: What stands before the archive.
        files: Contents by name.

    Returns:
        The same bytes for the same model and files, on every machine and day.
    """
    whole = io.BytesIO(model)
    whole.seek(0, io.SEEK_END)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        for name, contents in files.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system, entry.external_attr = _UNIX, 0o644 << 16
            archive.writestr(entry, contents)
    return whole.getvalue()


def read_files(source: IO[bytes]) -> tuple[PackedFile, ...] | None:
    """The files of the archive at the end of a model; None where it is damaged.

    Args:
        source: The model's file; small text files in it are read, everything else is left packed.
    """
    try:
        if not zipfile.is_zipfile(source):
            return ()
        left = _LARGEST_TOTAL_BYTES
        found = []
        with zipfile.ZipFile(source) as archive:
            for entry in archive.infolist()[:_MOST_FILES]:
                contents = _text(archive, entry, min(left, LARGEST_TEXT_BYTES))
                left -= len(contents or b"")
                stored = entry.compress_type == zipfile.ZIP_STORED
                found.append(PackedFile(entry.filename[:_LONGEST_NAME], entry.file_size, contents, stored))
        return tuple(found)
    except _FAULTS:
        return None


def start_of_archive(data: bytes) -> int | None:
    """Where the archive behind a model begins; None where there is none.

    Raises:
        DamagedError: It is damaged.
    """
    source = io.BytesIO(data)
    try:
        if not zipfile.is_zipfile(source):
            return None
        with zipfile.ZipFile(source) as archive:
            start = min((entry.header_offset for entry in archive.infolist()), default=archive.start_dir)
    except _FAULTS as error:
        raise DamagedError(f"the archive at its end: {error}") from error
    if not 0 <= start <= len(data):
        raise DamagedError(f"the archive at its end begins at {start}")
    return start


def _text(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes | None:
    """A small text file's bytes; never more than its entry claims, whatever is packed."""
    if not entry.filename.endswith((".txt", ".csv")) or entry.file_size > most:
        return None
    with archive.open(entry) as file:
        return file.read(entry.file_size)
