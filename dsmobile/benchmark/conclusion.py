"""From raw samples to a result: medians, intervals, pairs, warnings, and what the whole is worth."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import dsmobile
from device_bench.records import Moment, ReplicateSample
from dsmobile.benchmark import result
from dsmobile.benchmark.conditions import Kind, judge, validity
from dsmobile.benchmark.instructions import INSTRUCTIONS, LATENCY, REPEATS_TO
from dsmobile.benchmark.measure import PRECISION_REACHED, Measured
from dsmobile.benchmark.plan import ENOUGH_BLOCKS
from dsmobile.benchmark.process import median_ns, paired, replicate_of, undisturbed_ns
from dsmobile.benchmark.result import ArtifactResult, PairResult, Replicate, Result, Sustained, Validity, Verdict
from dsmobile.benchmark.statistics import PILOT_BLOCKS, far_out, log_ratio, median_interval, no_better_than
from dsmobile.benchmark.subjects import Subject
from dsmobile.benchmark.sustained import SUSTAINED, batches, over_time, replicate_over_time
from dsmobile.benchmark.verdict import verdict
from dsmobile.errors import DeviceError

# A run without a pause is there to find these; they do not make it INVALID.
FOUND_OVER_TIME = (Kind.THROTTLED.label, Kind.CLOCK_CHANGED.label)


def conclude(
    subjects: Sequence[Subject],
    compared: Sequence[tuple[int, int]],
    runtimes: dict[str, str],
    measured: Measured,
    notes: Sequence[result.Warning],
    *,
    settings: dict[str, Any],
    device: str,
    started: datetime,
) -> Result:
    """What the samples say.

    Args:
        subjects: The files.
        compared: Pairs of indices into them.
        runtimes: Format to runtime.
        measured: What the device answered.
        notes: Warnings that were known before.
        settings: budget_s, threads, seed.
        device: `local` or `ssh`.
        started: When it began.

    Raises:
        DeviceError: No process of one of the files ended well.
    """
    threads, pace = int(settings["threads"]), measured.pace
    metric = INSTRUCTIONS if measured.samples.facts.get("counts_instructions") else LATENCY
    kept = [
        [sample for sample in measured.samples.replicates if sample.artifact == index and sample.block >= 0 and not sample.error]
        for index in range(len(subjects))
    ]
    for subject, samples in zip(subjects, kept, strict=True):
        if not samples:
            raise DeviceError(
                f"no process that measured {subject.path.name} ended well", "see whether the device has enough memory, then measure again"
            )
    replicates = [tuple(replicate_of(sample) for sample in samples) for samples in kept]
    over_times: tuple[Sustained, ...] = ()
    moments: list[list[Moment]] = []
    if measured.stopped_by == SUSTAINED:
        moments = [[moment for moment in measured.samples.moments if moment.artifact == index] for index in range(len(subjects))]
        over_times = tuple(over_time(str(subject.path), told) for subject, told in zip(subjects, moments, strict=True))
        replicates = [(replicate_over_time(samples[0], told),) for samples, told in zip(kept, moments, strict=True)]
    results = tuple(
        _artifact(subject, runtimes[subject.format], threads, samples, processes)
        for subject, samples, processes in zip(subjects, kept, replicates, strict=True)
    )
    if over_times:
        results = tuple(replace(artifact, interval_ns=median_interval(batches(told))) for artifact, told in zip(results, moments, strict=True))
    if metric == INSTRUCTIONS:
        results = tuple(replace(artifact, interval_ns=_from_boot_to_boot(artifact)) for artifact in results)
    pairs = tuple(_pair(results[a], results[b], measured.stopped_by, metric) for a, b in compared)
    blocks = ENOUGH_BLOCKS if over_times or metric == INSTRUCTIONS else measured.blocks
    warnings = (*notes, *judge(measured.samples, subjects, threads=threads, blocks=blocks), *of_self_tests(pairs))
    if over_times:
        warnings = tuple(warning for warning in warnings if warning.kind != Kind.WARMUP_NOT_FINISHED.label)  # the warm-up is part of what is shown
    worth = validity(warning for warning in warnings if not (over_times and warning.kind in FOUND_OVER_TIME))
    if worth is Validity.INVALID:
        pairs = tuple(replace(pair, verdict=Verdict.NO_DIFFERENCE_SHOWN) for pair in pairs)
    return Result(
        dsmobile_version=dsmobile.__version__,
        started_utc=started.isoformat(timespec="seconds"),
        device=device,
        metric=metric,
        validity=worth,
        warnings=warnings,
        settings={
            **settings,
            "elapsed_s": round(measured.elapsed_s, 3),
            "blocks": measured.blocks,
            "stopped_by": measured.stopped_by,
            "rests": [{key: rest[key] for key in ("settled", "waited_s", "reasons")} for rest in measured.rests],
            **({"measure_s": pace.measure_s, "min_count": pace.min_count, "max_count": pace.max_count} if pace else {}),
            "warmup": "MSER-5, batches represented by their medians",
            "ratio_estimator": "exp(mean over blocks of log(median / median)), t interval",
        },
        facts=measured.samples.facts,
        conditions=measured.samples.conditions,
        artifacts=results,
        pairs=pairs,
        sustained=over_times,
    )


def _artifact(subject: Subject, runtime: str, threads: int, samples: Sequence[ReplicateSample], replicates: tuple[Replicate, ...]) -> ArtifactResult:
    medians = [replicate.median_ns for replicate in replicates]
    memory = [replicate.peak_memory_bytes for replicate in replicates if replicate.peak_memory_bytes is not None]
    manifest = subject.manifest
    return ArtifactResult(
        path=str(subject.path),
        name=subject.path.stem,
        sha256=subject.sha256,
        format=subject.format,
        recipe=manifest.recipe if manifest else None,
        role=manifest.role if manifest else None,
        pair_id=manifest.pair_id if manifest else None,
        runtime=runtime,
        runtime_version=samples[0].runtime_version,
        threads=threads,
        size_bytes=subject.size_bytes,
        macs=manifest.macs if manifest else None,
        parameters=manifest.parameters if manifest else None,
        median_latency_ns=statistics.median(medians),
        interval_ns=median_interval(medians),
        load_ns=statistics.median(replicate.load_ns for replicate in replicates),
        first_inference_ns=statistics.median(replicate.first_inference_ns for replicate in replicates),
        peak_memory_bytes=int(statistics.median(memory)) if memory else None,
        exact_kernels=samples[0].exact_kernels,
        replicates=replicates,
        delegate=samples[0].delegate,
        coverage=samples[0].coverage,
        outliers=tuple(far_out(medians)),
    )


def _from_boot_to_boot(artifact: ArtifactResult) -> tuple[float, float]:
    low, high = artifact.interval_ns
    return min(low, artifact.median_latency_ns / (1 + REPEATS_TO)), max(high, artifact.median_latency_ns * (1 + REPEATS_TO))


def of_self_tests(pairs: Sequence[PairResult]) -> Iterable[result.Warning]:
    """A warning for each file that was found faster or slower than itself."""
    for pair in pairs:
        if pair.of_itself and pair.verdict is not Verdict.NO_DIFFERENCE_SHOWN:
            yield Kind.SELF_TEST.warning(f"{Path(pair.separable).name} was found {pair.verdict} than itself by {abs(pair.speedup - 1):.1%}")


def _pair(one: ArtifactResult, other: ArtifactResult, stopped_by: str, metric: str) -> PairResult:
    ones, others = paired(one.replicates, other.replicates, median_ns)
    if len(ones) < 2:
        raise DeviceError(f"fewer than two blocks measured both {one.name} and {other.name}", "see why processes failed, then measure again")
    pilot = PILOT_BLOCKS if stopped_by == PRECISION_REACHED else None
    ratio = log_ratio(others, ones, pilot=pilot)
    if metric == INSTRUCTIONS:
        ratio = no_better_than(ratio, REPEATS_TO)
    fast_ones, fast_others = paired(one.replicates, other.replicates, undisturbed_ns)
    undisturbed = log_ratio(fast_others, fast_ones, pilot=pilot) if len(fast_ones) > 1 else None
    return PairResult(
        separable=one.path,
        twin=other.path,
        runtime=one.runtime,
        recipe=one.recipe if one.recipe == other.recipe else None,
        speedup=ratio.ratio,
        speedup_interval=ratio.interval,
        macs_ratio=other.macs / one.macs if one.macs and other.macs else None,
        verdict=verdict(ratio.interval),
        minimum_detectable=ratio.minimum_detectable,
        blocks=ratio.blocks,
        undisturbed_speedup=undisturbed.ratio if undisturbed else None,
        undisturbed_interval=undisturbed.interval if undisturbed else None,
    )
