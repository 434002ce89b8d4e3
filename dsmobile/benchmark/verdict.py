"""What the data carry about a pair: no more than its interval says."""

from __future__ import annotations

from dsmobile.benchmark.result import Verdict


def verdict(speedup_interval: tuple[float, float]) -> Verdict:
    """Faster or slower where the whole interval says so.

    Args:
        speedup_interval: 95% interval of the speed-up.
    """
    low, high = speedup_interval
    if low > 1.0:
        return Verdict.FASTER
    if high < 1.0:
        return Verdict.SLOWER
    return Verdict.NO_DIFFERENCE_SHOWN
