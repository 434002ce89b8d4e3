"""A stranger's APK as an archive: its directory is read by the rules that Android holds it to, its contents in bounded pieces.

Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 and 4.4; Android's `libziparchive`, which refuses what follows the archive.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from dsmobile.errors import DataError

STORED, DEFLATED = 0, 8
_END = struct.Struct("<4sHHHHIIH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_END_MAGIC, _CENTRAL_MAGIC, _LOCAL_MAGIC, _ZIP64_MAGIC = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04", b"PK\x06\x07"
_ENCRYPTED, _SIZES_FOLLOW = 1, 8
_UNIX = 3
_LARGEST_DIRECTORY_BYTES = 64 << 20
_PIECE_BYTES = 1 << 16
_ADVICE = "build or copy the APK again"


class EntryError(Exception):
    """An entry whose contents are not what the archive says."""


@dataclass(frozen=True)
class Entry:
    """One file of the archive, as its central directory describes it.

    Args:
        name: Its path; bytes that are no UTF-8 are replaced.
        method: 0 stored, 8 deflated.
        encrypted: Whether its contents are said to be encrypted.
        crc32: Of its contents.
        compressed_bytes: What it takes in the archive.
        size_bytes: What it becomes.
        data_offset: Where its contents begin in the file; -1 where its local header is damaged.
        unix_mode: Type and permissions, where a Unix wrote it; else 0.
    """

    name: str
    method: int
    encrypted: bool
    crc32: int
    compressed_bytes: int
    size_bytes: int
    data_offset: int
    unix_mode: int

    @property
    def stored(self) -> bool:
        """Whether it lies in the file as it is, so that it can be memory-mapped."""
        return self.method == STORED

    @property
    def special(self) -> bool:
        """Whether it is a link or a device instead of a file."""
        kind = stat.S_IFMT(self.unix_mode)
        return kind not in (0, stat.S_IFREG, stat.S_IFDIR)


class Archive:
    """An open APK; a context manager.

    Args:
        path: The file.

    Raises:
        DataError: It is no zip archive, is cut short, or is one that Android's own reader does not take.
    """

    def __init__(self, path: Path) -> None:
        """Reads the directory; contents only when asked for."""
        self.path = path
        self.problems: list[str] = []
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}", "give the path of an .apk file") from error
        try:
            self.size_bytes = os.fstat(self._file.fileno()).st_size
            self.directory_offset, shift, size, count = self._end()
            self.entries = self._entries(self.directory_offset, shift, size, count)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Archive:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes the file."""
        self._file.close()

    def at(self, offset: int, size: int) -> bytes:
        """Bytes of the file itself; fewer where it ends."""
        self._file.seek(offset)
        return self._file.read(size)

    def pieces(self, entry: Entry) -> Iterator[bytes]:
        """An entry's contents, inflated and in order, in pieces of at most 64 KiB.

        Raises:
            EntryError: The contents are damaged, or not as long as the directory says: no more than that is ever inflated.
        """
        if entry.data_offset < 0 or entry.encrypted or entry.method not in (STORED, DEFLATED):
            raise EntryError("cannot be read")
        crc, size = 0, 0
        for piece in self._stored(entry) if entry.stored else self._inflated(entry):
            crc, size = zlib.crc32(piece, crc), size + len(piece)
            if size > entry.size_bytes:
                raise EntryError(f"is longer than the {entry.size_bytes} bytes that the directory says")
            yield piece
        if size != entry.size_bytes:
            raise EntryError(f"has {size} bytes where the directory says {entry.size_bytes}")
        if crc != entry.crc32:
            raise EntryError("is damaged: its CRC-32 differs")

    def read(self, entry: Entry, most_bytes: int) -> bytes:
        """An entry's whole contents.

        Raises:
            EntryError: They are damaged, or longer than `most_bytes`.
        """
        if entry.size_bytes > most_bytes:
            raise EntryError(f"is longer than {most_bytes} bytes")
        return b"".join(self.pieces(entry))

    def _stored(self, entry: Entry) -> Iterator[bytes]:
        for start in range(0, entry.compressed_bytes, _PIECE_BYTES):
            yield self.at(entry.data_offset + start, min(_PIECE_BYTES, entry.compressed_bytes - start))

    def _inflated(self, entry: Entry) -> Iterator[bytes]:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for packed in self._stored(entry):
                rest = packed
                while rest and not inflater.eof:
                    yield inflater.decompress(rest, _PIECE_BYTES)
                    rest = inflater.unconsumed_tail
            while not inflater.eof and (piece := inflater.decompress(b"", _PIECE_BYTES)):
                yield piece
        except zlib.error as error:
            raise EntryError("is damaged: it cannot be inflated") from error
        if not inflater.eof:
            raise EntryError("is cut short")
        if inflater.unused_data:
            raise EntryError("has bytes behind its end")

    def _end(self) -> tuple[int, int, int, int]:
        """Where the central directory lies, how far everything is shifted, its size and its number of entries."""
        tail_at = max(self.size_bytes - _END.size - 0xFFFF, 0)
        tail = self.at(tail_at, self.size_bytes - tail_at)
        ends = [found.start() for found in re.finditer(_END_MAGIC, tail) if len(tail) - found.start() >= _END.size]
        fitting = [place for place in ends if place + _END.size + _END.unpack_from(tail, place)[7] == len(tail)]
        place = (fitting or ends or [-1])[-1]
        if place < 0:
            cut = self.at(0, 4) == _LOCAL_MAGIC
            raise DataError(f"{self.path} is {'an archive that is cut short' if cut else 'no zip archive, so no APK'}", _ADVICE)
        _, disk, first_disk, here, count, size, offset, comment = _END.unpack_from(tail, place)
        end = tail_at + place
        if 0xFFFF in (here, count) or 0xFFFFFFFF in (size, offset) or self.at(max(end - 20, 0), 4) == _ZIP64_MAGIC:
            raise DataError(f"{self.path} is a ZIP64 archive, which no APK signature covers", "keep it below 65,535 entries and 4 GiB")
        if disk or first_disk or here != count or size > end or size > _LARGEST_DIRECTORY_BYTES:
            raise DataError(f"{self.path} is damaged: its archive's end makes no sense", _ADVICE)
        if place != ends[-1]:
            self.problems.append("its end stands there twice, and readers differ in which they take")
        left = self.size_bytes - end - _END.size - comment
        if left < 0:
            raise DataError(f"{self.path} is an archive that is cut short", _ADVICE)
        if left:
            self.problems.append(f"{left} bytes follow the archive: Android refuses it")
        shift = end - size - offset
        if shift:
            self.problems.append(f"the directory lies {shift} bytes from where the archive says")
        return end - size, shift, size, count

    def _entries(self, start: int, shift: int, size: int, count: int) -> tuple[Entry, ...]:
        directory = self.at(start, size)
        entries: list[Entry] = []
        spans: list[tuple[int, int, str]] = []
        names: set[bytes] = set()
        at = 0
        for _ in range(count):
            if at + _CENTRAL.size > size or directory[at : at + 4] != _CENTRAL_MAGIC:
                raise DataError(f"{self.path} is damaged: its directory of {count} entries breaks off after {len(entries)}", _ADVICE)
            fields = _CENTRAL.unpack_from(directory, at)
            name_length, extra, comment = fields[10:13]
            raw = directory[at + _CENTRAL.size : at + _CENTRAL.size + name_length]
            at += _CENTRAL.size + name_length + extra + comment
            entry, header_at = self._entry(raw, fields, shift, start)
            if raw in names:
                self.problems.append(f"{entry.name} is there twice")
            names.add(raw)
            entries.append(entry)
            spans.append((header_at, entry.data_offset + entry.compressed_bytes if entry.data_offset >= 0 else header_at, entry.name))
        if at != size:
            self.problems.append("its directory holds more than its entries")
        self._look_at_spans(sorted(spans))
        return tuple(entries)

    def _entry(self, raw: bytes, fields: tuple[int, ...], shift: int, directory_at: int) -> tuple[Entry, int]:
        """An entry, held against its local header, and where that lies."""
        made_by, flags, method = fields[1], fields[3], fields[4]
        crc, compressed, size = fields[7:10]
        header_at = fields[16] + shift
        name = raw.decode("utf-8", "replace")
        header = self.at(header_at, _LOCAL.size + len(raw)) if header_at >= 0 else b""
        data_at = -1
        if len(header) < _LOCAL.size + len(raw) or header[:4] != _LOCAL_MAGIC:
            self.problems.append(f"{name} has no header where the directory says")
        else:
            local = _LOCAL.unpack_from(header)
            same = header[_LOCAL.size :] == raw and local[9] == len(raw) and local[3] == method and not (local[2] ^ flags) & _ENCRYPTED
            follow = local[2] & _SIZES_FOLLOW
            if not same or (local[6:9] != (crc, compressed, size) and not (follow and local[6:9] == (0, 0, 0))):
                self.problems.append(f"{name} is described in two ways: its header differs from the directory")
            data_at = header_at + _LOCAL.size + local[9] + local[10]
            if data_at + compressed > directory_at:
                self.problems.append(f"{name} reaches into the directory")
                data_at = -1
        if method not in (STORED, DEFLATED):
            self.problems.append(f"{name} is compressed by method {method}, which Android does not know")
        elif method == STORED and compressed != size:
            self.problems.append(f"{name} is stored with {compressed} bytes, but has {size}")
            data_at = -1
        if flags & _ENCRYPTED:
            self.problems.append(f"{name} is encrypted")
        mode = fields[15] >> 16 if made_by >> 8 == _UNIX else 0
        return Entry(name, method, bool(flags & _ENCRYPTED), crc, compressed, size, data_at, mode), header_at

    def _look_at_spans(self, spans: list[tuple[int, int, str]]) -> None:
        if spans and spans[0][0] > 0:
            self.problems.append(f"{spans[0][0]} bytes stand before the first entry")
        last = -1
        for start, end, name in spans:
            if start < last:
                self.problems.append(f"{name} overlaps the entry before it")
            last = max(last, end, start + 1)
