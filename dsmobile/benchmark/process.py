"""What one fresh process says: its median, and what of two networks' processes can be paired."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from device_bench.records import ReplicateSample
from dsmobile.benchmark.result import Replicate

UNDISTURBED = 10  # the percentile; on a busy machine, ten inferences of a hundred find it quiet


def replicate_of(sample: ReplicateSample) -> Replicate:
    """A process in a result.

    Args:
        sample: What the device answered; it did not fail.
    """
    return Replicate(
        block=sample.block,
        position=sample.position,
        latency_ns=sample.latency_ns,
        warmup_count=sample.warmup_count,
        load_ns=sample.load_ns,
        first_inference_ns=sample.first_inference_ns,
        peak_memory_bytes=sample.peak_memory_bytes,
        median_ns=sample.summary.latency_ns if sample.summary else float(statistics.median(sample.latency_ns[sample.warmup_count :])),
        loop=sample.loop,
        conditions=sample.conditions,
    )


def median_ns(replicate: Replicate) -> float:
    """The median of its inferences after the warm-up."""
    return replicate.median_ns


def undisturbed_ns(replicate: Replicate) -> float | None:
    """The 10th percentile of its inferences after the warm-up: how fast it is while nobody disturbs it; None where they were not kept."""
    kept = replicate.latency_ns[replicate.warmup_count :]
    if len(kept) < 2:
        return float(kept[0]) if kept else None
    return statistics.quantiles(kept, n=100 // UNDISTURBED, method="inclusive")[0]


def paired(one: Sequence[Replicate], other: Sequence[Replicate], figure: Callable[[Replicate], float | None]) -> tuple[list[float], list[float]]:
    """A figure of two artifacts in every block that measured both, in the order of the blocks.

    Args:
        one: Processes of one artifact.
        other: Processes of the other.
        figure: Of a process; a block in which it is None is left out.

    Returns:
        Two lists of equal length.
    """
    figures = [{replicate.block: value for replicate in group if (value := figure(replicate)) is not None} for group in (one, other)]
    shared = sorted(figures[0].keys() & figures[1].keys())
    return [figures[0][block] for block in shared], [figures[1][block] for block in shared]
