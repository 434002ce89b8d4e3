"""Starts the process that compares two files, and says in a sentence how it ended where it did not end well."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dsmobile
from dsmobile import errors
from dsmobile.errors import DsmobileError, ModelError

_START = "import sys; sys.path.append(sys.argv[1]); from dsmobile.diagnosis.worker import main; main()"
_ADVICE = "one of the files is damaged, or this runtime cannot take it: look at each with `dsmobile inspect`"
_MOST_THREADS = 4


@dataclass(frozen=True)
class Limits:
    """What a comparison may take.

    Args:
        seconds: Until it ends.
        memory_bytes: Address space of the process, besides eight times the files' own size (Linux only).
    """

    seconds: float = 1800.0
    memory_bytes: int = 16 << 30


def compare_in_process(
    quantized: Path,
    reference: Path,
    inputs: Sequence[Path],
    progress: Callable[[float], None],
    *,
    stored_as: str = "",
    limits: Limits | None = None,
    command: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Compares two files in a process of its own.

    Args:
        quantized: A `.tflite` file.
        reference: The float `.tflite` file of the same network.
        inputs: A `.npy` file for each of the network's inputs, shape (count, ...), real values.
        progress: Told the fraction that is finished.
        stored_as: The type of inputs that are integers as the quantized file takes them; empty where they are real values.
        limits: What it may take.
        command: What is started; the worker, unless a test says otherwise.

    Returns:
        What `dsmobile.diagnosis.measure.Comparison.measure` gives.

    Raises:
        ModelError: The process died, took too long, or the runtime refused a file.
        DataError: The inputs do not fit.
    """
    limits = limits or Limits()
    request = {
        "quantized": str(quantized.resolve()),
        "reference": str(reference.resolve()),
        "inputs": [str(path) for path in inputs],
        "stored_as": stored_as,
        "threads": min(_MOST_THREADS, os.cpu_count() or 1),
        "seconds": limits.seconds,
        "memory_bytes": limits.memory_bytes + 8 * (quantized.stat().st_size + reference.stat().st_size),
    }
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            list(command or (sys.executable, "-P", "-c", _START, str(Path(dsmobile.__file__).parents[1]))),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        )
        watchdog = threading.Timer(limits.seconds, process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            said = _listen(process, request, progress)
            process.wait()
        finally:
            late = watchdog.finished.is_set()
            watchdog.cancel()
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None  # noqa: S101
                stream.close()
        if "error" in said:
            kind = getattr(errors, said["error"]["kind"], ModelError)
            error = kind(said["error"]["message"], said["error"]["advice"])
            assert isinstance(error, DsmobileError)  # noqa: S101
            raise error
        if "found" not in said:
            ending = f"took longer than {limits.seconds:g} s and was stopped" if late else _ending(process.returncode, words)
            raise ModelError(f"the process that compares {quantized.name} with {reference.name} {ending}", _ADVICE)
    found: dict[str, Any] = said["found"]
    return found


def _listen(process: subprocess.Popen[bytes], request: dict[str, Any], progress: Callable[[float], None]) -> dict[str, Any]:
    """What the process says at its end; what is no line of ours, such as one that was cut short, is left out."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101
    try:
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return {}
    said: dict[str, Any] = {}
    for line in process.stdout:
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict):
            said.update(document)
            if isinstance(document.get("done"), float):
                progress(document["done"])
    return said


def _ending(code: int, words: Any) -> str:
    size = words.seek(0, os.SEEK_END)
    words.seek(max(size - 4096, 0))
    lines = words.read().decode("utf-8", "replace").splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip() and not line.startswith("INFO:")), "")
    printable = "".join(sign if sign.isprintable() else "?" for sign in last)[:200]
    shown = f" ({printable})" if printable else ""
    if code >= 0:
        return f"ended with exit code {code}{shown}"
    try:
        return f"was killed by {signal.Signals(-code).name}{shown}"
    except ValueError:
        return f"was killed by signal {-code}{shown}"
