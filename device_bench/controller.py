"""Runs the blocks of a plan: one fresh process for each artifact, sample after sample to a file, and nothing left behind."""

from __future__ import annotations

import errno
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import Any, Callable, Dict, List, Optional

from .conditions import snapshot
from .lifeline import LOST, end_with_stdin
from .machine import facts
from .records import Block, ReplicateSample, RunPlan, header, to_line

STOPPED = 130
FULL = 74  # as sysexits.h calls it: an input or output error
LEAST_BLOCKS = 3
_TAIL_LINES = 12
_TAIL_CHARACTERS = 2000
_child: Optional["subprocess.Popen[bytes]"] = None


def main(plan_path: str, samples_path: str, *, echo: bool, lifeline: bool, patience_s: Optional[float] = None) -> int:
    """Runs a plan.

    Args:
        plan_path: The plan's JSON file.
        samples_path: Where samples are appended, one line each.
        echo: Whether each line also goes to standard output, which comes first: a full disk costs no sample there.
        lifeline: Whether the run ends when standard input is closed,
        patience_s: or has been silent for so long; None: for ever.

    Returns:
        0; 2 where the plan cannot be read, or the samples' file cannot be opened; 74 where the disk is full or fails.
    """
    if lifeline:
        end_with_stdin(kill_child, patience_s)
    for number in (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, stop)
    try:
        with open(plan_path, encoding="utf-8") as file:
            plan = RunPlan.from_json(json.load(file))
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write("the plan %s cannot be read: %s\n" % (plan_path, error))
        return 2
    try:
        return _run_to_file(plan, samples_path, echo=echo)
    finally:
        kill_child()


def _run_to_file(plan: RunPlan, samples_path: str, *, echo: bool) -> int:
    file = None
    try:
        file = open(samples_path, "ab", buffering=0)  # noqa: SIM115 - nothing is left in a buffer, which closing would try to write once more
        run(plan, functools.partial(_write, file, echo), new=file.tell() == 0)
    except _UnheardError:
        sys.stdout = open(os.devnull, "w", encoding="ascii")  # noqa: SIM115 - or Python complains as it ends
        return LOST
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
        if file is not None and not full:
            raise
        _complain("%s cannot be written: %s" % (samples_path, error.strerror))
        return FULL if full else 2
    finally:
        if file is not None:
            file.close()
    return 0


class _UnheardError(Exception):
    """Nobody reads standard output any more."""


def _write(file: Any, echo: bool, document: Dict[str, Any]) -> None:
    line = to_line(document)
    if echo:
        try:
            sys.stdout.write(line)
            sys.stdout.flush()
        except BrokenPipeError as error:
            raise _UnheardError from error
    left = line.encode()
    while left:
        left = left[file.write(left) :]


