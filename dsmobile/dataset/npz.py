"""The arrays of an `.npz`: read row by row from the archive; sizes are checked first, and Python objects are never loaded."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from dsmobile.dataset.samples import Dataset, Floats, Sample, Shape, spread
from dsmobile.errors import DataError
from dsmobile.files import sha256
from dsmobile.preprocessing import Preprocessing

SCALE_HOW = "add scale and zero_point to the .npz: real = scale * (x - zero_point); where x holds RGB bytes, give --preprocess"
_LARGEST_INPUT_BYTES = 1 << 30
_LARGEST_LABELS_BYTES = 1 << 30
_NPZ_HOW = "give an .npz with x of shape (count, ...) and, to evaluate, y with one class index each"


@dataclass(frozen=True)
class ArrayFile(Dataset):
    """The rows of `x` in an `.npz`, read one after the other.

    Args:
        shape: Of x.
        dtype: Of x, as numpy writes it (`|i1`).
        rows: Which rows are read, ascending.
        labels: Their class indices; None where there is no y.
        quantization: Scale and zero point of an integer x; None where it is float, or not known.
        preprocessing: For x that holds RGB bytes of shape (count, H, W, 3); else None.
    """

    shape: tuple[int, ...]
    dtype: str
    rows: tuple[int, ...]
    labels: tuple[int, ...] | None
    quantization: tuple[float, int] | None
    preprocessing: Preprocessing | None

    @property
    def kind(self) -> str:
        """`npz`."""
        return "npz"

    @property
    def count(self) -> int:
        """How many rows are read."""
        return len(self.rows)

    @property
    def digest(self) -> str:
        """SHA-256 of the file, and of the rows' numbers where only some are read."""
        whole = sha256(self.path)
        return whole if self.count == self.shape[0] else hashlib.sha256(f"{whole}\n{self.rows}".encode()).hexdigest()

    @property
    def labelled(self) -> bool:
        """Whether there is a y."""
        return self.labels is not None

    @property
    def needs_quantization(self) -> bool:
        """Whether x holds integers and nothing says which real numbers they stand for."""
        return np.dtype(self.dtype).kind in "iu" and self.quantization is None and self.preprocessing is None

    def __iter__(self) -> Iterator[Sample]:
        """Reads one input after the other."""
        if self.needs_quantization:
            raise no_scale(self.path, self.dtype)
        labels = self.labels or (None,) * len(self.rows)
        for row, label, stored in zip(self.rows, labels, self._stored(), strict=True):
            x = self._real(stored)
            self.check(x.shape, f"row {row} of {self.path.name}")
            if not np.isfinite(x).all():
                raise DataError(f"row {row} of {self.path} holds values that are not finite", "check x for NaN and infinity")
            yield Sample(x, label, str(row))

    def _real(self, stored: npt.NDArray[Any]) -> Floats:
        if self.preprocessing is not None:
            return self.preprocessing(stored[0])
        if self.quantization is None:
            return stored.astype(np.float32)
        scale, zero_point = self.quantization
        return (stored.astype(np.int64) - zero_point).astype(np.float32) * np.float32(scale)

    def _stored(self) -> Iterator[npt.NDArray[Any]]:
        dtype = np.dtype(self.dtype)
        row_shape = self.shape[1:]
        size = int(np.prod(row_shape)) * dtype.itemsize
        with _readable(self.path), zipfile.ZipFile(self.path) as archive, archive.open("x.npy") as stream:
            _header(stream, self.path, "x")
            at = 0
            for row in self.rows:
                while at < row:
                    _exactly(stream, size, self.path)
                    at += 1
                yield np.frombuffer(_exactly(stream, size, self.path), dtype).reshape(1, *row_shape)
                at += 1


def open_npz(
    path: Path, preprocessing: Preprocessing | None, names: tuple[str, ...] | None, limit: int | None, input_shape: Shape | None
) -> ArrayFile:
    """Reads what an `.npz` holds besides x, and the shape of x; for the arguments see `dsmobile.dataset.open_dataset`.

    Raises:
        DataError: It is damaged, has no x, or its arrays do not fit together, the labels or the model.
    """
    with _readable(path), zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if "x.npy" not in members:
            held = ", ".join(sorted(name.removesuffix(".npy") for name in members)[:10]) or "nothing"
            raise DataError(f"{path} has no x; it holds {held}", _NPZ_HOW)
        shape, dtype = _x_header(archive, members["x.npy"], path)
        labels = _labels(archive, members, path, shape[0])
        quantization = _quantization(archive, members, path, dtype)
    if names is not None and labels is not None and max(labels) >= len(names):
        raise DataError(
            f"{path} has the class index {max(labels)}, but there are {len(names)} labels", "indices count from 0: check y and the labels"
        )
    pictures = dtype == np.uint8 and len(shape) == 4 and shape[3] == 3 and quantization is None
    rows = _chosen(labels, shape[0], limit)
    dataset = ArrayFile(
        path,
        input_shape,
        shape,
        dtype.str,
        tuple(rows),
        tuple(labels[row] for row in rows) if labels is not None else None,
        quantization,
        replace(preprocessing, layout="nhwc") if preprocessing is not None and pictures else None,
    )
    if dataset.preprocessing is None:
        dataset.check((1, *shape[1:]), f"x in {path.name}")
    return dataset


