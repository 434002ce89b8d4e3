"""From the runs in logs to a result: what they say, no finer than the tool prints it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from device_bench.benchmark_model import Report
from device_bench.machine import NATIVE
from device_bench.reading import DAY_NS
from device_bench.records import ReplicateSample, Samples, Summary
from dsmobile.benchmark import result
from dsmobile.benchmark.conclusion import conclude
from dsmobile.benchmark.importing import IMPORTED
from dsmobile.benchmark.kinds import Kind
from dsmobile.benchmark.log_runs import Group, Told
from dsmobile.benchmark.log_text import Log
from dsmobile.benchmark.measure import Measured
from dsmobile.benchmark.printed import pair_widened, steps_ns, widened
from dsmobile.benchmark.result import ArtifactResult, Result, Validity
from dsmobile.benchmark.subjects import Subject

ANYTHING_NS = (1.0, float(DAY_NS))
"""The interval of a figure of which nothing is known but the figure."""


@dataclass(frozen=True)
class Placed:
    """A run in its place.

    Args:
        told: The run.
        group: An index into the groups.
        block: From 0.
        position: Its place within the block, from 0.
    """

    told: Told
    group: int
    block: int
    position: int


def conclude_logs(
    groups: Sequence[Group],
    placed: Sequence[Placed],
    subjects: Sequence[Subject],
    compared: Sequence[tuple[int, int]],
    notes: Sequence[result.Warning],
    logs: Sequence[Log],
    started: datetime,
) -> Result:
    """The result, each artifact with its own threads, and intervals no narrower than the figures are coarse.

    Args:
        groups: Runs that ran alike, of one model each.
        placed: Every run in its place.
        subjects: The models.
        compared: Pairs of indices into the groups.
        notes: Warnings that are known already.
        logs: What was read.
        started: When it was imported: a log does not say in which year it was written.
    """
    means = any(one.told.run.report and one.told.run.report.summary.median_ns is None for one in placed)
    blocks = {one.block for one in placed if one.told.run.report}
    digest = hashlib.sha256("".join(log.sha256 for log in logs).encode()).hexdigest()
    facts = {"board": f"not seen (log {digest[:8]})", "cores": None, "emulated": None, "runtimes": {NATIVE: "of a log"}}
    samples = Samples(facts, tuple(_sample(one, groups[one.group], means=means) for one in placed), ())
    settings: dict[str, Any] = {"threads": groups[0].request.threads, "imported": True, "logs": [log.name for log in logs]}
    settings["runs"] = [_detail(one, subjects[groups[one.group].subject]) for one in placed]
    concluded = conclude(
        [subjects[group.subject] for group in groups],
        compared,
        {"tflite": NATIVE},
        Measured(samples, len(blocks), None, 0.0, IMPORTED),
        notes,
        settings=settings,
        device=IMPORTED,
        started=started,
    )
    steps = steps_ns(samples, len(groups))
    artifacts = tuple(
        _no_finer(replace(artifact, threads=group.request.threads), step, samples, index)
        for index, (artifact, group, step) in enumerate(zip(concluded.artifacts, groups, steps, strict=True))
    )
    withheld = concluded.validity is Validity.INVALID
    finished = tuple(
        pair_widened(pair, artifacts[a], artifacts[b], steps[a], steps[b], withheld=withheld)
        for pair, (a, b) in zip(concluded.pairs, compared, strict=True)
    )
    warnings = tuple(warning for warning in concluded.warnings if warning.kind != Kind.SHORT_BUDGET.label)  # FEW_RUNS says it, without a budget
    return replace(concluded, artifacts=artifacts, pairs=finished, warnings=warnings)


def _sample(one: Placed, group: Group, *, means: bool) -> ReplicateSample:
    """A run as a device would have told it."""
    report = one.told.run.report
    if report is None:
        return ReplicateSample(one.block, one.position, one.group, error=one.told.run.error, runtime=NATIVE)
    nodes = report.nodes
    return ReplicateSample(
        block=one.block,
        position=one.position,
        artifact=one.group,
        runtime=NATIVE,
        runtime_version=group.version,
        delegate=group.delegate,
        load_ns=int(report.load_ns or 0),
        first_inference_ns=int(report.first_inference_ns or 0),
        peak_memory_bytes=report.peak_memory_bytes,
        summary=_by_mean(report.summary) if means else report.summary,
        coverage={"nodes": nodes[1], "delegated_nodes": nodes[0], "partitions": nodes[2]} if nodes and nodes[0] and nodes[2] else {},
    )


def _by_mean(summary: Summary) -> Summary:
    """Medians of some runs are not set beside means of others."""
    return replace(summary, statistic="mean", latency_ns=summary.mean_ns) if summary.mean_ns else summary


def _detail(one: Placed, subject: Subject) -> dict[str, Any]:
    """What a log says of a run, without its folders."""
    told, report, setup = one.told, one.told.run.report, one.told.run.setup
    said = {
        "log": told.log,
        "block": one.block,
        "model": subject.path.name,
        "named": told.name,
        "threads": setup.threads,
        "requested": list(setup.requested),
        "switched_off": list(setup.forbidden),
        "delegations": [{"name": each.name, "extent": each.extent, "nodes": list(each.nodes) if each.nodes else None} for each in setup.delegations],
        "fully_accelerated": setup.fully_accelerated,
        "profiled": setup.profiled,
    }
    return {**said, "error": told.run.error} if report is None else {**said, **_figures(report)}


def _figures(report: Report) -> dict[str, Any]:
    summary = report.summary
    return {
        "tool": summary.tool,
        "statistic": summary.statistic,
        "latency_ns": summary.latency_ns,
        "count": summary.count,
        "mean_ns": summary.mean_ns,
        "median_ns": summary.median_ns,
        "min_ns": summary.min_ns,
        "max_ns": summary.max_ns,
        "std_ns": summary.std_ns,
        "p5_ns": summary.p5_ns,
        "p95_ns": summary.p95_ns,
        "load_ns": report.load_ns,
        "first_inference_ns": report.first_inference_ns,
        "warmup_count": report.warmup_count,
        "delegate": report.delegate,
        "extents": dict(report.extents),
        "init_memory_bytes": report.init_memory_bytes,
        "overall_memory_bytes": report.overall_memory_bytes,
        "peak_memory_bytes": report.peak_memory_bytes,
    }


def _no_finer(artifact: ArtifactResult, step_ns: float, samples: Samples, index: int) -> ArtifactResult:
    """An interval that holds what rounding took away; of a single run, from its fastest to its slowest inference."""
    low, high = artifact.interval_ns
    if len(artifact.replicates) == 1:
        summary = next(sample.summary for sample in samples.replicates if sample.artifact == index and sample.summary)
        if summary.min_ns is None or summary.max_ns is None:
            return replace(artifact, interval_ns=ANYTHING_NS)
        low, high = min(low, summary.min_ns), max(high, summary.max_ns)
    return widened(replace(artifact, interval_ns=(low, high)), step_ns)
