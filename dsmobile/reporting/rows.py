"""What every format shows of a result, in words and figures: one row for an artifact, one for a pair, one sentence for a conclusion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import PurePath, PureWindowsPath

from device_bench.machine import NATIVE
from dsmobile.benchmark.result import ArtifactResult, PairResult, Result, Validity, Verdict
from dsmobile.reporting.figures import BYTES, MACS, NONE, TIMES, cost_units, estimate, percent, quantity, ratio, unit_for

SPEEDUP_METHOD = (
    "A block runs one fresh process of each network; the speed-up is exp of the mean over blocks of log(second network's median / first "
    "network's median), and its 95% interval is a t interval of those paired log-ratios, one per block."
)
THEORY_METHOD = (
    "Theory is the ratio of multiply-accumulates (MACs) of convolutions and dense layers, second network over first: the speed-up if every "
    "MAC cost the same time. “Of theory” is the measured speed-up divided by that ratio."
)
DETECTABLE_METHOD = "The smallest detectable difference is what this run would have shown with 90% power."
MEANINGS = {
    Validity.VALID: "The checks before, during and after the run found nothing that would change what the figures mean.",
    Validity.DEGRADED: "The figures mean what they say, but the measurement was noisy: read the intervals.",
    Validity.INVALID: "Do not use these figures: the measurement means something else than it says. Follow the advice and measure again.",
}


@dataclass(frozen=True)
class ArtifactRow:
    """One artifact, ready to print; every field is text."""

    name: str
    file: str
    runtime: str
    recipe: str
    role: str
    size: str
    macs: str
    load: str
    first_inference: str
    median: str
    interval: str
    peak_memory: str
    processes: str
    outliers: str


@dataclass(frozen=True)
class PairRow:
    """One pair, ready to print; every field is text."""

    separable: str
    twin: str
    runtime: str
    recipe: str
    speedup: str
    interval: str
    theory: str
    share: str
    verdict: str
    minimum_detectable: str
    blocks: str
    sentence: str


def artifact_row(artifact: ArtifactResult, metric: str) -> ArtifactRow:
    """One artifact in words.

    Args:
        artifact: The measurement.
        metric: The result's. Where it is `instructions` the device was emulated, and its times are left out since they mean nothing.
    """
    units = cost_units(metric)
    median, interval = estimate(artifact.median_latency_ns, artifact.interval_ns, unit_for(artifact.median_latency_ns, units))
    timed = metric != "instructions"
    return ArtifactRow(
        name=artifact.name,
        file=file_name(artifact.path),
        runtime=runtime_text(artifact),
        recipe=artifact.recipe or NONE,
        role=artifact.role or NONE,
        size=quantity(artifact.size_bytes, BYTES),
        macs=quantity(artifact.macs, MACS),
        load=quantity(artifact.load_ns, TIMES) if timed and artifact.load_ns else NONE,
        first_inference=quantity(artifact.first_inference_ns, TIMES) if timed and artifact.first_inference_ns else NONE,
        median=median,
        interval=interval,
        peak_memory=quantity(artifact.peak_memory_bytes, BYTES),
        processes=f"{len(artifact.replicates)}{f', {len(artifact.outliers)} far out' if artifact.outliers else ''}",
        outliers=_outliers(artifact),
    )


def _outliers(artifact: ArtifactResult) -> str:
    """How many processes lie far out, and that they count; empty where none does."""
    count = len(artifact.outliers)
    verb = "lies" if count == 1 else "lie"
    return f"{count} of {len(artifact.replicates)} processes of {artifact.name} {verb} far out; every figure holds them" if count else ""


def runtime_text(artifact: ArtifactResult) -> str:
    """The runtime, its version, its threads, the delegate that a native tool names, and what keeps its int8 kernels exact if anything does."""
    threads = "1 thread" if artifact.threads == 1 else f"{artifact.threads} threads"
    kernels = f", {artifact.exact_kernels}" if artifact.exact_kernels not in ("", "native") else ""
    told = artifact.runtime != NATIVE or not artifact.delegate or artifact.delegate in artifact.runtime_version
    delegate = "" if told else f", on {artifact.delegate}"
    return f"{artifact.runtime} {artifact.runtime_version}, {threads}{delegate}{kernels}{_coverage(artifact)}"


def _coverage(artifact: ArtifactResult) -> str:
    """How much of the model the delegate took, where that is not all of it in one part."""
    nodes, taken, parts = (artifact.coverage.get(key) for key in ("nodes", "delegated_nodes", "partitions"))
    if nodes is None or taken is None or (taken == nodes and parts == 1):
        return ""
    return f", {artifact.delegate or 'delegate'} takes {taken} of {nodes} operators in {parts} part{'' if parts == 1 else 's'}"


def pair_row(pair: PairResult, result: Result) -> PairRow:
    """One pair in words; a verdict is withheld where the result is INVALID."""
    speedup, interval = ratio(pair.speedup, pair.speedup_interval)
    share = share_of_theory(pair)
    return PairRow(
        separable=artifact_name(pair.separable, result),
        twin=artifact_name(pair.twin, result),
        runtime=pair.runtime,
        recipe=pair.recipe or NONE,
        speedup=speedup,
        interval=interval,
        theory=ratio(pair.macs_ratio, (math.nan, math.nan))[0] if pair.macs_ratio is not None else NONE,
        share=percent(share),
        verdict=outcome(pair, result),
        minimum_detectable=percent(pair.minimum_detectable),
        blocks=str(pair.blocks),
        sentence=_sentence(pair, result, speedup, interval, share),
    )


def share_of_theory(pair: PairResult) -> float | None:
    """Measured speed-up over the ratio of MACs; None where the MACs are unknown."""
    return pair.speedup / pair.macs_ratio if pair.macs_ratio else None


def outcome(pair: PairResult, result: Result) -> str:
    """The verdict, or `INVALID` where the measurement carries none."""
    return str(Validity.INVALID) if result.validity is Validity.INVALID else str(pair.verdict)


def artifact_name(path: str, result: Result) -> str:
    """The name of the artifact at a path; the file's name where the result does not hold it."""
    return next((artifact.name for artifact in result.artifacts if artifact.path == path), file_name(path))


