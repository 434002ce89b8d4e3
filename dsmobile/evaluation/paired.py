"""How much top-1 a file loses against another on the same inputs: the interval of a difference between paired shares."""

from __future__ import annotations

import math
from statistics import NormalDist

_HALVINGS = 60  # of an interval no longer than 2: to the last bit of a float


def paired_interval(lost: int, gained: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Tango's score interval for (lost - gained) / count: every drop that the score test does not reject.

    It needs no more than the inputs on which the two differ, never leaves -1..1, and has a width even where they never differ: with lost = gained = 0
    it is ±z² / (count + z²). Two-sided; enumerating all outcomes of 100 and of 400 inputs, its upper end lies below the true drop in
    less than 5% of all cases whatever the true rates are (mostly 2% to 3%), so that it also bounds the loss with at least 95% confidence.

    Args:
        lost: Inputs on which only the reference is right.
        gained: Inputs on which only the file is right.
        count: All inputs.
        confidence: Its coverage.

    Returns:
        Its ends, as shares of all inputs; positive is a loss.

    Raises:
        ValueError: The counts do not fit together.

    Source: T. Tango, Equivalence test and confidence interval for the difference in proportions for the paired-sample design,
    Statistics in Medicine 17 (1998) 891-908; recommended by M. W. Fagerland, S. Lydersen, P. Laake, Recommended tests and confidence
    intervals for paired binomial proportions, Statistics in Medicine 33 (2014) 2850-2875.
    """
    if count < 1 or lost < 0 or gained < 0 or lost + gained > count:
        raise ValueError(f"{lost} lost and {gained} gained of {count} inputs")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    return -_upper_end(gained, lost, count, z), _upper_end(lost, gained, count, z)


def _upper_end(lost: int, gained: int, count: int, z: float) -> float:
    low, high = (lost - gained) / count, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _score(lost, gained, count, middle) > -z:
            low = middle
        else:
            high = middle
    return high


def _score(lost: int, gained: int, count: int, drop: float) -> float:
    """Tango's statistic: how many standard deviations the counts lie above what a true drop lets expect."""
    linear = (2 * count - lost + gained) * drop - lost - gained
    gained_rate = (math.sqrt(max(linear * linear + 8 * count * gained * drop * (1 - drop), 0.0)) - linear) / (
        4 * count
    )  # most likely under that drop
    variance = count * (2 * gained_rate + drop * (1 - drop))
    return (lost - gained - count * drop) / math.sqrt(variance) if variance > 0 else -math.inf
