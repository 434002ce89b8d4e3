"""What one run of the native `benchmark_model` told: frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from .benchmark_delegates import Delegation
from .records import Summary


@dataclass(frozen=True)
class Setup:
    """What a run says of itself.

    Args:
        model: The file as the tool names it; empty where it does not.
        model_bytes: The file's size as it is printed, from the least it can be to the most; None where it is not printed.
        threads: Of the CPU; None where it is not printed.
        requested: Delegates that were asked for: `GPU`, `NNAPI`, ...
        forbidden: Those that were switched off.
        profiled: Whether every operator was timed, which costs time itself.
        delegations: What each delegate did.
        fully_accelerated: What LiteRT says: whether accelerators, XNNPACK among them, run the whole model; None where it does not.
        of_one_process: Whether the run shares its process with others: of `benchmark_tflite_performance_options`.
    """

    model: str = ""
    model_bytes: Optional[Tuple[float, float]] = None
    threads: Optional[int] = None
    requested: Tuple[str, ...] = ()
    forbidden: Tuple[str, ...] = ()
    profiled: bool = False
    delegations: Tuple[Delegation, ...] = ()
    fully_accelerated: Optional[bool] = None
    of_one_process: bool = False


@dataclass(frozen=True)
class Report:
    """One run of a tool that came to its end.

    Args:
        summary: Its inferences.
        load_ns: Opening the model until it can run.
        first_inference_ns: The first inference; None where it is not printed.
        delegate: What truly ran it, wholly or in part: `XNNPACK`, `GPU`, `NNAPI`; empty where none did or none is told.
        nodes: How many of the model's nodes that delegate took, of how many, in how many partitions; None where it is not printed.
        setup: What was asked for, and what each delegate did.
        extents: Of each delegate that was asked for, XNNPACK excepted, how much of the model it truly runs: `wholly`, `partly`, `not`, `untold`.
        warmup_count: Inferences of the warm-up.
        init_memory_bytes: What the process grew by until the model could run.
        overall_memory_bytes: What it grew by until the end.
        peak_memory_bytes: The most it held, where the tool watched it.
    """

    summary: Summary
    load_ns: Optional[float] = None
    first_inference_ns: Optional[float] = None
    delegate: str = ""
    nodes: Optional[Tuple[int, int, int]] = None
    setup: Setup = Setup()
    extents: Tuple[Tuple[str, str], ...] = ()
    warmup_count: Optional[int] = None
    init_memory_bytes: Optional[int] = None
    overall_memory_bytes: Optional[int] = None
    peak_memory_bytes: Optional[int] = None


@dataclass(frozen=True)
class Run:
    """One run of a tool, whatever came of it.

    Args:
        setup: What it says of itself.
        report: Its figures; None where it has none that can be believed.
        error: Why it has none.
    """

    setup: Setup
    report: Optional[Report] = None
    error: str = ""
