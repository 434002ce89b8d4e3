"""What a handful of processes says: medians, their intervals, and the ratio of two networks measured in the same blocks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
POWER = 0.90


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of a median from order statistics: no assumption on the distribution.

    The j-th smallest and the j-th largest of n values hold the median with probability 1 - 2 P(B < j), where B is binomial (n, 1/2). Of
    fewer than six values not even the smallest and the largest reach 95%: they are returned, and hold it with probability 1 - 2^(1-n).

    Args:
        values: Independent values, at least one.
        confidence: The probability with which it holds the median.

    Source: J.-Y. Le Boudec, "Performance Evaluation of Computer and Communication Systems", 2010, theorem 2.1.
    """
    ordered = sorted(values)
    count, rank, outside = len(ordered), 1, 1  # outside: in how many of 2^n cases fewer than `rank` values lie on one side of the median
    while 2 * (outside + math.comb(count, rank)) / 2**count <= 1 - confidence:
        outside += math.comb(count, rank)
        rank += 1
    return ordered[rank - 1], ordered[count - rank]


@dataclass(frozen=True)
class LogRatio:
    """A ratio of two networks' latencies.

    Args:
        ratio: exp of the mean over blocks of log(numerator / denominator).
        interval: Its 95% interval.
        minimum_detectable: The smallest relative difference that so many blocks of such noise show with 90% power.
        blocks: How many blocks.
    """

    ratio: float
    interval: tuple[float, float]
    minimum_detectable: float
    blocks: int


def log_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> LogRatio:
    """The geometric mean of a ratio over blocks, with its t interval.

    Both networks run in every block, so that what makes a block slow makes both slow and drops out.

    Args:
        numerator: One median per block.
        denominator: The other network's, in the same order.

    Raises:
        ValueError: There are fewer than two blocks, or the lengths differ.
    """
    from scipy.stats import t

    logs = [math.log(a / b) for a, b in zip(numerator, denominator, strict=True)]
    count = len(logs)
    if count < 2:
        raise ValueError("fewer than two blocks")
    mean = statistics.fmean(logs)
    standard_error = statistics.stdev(logs) / math.sqrt(count)
    half_width = float(t.ppf(0.5 + CONFIDENCE / 2, count - 1)) * standard_error
    detectable = math.expm1((float(t.ppf(0.5 + CONFIDENCE / 2, count - 1)) + float(t.ppf(POWER, count - 1))) * standard_error)
    return LogRatio(math.exp(mean), (math.exp(mean - half_width), math.exp(mean + half_width)), detectable, count)
