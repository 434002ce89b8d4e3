"""Which inputs set the activations' ranges and check the written files: a person's images or arrays, or seeded pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.dataset import Dataset, open_dataset
from dsmobile.errors import DataError
from dsmobile.pixels import resample
from dsmobile.preprocessing import HOW, Preprocessing

SYNTHETIC = "synthetic"
SYNTHETIC_COUNT = 16
_CELLS = (2, 5, 12, 31)
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SyntheticInputs:
    """Seeded pictures: soft shapes of several sizes, of different brightness and contrast, within the input range.

    Args:
        shape: Of one input, without the batch.
        low: The input's lowest value.
        high: The input's highest value.
        count: How many.
        seed: Of the pictures.
    """

    shape: tuple[int, ...]
    low: float
    high: float
    count: int = SYNTHETIC_COUNT
    seed: int = 0

    @property
    def kind(self) -> str:
        """What a manifest says."""
        return SYNTHETIC

    @property
    def digest(self) -> str:
        """The hash of what makes them."""
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def inputs(self) -> Iterator[Floats]:
        """One input at a time, shape (1, *shape)."""
        for number in range(self.count):
            random = np.random.default_rng([self.seed, number])
            unit = self._picture(random) if len(self.shape) == 3 else random.random(self.shape)
            yield (self.low + unit * (self.high - self.low)).astype(np.float32)[None]

    def _picture(self, random: np.random.Generator) -> npt.NDArray[np.float64]:
        height, width, channels = self.shape
        picture = np.zeros(self.shape)
        for cells in _CELLS:
            coarse = random.integers(0, 256, (min(cells, height), min(cells, width), channels), dtype=np.uint8)
            picture += resample(coarse, height, width) * random.random()
        picture = (picture - picture.mean()) / (picture.std() + 1e-9)
        unit: npt.NDArray[np.float64] = 0.5 + random.uniform(-0.25, 0.25) + picture * random.uniform(0.05, 0.35)
        return np.clip(unit, 0.0, 1.0)


@dataclass(frozen=True)
class DatasetInputs:
    """A person's images or arrays, spread evenly over what they gave."""

    dataset: Dataset

    @property
    def kind(self) -> str:
        """What a manifest says."""
        return self.dataset.kind

    @property
    def count(self) -> int:
        """How many."""
        return self.dataset.count

    @property
    def digest(self) -> str:
        """The hash of the files."""
        return self.dataset.digest

    def inputs(self) -> Iterator[Floats]:
        """One input at a time, shape (1, *shape)."""
        for sample in self.dataset:
            yield sample[0]


Inputs = SyntheticInputs | DatasetInputs


def calibration_inputs(
    choice: str | None, *, shape: tuple[int, ...], preprocessing: Preprocessing | None, random_weights: bool, quantized: bool, count: int
) -> Inputs:
    """Where calibration inputs come from.

    Args:
        choice: What a person gave: a folder, a `.npz`, `synthetic`, or nothing.
        shape: Of the network's input, without the batch.
        preprocessing: From RGB bytes to the input.
        random_weights: Whether the network's weights are random, so that any input serves.
        quantized: Whether any recipe asked for sets ranges by them.
        count: How many at most.

    Raises:
        DataError: Integers are asked for without calibration or preprocessing, or the data do not fit.
    """
    if choice is None and quantized and not random_weights:
        raise DataError(
            "int8 needs calibration inputs: they set the ranges of the activations",
            "give --calibration with a folder of about 100 typical images or an .npz of inputs; --calibration synthetic tries it without",
        )
    if choice is not None and choice != SYNTHETIC:
        dataset = open_dataset(Path(choice), preprocessing, None, count, (1, *shape))
        return DatasetInputs(dataset)
    if preprocessing is None and quantized and not random_weights:
        raise DataError("the range of the network's input is not known, and int8 needs it", HOW)
    low, high = preprocessing.input_range if preprocessing else (-1.0, 1.0)
    return SyntheticInputs(shape, low, high)


def spread_over(inputs: Inputs, count: int) -> Iterator[Floats]:
    """About `count` inputs, evenly spread, one at a time."""
    step = max(inputs.count // count, 1)
    return islice((image for place, image in enumerate(inputs.inputs()) if place % step == 0), count)


def spread(inputs: Inputs, count: int) -> Floats:
    """The same in one batch."""
    return np.concatenate(list(spread_over(inputs, count)))


def record(inputs: Inputs) -> dict[str, Any]:
    """What a manifest keeps."""
    return {"kind": inputs.kind, "count": inputs.count, "sha256": inputs.digest}
