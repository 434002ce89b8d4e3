"""The archive that Linux unpacks as its first file system: cpio in the "newc" format, written without a program or a right that not everybody has."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_END = "TRAILER!!!"
_ALIGNMENT = 4
_PIECE = 1 << 20


class Archive:
    """A cpio archive that is being written. Linux unpacks several of them, one behind the other, over each other.

    Everything in it belongs to root, whoever wrote it.

    Args:
        file: Where it goes, from its present position on.

    Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._count = 0

    def folder(self, name: str) -> None:
        """Adds a folder; those above it must be there already."""
        self._entry(name, stat.S_IFDIR | 0o755)

    def device(self, name: str, major: int, minor: int) -> None:
        """Adds a character device."""
        self._entry(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def text(self, name: str, data: bytes, *, executable: bool = False) -> None:
        """Adds a file with the given contents."""
        self._entry(name, stat.S_IFREG | (0o755 if executable else 0o644), size=len(data))
        self._padded(data)

    def copy(self, name: str, path: Path) -> None:
        """Adds a copy of a file or of a symbolic link."""
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            target = os.fsencode(path.readlink())
            self._entry(name, stat.S_IFLNK | 0o777, size=len(target))
            self._padded(target)
            return
        self._entry(name, stat.S_IFREG | (0o755 if status.st_mode & 0o100 else 0o644), size=status.st_size)
        with path.open("rb") as file:
            left = status.st_size
            while left:
                piece = file.read(min(left, _PIECE))
                if not piece:
                    raise OSError(f"{path} became shorter while it was read")
                self._file.write(piece)
                left -= len(piece)
        self._file.write(bytes(-status.st_size % _ALIGNMENT))

    def tree(self, place: Path, name: str = "") -> None:
        """Adds all that a folder holds, but not itself; what is neither file, folder nor symbolic link is left out.

        Args:
            place: The folder.
            name: Where it goes; empty puts it at the top.
        """
        for path in _walk(place):
            inside = "/".join(part for part in (name, path.relative_to(place).as_posix()) if part)
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                self.folder(inside)
            elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                self.copy(inside, path)

    def close(self) -> None:
        """Writes the end."""
        self._entry(_END, 0)

    def _entry(self, name: str, mode: int, *, size: int = 0, device: tuple[int, int] = (0, 0)) -> None:
        self._count += 1
        encoded = os.fsencode(name) + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        #         inode        mode  owner, group  links  time  size  device  device it is      name's length  checksum
        fields = (self._count, mode, 0, 0, links, 0, size, 0, 0, *device, len(encoded), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        self._padded(header + encoded)

    def _padded(self, data: bytes) -> None:
        self._file.write(data + bytes(-len(data) % _ALIGNMENT))


def _walk(place: Path) -> Iterator[Path]:
    """What lies below a folder in a fixed order, each folder before its contents."""
    for path in sorted(place.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
