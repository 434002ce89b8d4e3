"""What the host asks of a device and what the device answers: frozen values with a JSON form; standard library only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

PLAN_SCHEMA = "dsmobile.run_plan/1"
SAMPLES_SCHEMA = "dsmobile.samples/1"
RUNTIMES = ("litert", "tflite-runtime", "onnxruntime", "benchmark_model")


@dataclass(frozen=True)
class PlannedArtifact:
    """A model to measure.

    Args:
        path: The file on the device, absolute.
        runtime: `litert`, `tflite-runtime`, `onnxruntime`, or `benchmark_model`, the native tool.
        seed: Seed of its input.
        low: The lowest real value of its input.
        high: The highest.
        layout: `nhwc`, `nchw`, or empty where unknown.
        reduced_range: Whether its int8 weights have 7 bits, so that no kernel can saturate.
        sha256: Its hash, by which samples are known again on another machine; empty where nobody will ask.
    """

    path: str
    runtime: str
    seed: int = 0
    low: float = -1.0
    high: float = 1.0
    layout: str = ""
    reduced_range: bool = False
    sha256: str = ""


@dataclass(frozen=True)
class Block:
    """One fresh process of each artifact.

    Args:
        index: Which block it is, from 0; -1 is the trial, whose figures are not used.
        order: The artifacts' indices in the order they run.
    """

    index: int
    order: Tuple[int, ...]


@dataclass(frozen=True)
class RunPlan:
    """What one call of the harness does.

    Args:
        artifacts: The models.
        blocks: The blocks to run now.
        threads: Threads of the runtime.
        measure_s: Seconds of inferences in each process.
        min_count: At least so many inferences, however long they take.
        max_count: At most so many, however short they are.
        timeout_s: A process that takes longer is stopped and counts as failed.
        budget_s: Where it is not 0, no further block begins after so many seconds, of which three are run in any case.
        sustained_s: Where it is not 0, each process runs for so long without a pause and tells every second what it saw.
    """

    artifacts: Tuple[PlannedArtifact, ...]
    blocks: Tuple[Block, ...]
    threads: int = 1
    measure_s: float = 1.0
    min_count: int = 20
    max_count: int = 1000
    timeout_s: float = 120.0
    budget_s: float = 0.0
    sustained_s: float = 0.0

    def to_json(self) -> Dict[str, Any]:
        """The JSON form."""
        return {"schema": PLAN_SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RunPlan:
        """Reads the JSON form.

        Raises:
            ValueError: Another schema, or a plan that makes no sense.
            KeyError, TypeError: A field is missing or of another type.
        """
        values = _body(document, PLAN_SCHEMA)
        values["artifacts"] = tuple(PlannedArtifact(**artifact) for artifact in values["artifacts"])
        values["blocks"] = tuple(Block(block["index"], tuple(block["order"])) for block in values["blocks"])
        plan = cls(**values)
        plan.check()
        return plan

    def check(self) -> None:
        """Proves that the plan can be run.

        Raises:
            ValueError: It cannot.
        """
        if any(artifact.runtime not in RUNTIMES for artifact in self.artifacts):
            raise ValueError("a runtime is none of %s" % ", ".join(RUNTIMES))
        if any(not 0 <= index < len(self.artifacts) for block in self.blocks for index in block.order):
            raise ValueError("a block names an artifact that the plan does not have")
        if self.threads < 1 or self.measure_s < 0 or self.timeout_s <= 0 or not 1 <= self.min_count <= self.max_count:
            raise ValueError("threads, measure_s, min_count, max_count or timeout_s is out of range")
        if self.budget_s < 0 or self.sustained_s < 0:
            raise ValueError("budget_s or sustained_s is negative")


@dataclass(frozen=True)
class Probe:
    """What a model answers to its seeded input: shows that the right thing was measured.

    Args:
        values: The first output's first values, 16 at most, as real numbers; None where one is not finite.
        total: The sum over the whole first output; None where it is not finite.
        step: The output's quantization step; 0 where it is float.
    """

    values: Tuple[Optional[float], ...]
    total: Optional[float]
    step: float


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

    def to_json(self) -> Dict[str, Any]:
        """The JSON form: a line of the samples."""
        return {"kind": "replicate", **asdict(self)}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> ReplicateSample:
        """Reads a line of the samples.

        Raises:
            KeyError, TypeError: A field is missing or of another type.
        """
        values = {key: value for key, value in line.items() if key != "kind"}
        values["latency_ns"] = tuple(values["latency_ns"])
        if values["probe"] is not None:
            values["probe"] = Probe(**{**values["probe"], "values": tuple(values["probe"]["values"])})
        if values.get("summary") is not None:
            values["summary"] = Summary(**values["summary"])
        return cls(**values)


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
        ValueError: Another schema, or no samples at all.
    """
    lines = text.split("\n")
    documents: List[Dict[str, Any]] = [json.loads(line) for line in lines[:-1] if line]
    if not documents:
        raise ValueError("no samples")
    first = _body(documents[0], SAMPLES_SCHEMA)
    of_kind: Dict[str, List[Dict[str, Any]]] = {}
    for document in documents:
        of_kind.setdefault(document["kind"], []).append({key: value for key, value in document.items() if key != "kind"})
    return Samples(
        facts=first["facts"],
        replicates=tuple(ReplicateSample.from_json(document) for document in of_kind.get("replicate", [])),
        conditions=tuple(of_kind.get("conditions", [])),
        moments=tuple(Moment(**document) for document in of_kind.get("moment", [])),
        threads=int(first.get("threads", 0)),
        files=tuple(str(digest) for digest in first.get("files", ())),
        rests=tuple(of_kind.get("rest", [])),
        begun=tuple(ReplicateSample.from_json(document) for document in of_kind.get("begun", [])),
    )


def _body(document: Mapping[str, Any], schema: str) -> Dict[str, Any]:
    if document.get("schema") != schema:
        raise ValueError("the schema is %r, not %r" % (document.get("schema"), schema))
    return {key: value for key, value in document.items() if key != "schema"}
