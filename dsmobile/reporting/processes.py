"""What the inferences of one fresh process show once it is warm."""

from __future__ import annotations

from dsmobile.benchmark.result import Replicate


def spread(replicate: Replicate, percentiles: tuple[int, ...]) -> tuple[float | None, ...]:
    """Percentiles of a process's inferences after its warm-up, in nanoseconds; None where there are none."""
    import numpy as np

    warm = replicate.latency_ns[replicate.warmup_count :]
    return tuple(float(value) for value in np.percentile(warm, percentiles)) if warm else (None,) * len(percentiles)
