"""One model file in a process of its own: what a stranger's file does to that process, dsmobile survives and can name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import dsmobile
from dsmobile import errors
from dsmobile.errors import DsmobileError, ModelError
from dsmobile.evaluation.wire import Array, read_message, write_message
from dsmobile.exporters.artifact import Manifest, TensorInfo
from dsmobile.exporters.sniff import check_model_file

_START = "import sys; sys.path.append(sys.argv[1]); from dsmobile.evaluation.worker import main; main()"
_ADVICE = "the file is damaged, or this runtime cannot take it: export or download it again"


@dataclass(frozen=True)
class Limits:
    """What one file may take.

    Args:
        load_s: Seconds to open a TFLite or ONNX file.
        keras_load_s: Seconds to import Keras and load a Keras file.
        inference_s: Seconds for one input.
        memory_bytes: Address space of the process, besides four times the file's own size (Linux only).
    """

    load_s: float = 120.0
    keras_load_s: float = 600.0
    inference_s: float = 120.0
    memory_bytes: int = 16 << 30


class Answer(NamedTuple):
    """What a file gives for one input.

    Args:
        outputs: Its outputs, in real numbers or as it stores them.
        seconds: How long its process worked on it.
        logits: What went into its final softmax, in real numbers; None where that was not asked for, or cannot be had.
    """

    outputs: list[Array]
    seconds: float
    logits: Array | None


class Session:
    """An open model file; a context manager that ends its process.

    Starting returns at once; the first use waits until the file is open. `send` and `receive` let several sessions work at the same time.

    Args:
        path: A `.tflite`, `.onnx`, `.keras`, `.h5` or `.hdf5` file.
        manifest: What is known of it, where it is ours.
        layout: `nhwc` or `nchw`, where a person said it.
        threads: Threads of the runtime.
        logits: Whether the logits of a file that ends in a softmax are wanted too.
        limits: What it may take.
        command: What is started; the worker, unless a test says otherwise.

    Raises:
        ModelError: The file is not what its name says.
    """

    def __init__(
        self,
        path: Path,
        *,
        manifest: Manifest | None = None,
        layout: str = "",
        threads: int = 1,
        logits: bool = False,
        limits: Limits | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        """Starts the process."""
        self.path, self.manifest, self.limits = path, manifest, limits or Limits()
        kind = check_model_file(path)
        self._load_s = self.limits.keras_load_s if kind in ("keras", "h5") else self.limits.load_s
        self._opened: tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...], str] | None = None
        self._doing, self._timed_out = "opened", False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            list(command or (sys.executable, "-P", "-c", _START, str(Path(dsmobile.__file__).parents[1]))),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={
                **os.environ,
                "ORT_DISABLE_TELEMETRY": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "CUDA_VISIBLE_DEVICES": "",
            },
        )
        self._watchdog = self._watch(self._load_s)
        known = {"inputs": [asdict(info) for info in manifest.inputs], "outputs": [asdict(info) for info in manifest.outputs]} if manifest else {}
        self._write(
            {
                "path": str(path.resolve()),
                "format": kind,
                "threads": threads,
                "layout": layout,
                "logits": logits,
                "reduced_range": bool(manifest and manifest.recipe_values.get("target") == "x86"),
                "load_s": self._load_s,
                "inference_s": self.limits.inference_s,
                "memory_bytes": self.limits.memory_bytes + 4 * path.stat().st_size,
                "inputs": [],
                "outputs": [],
                **known,
            }
        )

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """The file's inputs."""
        return self._wait()[0]

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """The file's outputs."""
        return self._wait()[1]

    @property
    def no_logits(self) -> str:
        """Why the logits of a file that ends in a softmax cannot be had; empty where nothing stands in the way."""
        return self._wait()[2]

    def send(self, x: Array, *, raw: bool = False) -> None:
        """Gives one input and does not wait.

        Args:
            x: Real values, NHWC or the model's own shape, batch included.
            raw: Whether the outputs are wanted as the file stores them.
        """
        self._wait()
        self._doing = "run"
        self._watchdog = self._watch(self.limits.inference_s)
        self._write({"raw": raw}, [x])

    def receive(self) -> Answer:
        """The answer to what was sent.

        Raises:
            ModelError: The process died, took too long, or the runtime refused.
            DataError: The input does not fit the model.
        """
        header, arrays = self._read()
        own = header["outputs"]
        return Answer(arrays[:own], float(header["seconds"]), arrays[own] if len(arrays) > own else None)

    def run(self, x: Array, *, raw: bool = False) -> list[Array]:
        """One inference: `send`, then `receive`."""
        self.send(x, raw=raw)
        return self.receive().outputs

    def close(self) -> None:
        """Ends the process."""
        self._watchdog.cancel()
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                _close(stream)

    def __enter__(self) -> Session:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends the process."""
        self.close()

    def _wait(self) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...], str]:
        if self._opened is None:
            header, _ = self._read()
            inputs, outputs = (tuple(TensorInfo(**{**info, "shape": tuple(info["shape"])}) for info in header[key]) for key in ("inputs", "outputs"))
            self._opened = inputs, outputs, str(header["no_logits"])
        return self._opened

    def _watch(self, seconds: float) -> threading.Timer:
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        return timer

    def _expire(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _write(self, header: dict[str, Any], arrays: Sequence[Array] = ()) -> None:
        assert self._process.stdin is not None  # noqa: S101
        try:
            write_message(self._process.stdin, header, arrays)
        except OSError as error:
            raise self._died() from error

    def _read(self) -> tuple[dict[str, Any], list[Array]]:
        assert self._process.stdout is not None  # noqa: S101
        try:
            header, arrays = read_message(self._process.stdout)
        except ValueError as error:
            self._process.kill()
            raise ModelError(f"{self.path} made its runtime's process answer nonsense while it was {self._doing}", _ADVICE) from error
        except (EOFError, OSError) as error:
            raise self._died() from error
        finally:
            self._watchdog.cancel()
        if "error" in header:
            raise self._told(header["error"])
        return header, arrays

    def _told(self, told: dict[str, str]) -> DsmobileError:
        kind = getattr(errors, told["kind"], ModelError)
        message = told["message"] if str(self.path.name) in told["message"] else f"{self.path}: {told['message']}"
        error = kind(message, told["advice"])
        assert isinstance(error, DsmobileError)  # noqa: S101
        return error

    def _died(self) -> ModelError:
        self._watchdog.cancel()
        self._process.kill() if self._timed_out else None
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        doing = f"while it was {self._doing}"
        if self._timed_out:
            seconds = self.limits.inference_s if self._doing == "run" else self._load_s
            return ModelError(f"{self.path} took longer than {seconds:g} s {doing} and was stopped", _ADVICE)
        said = self._last_words()
        return ModelError(f"{self.path} ended its runtime's process with {_ending(code)} {doing}{said}", _ADVICE)

    def _last_words(self) -> str:
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(size - 4096, 0))
        lines = self._errors.read().decode("utf-8", "replace").splitlines()
        last = next((line.strip() for line in reversed(lines) if line.strip() and not line.startswith("INFO:")), "")
        printable = "".join(sign if sign.isprintable() else "?" for sign in last)[:200]
        return f" ({printable})" if printable else ""


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def _close(stream: Any) -> None:
    try:
        stream.close()
    except BrokenPipeError:
        return  # what was still to be written has no reader any more
