"""The native `benchmark_model` as a runtime: one run of the tool is one process of a block; it tells a summary, not single inferences."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any, Dict, List, Optional, Tuple

from .benchmark_model import Report, parse
from .conditions import LoopWatch, snapshot
from .machine import NATIVE, native_tool, native_version
from .records import PlannedArtifact, RunPlan

_TAIL_LINES = 6
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def measure(artifact: PlannedArtifact, plan: RunPlan) -> Dict[str, Any]:
    """Measures one artifact: the tool warms up, then repeats for the plan's time.

    Its inputs are its own random ones, and it does not tell what the model answers: there is no probe.

    Returns:
        Fields of a `ReplicateSample`.

    Raises:
        RuntimeError: The tool is not there, failed, or printed nothing that is understood.
    """
    if plan.sustained_s:
        raise RuntimeError("%s tells no single inference, so it cannot show latency over time" % NATIVE)
    version = native_version()
    if version is None:
        raise RuntimeError("there is no %s on this device" % NATIVE)
    watch = LoopWatch()
    before = _children()
    report = run(native_tool(), artifact.path, plan)
    after = _children()
    loop = _with_child(watch.stop(), before, after)
    return {
        "runtime_version": version,
        "delegate": report.delegate,
        "load_ns": int(report.load_ns or 0),
        "first_inference_ns": int(report.first_inference_ns or 0),
        "latency_ns": [],
        "probe": None,
        "peak_memory_bytes": after[1] if after else None,
        "loop": loop,
        "conditions": snapshot(),
        "summary": report.summary.__dict__,
    }


def run(tool: str, model: str, plan: RunPlan) -> Report:
    """Runs the tool once.

    Args:
        tool: The program.
        model: The `.tflite` file.
        plan: How long, with how many threads.

    Raises:
        RuntimeError: It failed, or printed nothing that is understood.
    """
    command = [
        tool,
        "--graph=" + model,
        "--num_threads=%d" % plan.threads,
        "--num_runs=%d" % plan.min_count,
        "--min_secs=%g" % plan.measure_s,
        "--max_secs=%g" % max(plan.timeout_s / 2, 1.0),
        "--warmup_runs=1",
        "--warmup_min_secs=%g" % min(plan.measure_s, 0.5),
    ]
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=_die_with_parent)
    except OSError as error:
        raise RuntimeError("%s does not start: %s" % (NATIVE, error.strerror)) from error
    try:
        out = child.communicate(timeout=plan.timeout_s)[0].decode("utf-8", "replace")
    finally:
        child.kill()
        child.wait()
    reports = parse(out)
    if child.returncode or len(reports) != 1:
        raise RuntimeError("%s %s; it wrote: %s" % (NATIVE, _ending(child.returncode), _tail(out) or "nothing"))
    return reports[0]


def _ending(status: int) -> str:
    if status < 0:
        try:
            return "was ended by %s" % signal.Signals(-status).name
        except ValueError:
            return "was ended by signal %d" % -status
    return "ended with exit status %d" % status if status else "printed no figures that are understood"


def _tail(out: str) -> str:
    """The last lines, without control characters."""
    lines: List[str] = [line for line in out.splitlines() if line.strip()][-_TAIL_LINES:]
    return " / ".join("".join(c for c in line if c.isprintable()) for line in lines)


def _die_with_parent() -> None:
    """Called in the new process: when the process that measures is killed, the tool ends too. Linux only; elsewhere it does nothing."""
    if sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def _children() -> Optional[Tuple[int, int, int, int]]:
    """CPU time in nanoseconds, largest resident set in bytes, preemptions and major faults of the processes that ended so far."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    size = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return int((usage.ru_utime + usage.ru_stime) * 1e9), size, usage.ru_nivcsw, usage.ru_majflt


def _with_child(loop: Dict[str, Any], before: Optional[Tuple[int, int, int, int]], after: Optional[Tuple[int, int, int, int]]) -> Dict[str, Any]:
    """What a `LoopWatch` saw, with the tool's own work counted as ours and not as others'."""
    if before is None or after is None:
        return loop
    cpu_ns = after[0] - before[0]
    others = loop.get("others_cpu")
    return {
        **loop,
        "cpu_ns": loop["cpu_ns"] + cpu_ns,
        "preemptions": after[2] - before[2],
        "major_faults": after[3] - before[3],
        "others_cpu": max(others - cpu_ns / loop["wall_ns"], 0.0) if others is not None and loop["wall_ns"] else others,
    }
