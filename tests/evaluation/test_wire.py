"""Messages between the two processes: what is written is read, and what is no message never loads anything."""

from __future__ import annotations

import io
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dsmobile.evaluation.wire import read_message, write_message

ARRAYS = st.lists(
    hnp.arrays(st.sampled_from(["<f4", "<f8", "|i1", "|u1", "<i4", "<i8", "<f2", "|b1"]), hnp.array_shapes(min_dims=0, max_dims=4)), max_size=3
)


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text()), ARRAYS)
def test_what_is_written_is_read(header: dict[str, object], arrays: list[np.ndarray]) -> None:
    stream = io.BytesIO()
    write_message(stream, header, arrays)
    write_message(stream, {"next": 1})
    stream.seek(0)
    got, got_arrays = read_message(stream)
    assert got == header
    for one, two in zip(got_arrays, arrays, strict=True):
        assert (one.dtype, one.shape) == (two.dtype, two.shape)
        assert one.tobytes() == two.tobytes()
    assert read_message(stream) == ({"next": 1}, [])


def message() -> bytes:
    stream = io.BytesIO()
    write_message(stream, {"a": 1}, [np.arange(6)])
    return stream.getvalue()


@given(st.integers(0, len(message()) - 1))
def test_a_message_that_is_cut_short_is_an_end(size: int) -> None:
    with pytest.raises(EOFError):
        read_message(io.BytesIO(message()[:size]))


@given(st.binary(max_size=200))
def test_noise_is_no_message(noise: bytes) -> None:
    with pytest.raises((EOFError, ValueError)):
        read_message(io.BytesIO(noise))


def test_python_objects_are_neither_written_nor_read() -> None:
    with pytest.raises(ValueError, match=r"pickle|object"):
        write_message(io.BytesIO(), {}, [np.array([object()])])
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    array = buffer.getvalue() + pickle.dumps([print])
    crafted = struct.pack("<QQ", 2, 1) + b"{}" + struct.pack("<Q", len(array)) + array
    with pytest.raises(ValueError, match="pickle"):
        read_message(io.BytesIO(crafted))


@pytest.mark.parametrize("lengths", [(1 << 40, 0), (2, 1 << 40)])
def test_lengths_beyond_reason_are_refused(lengths: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no message"):
        read_message(io.BytesIO(struct.pack("<QQ", *lengths) + b"{}"))


def test_an_array_beyond_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="2 GiB"):
        read_message(io.BytesIO(struct.pack("<QQ", 2, 1) + b"{}" + struct.pack("<Q", 1 << 40)))
