"""Where the warm-up of a series of latencies ends: found in the data, not guessed."""

from __future__ import annotations

import statistics
from typing import Dict, List, Sequence, Tuple

BATCH = 5
MATTERS = 0.01  # a warm-up that moves the median by less is none
_SPARED = 5


def marginal_errors(values: Sequence[float]) -> List[float]:
    """The squared marginal standard error of what is left of a series when its first d values are dropped, for every d.

    It is the sum over i > d of (y_i - mean of those)^2, divided by (n - d)^2.

    Args:
        values: The series, of n values.

    Returns:
        n errors, for d from 0 to n - 1.

    Source: K. P. White, "An effective truncation heuristic for bias reduction in simulation output", Simulation 69(6), 1997.
    """
    errors: List[float] = []
    total = squares = 0.0
    for left, value in enumerate(reversed(values), 1):
        centred = value - values[-1]  # against cancellation
        total += centred
        squares += centred * centred
        errors.append(max(squares - total * total / left, 0.0) / (left * left))
    return errors[::-1]


def mser(values: Sequence[float], furthest: int) -> int:
    """The marginal standard error rule: how many values to drop from the start so that the error of the rest is least.

    Args:
        values: The series.
        furthest: At most so many may be dropped.
    """
    errors = marginal_errors(values)[: furthest + 1]
    return errors.index(min(errors)) if errors else 0


def ranks(values: Sequence[float]) -> List[float]:
    """The rank of each value, from 1 for the smallest; equal values share the mean of theirs."""
    places: Dict[float, List[int]] = {}
    for place, value in enumerate(sorted(values), 1):
        places.setdefault(value, []).append(place)
    return [statistics.fmean(places[value]) for value in values]


def truncation(latency_ns: Sequence[int]) -> Tuple[int, bool]:
    """MSER-5 on a series of latencies.

    The batches of five are represented by the ranks of their medians. An inference that the scheduler interrupted is no warm-up, yet one
    such spike would drag the mean of its batch and the truncation point behind it. And since latencies have a tail on one side only, the
    calmest part of a noisy series is also its fastest: on a recorded trace of a busy machine the rule made medians 0.4% too short with
    values, and not measurably with ranks. A truncation point in the later half means that the warm-up had not ended, unless what lies
    before it is as fast as what lies behind it.

    Args:
        latency_ns: Every inference in order, in nanoseconds.

    Returns:
        How many inferences are warm-up, half of them at most, and whether the warm-up has ended.

    Source: K. P. White, M. J. Cobb, S. C. Spratt, "A comparison of five steady-state truncation heuristics for simulation", WSC 2000.
    """
    batches = ranks([statistics.median(latency_ns[start : start + BATCH]) for start in range(0, len(latency_ns) - BATCH + 1, BATCH)])
    anywhere = mser(batches, len(batches) - min(_SPARED, len(batches) // 2)) * BATCH
    if 2 * anywhere < len(latency_ns):
        return anywhere, True
    before, after = statistics.median(latency_ns[:anywhere]), statistics.median(latency_ns[anywhere:])
    return mser(batches, len(batches) // 2) * BATCH, abs(before - after) < MATTERS * after