def _chosen(labels: list[int] | None, count: int, limit: int | None) -> list[int]:
    by_class = range(count) if labels is None else sorted(range(count), key=labels.__getitem__)
    return sorted(by_class[index] for index in spread(count, limit))


def _x_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with archive.open(info) as stream:
        shape, dtype, start = _header(stream, path, "x")
    if dtype.kind not in "fiu":
        raise DataError(f"{path}: x holds {dtype}, not numbers", "save x as float32, or as integers with scale and zero_point")
    if len(shape) < 2 or 0 in shape:
        raise DataError(f"{path}: x has the shape {shape}", "give x the shape (count, ...): one row for each input, a batch of one included")
    row = dtype.itemsize
    for size in shape[1:]:
        row *= size
    if row > _LARGEST_INPUT_BYTES:
        raise DataError(f"{path}: one row of x takes {row} bytes, more than 1 GiB", "check the shape of x")
    if info.file_size != start + shape[0] * row:
        raise DataError(f"{path}: x says it has the shape {shape}, but holds {info.file_size - start} bytes", "save it again with numpy.savez")
    return shape, dtype


def _labels(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], path: Path, count: int) -> list[int] | None:
    if "y.npy" not in members:
        return None
    y = _small(archive, members["y.npy"], path, "y")
    if y.shape == (count, 1):
        y = y[:, 0]
    if y.dtype.kind not in "iu" or y.shape != (count,):
        raise DataError(
            f"{path}: y is {y.dtype} of shape {y.shape}, not one class index for each of the {count} inputs",
            "save y as integers; one-hot: y.argmax(1)",
        )
    if int(y.min()) < 0:
        raise DataError(f"{path}: y holds {int(y.min())}", "class indices count from 0")
    return [int(value) for value in y]


def _quantization(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], path: Path, dtype: np.dtype[Any]) -> tuple[float, int] | None:
    if dtype.kind == "f" or "scale.npy" not in members:
        return None
    values = {key: _small(archive, members[f"{key}.npy"], path, key) for key in ("scale", "zero_point") if f"{key}.npy" in members}
    scale, zero_point = values["scale"], values.get("zero_point", np.zeros((), np.int64))
    if any(array.size != 1 or array.dtype.kind not in "fiu" for array in (scale, zero_point)):
        raise DataError(f"{path}: scale and zero_point are not one number each", SCALE_HOW)
    factor, zero = float(scale.reshape(())), float(zero_point.reshape(()))
    if not (np.isfinite(factor) and factor > 0 and zero.is_integer()):
        raise DataError(f"{path}: scale {factor:g} and zero_point {zero:g} do not quantize anything", SCALE_HOW)
    return factor, int(zero)


def _small(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, key: str) -> npt.NDArray[Any]:
    with archive.open(info) as stream:
        shape, dtype, _ = _header(stream, path, key)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if size > min(info.file_size, _LARGEST_LABELS_BYTES):
            raise DataError(f"{path}: {key} says it has the shape {shape}, but holds {info.file_size} bytes", "save it again with numpy.savez")
        return np.frombuffer(_exactly(stream, size, path), dtype).reshape(shape)


def _header(stream: IO[bytes], path: Path, key: str) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape and type of an array, and where its data begin; nothing but the header is read."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{path}: {key} is in version {version} of numpy's format", "save it again with numpy.savez")
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(stream)
    if dtype.hasobject or dtype.names is not None:
        raise DataError(f"{path}: {key} holds Python objects, which are never loaded", "save plain arrays of numbers with numpy.savez")
    if fortran and len(shape) > 1:
        raise DataError(f"{path}: {key} is stored column by column", f"save it with numpy.ascontiguousarray({key})")
    return tuple(shape), dtype, stream.tell()


def _exactly(stream: IO[bytes], size: int, path: Path) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise DataError(f"{path} is cut short", "save or download it again")
    return data


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what a damaged archive makes the standard library raise into one sentence."""
    try:
        yield
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read as an .npz: {error}", "save it again with numpy.savez") from error


def no_scale(path: Path, dtype: str) -> DataError:
    """What to say of integers that could stand for any real numbers."""
    return DataError(f"{path}: x holds {np.dtype(dtype).name}, and nothing says which real numbers they stand for", SCALE_HOW)
