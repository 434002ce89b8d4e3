"""What a data set is: inputs in a fixed order, with labels where they are known, read anew each time one iterates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsmobile.errors import DataError

Floats = npt.NDArray[np.float32]
Shape = tuple[int | None, ...]


class Sample(NamedTuple):
    """One input.

    Args:
        x: Real values, shape (1, H, W, C) for images, (1, ...) otherwise.
        label: The class's index; None where it is not known.
        name: The image's path within its folder, or the row's number.
    """

    x: Floats
    label: int | None
    name: str


@dataclass(frozen=True)
class Dataset(ABC):
    """Inputs in a fixed order; iterating reads them anew each time.

    Args:
        path: The folder or file.
        input_shape: What every input must fit, batch included; None in it fits any size; None altogether checks nothing.
    """

    path: Path
    input_shape: Shape | None

    @property
    @abstractmethod
    def kind(self) -> str:
        """`images` or `npz`."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many inputs there are."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 over everything that the inputs are made from."""

    @property
    @abstractmethod
    def labelled(self) -> bool:
        """Whether every input has a label."""

    @abstractmethod
    def __iter__(self) -> Iterator[Sample]:
        """Reads one input after the other."""

    def __len__(self) -> int:
        """How many inputs there are."""
        return self.count

    def check(self, shape: tuple[int, ...], name: str) -> None:
        """Raises where an input does not fit the model.

        Args:
            shape: Of the input, batch included.
            name: What gives it, for the error.

        Raises:
            DataError: It does not fit `input_shape`.
        """
        wanted = self.input_shape
        if wanted is not None and not (len(shape) == len(wanted) and all(b in (None, -1, a) for a, b in zip(shape, wanted, strict=True))):
            shown = "(" + ", ".join("any" if size in (None, -1) else str(size) for size in wanted) + ")"
            advice = "set resize, crop and colour in --preprocess to the model's input, or give data of that shape"
            raise DataError(f"{name} gives an input of shape {shape}, but the model takes {shown}", advice)


def spread(count: int, limit: int | None) -> list[int]:
    """Which of `count` things, sorted by class, make an evenly spread subset: the middle of each of `limit` equal parts."""
    if limit is None or limit >= count:
        return list(range(count))
    return [(2 * part + 1) * count // (2 * limit) for part in range(limit)]
