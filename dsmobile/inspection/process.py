"""Starts the process that reads or tries one file, and says in a sentence how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dsmobile

_START = "import sys; sys.path.append(sys.argv[1]); from dsmobile.inspection.worker import main; main()"
_LONGEST_REPLY_BYTES = 64 << 20


@dataclass(frozen=True)
class Limits:
    """What one file may take.

    Args:
        read_s: Seconds to read it.
        trial_s: Seconds for a TFLite or ONNX file to be opened and run once.
        keras_trial_s: Seconds to import Keras, load a Keras file and run it once.
        read_memory_bytes: Address space of the process that reads, besides eight times the file's own size (Linux only).
        trial_memory_bytes: Likewise of the process that runs.
    """

    read_s: float = 120.0
    trial_s: float = 120.0
    keras_trial_s: float = 300.0
    read_memory_bytes: int = 8 << 30
    trial_memory_bytes: int = 16 << 30


@dataclass(frozen=True)
class Outcome:
    """What a process said and how it ended.

    Args:
        said: Everything it told, later lines over earlier ones; `error` where it could name what went wrong.
        ending: How it ended where that was not by itself: `was killed by SIGABRT (double free or corruption)`; else empty.
    """

    said: dict[str, Any]
    ending: str


def ask(task: str, path: Path, file_format: str, *, seconds: float, memory_bytes: int, command: Sequence[str] | None = None) -> Outcome:
    """Runs one task in a process of its own and waits for its end.

    Args:
        task: `read` or `try`.
        path: The file.
        file_format: `tflite`, `onnx`, `keras` or `h5`.
        seconds: How long it may take.
        memory_bytes: Address space it may take, besides eight times the file's own size.
        command: What is started; the worker, unless a test says otherwise.
    """
    request = {
        "task": task,
        "path": str(path.resolve()),
        "format": file_format,
        "seconds": seconds,
        "memory_bytes": memory_bytes + 8 * path.stat().st_size,
    }
    with tempfile.TemporaryFile() as replies, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            list(command or (sys.executable, "-P", "-c", _START, str(Path(dsmobile.__file__).parents[1]))),
            stdin=subprocess.PIPE,
            stdout=replies,
            stderr=errors,
            env={
                **os.environ,
                "ORT_DISABLE_TELEMETRY": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "CUDA_VISIBLE_DEVICES": "",
            },
        )
        try:
            process.communicate(json.dumps(request).encode() + b"\n", timeout=seconds)
            ending = _ending(process.returncode, _last_words(errors))
        except subprocess.TimeoutExpired:
            ending = f"took longer than {seconds:g} s and was stopped"
        except BrokenPipeError:
            ending = _ending(process.wait(), _last_words(errors))
        finally:
            process.kill()
            process.wait()
        replies.seek(0)
        return Outcome(_said(replies.read(_LONGEST_REPLY_BYTES)), ending)


def _said(raw: bytes) -> dict[str, Any]:
    """The lines taken together; what is no line of ours, such as one that was cut short, is left out."""
    said: dict[str, Any] = {}
    for line in raw.splitlines():
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict):
            said.update(document)
    return said


def _ending(code: int, words: str) -> str:
    if not code:
        return ""
    if code > 0:
        return f"ended with exit code {code}{words}"
    try:
        return f"was killed by {signal.Signals(-code).name}{words}"
    except ValueError:
        return f"was killed by signal {-code}{words}"


def _last_words(errors: Any) -> str:
    """The last line on its standard error, in brackets."""
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(size - 4096, 0))
    lines = errors.read().decode("utf-8", "replace").splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip() and not line.startswith("INFO:")), "")
    printable = "".join(sign if sign.isprintable() else "?" for sign in last)[:200]
    return f" ({printable})" if printable else ""
