"""Reads a flatbuffer's tables by their field numbers and never outside the buffer: the bytes may be a stranger's.

Source: flatbuffers, "Internals": a table begins with the distance back to its vtable, which holds the place of each field, or 0.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any


class DamagedError(ValueError):
    """An offset leads out of the buffer."""


def number(data: bytes, kind: str, place: int) -> Any:
    """One number.

    Args:
        data: The buffer.
        kind: As `struct` writes it, without the byte order.
        place: Where it begins, in bytes.

    Raises:
        DamagedError: It does not lie within the buffer.
    """
    if not 0 <= place <= len(data) - struct.calcsize(f"<{kind}"):
        raise DamagedError(f"an offset leads to byte {place} of {len(data)}")
    return struct.unpack_from(f"<{kind}", data, place)[0]


@dataclass(frozen=True)
class Table:
    """A table in a flatbuffer; every method raises `DamagedError` where it would lead out of the buffer.

    Args:
        data: The buffer.
        place: Where the table begins, in bytes.
    """

    data: bytes
    place: int

    def field(self, index: int) -> int:
        """Where a field's own bytes lie; 0 where it is absent."""
        vtable = self.place - number(self.data, "i", self.place)
        if 4 + 2 * index >= number(self.data, "H", vtable):
            return 0
        inside = number(self.data, "H", vtable + 4 + 2 * index)
        return self.place + inside if inside else 0

    @property
    def fields(self) -> int:
        """How many fields the vtable has room for."""
        return (int(number(self.data, "H", self.place - number(self.data, "i", self.place))) - 4) // 2

    def value(self, index: int, kind: str, default: Any = 0) -> Any:
        """A number that stands in the table itself."""
        place = self.field(index)
        return number(self.data, kind, place) if place else default

    def points_to(self, index: int) -> int:
        """Where the table, vector or string begins that a field refers to; 0 where the field is absent."""
        place = self.field(index)
        if not place:
            return 0
        target = place + int(number(self.data, "I", place))
        if target >= len(self.data):
            raise DamagedError(f"an offset leads to byte {target} of {len(self.data)}")
        return target

    def table(self, index: int) -> Table | None:
        """The table that a field refers to."""
        place = self.points_to(index)
        return Table(self.data, place) if place else None

    def vector(self, index: int, size: int) -> tuple[int, int]:
        """Where a vector's first entry lies, and how many there are.

        Args:
            index: The field.
            size: Of an entry, in bytes.
        """
        place = self.points_to(index)
        if not place:
            return 0, 0
        count = int(number(self.data, "I", place))
        if place + 4 + size * count > len(self.data):
            raise DamagedError(f"a list of {count} entries does not fit into {len(self.data)} bytes")
        return place + 4, count

    def tables(self, index: int, most: int | None = None) -> list[Table]:
        """The tables that a vector refers to, at most `most` of them."""
        start, count = self.vector(index, 4)
        count = count if most is None else min(count, most)
        return [Table(self.data, at + int(number(self.data, "I", at))) for at in range(start, start + 4 * count, 4)]

    def numbers(self, index: int, kind: str, most: int) -> tuple[Any, ...]:
        """The numbers of a vector, at most `most` of them."""
        start, count = self.vector(index, struct.calcsize(f"<{kind}"))
        return struct.unpack_from(f"<{min(count, most)}{kind}", self.data, start) if start else ()

    def contents(self, index: int) -> bytes:
        """The bytes of a vector of bytes, or of a string."""
        start, count = self.vector(index, 1)
        return self.data[start : start + count]

    def text(self, index: int, most: int) -> str:
        """A string, at most `most` bytes of it; what is no UTF-8 is replaced."""
        start, count = self.vector(index, 1)
        return self.data[start : start + min(count, most)].decode("utf-8", "replace")


def root(data: bytes, identifier: bytes) -> Table:
    """A buffer's root table.

    Args:
        data: The buffer.
        identifier: The four letters that such a buffer has at its fifth byte.

    Raises:
        DamagedError: It has others, or is cut short.
    """
    if data[4:8] != identifier:
        raise DamagedError(f"it does not begin as {identifier.decode()} does")
    return Table(data, int(number(data, "I", 0)))
