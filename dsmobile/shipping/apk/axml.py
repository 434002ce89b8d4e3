"""Android's binary XML, as `AndroidManifest.xml` lies in an APK: elements and their attributes, and nothing read outside the file.

Source: AOSP, frameworks/base/libs/androidfw/include/androidfw/ResourceTypes.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

_XML, _STRINGS, _RESOURCES, _START = 0x0003, 0x0001, 0x0180, 0x0102
_UTF8 = 1 << 8
_REFERENCE, _STRING, _DECIMAL, _HEXADECIMAL, _BOOLEAN = 0x01, 0x03, 0x10, 0x11, 0x12
_NONE = 0xFFFFFFFF
_MOST_ELEMENTS = 100_000
_MOST_ATTRIBUTES = 1_000
_LONGEST_STRING = 4096

Value = int | bool | str


class AxmlError(ValueError):
    """Bytes that are no binary XML."""


@dataclass(frozen=True)
class Reference:
    """A value that a resource table holds: `@0x7f010001`."""

    resource: int


@dataclass(frozen=True)
class Element:
    """A start tag.

    Args:
        name: `uses-sdk`.
        attributes: Values by resource number, which is what Android goes by.
        plain: Values by name, of attributes without a resource number: `package`.
    """

    name: str
    attributes: dict[int, Value | Reference] = field(default_factory=dict)
    plain: dict[str, Value | Reference] = field(default_factory=dict)


def read_axml(data: bytes) -> tuple[Element, ...]:
    """All start tags of a binary XML file, in order.

    Raises:
        AxmlError: It is text, damaged, or leads out of itself.
    """
    try:
        return tuple(_elements(data))
    except struct.error as error:
        raise AxmlError("it is cut short") from error


def _elements(data: bytes) -> Iterator[Element]:
    root, first, size = struct.unpack_from("<HHI", data)
    if root != _XML:
        raise AxmlError("it is XML as text, not as Android compiles it" if data.lstrip()[:1] == b"<" else "it does not begin as binary XML does")
    if size > len(data) or first < 8:
        raise AxmlError("it is cut short")
    strings = _Strings(b"")
    resources: tuple[int, ...] = ()
    count = 0
    for kind, header, chunk in _chunks(data[:size], first):
        if kind == _STRINGS:
            strings = _Strings(chunk)
        elif kind == _RESOURCES:
            resources = struct.unpack(f"<{(len(chunk) - header) // 4}I", chunk[header : header + (len(chunk) - header) // 4 * 4])
        elif kind == _START:
            count += 1
            if count > _MOST_ELEMENTS:
                raise AxmlError(f"it has more than {_MOST_ELEMENTS} elements")
            yield _element(chunk[header:], strings, resources)


def _chunks(data: bytes, at: int) -> Iterator[tuple[int, int, bytes]]:
    """Kind, length of the header, and bytes of each chunk."""
    while at < len(data):
        kind, header, size = struct.unpack_from("<HHI", data, at)
        if size < 8 or not 8 <= header <= size or at + size > len(data):
            raise AxmlError("a part of it leads out of it")
        yield kind, header, data[at : at + size]
        at += size


def _element(body: bytes, strings: _Strings, resources: tuple[int, ...]) -> Element:
    _, name, start, step, count = struct.unpack_from("<IIHHH", body)
    if count > _MOST_ATTRIBUTES or step < 20:
        raise AxmlError(f"an element has {count} attributes of {step} bytes")
    element = Element(strings.at(name))
    for number in range(count):
        _, key, raw, _, _, kind, value = struct.unpack_from("<IIIHBBI", body, start + step * number)
        typed = _value(kind, value, raw, strings)
        if key < len(resources) and resources[key]:
            element.attributes.setdefault(resources[key], typed)
        else:
            element.plain.setdefault(strings.at(key), typed)
    return element


def _value(kind: int, value: int, raw: int, strings: _Strings) -> Value | Reference:
    if kind == _STRING:
        return strings.at(value)
    if kind == _BOOLEAN:
        return value != 0
    if kind in (_DECIMAL, _HEXADECIMAL):
        return value - (1 << 32) if value >> 31 else value
    if kind == _REFERENCE:
        return Reference(value)
    return strings.at(raw) if raw != _NONE else value


class _Strings:
    """The pool of strings: each is decoded when it is asked for."""

    def __init__(self, chunk: bytes) -> None:
        self.chunk = chunk

    @cached_property
    def _head(self) -> tuple[int, int, int, int]:
        """Length of the header, number of strings, flags, where strings begin."""
        header = struct.unpack_from("<H", self.chunk, 2)[0]
        count, _, flags, start = struct.unpack_from("<IIII", self.chunk, 8)
        return header, count, flags, start

    def at(self, number: int) -> str:
        """A string by its number; empty for the number that means none."""
        if number == _NONE:
            return ""
        header, count, flags, start = self._head
        if number >= count:
            raise AxmlError(f"it names string {number} of {count}")
        place = start + struct.unpack_from("<I", self.chunk, header + 4 * number)[0]
        return self._utf8(place) if flags & _UTF8 else self._utf16(place)

    def _utf8(self, place: int) -> str:
        place += 2 if self._byte(place) & 0x80 else 1  # the number of characters, of no use here
        length = self._byte(place)
        place += 1
        if length & 0x80:
            length = (length & 0x7F) << 8 | self._byte(place)
            place += 1
        return self._cut(place, length).decode("utf-8", "replace")

    def _utf16(self, place: int) -> str:
        length = struct.unpack_from("<H", self.chunk, place)[0]
        place += 2
        if length & 0x8000:
            length = (length & 0x7FFF) << 16 | struct.unpack_from("<H", self.chunk, place)[0]
            place += 2
        return self._cut(place, 2 * length).decode("utf-16-le", "replace")

    def _byte(self, place: int) -> int:
        return int(struct.unpack_from("<B", self.chunk, place)[0])

    def _cut(self, place: int, length: int) -> bytes:
        if place + length > len(self.chunk):
            raise AxmlError("a string leads out of it")
        return self.chunk[place : place + min(length, _LONGEST_STRING)]
