"""What the host asks of a device: which models to run, in which blocks, for how long."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping, Tuple

from .documents import BLOCK, THREADS
from .reading import number, of_schema, record, sequence, whole

PLAN_SCHEMA = "dsmobile.run_plan/1"
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
        """
        plan = _PLAN(of_schema(document, PLAN_SCHEMA), "")
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


_ANY = number(-sys.float_info.max, sys.float_info.max)
_PLAN = record(
    RunPlan,
    artifacts=sequence(record(PlannedArtifact, seed=whole(-(2**63)), low=_ANY, high=_ANY)),
    blocks=sequence(record(Block, index=BLOCK)),
    threads=THREADS,
)
