"""A tool that prints rounded figures knows them no finer: intervals hold what rounding took away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from device_bench.reading import DAY_NS
from device_bench.records import Samples
from dsmobile.benchmark.result import ArtifactResult, PairResult, Result, Validity
from dsmobile.benchmark.verdict import verdict


def as_printed(result: Result, samples: Samples, compared: Sequence[tuple[int, int]]) -> Result:
    """A result whose intervals are no narrower than the steps in which the native tool prints; unchanged where every inference was timed here.

    Args:
        result: It.
        samples: What it was made of.
        compared: The pairs of indices into its artifacts that its pairs are of.
    """
    steps = steps_ns(samples, len(result.artifacts))
    if not any(steps):
        return result
    artifacts = tuple(widened(artifact, step) for artifact, step in zip(result.artifacts, steps, strict=True))
    withheld = result.validity is Validity.INVALID
    pairs = tuple(
        pair_widened(pair, artifacts[a], artifacts[b], steps[a], steps[b], withheld=withheld)
        for pair, (a, b) in zip(result.pairs, compared, strict=True)
    )
    return replace(result, artifacts=artifacts, pairs=pairs)


def steps_ns(samples: Samples, count: int) -> list[float]:
    """For each of so many artifacts, the coarsest step in which its figures were printed, in nanoseconds; 0 where none was printed."""
    printed = [(one.artifact, one.summary.resolution_ns) for one in samples.replicates if one.summary and one.block >= 0 and not one.error]
    return [max((step for artifact, step in printed if artifact == index), default=0.0) for index in range(count)]


def widened(artifact: ArtifactResult, step_ns: float) -> ArtifactResult:
    """An artifact whose interval holds half a step more on both sides."""
    low, high = artifact.interval_ns
    return replace(artifact, interval_ns=(max(low - step_ns / 2, 1.0), min(high + step_ns / 2, DAY_NS)))


def pair_widened(pair: PairResult, one: ArtifactResult, other: ArtifactResult, step_ns: float, other_step_ns: float, *, withheld: bool) -> PairResult:
    """A pair whose ratio's interval holds what rounding took away from both sides.

    Args:
        pair: It.
        one: Its first artifact.
        other: Its second.
        step_ns: In which the first's figures were printed.
        other_step_ns: In which the second's were.
        withheld: Whether its verdict stays as it is, since the measurement is INVALID.
    """
    share = step_ns / 2 / one.median_latency_ns + other_step_ns / 2 / other.median_latency_ns
    interval = (pair.speedup_interval[0] / (1 + share), pair.speedup_interval[1] * (1 + share))
    detectable = None if pair.minimum_detectable is None else (1 + pair.minimum_detectable) * (1 + share) ** 2 - 1
    return replace(pair, speedup_interval=interval, minimum_detectable=detectable, verdict=pair.verdict if withheld else verdict(interval))