def _complain(text: str) -> None:
    """Says it on standard error, unless that lies on the full disk too."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        sys.stderr = open(os.devnull, "w", encoding="ascii")  # noqa: SIM115 - or Python complains as it ends


def run(plan: RunPlan, write: Callable[[Dict[str, Any]], None], *, new: bool = True) -> None:
    """Runs the plan's blocks and hands each sample on as it comes.

    Args:
        plan: What to run.
        write: Takes a document.
        new: Whether the samples begin here and need their header.
    """
    if new:
        write(header(facts(), plan))
    started = time.monotonic()
    for block in plan.blocks:
        if plan.budget_s and block.index >= LEAST_BLOCKS and time.monotonic() - started > plan.budget_s:
            break
        write({"kind": "conditions", "when": "before", "block": block.index, **snapshot()})
        for position, artifact in enumerate(block.order):
            sample = replicate(plan, block.index, artifact, functools.partial(_tell, write, block.index, artifact, plan.artifacts[artifact].runtime))
            runtime = plan.artifacts[artifact].runtime
            write(replace(sample, block=block.index, position=position, artifact=artifact, runtime=runtime).to_json())
        write({"kind": "conditions", "when": "after", "block": block.index, **snapshot()})


def _tell(write: Callable[[Dict[str, Any]], None], block: int, artifact: int, runtime: str, moment: Dict[str, Any]) -> None:
    place = {"position": 0, "runtime": runtime} if moment["kind"] == "begun" else {}
    write({**moment, **place, "block": block, "artifact": artifact})


def replicate(plan: RunPlan, block: int, artifact: int, tell: Callable[[Dict[str, Any]], None]) -> ReplicateSample:
    """Runs one artifact in a fresh process.

    Args:
        plan: How to measure.
        block: The block's index.
        artifact: Its index.
        tell: Takes the moments of a run without a pause, as they come.

    Returns:
        What it measured, or why it failed.
    """
    global _child
    request = replace(plan, artifacts=(plan.artifacts[artifact],), blocks=(Block(block, (0,)),))
    command = [sys.executable, os.path.dirname(os.path.abspath(__file__)), "--replicate", json.dumps(request.to_json())]
    started = time.perf_counter_ns()
    _child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment())
    try:
        out, err = _sustained(_child, plan, tell) if plan.sustained_s else _communicate(_child, plan.timeout_s)
    except subprocess.TimeoutExpired:
        kill_child()
        return ReplicateSample(0, 0, artifact, error="it did not finish within %g s" % plan.timeout_s, wall_ns=time.perf_counter_ns() - started)
    finally:
        status = kill_child()
    wall_ns = time.perf_counter_ns() - started
    stderr = err.decode("utf-8", "replace")
    return _read(out.decode("utf-8", "replace"), stderr, status, wall_ns, artifact)


def _read(out: str, stderr: str, status: int, wall_ns: int, artifact: int) -> ReplicateSample:
    try:
        document = json.loads(out)
    except ValueError:
        return _failed(artifact, _how_it_ended(status) + _tail(stderr), wall_ns)
    if not isinstance(document, dict):
        return _failed(artifact, "its process answered something else" + _tail(stderr), wall_ns)
    if "error" in document:
        return _failed(artifact, _printable(str(document["error"]).replace("\n", " ")), wall_ns)
    delegate = "XNNPACK" if "XNNPACK delegate" in stderr else ""
    measured = {"block": 0, "position": 0, "artifact": artifact, "wall_ns": wall_ns, "delegate": delegate, **document}
    return ReplicateSample.from_json(measured)


def _failed(artifact: int, error: str, wall_ns: int) -> ReplicateSample:
    return ReplicateSample(0, 0, artifact, error=error, wall_ns=wall_ns)


def _communicate(child: "subprocess.Popen[bytes]", timeout_s: float) -> "tuple[bytes, bytes]":
    """Sleeps until the child has closed its outputs; its standard input stays open, for that is its lifeline."""
    lifeline, child.stdin = child.stdin, None
    try:
        return child.communicate(timeout=timeout_s)
    finally:
        child.stdin = lifeline


def _sustained(child: "subprocess.Popen[bytes]", plan: RunPlan, tell: Callable[[Dict[str, Any]], None]) -> "tuple[bytes, bytes]":
    """Reads a process that runs without a pause: its moments as they come, its answer at the end."""
    assert child.stdout is not None and child.stderr is not None  # noqa: S101
    said: List[bytes] = []
    listener = threading.Thread(target=lambda pipe=child.stderr: said.append(pipe.read()), daemon=True)
    listener.start()
    too_long = threading.Timer(plan.sustained_s + plan.timeout_s, child.kill)
    too_long.daemon = True
    too_long.start()
    answer = b""
    try:
        for line in child.stdout:
            try:
                document = json.loads(line)
            except ValueError:
                continue
            if document.get("kind") in ("moment", "begun"):
                tell(document)
            else:
                answer = line
    finally:
        too_long.cancel()
    listener.join()
    return answer, b"".join(said)


def kill_child() -> int:
    """Ends the process that measures, if there is one, and waits for it; returns its exit status."""
    child = _child
    if child is None:
        return 0
    if child.poll() is None and child.stdout is not None and not child.stdout.closed:
        child.kill()
    status = child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()
    return status


def stop(number: int, _: Any) -> None:
    """What a signal does: ends the process that measures, then this one."""
    signal.signal(number, signal.SIG_IGN)
    kill_child()
    sys.exit(STOPPED if number == signal.SIGINT else 128 + number)


def _environment() -> Dict[str, str]:
    return {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return "its process ended with exit status %d" % status
    try:
        return "its process was ended by %s" % signal.Signals(-status).name
    except ValueError:
        return "its process was ended by signal %d" % -status


def _tail(stderr: str) -> str:
    """The last lines of what it wrote, without control characters."""
    lines: List[str] = [line for line in stderr.splitlines() if line.strip()][-_TAIL_LINES:]
    text = " / ".join(_printable(line) for line in lines)[-_TAIL_CHARACTERS:]
    return "; it wrote: " + text if text else ""


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable())
