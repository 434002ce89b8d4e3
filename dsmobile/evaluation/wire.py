"""How the two processes talk: a JSON header and arrays in numpy's own format, each after its length; nothing is ever unpickled."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_LARGEST_HEADER_BYTES = 16 << 20
_LARGEST_ARRAY_BYTES = 2 << 30
_MOST_ARRAYS = 1024
_LENGTHS = struct.Struct("<QQ")
_LENGTH = struct.Struct("<Q")


def write_message(stream: IO[bytes], header: dict[str, Any], arrays: Sequence[Array] = ()) -> None:
    """Writes one message.

    Args:
        stream: A binary pipe.
        header: Anything JSON holds.
        arrays: Numbers of any shape.

    Raises:
        ValueError: An array holds Python objects.
    """
    parts = []
    for array in arrays:
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
        parts.append(buffer.getvalue())
    text = json.dumps(header).encode()
    stream.write(_LENGTHS.pack(len(text), len(parts)) + text)
    for part in parts:
        stream.write(_LENGTH.pack(len(part)))
        stream.write(part)
    stream.flush()


def read_message(stream: IO[bytes]) -> tuple[dict[str, Any], list[Array]]:
    """Reads one message.

    Raises:
        EOFError: The stream ends before the message does.
        ValueError: What comes is no message.
    """
    size, count = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    if size > _LARGEST_HEADER_BYTES or count > _MOST_ARRAYS:
        raise ValueError("no message: its header is too long")
    header = json.loads(_exactly(stream, size))
    if not isinstance(header, dict):
        raise ValueError("no message: its header is no object")
    arrays = []
    for _ in range(count):
        (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
        if length > _LARGEST_ARRAY_BYTES:
            raise ValueError("no message: an array is larger than 2 GiB")
        arrays.append(np.lib.format.read_array(io.BytesIO(_exactly(stream, length)), allow_pickle=False))
    return header, arrays


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError("the stream ended within a message")
    return data
