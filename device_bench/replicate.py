"""One fresh process of one artifact: import, load, first inference, then raw nanoseconds until the warm-up is over."""

from __future__ import annotations

import gc
import json
import math
import os
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from .records import PlannedArtifact, RunPlan, to_line
from .sustained import sustain
from .warmup import truncation

TRIAL = -1
_MOST_ROUNDS = 3  # as long again, twice, where the warm-up has not ended
_PROBE_VALUES = 16


def main(request: str) -> int:
    """Measures what the request says and writes one JSON line to standard output.

    Args:
        request: The JSON form of a plan with a single artifact, and the block that it is of.
    """
    from .lifeline import end_with_stdin

    answer = os.dup(1)
    os.dup2(2, 1)  # libraries print where they like
    end_with_stdin()
    plan = RunPlan.from_json(json.loads(request))
    _limit_memory()

    def answer_line(document: Dict[str, Any]) -> None:
        line = to_line(document).encode()
        while line:
            line = line[os.write(answer, line) :]

    try:
        document = measure(plan.artifacts[0], plan, answer_line)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a stranger's model makes a runtime raise
        document = {"error": "%s: %s" % (type(error).__name__, error)}
    answer_line(document)
    sys.stderr.flush()
    os._exit(0)  # some runtimes crash on their way out, after their work is done


def measure(artifact: PlannedArtifact, plan: RunPlan, tell: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """Measures one artifact in this process.

    Args:
        artifact: The model.
        plan: How.
        tell: Takes what is said before the end: the moments of a run without a pause.

    Returns:
        Fields of a `ReplicateSample`.
    """
    from .machine import NATIVE

    if artifact.runtime == NATIVE:
        from . import native

        return native.measure(artifact, plan)
    from .conditions import LoopWatch, snapshot
    from .runtimes import import_runtime, open_model

    module, version, import_ns = import_runtime(artifact.runtime)
    opened = open_model(module, artifact, plan.threads)
    gc.collect()
    gc.disable()
    started = time.perf_counter_ns()
    outputs = opened.invoke()
    first_inference_ns = time.perf_counter_ns() - started
    values, step = opened.output(outputs)
    probe = _probe(values, step)
    watch = LoopWatch()
    known = {
        "runtime_version": version,
        "exact_kernels": opened.exact_kernels,
        "coverage": opened.coverage or {},
        "import_ns": import_ns,
        "load_ns": opened.load_ns,
        "first_inference_ns": first_inference_ns,
        "probe": probe,
    }
    if plan.sustained_s:
        tell({"kind": "begun", **known, "latency_ns": [first_inference_ns]})  # if it is ended before its time, this is what is known of it
        latency_ns, _ = sustain(opened.invoke, plan.sustained_s, snapshot, lambda moment: tell({"kind": "moment", **moment}))
        warmup_count, finished = truncation(latency_ns)
    else:
        latency_ns, warmup_count, finished = until_steady(opened.invoke, plan)
    loop = watch.stop()
    peak, ended = peak_memory_bytes(), snapshot()
    asked = plan.sustained_s or any(block.index == TRIAL for block in plan.blocks)
    return {
        **known,
        "latency_ns": latency_ns,
        "warmup_count": warmup_count,
        "warmup_finished": finished,
        "peak_memory_bytes": peak,
        "loop": loop,
        "conditions": ended,
        "unoptimised": opened.against_unoptimised() if asked and opened.against_unoptimised else None,
    }


def until_steady(invoke: Callable[[], Any], plan: RunPlan) -> Tuple[List[int], int, bool]:
    """Runs rounds of inferences until the warm-up has ended, three rounds at most.

    Returns:
        Every latency in order, how many of them are warm-up, and whether an end of it was found.
    """
    latency_ns: List[int] = []
    dropped, finished = 0, False
    for _ in range(_MOST_ROUNDS):
        timed_round(invoke, latency_ns, plan.measure_s, plan.min_count, plan.max_count)
        dropped, finished = truncation(latency_ns)
        if finished:
            break
    return latency_ns, dropped, finished


def timed_round(invoke: Callable[[], Any], latency_ns: List[int], measure_s: float, min_count: int, max_count: int) -> None:
    """Appends the latencies of inferences until the time is spent.

    Args:
        invoke: One inference.
        latency_ns: Where they go.
        measure_s: Seconds to spend.
        min_count: At least so many.
        max_count: At most so many.
    """
    clock, append = time.perf_counter_ns, latency_ns.append
    deadline = clock() + int(measure_s * 1e9)
    for count in range(1, max_count + 1):
        before = clock()
        invoke()
        after = clock()
        append(after - before)
        if after >= deadline and count >= min_count:
            break


def peak_memory_bytes() -> Optional[int]:
    """The largest resident set of this process: KiB on Linux, bytes on macOS; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _probe(values: Any, step: float) -> Dict[str, Any]:
    import numpy as np

    flat = np.asarray(values, dtype=np.float64).ravel() if np.asarray(values).dtype.kind in "fiub" else np.zeros(0)
    return {"values": [_finite(value) for value in flat[:_PROBE_VALUES]], "total": _finite(flat.sum()), "step": step}


def _finite(value: Any) -> Optional[float]:
    return float(value) if math.isfinite(value) else None


def _limit_memory() -> None:
    """A stranger's model must not make the device swap or write a core file."""
    try:
        import resource
    except ImportError:
        return
    from .machine import memory_bytes

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    total = memory_bytes()
    if total and sys.platform.startswith("linux"):
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (total if hard == resource.RLIM_INFINITY else min(total, hard), hard))
