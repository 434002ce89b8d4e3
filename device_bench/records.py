"""What the host asks of a device and what the device answers: frozen values with a JSON form; standard library only."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from .answers import Deviation as Deviation
from .answers import Probe as Probe
from .answers import Unoptimised as Unoptimised
from .documents import BLOCK, COVERAGE, FACTS, LOOP, REST, SNAPSHOT, THREADS
from .reading import DAY_NS, document, number, of_schema, one_of, optional, parsed, record, sequence, text, whole, whole_numbers
from .run_plan import PLAN_SCHEMA as PLAN_SCHEMA
from .run_plan import RUNTIMES as RUNTIMES
from .run_plan import Block as Block
from .run_plan import PlannedArtifact as PlannedArtifact
from .run_plan import RunPlan as RunPlan

SAMPLES_SCHEMA = "dsmobile.samples/1"


@dataclass(frozen=True)
class Summary:
    """What a tool tells of its inferences where it does not tell each of them: the native `benchmark_model`. None where it is not printed.

    Args:
        tool: `tflite` (TensorFlow Lite's benchmark_model) or `litert` (LiteRT's, on its CompiledModel).
        statistic: What `latency_ns` is: `median`, or `mean` where the tool prints no median.
        latency_ns: The figure to use.
        count: Inferences, the tool's own warm-up not included.
        mean_ns: Their mean.
        median_ns: Their median.
        min_ns: The fastest.
        max_ns: The slowest.
        std_ns: Their standard deviation.
        p5_ns: Their 5th percentile.
        p95_ns: Their 95th percentile.
        resolution_ns: The step in which the tool prints `latency_ns`, at worst.
    """

    tool: str
    statistic: str
    latency_ns: float
    count: Optional[int] = None
    mean_ns: Optional[float] = None
    median_ns: Optional[float] = None
    min_ns: Optional[float] = None
    max_ns: Optional[float] = None
    std_ns: Optional[float] = None
    p5_ns: Optional[float] = None
    p95_ns: Optional[float] = None
    resolution_ns: float = 1000.0


@dataclass(frozen=True)
class ReplicateSample:
    """One fresh process of one artifact: raw nanoseconds.

    Args:
        block: Which block it belongs to.
        position: Its place within the block, from 0.
        artifact: The artifact's index in the plan.
        error: Why it failed, with the last lines it wrote; empty where it did not.
        wall_ns: From its start to its end, seen from outside.
        runtime_version: The runtime's version.
        exact_kernels: `native`, `x64quantprecision`, or empty where the model is not int8 ONNX.
        delegate: `XNNPACK` where the runtime said so.
        coverage: How much of the model it runs: see `delegation.coverage`; empty where the runtime does not tell.
        import_ns: Importing the runtime.
        load_ns: Opening the model until it can run.
        first_inference_ns: The first inference.
        latency_ns: Every inference after it, in order.
        warmup_count: How many of them, from the start, are warm-up.
        warmup_finished: Whether the truncation rule found an end of the warm-up.
        peak_memory_bytes: The largest resident set; None where the system does not tell.
        probe: What the model answered; None where it failed.
        loop: How undisturbed the timed loop was: see `conditions.LoopWatch`.
        conditions: A snapshot taken as the loop ended: see `conditions.snapshot`.
        summary: In place of `latency_ns`, where the runtime is a tool that tells no single inference.
        runtime: The runtime that ran it.
        unoptimised: How its answers lie against those of the unoptimised graph; None where that is not asked for: outside the trial and runs
            without a pause, and of what is not int8 ONNX.
    """

    block: int
    position: int
    artifact: int
    error: str = ""
    wall_ns: int = 0
    runtime_version: str = ""
    exact_kernels: str = ""
    delegate: str = ""
    import_ns: int = 0
    load_ns: int = 0
    first_inference_ns: int = 0
    latency_ns: Tuple[int, ...] = ()
    warmup_count: int = 0
    warmup_finished: bool = True
    peak_memory_bytes: Optional[int] = None
    probe: Optional[Probe] = None
    loop: Dict[str, Any] = field(default_factory=dict)
    conditions: Dict[str, Any] = field(default_factory=dict)
    summary: Optional[Summary] = None
    coverage: Dict[str, int] = field(default_factory=dict)
    runtime: str = ""
    unoptimised: Optional[Unoptimised] = None

    def to_json(self) -> Dict[str, Any]:
        """The JSON form: a line of the samples."""
        return {"kind": "replicate", **asdict(self)}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> ReplicateSample:
        """Reads a line of the samples.

        Raises:
            ValueError: A field is missing, of another type or out of its range, or nothing was measured and no reason is given.
        """
        sample = _REPLICATE(_untagged(line), "")
        if not (sample.latency_ns or sample.error or sample.summary):
            raise ValueError("latency_ns is empty, and neither error nor summary is there in its place")
        if sample.warmup_count >= max(len(sample.latency_ns), 1):
            raise ValueError("warmup_count is %d, and there are %d items in latency_ns" % (sample.warmup_count, len(sample.latency_ns)))
        return sample


@dataclass(frozen=True)
class Moment:
    """About a second of a process that runs without a pause.

    Args:
        block: Which block the process belongs to.
        artifact: The artifact's index in the plan.
        at_s: When it ended, from the beginning of the loop.
        count: How many inferences it holds.
        median_ns: Their median.
        p90_ns: Their 90th percentile.
        conditions: A snapshot at its end: see `conditions.snapshot`.
    """

    block: int
    artifact: int
    at_s: float
    count: int
    median_ns: float
    p90_ns: float
    conditions: Dict[str, Any]

    def to_json(self) -> Dict[str, Any]:
        """The JSON form: a line of the samples."""
        return {"kind": "moment", **asdict(self)}


@dataclass(frozen=True)
class Samples:
    """All that a device answered.

    Args:
        facts: What the machine is.
        replicates: The processes, in the order they ran.
        conditions: Snapshots around the blocks.
        moments: Of processes that ran without a pause.
        threads: Threads of the runtime; 0 where the header does not say.
        files: The hashes of the artifacts, in the order of their indices; empty where the header does not say.
        rests: What came of waiting for a quiet and cool device, each time: see `settle.settle`.
        begun: Of processes that run without a pause, what was known before their loop began.
    """

    facts: Dict[str, Any]
    replicates: Tuple[ReplicateSample, ...]
    conditions: Tuple[Dict[str, Any], ...]
    moments: Tuple[Moment, ...] = ()
    threads: int = 0
    files: Tuple[str, ...] = ()
    rests: Tuple[Dict[str, Any], ...] = ()
    begun: Tuple[ReplicateSample, ...] = ()


def header(facts: Mapping[str, Any], plan: RunPlan) -> Dict[str, Any]:
    """The first line of the samples: what the machine is, and what was asked of it."""
    files = [artifact.sha256 for artifact in plan.artifacts]
    return {"schema": SAMPLES_SCHEMA, "kind": "header", "facts": dict(facts), "threads": plan.threads, "files": files}


def to_line(document: Mapping[str, Any]) -> str:
    """A document as one line, its end included."""
    return json.dumps(document, ensure_ascii=True, allow_nan=False) + "\n"


def read_samples(text: str) -> Samples:
    """Reads samples in JSON Lines; a last line that a killed run left unfinished is dropped.

    Raises:
        ValueError: Another schema, no samples at all, or a line that makes no sense, which is named.
    """
    head: Dict[str, Any] = {}
    found: Dict[str, List[Any]] = {kind: [] for kind in _LINES}
    told_s: Dict[Tuple[str, int, int], float] = {}
    for count, line in enumerate(text.split("\n")[:-1], 1):
        if not line.strip():
            continue
        try:
            told = parsed(line)
            if not head:
                head = _HEADER(of_schema(told, SAMPLES_SCHEMA), "")
                continue
            kind = _kind(told)
            if kind not in _LINES:  # of a newer version
                continue
            value = _LINES[kind](_untagged(told))
            _check_place(kind, value, len(head.get("files", ())), told_s)
        except ValueError as error:
            raise ValueError("line %d: %s" % (count, error)) from error
        found[kind].append(value)
    if not head:
        raise ValueError("no samples")
    return Samples(
        facts=head["facts"],
        replicates=tuple(found["replicate"]),
        conditions=tuple(found["conditions"]),
        moments=tuple(found["moment"]),
        threads=head.get("threads", 0),
        files=head.get("files", ()),
        rests=tuple(found["rest"]),
        begun=tuple(found["begun"]),
    )


def _check_place(kind: str, value: Any, files: int, told_s: Dict[Tuple[str, int, int], float]) -> None:
    """Proves that a process is of a known file, and told once, its moments in order; the trial, block -1, may be run again."""
    if kind not in ("replicate", "begun", "moment"):
        return
    if files and value.artifact >= files:
        raise ValueError("artifact is %d, and the header knows %d files" % (value.artifact, files))
    place, at_s = (kind, value.block, value.artifact), value.at_s if kind == "moment" else 0.0
    if value.block >= 0 and at_s <= told_s.get(place, -1.0):
        raise ValueError("block %d has artifact %d a second time" % (value.block, value.artifact))
    told_s[place] = at_s


def _kind(line: Any) -> str:
    if not isinstance(line, dict) or not isinstance(line.get("kind"), str):
        raise ValueError("it has no kind")
    return str(line["kind"])


def _untagged(line: Any) -> Any:
    return {key: value for key, value in line.items() if key != "kind"} if isinstance(line, dict) else line


def _second_header(_: Any) -> None:
    raise ValueError("a second header")


_NS, _FLOAT, _SIZE = number(1, DAY_NS), number(-sys.float_info.max, sys.float_info.max), number(0, sys.float_info.max)
_DEVIATION = record(Deviation, difference=optional(_SIZE), sensitivity=optional(_SIZE), magnitude=_SIZE)
_REPLICATE = record(
    ReplicateSample,
    block=BLOCK,
    latency_ns=whole_numbers(1, DAY_NS),
    probe=optional(record(Probe, values=sequence(optional(_FLOAT)), total=optional(_FLOAT))),
    loop=LOOP,
    conditions=SNAPSHOT,
    summary=optional(record(Summary, latency_ns=_NS, resolution_ns=number(0.0, DAY_NS))),
    coverage=COVERAGE,
    runtime=one_of("", *RUNTIMES),
    unoptimised=optional(record(Unoptimised, outputs=sequence(_DEVIATION))),
)
_MOMENT = record(Moment, block=BLOCK, count=whole(1), median_ns=_NS, p90_ns=_NS, conditions=SNAPSHOT)
_HEADER = document(("kind", "facts"), kind=one_of("header"), facts=FACTS, threads=THREADS, files=sequence(text))
_LINES: Dict[str, Callable[[Any], Any]] = {
    "header": _second_header,
    "replicate": ReplicateSample.from_json,
    "begun": ReplicateSample.from_json,
    "moment": lambda line: _MOMENT(line, ""),
    "conditions": lambda line: SNAPSHOT(line, ""),
    "rest": lambda line: REST(line, ""),
}
