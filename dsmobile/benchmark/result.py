"""The result of a benchmark: raw nanoseconds, what they say, and whether they can be believed; one JSON file of its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from device_bench.documents import COVERAGE, FACTS, LOOP, MOST_BLOCKS, SNAPSHOT, THREADS
from device_bench.reading import DAY_NS, interval, number, of_schema, one_of, optional, parsed, record, sequence, whole, whole_numbers
from dsmobile.errors import DataError
from dsmobile.files import write_json

SCHEMA = "dsmobile.result/1"


class Validity(StrEnum):
    """Whether a measurement means what it says."""

    VALID = "VALID"
    DEGRADED = "DEGRADED"
    INVALID = "INVALID"


class Verdict(StrEnum):
    """What the data carry about a pair."""

    FASTER = "faster"
    SLOWER = "slower"
    NO_DIFFERENCE_SHOWN = "no difference shown"


@dataclass(frozen=True)
class Warning:  # noqa: A001
    """Something that a reader of the figures must know.

    Args:
        kind: From the closed list in `benchmark.conditions`.
        advice: What was seen, and what to do about it.
    """

    kind: str
    advice: str


@dataclass(frozen=True)
class Replicate:
    """One fresh process of one artifact.

    Args:
        block: Which block it belongs to, from 0.
        position: Its place within the block, from 0.
        latency_ns: Every inference after the first, in order, warm-up included.
        warmup_count: How many of them, from the start, the truncation rule takes for warm-up.
        load_ns: Opening the model until it can run, without importing the runtime.
        first_inference_ns: The first inference.
        peak_memory_bytes: The process's largest resident set; None where the system does not tell.
        median_ns: Median of the inferences after the warm-up.
        loop: How undisturbed the timed loop was: see `device_bench.conditions.LoopWatch`.
        conditions: A snapshot as it ended: see `device_bench.conditions.snapshot`.
    """

    block: int
    position: int
    latency_ns: tuple[int, ...]
    warmup_count: int
    load_ns: int
    first_inference_ns: int
    peak_memory_bytes: int | None
    median_ns: float
    loop: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ArtifactResult:
    """One artifact's measurement.

    Args:
        path: Absolute path on the host, or the file's name in a shareable report.
        name: The file's name without its ending.
        sha256: The file's hash.
        format: `tflite` or `onnx`.
        recipe: `float32`, `int8`, ...; None for a stranger's file.
        role: `model`, `separable`, `twin`; None for a stranger's file.
        pair_id: Who belongs to whom; None for a stranger's file.
        runtime: `litert`, `tflite-runtime` or `onnxruntime`.
        runtime_version: Its version on the device.
        threads: Threads the runtime was given.
        size_bytes: The file's size.
        macs: Multiply-accumulates of one inference, where known.
        parameters: Parameters, where known.
        median_latency_ns: Median over the replicates' medians.
        interval_ns: 95% interval of that median, from order statistics.
        load_ns: Median over the replicates.
        first_inference_ns: Median over the replicates.
        peak_memory_bytes: Median over the replicates, where known.
        exact_kernels: What was done so that int8 kernels do not saturate: `native`, `x64quantprecision`, or empty.
        replicates: The raw measurements.
        coverage: How many of the model's `nodes` the delegate took (`delegated_nodes`), in how many `partitions`; empty where not told.
        delegate: What ran the network for the runtime, such as `XNNPACK`; empty where none did.
        outliers: Indices into `replicates` of those whose median lies far out; they are in every figure all the same.
    """

    path: str
    name: str
    sha256: str
    format: str
    recipe: str | None
    role: str | None
    pair_id: str | None
    runtime: str
    runtime_version: str
    threads: int
    size_bytes: int
    macs: int | None
    parameters: int | None
    median_latency_ns: float
    interval_ns: tuple[float, float]
    load_ns: float
    first_inference_ns: float
    peak_memory_bytes: int | None
    exact_kernels: str
    replicates: tuple[Replicate, ...]
    delegate: str = ""
    coverage: dict[str, Any] = field(default_factory=dict)
    outliers: tuple[int, ...] = ()


@dataclass(frozen=True)
class PairResult:
    """A network against another one, in the same blocks.

    Args:
        separable: Path of the first, as in `ArtifactResult.path`.
        twin: Path of the second, the denominator's network.
        runtime: The runtime of both.
        recipe: The recipe of both, where known.
        speedup: exp of the mean over blocks of log(twin's median / separable's median).
        speedup_interval: Its 95% t interval.
        macs_ratio: The twin's MACs over the separable network's: the speed-up in theory; None where unknown.
        verdict: What the data carry.
        minimum_detectable: The smallest relative difference this run would have shown with 90% power (0.02 = 2%).
        blocks: How many blocks it rests on.
        undisturbed_speedup: The same ratio of the processes' 10th percentiles, which disturbances hardly touch; None where only medians are known.
        undisturbed_interval: Its 95% t interval.
    """

    separable: str
    twin: str
    runtime: str
    recipe: str | None
    speedup: float
    speedup_interval: tuple[float, float]
    macs_ratio: float | None
    verdict: Verdict
    minimum_detectable: float | None
    blocks: int
    undisturbed_speedup: float | None = None
    undisturbed_interval: tuple[float, float] | None = None

    @property
    def of_itself(self) -> bool:
        """Whether a file was measured against itself."""
        return self.separable == self.twin


@dataclass(frozen=True)
class Second:
    """About a second of a process that ran without a pause.

    Args:
        at_s: When it ended, from the beginning.
        count: How many inferences it holds.
        median_ns: Their median.
        p90_ns: Their 90th percentile.
        frequency_khz: The processor's clock at its end; None where the device does not tell.
        temperature_c: Its temperature.
        throttled: The Raspberry Pi firmware's bits.
    """

    at_s: float
    count: int
    median_ns: float
    p90_ns: float
    frequency_khz: int | None
    temperature_c: float | None
    throttled: int | None


@dataclass(frozen=True)
class Sustained:
    """An artifact that ran without a pause.

    Args:
        path: As in `ArtifactResult.path`.
        seconds: What was seen, second by second.
        window_s: How long the beginning and the end are that are compared: a minute, or a third of a shorter run.
        first_ns: Median of the seconds' medians at the beginning.
        last_ns: The same at the end.
        slowdown: exp of the difference of the mean logarithms of six batches each, end against beginning: 1.2 is 20% slower.
        slowdown_interval: Its 95% interval (Welch's t on the batches).
        verdict: Of the end against the beginning.
        minimum_detectable: The smallest change that this run would have shown with 90% power.
    """

    path: str
    seconds: tuple[Second, ...]
    window_s: float
    first_ns: float
    last_ns: float
    slowdown: float
    slowdown_interval: tuple[float, float]
    verdict: Verdict
    minimum_detectable: float | None = None


@dataclass(frozen=True)
class Result:
    """A whole benchmark.

    Args:
        dsmobile_version: Of the host.
        started_utc: ISO 8601.
        device: ADDRESS as given, without names of persons or hosts: `local`, `ssh`.
        metric: `latency` or `instructions`.
        validity: VALID, DEGRADED or INVALID.
        warnings: Why, and what to do.
        settings: budget_s, threads, seed, blocks, runtime choices.
        facts: What the device is: system, machine, CPU model and features, cores, memory, Python.
        conditions: Snapshots before, between and after: load, governor, frequency, temperature, throttling.
        artifacts: One each.
        pairs: Separable against twin.
        sustained: Of a run without a pause: what happened to each artifact over time; otherwise empty.
    """

    dsmobile_version: str
    started_utc: str
    device: str
    metric: str
    validity: Validity
    warnings: tuple[Warning, ...]
    settings: dict[str, Any]
    facts: dict[str, Any]
    conditions: tuple[dict[str, Any], ...]
    artifacts: tuple[ArtifactResult, ...]
    pairs: tuple[PairResult, ...]
    sustained: tuple[Sustained, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Result:
        """Reads the JSON form.

        Raises:
            ValueError: A field is missing, of another type or out of its range, or two of them do not fit together.
        """
        result = _RESULT(of_schema(document, SCHEMA), "")
        _check(result)
        return result


def _check(result: Result) -> None:
    """Proves that what names something else in the result names what is there."""
    for index, artifact in enumerate(result.artifacts):
        where, blocks = f"artifacts[{index}]", [replicate.block for replicate in artifact.replicates]
        if len(set(blocks)) < len(blocks):
            raise ValueError(f"{where}.replicates hold a block twice")
        if any(outlier >= len(blocks) for outlier in artifact.outliers):
            raise ValueError(f"{where}.outliers name a process that is not there")
        if any(replicate.warmup_count >= max(len(replicate.latency_ns), 1) for replicate in artifact.replicates):
            raise ValueError(f"{where}.replicates hold a warmup_count that leaves nothing of latency_ns")
    paths = {artifact.path for artifact in result.artifacts}
    if not paths.issuperset(path for pair in result.pairs for path in (pair.separable, pair.twin)):
        raise ValueError("pairs name an artifact that is not there")
    if not paths.issuperset(found.path for found in result.sustained):
        raise ValueError("sustained names an artifact that is not there")


_NS, _ENDS_NS, _RATIO, _ENDS = number(1, DAY_NS), interval(1, DAY_NS), number(1e-300, 1e300), interval(0, 1e300)
_REPLICATE = record(Replicate, block=whole(0, MOST_BLOCKS), latency_ns=whole_numbers(1, DAY_NS), median_ns=_NS, loop=LOOP, conditions=SNAPSHOT)
_ARTIFACT = record(ArtifactResult, threads=THREADS, median_latency_ns=_NS, interval_ns=_ENDS_NS, replicates=sequence(_REPLICATE), coverage=COVERAGE)
_PAIR = record(
    PairResult,
    speedup=_RATIO,
    speedup_interval=_ENDS,
    macs_ratio=optional(_RATIO),
    minimum_detectable=optional(number(0, 1e300)),
    undisturbed_speedup=optional(_RATIO),
    undisturbed_interval=optional(_ENDS),
)
_SECOND = record(Second, count=whole(1), median_ns=_NS, p90_ns=_NS, temperature_c=optional(number(-274, 1000)))
_SUSTAINED = record(Sustained, seconds=sequence(_SECOND, 1), first_ns=_NS, last_ns=_NS, slowdown=_RATIO, slowdown_interval=_ENDS)
_RESULT = record(
    Result,
    metric=one_of("latency", "instructions"),
    facts=FACTS,
    conditions=sequence(SNAPSHOT),
    artifacts=sequence(_ARTIFACT),
    pairs=sequence(_PAIR),
    sustained=sequence(_SUSTAINED),
)


def write_result(path: Path, result: Result) -> None:
    """Writes a result, whole or not at all."""
    write_json(path, result.to_json())


def read_result(path: Path) -> Result:
    """Reads a result file.

    Raises:
        DataError: It is missing, damaged, or no result of ours.
    """
    how = "give a file from OUT/results that `dsmobile bench` wrote"
    try:
        document = parsed(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", how) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text", how) from error
    except ValueError as error:
        raise DataError(f"{path} cannot be read as a result: {error}", how) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise DataError(f"{path} is not a result of `dsmobile bench`", how)
    try:
        return Result.from_json(document)
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}", "measure again with `dsmobile bench`") from error
