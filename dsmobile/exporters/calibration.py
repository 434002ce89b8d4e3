"""Which inputs set the activations' ranges and check the written files: a person's images or arrays, or seeded pictures."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.dataset import Dataset, open_dataset
from dsmobile.dataset.samples import spread as evenly
from dsmobile.errors import DataError
from dsmobile.files import sha256
from dsmobile.pixels import resample
from dsmobile.preprocessing import COLOURS, HOW, Preprocessing

SYNTHETIC = "synthetic"
SYNTHETIC_COUNT = 16
KEPT_BYTES = 128 << 20
_CELLS = (2, 5, 12, 31)
Floats = npt.NDArray[np.float32]
Sample = tuple[Floats, ...]


@dataclass(frozen=True)
class SyntheticInputs:
    """Seeded pictures: soft shapes of several sizes, of different brightness and contrast, within the input range.

    Args:
        shapes: Of each of the network's inputs, without the batch.
        low: The input's lowest value.
        high: The input's highest value.
        count: How many.
        seed: Of the pictures.
    """

    shapes: tuple[tuple[int, ...], ...]
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

    def samples(self) -> Iterator[Sample]:
        """One sample at a time: an array for each input, shape (1, ...)."""
        for number in range(self.count):
            random = np.random.default_rng([self.seed, number])
            units = [_picture(random, shape) if len(shape) == 3 else random.random(shape) for shape in self.shapes]
            yield tuple((self.low + unit * (self.high - self.low)).astype(np.float32)[None] for unit in units)


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

    def samples(self) -> Iterator[Sample]:
        """One sample at a time: its only array, shape (1, ...). They are read once and kept where they are few and small."""
        yield from self._kept or ((sample.x,) for sample in self.dataset)

    @cached_property
    def _kept(self) -> tuple[Sample, ...]:
        first = next(iter(self.dataset)).x
        return tuple((sample.x,) for sample in self.dataset) if first.nbytes * self.count <= KEPT_BYTES else ()


@dataclass(frozen=True)
class NamedArrays:
    """Samples for a network of several inputs: an `.npz` with an array for each, by the input's name.

    Args:
        path: The file.
        names: Of the network's inputs, in order.
        shapes: Of the network's inputs, without the batch.
        most: How many samples are taken, evenly spread.
    """

    path: Path
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    most: int

    @property
    def kind(self) -> str:
        """What a manifest says."""
        return "npz"

    @cached_property
    def _arrays(self) -> list[Floats]:
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                missing = [name for name in self.names if name not in archive]
                arrays = [] if missing else [np.asarray(archive[name], np.float32) for name in self.names]
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{self.path} cannot be read as an .npz: {error}", "save it again with numpy.savez") from error
        if missing:
            raise DataError(f"{self.path} has no array {missing[0]!r}", f"save one array for each input: {', '.join(self.names)}")
        for name, array, shape in zip(self.names, arrays, self.shapes, strict=True):
            if array.shape[1:] != shape or not len(array) or len(array) != len(arrays[0]):
                raise DataError(
                    f"{self.path}: {name} has the shape {array.shape}", f"give (count, {', '.join(map(str, shape))}), as many as of the others"
                )
            if not np.isfinite(array).all():
                raise DataError(f"{self.path}: {name} holds values that are not finite", "check the data for NaN and infinity")
        return arrays

    @property
    def count(self) -> int:
        """How many."""
        return min(self.most, len(self._arrays[0]))

    @cached_property
    def digest(self) -> str:
        """The hash of the file."""
        return sha256(self.path)

    def samples(self) -> Iterator[Sample]:
        """One sample at a time: an array for each input, shape (1, ...)."""
        for place in evenly(len(self._arrays[0]), self.most):
            yield tuple(array[place : place + 1] for array in self._arrays)


@dataclass(frozen=True)
class UnscaledInputs:
    """Inputs before the last step of preprocessing, for a file that does it itself: numbers from 0 to 255.

    Args:
        scaled: After it.
        preprocessing: What was done.
    """

    scaled: Inputs
    preprocessing: Preprocessing

    @property
    def kind(self) -> str:
        """What a manifest says."""
        return self.scaled.kind

    @property
    def count(self) -> int:
        """How many."""
        return self.scaled.count

    @property
    def digest(self) -> str:
        """The hash of the inputs that a person gave."""
        return self.scaled.digest

    def samples(self) -> Iterator[Sample]:
        """One sample at a time: its only array, shape (1, ...)."""
        scale, offset = (np.asarray(values) for values in (self.preprocessing.scale, self.preprocessing.offset))
        yield from (tuple(((array - offset) / scale).astype(np.float32) for array in sample) for sample in self.scaled.samples())


def _picture(random: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    height, width, channels = shape
    picture = np.zeros(shape)
    for cells in _CELLS:
        coarse = random.integers(0, 256, (min(cells, height), min(cells, width), channels), dtype=np.uint8)
        picture += resample(coarse, height, width) * random.random()
    picture = (picture - picture.mean()) / (picture.std() + 1e-9)
    unit: npt.NDArray[np.float64] = 0.5 + random.uniform(-0.25, 0.25) + picture * random.uniform(0.05, 0.35)
    return np.clip(unit, 0.0, 1.0)


Inputs = SyntheticInputs | DatasetInputs | NamedArrays | UnscaledInputs


def takes_images(shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether a network's inputs are one image, grey or in colour, so that preprocessing can make it.

    Args:
        shapes: Of each of the inputs, without the batch.
    """
    return len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][2] in COLOURS.values()


