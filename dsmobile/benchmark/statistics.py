"""What a handful of processes says: medians, their intervals, the ratio of two networks measured in the same blocks, and when to stop."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

CONFIDENCE = 0.95
SAFE_POWER = 0.95  # of normal values: those of a busy machine have longer tails and neighbours that are alike; on recorded ones this gives 90%
PILOT_BLOCKS = 8
PRECISION = 0.02
FAR_OUT = 3.0


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

    @property
    def half_width(self) -> float:
        """How far the interval's upper end lies above the ratio (0.02 = 2%)."""
        return self.interval[1] / self.ratio - 1


def log_ratio(numerator: Sequence[float], denominator: Sequence[float], *, pilot: int | None = None) -> LogRatio:
    """The geometric mean of a ratio over blocks, with its t interval.

    Both networks run in every block, so that what makes a block slow makes both slow and drops out.

    Args:
        numerator: One median per block.
        denominator: The other network's, in the same order.
        pilot: Where the number of blocks was chosen by their spread: how many blocks came first in any case. The interval is then the wider
            of the ordinary one and Stein's, whose spread is that of the pilot alone.

    Raises:
        ValueError: There are fewer than two blocks, or the lengths differ.
    """
    logs = [math.log(a / b) for a, b in zip(numerator, denominator, strict=True)]
    count = len(logs)
    if count < 2:
        raise ValueError("fewer than two blocks")
    mean = statistics.fmean(logs)
    stages = [logs[:pilot], logs] if pilot is not None and count > pilot else [logs]
    half_width, margin = (
        max(_quantile(probability, len(stage)) * statistics.stdev(stage) for stage in stages) / math.sqrt(count)
        for probability in (0.5 + CONFIDENCE / 2, SAFE_POWER)
    )
    return LogRatio(math.exp(mean), (math.exp(mean - half_width), math.exp(mean + half_width)), math.expm1(half_width + margin), count)


def precise(numerator: Sequence[float], denominator: Sequence[float]) -> bool:
    """Whether a ratio is known well enough to stop measuring: to 2%, from eight blocks at least.

    To stop as soon as a t interval is narrow enough is to stop when the spread happens to look small: then 7% instead of 5% of verdicts are
    false. Stein's interval takes its spread from the first eight blocks alone. The mean of normal values is independent of all their
    spreads, so this interval holds the truth in 95% of cases whatever rule on the spreads ends the run; to stop, both it and the ordinary
    interval must be narrow enough, and the wider is reported. A run that its budget ends has a number of blocks that nothing was read off
    to choose, and reports the ordinary interval.

    Args:
        numerator: One median per block.
        denominator: The other network's, in the same order.

    Source: C. Stein, "A two-sample test for a linear hypothesis whose power is independent of the variance", Annals of Mathematical
    Statistics 16(3), 1945; on stopping by the running spread alone: Y. S. Chow, H. Robbins, "On the asymptotic theory of fixed-width
    sequential confidence intervals for the mean", Annals of Mathematical Statistics 36(2), 1965.
    """
    return len(numerator) >= PILOT_BLOCKS and log_ratio(numerator, denominator, pilot=PILOT_BLOCKS).half_width < PRECISION


def unlike_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> LogRatio:
    """The ratio of two networks, or of one on two occasions, that were not measured in the same blocks.

    Args:
        numerator: Medians of processes, at least two.
        denominator: The other's; their number may differ.

    Raises:
        ValueError: There are fewer than two of one.

    Source: B. L. Welch, "The generalization of 'Student's' problem when several different population variances are involved",
    Biometrika 34, 1947.
    """
    groups = [[math.log(value) for value in values] for values in (numerator, denominator)]
    if min(map(len, groups)) < 2:
        raise ValueError("fewer than two processes")
    squares = [statistics.variance(group) / len(group) for group in groups]
    error = math.sqrt(sum(squares))
    spread = sum(square**2 / (len(group) - 1) for square, group in zip(squares, groups, strict=True))
    freedom = sum(squares) ** 2 / spread if spread else min(map(len, groups)) - 1
    mean = statistics.fmean(groups[0]) - statistics.fmean(groups[1])
    half_width = _quantile(0.5 + CONFIDENCE / 2, freedom + 1) * error
    detectable = math.expm1(half_width + _quantile(SAFE_POWER, freedom + 1) * error)
    return LogRatio(math.exp(mean), (math.exp(mean - half_width), math.exp(mean + half_width)), detectable, min(map(len, groups)))


def no_better_than(ratio: LogRatio, share: float) -> LogRatio:
    """A ratio whose interval is widened to what is known of repeating the whole run.

    Args:
        ratio: As its own blocks show it.
        share: How well the run repeats (0.01 = 1%).
    """
    low, high = min(ratio.interval[0], ratio.ratio / (1 + share)), max(ratio.interval[1], ratio.ratio * (1 + share))
    return LogRatio(ratio.ratio, (low, high), max(ratio.minimum_detectable, 2 * share), ratio.blocks)


def far_out(values: Sequence[float]) -> list[int]:
    """Which values lie more than three interquartile ranges outside the quartiles of their logarithms; of fewer than eight, none.

    They are shown, and stay in every figure.

    Args:
        values: Positive values.

    Returns:
        Their indices.

    Source: J. W. Tukey, "Exploratory Data Analysis", 1977, section 2D ("far out").
    """
    if len(values) < PILOT_BLOCKS:
        return []
    logs = [math.log(value) for value in values]
    lower, _, upper = statistics.quantiles(logs, n=4, method="inclusive")
    fence = FAR_OUT * (upper - lower)
    return [index for index, value in enumerate(logs) if value < lower - fence or value > upper + fence]


@lru_cache(1024)
def _quantile(probability: float, count: float) -> float:
    """The t distribution's, for the mean of so many values."""
    from scipy.stats import t

    return float(t.ppf(probability, count - 1))
