"""From raw samples to a result: medians, intervals, pairs, warnings, and what the whole is worth."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import dsmobile
from device_bench.records import ReplicateSample
from dsmobile.benchmark import result
from dsmobile.benchmark.conditions import Kind, judge, validity
from dsmobile.benchmark.measure import PRECISION_REACHED, Measured
from dsmobile.benchmark.process import median_ns, paired, replicate_of, undisturbed_ns
from dsmobile.benchmark.result import ArtifactResult, PairResult, Result, Verdict
from dsmobile.benchmark.statistics import PILOT_BLOCKS, far_out, log_ratio, median_interval
from dsmobile.benchmark.subjects import Subject
from dsmobile.benchmark.verdict import verdict
from dsmobile.errors import DeviceError


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
    threads = int(settings["threads"])
    kept = [
        [sample for sample in measured.samples.replicates if sample.artifact == index and sample.block >= 0 and not sample.error]
        for index in range(len(subjects))
    ]
    for subject, samples in zip(subjects, kept, strict=True):
        if not samples:
            raise DeviceError(
                f"no process that measured {subject.path.name} ended well", "see whether the device has enough memory, then measure again"
            )
    results = tuple(_artifact(subject, runtimes[subject.format], threads, samples) for subject, samples in zip(subjects, kept, strict=True))
    pairs = tuple(_pair(results[a], results[b], measured.stopped_by) for a, b in compared)
    warnings = (*notes, *judge(measured.samples, subjects, threads=threads, blocks=measured.blocks), *of_self_tests(pairs))
    return Result(
        dsmobile_version=dsmobile.__version__,
        started_utc=started.isoformat(timespec="seconds"),
        device=device,
        metric="latency",
        validity=validity(warnings),
        warnings=warnings,
        settings={
            **settings,
            "elapsed_s": round(measured.elapsed_s, 3),
            "blocks": measured.blocks,
            "stopped_by": measured.stopped_by,
            "measure_s": measured.pace.measure_s,
            "min_count": measured.pace.min_count,
            "max_count": measured.pace.max_count,
            "warmup": "MSER-5, batches represented by their medians",
            "ratio_estimator": "exp(mean over blocks of log(median / median)), t interval",
        },
        facts=measured.samples.facts,
        conditions=measured.samples.conditions,
        artifacts=results,
        pairs=pairs,
    )


def _artifact(subject: Subject, runtime: str, threads: int, samples: Sequence[ReplicateSample]) -> ArtifactResult:
    replicates = tuple(replicate_of(sample) for sample in samples)
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
        outliers=tuple(far_out(medians)),
    )


def of_self_tests(pairs: Sequence[PairResult]) -> Iterable[result.Warning]:
    """A warning for each file that was found faster or slower than itself."""
    for pair in pairs:
        if pair.of_itself and pair.verdict is not Verdict.NO_DIFFERENCE_SHOWN:
            yield Kind.SELF_TEST.warning(f"{Path(pair.separable).name} was found {pair.verdict} than itself by {abs(pair.speedup - 1):.1%}")


def _pair(one: ArtifactResult, other: ArtifactResult, stopped_by: str) -> PairResult:
    ones, others = paired(one.replicates, other.replicates, median_ns)
    if len(ones) < 2:
        raise DeviceError(f"fewer than two blocks measured both {one.name} and {other.name}", "see why processes failed, then measure again")
    pilot = PILOT_BLOCKS if stopped_by == PRECISION_REACHED else None
    ratio = log_ratio(others, ones, pilot=pilot)
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