def file_name(path: str) -> str:
    """The last part of a path, whichever system wrote it."""
    last = PurePath(path).name
    return PureWindowsPath(last).name if "\\" in last and ":" in path[:2] else last


def warning_text(advice: str) -> str:
    """A warning's advice, as a sentence."""
    return advice if advice.endswith((".", "!", "?")) else f"{advice}."


CONCLUSIONS = {
    ("latency", Verdict.FASTER): "is faster than",
    ("latency", Verdict.SLOWER): "is slower than",
    ("instructions", Verdict.FASTER): "needs fewer instructions than",
    ("instructions", Verdict.SLOWER): "needs more instructions than",
}


def _sentence(pair: PairResult, result: Result, speedup: str, interval: str, share: float | None) -> str:
    first, second = artifact_name(pair.separable, result), artifact_name(pair.twin, result)
    if result.validity is Validity.INVALID:
        return f"No conclusion about {first} and {second}: the measurement is INVALID."
    span = f"{speedup} (95% interval {interval})"
    sees = f"; it would have shown one of {percent(pair.minimum_detectable)}" if pair.minimum_detectable is not None else ""
    if pair.of_itself:
        found = "no difference, as must be" if pair.verdict is Verdict.NO_DIFFERENCE_SHOWN else "a difference that does not exist"
        return f"On {pair.runtime}, {first} measured against itself shows {found}: {span}{sees}.{_undisturbed(pair)}"
    conclusion = CONCLUSIONS.get((result.metric, pair.verdict))
    if conclusion is None:
        return f"On {pair.runtime}, this run shows no difference between {first} and {second}: {span}{sees}.{_undisturbed(pair)}"
    theory = f" That is {percent(share)} of what the MACs promise." if share is not None else ""
    return f"On {pair.runtime}, {first} {conclusion} {second}: {span}.{theory}{_undisturbed(pair)}"


def _undisturbed(pair: PairResult) -> str:
    if pair.undisturbed_speedup is None or pair.undisturbed_interval is None:
        return ""
    found, interval = ratio(pair.undisturbed_speedup, pair.undisturbed_interval)
    return f" Of undisturbed inferences (each process's 10th percentile): {found} ({interval})."