def arrays_how(named_shapes: dict[str, tuple[int, ...]]) -> str:
    """How a person gives inputs that are no images.

    Args:
        named_shapes: Of each of the network's inputs, without the batch, by its name.
    """
    alone = len(named_shapes) == 1
    arrays = [f"{'x' if alone else name} of shape (count, {', '.join(map(str, shape))})" for name, shape in named_shapes.items()]
    return f"give --calibration with an .npz of about 100 typical inputs: {'' if alone else 'the arrays '}{' and '.join(arrays)}"


def calibration_inputs(
    choice: str | None,
    *,
    named_shapes: dict[str, tuple[int, ...]],
    preprocessing: Preprocessing | None,
    random_weights: bool,
    quantized: bool,
    count: int,
    synthetic_range: tuple[float, float] = (-1.0, 1.0),
) -> Inputs:
    """Where calibration inputs come from.

    Args:
        choice: What a person gave: a folder, a `.npz`, `synthetic`, or nothing.
        named_shapes: Of each of the network's inputs, without the batch, by its name.
        preprocessing: From RGB bytes to the input.
        random_weights: Whether the network's weights are random, so that any input serves.
        quantized: Whether any recipe asked for sets ranges by them.
        count: How many at most.
        synthetic_range: Of seeded pictures, where no preprocessing says it.

    Raises:
        DataError: Integers are asked for without calibration or preprocessing, or the data do not fit.
    """
    shapes = tuple(named_shapes.values())
    images = takes_images(shapes)
    if choice is None and quantized and not random_weights:
        raise DataError(
            "int8 needs calibration inputs: they set the ranges of the activations",
            "give --calibration with a folder of about 100 typical images or an .npz of inputs; --calibration synthetic tries it without"
            if images
            else arrays_how(named_shapes),
        )
    if choice is not None and choice != SYNTHETIC:
        if len(shapes) > 1:
            if Path(choice).suffix.lower() != ".npz":
                raise DataError(f"{choice} cannot give {len(shapes)} inputs", f"give an .npz with one array for each: {', '.join(named_shapes)}")
            return NamedArrays(Path(choice), tuple(named_shapes), shapes, count)
        if not images and Path(choice).is_dir():
            raise DataError(
                f"{choice} is a folder of images, but the network takes {' x '.join(map(str, shapes[0]))} numbers", arrays_how(named_shapes)
            )
        dataset = open_dataset(Path(choice), preprocessing, None, count, (1, *shapes[0]))
        return DatasetInputs(dataset)
    if preprocessing is None and quantized and not random_weights:
        raise DataError("the range of the network's input is not known, and int8 needs it", HOW if images else arrays_how(named_shapes))
    low, high = preprocessing.input_range if preprocessing else synthetic_range
    return SyntheticInputs(shapes, low, high)


def spread_over(inputs: Inputs, count: int) -> Iterator[Sample]:
    """About `count` samples, evenly spread, one at a time."""
    step = max(inputs.count // count, 1)
    return islice((sample for place, sample in enumerate(inputs.samples()) if place % step == 0), count)


def batch(samples: Iterable[Sample]) -> tuple[Floats, ...]:
    """Samples in one batch: an array for each input."""
    return tuple(np.concatenate(arrays) for arrays in zip(*samples, strict=True))


def record(inputs: Inputs) -> dict[str, Any]:
    """What a manifest keeps."""
    return {"kind": inputs.kind, "count": inputs.count, "sha256": inputs.digest}
