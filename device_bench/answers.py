"""What a model answers to its seeded inputs, as far as it is kept: by it the host knows that the right thing was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple


@dataclass(frozen=True)
class Probe:
    """What a model answers to its seeded input: shows that the right thing was measured.

    Args:
        values: The first output's first values, 16 at most, as real numbers; None where one is not finite.
        total: The sum over the whole first output; None where it is not finite.
        step: The output's quantization step; 0 where it is float.
    """

    values: Tuple[Optional[float], ...]
    total: Optional[float]
    step: float


@dataclass(frozen=True)
class Deviation:
    """How one output of the optimised graph lies against that of the unoptimised one: root mean squares over some pictures, in real numbers.

    Args:
        difference: Of the one less the other; None where their shapes or what is finite differ.
        sensitivity: By how much the unoptimised one moves where every byte of the picture moves by one level; None as above.
        magnitude: Of the unoptimised one itself.
    """

    difference: Optional[float]
    sensitivity: Optional[float]
    magnitude: float


@dataclass(frozen=True)
class Unoptimised:
    """What came of running the same file without any optimisation, after the timed inferences.

    Args:
        pictures: How many inputs both ran.
        outputs: One each.
        error: Why it could not be done; empty where it was.
        wall_ns: How long it took, which is no part of what measuring costs.
    """

    pictures: int
    outputs: Tuple[Deviation, ...]
    error: str = ""
    wall_ns: int = 0
