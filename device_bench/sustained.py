"""A process that runs without a pause, as an app with a camera does: latency, frequency and temperature over time."""

from __future__ import annotations

import statistics
import time
from typing import Any, Callable, Dict, List, Tuple

PERIOD_S = 1.0
KEPT = 1000  # single inferences, of the beginning


def sustain(
    invoke: Callable[[], Any], seconds: float, look: Callable[[], Dict[str, Any]], tell: Callable[[Dict[str, Any]], None]
) -> Tuple[List[int], int]:
    """Runs inferences for a long time; between two of them, about once a second, the device's state is read and told.

    Args:
        invoke: One inference.
        seconds: How long.
        look: Reads the device's state.
        tell: Takes `at_s`, `count`, `median_ns`, `p90_ns`, `conditions` of each second.

    Returns:
        The first thousand latencies, and how many inferences there were in all.
    """
    clock = time.perf_counter_ns
    first: List[int] = []
    total, started = 0, clock()
    ends = started + int(seconds * 1e9)
    while True:
        period: List[int] = []
        period_ends = clock() + int(PERIOD_S * 1e9)
        while True:
            before = clock()
            invoke()
            after = clock()
            period.append(after - before)
            if after >= period_ends or after >= ends:
                break
        first += period[: KEPT - len(first)]
        total += len(period)
        tell({"at_s": (after - started) / 1e9, "count": len(period), **_summary(period), "conditions": look()})
        if after >= ends:
            return first, total


def _summary(latency_ns: List[int]) -> Dict[str, float]:
    tenths = statistics.quantiles(latency_ns, n=10, method="inclusive") if len(latency_ns) > 1 else latency_ns * 9
    return {"median_ns": float(statistics.median(latency_ns)), "p90_ns": float(tenths[8])}
