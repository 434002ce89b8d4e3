"""The native libraries in an APK: for which processor, for which page size, and how they lie in the archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from dsmobile.shipping.apk.archive import Archive, Entry, EntryError
from dsmobile.shipping.apk.elf import ElfError, read_elf
from dsmobile.shipping.apk.models import alignment

ABIS_64 = frozenset({"arm64-v8a", "x86_64", "riscv64"})
SUCCESSORS = {"armeabi": "arm64-v8a", "armeabi-v7a": "arm64-v8a", "x86": "x86_64"}


@dataclass(frozen=True)
class Library:
    """A native library in the APK.

    Args:
        path: Its path in the archive.
        abi: Its folder: `arm64-v8a`.
        machine: The processor that the file itself is for, as an ABI; None where its head cannot be read.
        page_alignment_bytes: The smallest alignment among its loaded segments; None where its head cannot be read.
        zip_alignment_bytes: The largest power of two that its place in the file is a multiple of; None where it is deflated.
        stored: Whether it lies there as it is, and not deflated.
        problem: Why its head cannot be read; empty where it can.
    """

    path: str
    abi: str
    machine: str | None
    page_alignment_bytes: int | None
    zip_alignment_bytes: int | None
    stored: bool
    problem: str = ""

    @property
    def name(self) -> str:
        """Its file name: `libLiteRt.so`."""
        return PurePosixPath(self.path).name

    @property
    def is_64_bit(self) -> bool:
        """Whether its folder is one of 64-bit processors."""
        return self.abi in ABIS_64


def read_libraries(archive: Archive, left_alone: frozenset[Entry] = frozenset()) -> tuple[Library, ...]:
    """All of `lib/ABI/*.so`.

    Args:
        archive: The APK.
        left_alone: Entries that are not to be inflated.
    """
    return tuple(_library(archive, entry, alone=entry in left_alone) for entry in archive.entries if _is_library(entry.name))


def _is_library(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return len(parts) == 3 and parts[0] == "lib" and parts[2].endswith(".so") and not name.endswith("/")


def _library(archive: Archive, entry: Entry, *, alone: bool) -> Library:
    abi = PurePosixPath(entry.name).parts[1]
    place = alignment(entry)
    try:
        if alone:
            raise EntryError("was not read: it would inflate out of all proportion")
        elf = read_elf(lambda start, size: _slice(archive, entry, start, size))
    except (EntryError, ElfError) as error:
        return Library(entry.name, abi, None, None, place, entry.stored, str(error))
    return Library(entry.name, abi, elf.machine, elf.page_alignment_bytes, place, entry.stored)


def _slice(archive: Archive, entry: Entry, start: int, size: int) -> bytes:
    """Some bytes of an entry, of which no more is inflated than leads to them."""
    found, at = b"", 0
    for piece in archive.pieces(entry):
        if at + len(piece) > start and at < start + size:
            found += piece[max(start - at, 0) : start + size - at]
        at += len(piece)
        if at >= start + size:
            break
    return found
