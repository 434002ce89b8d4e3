"""What a handful of seeds says: means with their intervals, differences seed by seed, verdicts in words."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Args:
        mean: The mean.
        low: Lower end of its 95% interval, corrected for training sets that overlap.
        high: Its upper end.
        plain_low: Lower end of the ordinary t interval, as if the seeds were independent samples.
        plain_high: Its upper end.
        count: How many seeds.
    """

    mean: float
    low: float
    high: float
    plain_low: float
    plain_high: float
    count: int


def estimate(values: Sequence[float], test_count: int, train_count: int) -> Estimate:
    """The mean over splits of one data set, with the corrected resampled t interval.

    Splits of the same pictures share most of their training set and some of their test set, so their figures are alike: the ordinary t interval is
    too narrow for what another set of pictures would show. Nadeau and Bengio put (1/J + test/train) in place of 1/J in the variance.

    Args:
        values: One for each of J seeds, at least two.
        test_count: Pictures that a seed tests on.
        train_count: Pictures that it trains on.

    Raises:
        ValueError: There are fewer than two values.

    Source: C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine Learning 52 (2003) 239-281: the corrected resampled t test.
    """
    from scipy.stats import t

    count = len(values)
    if count < 2:
        raise ValueError("an interval takes at least two seeds")
    mean = statistics.fmean(values)
    quantile = float(t.ppf(0.5 + CONFIDENCE / 2, count - 1)) * statistics.stdev(values)
    half, plain = quantile * math.sqrt(1 / count + test_count / train_count), quantile / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half, mean - plain, mean + plain, count)


def verdict(difference: Estimate, other: str) -> str:
    """What a difference of accuracies, separable minus another network's, carries."""
    if difference.low > 0:
        return f"better than the {other}"
    if difference.high < 0:
        return f"worse than the {other}"
    return "no difference shown beyond chance"
