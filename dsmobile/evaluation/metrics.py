"""How good scores are: top-k under one tie rule, its interval, agreement with a reference, and the noise in the logits in dB."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]
PROBABILITY_FLOOR = 2.0**-9  # half a step of an int8 softmax, whose output has the fixed scale 1/256
TINY = 2.0**-149  # the smallest float32 above 0


def rank_of(scores: Array, label: int) -> int:
    """The label's place, from 0, in `np.argsort(-scores, kind="stable")`: of equal scores the lower index comes first.

    Args:
        scores: Shape (classes,).
        label: An index into them.
    """
    own = scores[label]
    return int(np.count_nonzero(scores > own) + np.count_nonzero(scores[:label] == own))


def top1(scores: Array) -> int:
    """The index of the largest score; of equal ones, the lowest."""
    return int(np.argmax(scores))


def wilson_interval(successes: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a share.

    Args:
        successes: How often it held.
        count: How often it was tried.
        confidence: Its coverage.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927) 209-212.
    """
    z, share = NormalDist().inv_cdf(0.5 + confidence / 2), successes / count
    centre = share + z * z / (2 * count)
    margin = z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    low, high = ((centre + side * margin) / (1 + z * z / count) for side in (-1, 1))
    return (low if successes else 0.0), (high if successes < count else 1.0)  # exact, where rounding would leave 1e-17


class OutputKind:
    """What a file's outputs are, judged by all of them: logits, or a softmax's probabilities, and whether these are coarse.

    Probabilities lie within 0..1, and their sums are 1 on average; the sums have room (0.5 to 1.5), since an int8 softmax rounds many
    small probabilities to 0. Coarse are those with an exact 0 among them.

    Args:
        known: Whether they are probabilities, where a manifest says so; None lets the outputs decide.
    """

    def __init__(self, known: bool | None = None) -> None:
        """Nothing seen yet."""
        self._known, self._within, self._zero, self._sum, self._count = known, True, False, 0.0, 0

    def add(self, scores: Array) -> None:
        """Sees one output, shape (classes,)."""
        self._within = self._within and bool(scores.min() >= 0.0 and scores.max() <= 1.0)
        self._zero = self._zero or not scores.all()
        self._sum += float(scores.sum())
        self._count += 1

    @property
    def probabilities(self) -> bool:
        """Whether they are a softmax's."""
        if self._known is not None:
            return self._known
        return self._count > 0 and self._within and 0.5 <= self._sum / self._count <= 1.5

    @property
    def coarse(self) -> bool:
        """Whether they are probabilities of which small ones are lost."""
        return self.probabilities and self._zero


class LogitSqnr:
    """Signal to quantization noise ratio of logits, over everything added: 10 log10(sum ref^2 / sum (ref - x)^2).

    - Both files give logits: these, as they are.
    - One or both end in a softmax: its logarithm is the logits but for a constant in each sample, so both are taken minus their mean over
      the classes.
    - A softmax has rounded small probabilities to 0 (an int8 output has steps of 1/256): both are taken as probabilities, floored at 2^-9,
      then as above. What the rounding destroyed is not compared; the figure ranks artifacts, but is not the SQNR of their logits.
    """

    def __init__(self) -> None:
        """Nothing added yet."""
        self._signal: dict[_Pair, float] = defaultdict(float)
        self._noise: dict[_Pair, float] = defaultdict(float)

    def add(self, reference: Array, scores: Array) -> None:
        """Adds one sample; which of the two are probabilities is asked at the end.

        Args:
            reference: Shape (classes,).
            scores: Shape (classes,).
        """
        ours, theirs = _views(reference), _views(scores)
        self._count(_Pair(False, False, False), reference.astype(np.float64), scores.astype(np.float64))
        for pair in _UP_TO_A_CONSTANT:
            self._count(pair, ours[pair.reference, pair.coarse], theirs[pair.other, pair.coarse])

    def value_db(self, reference: OutputKind, other: OutputKind) -> float:
        """The ratio in dB; infinite where nothing differs, NaN where there is no signal.

        Args:
            reference: What the reference's outputs are.
            other: What the other's are.
        """
        pair = _Pair(reference.probabilities, other.probabilities, reference.coarse or other.coarse)
        signal, noise = self._signal[pair], self._noise[pair]
        if noise == 0.0:
            return math.inf
        return 10.0 * math.log10(signal / noise) if signal > 0.0 else math.nan

    def _count(self, pair: _Pair, reference: Doubles, scores: Doubles) -> None:
        self._signal[pair] += float(np.square(reference).sum())
        self._noise[pair] += float(np.square(reference - scores).sum())


class _Pair(NamedTuple):
    """Which of two files give probabilities, and whether some are coarse."""

    reference: bool
    other: bool
    coarse: bool


_UP_TO_A_CONSTANT = tuple(_Pair(a, b, coarse) for a, b in ((False, True), (True, False), (True, True)) for coarse in (False, True))


def _views(values: Array) -> dict[tuple[bool, bool], Doubles]:
    """Logits up to a constant, by whether the values are probabilities, and whether the pair is coarse."""
    numbers = values.astype(np.float64)
    softmax = np.exp(numbers - numbers.max())
    return {
        (False, False): numbers - numbers.mean(),
        (False, True): _log(softmax / softmax.sum(), PROBABILITY_FLOOR),
        (True, False): _log(numbers, TINY),
        (True, True): _log(numbers, PROBABILITY_FLOOR),
    }


def _log(probabilities: Doubles, floor: float) -> Doubles:
    logits = np.log(np.maximum(probabilities, floor))
    centred: Doubles = logits - logits.mean()
    return centred
