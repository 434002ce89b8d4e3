"""The process that opens one model file: limits itself, loads, answers inputs with outputs, and may die without taking dsmobile along.

Started by `dsmobile.evaluation.session`. The first message says which file and which limits; every later one carries one input.
It guards against files that crash or exhaust the runtime; it is no sandbox against a file that takes the runtime over.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from dsmobile.errors import DsmobileError, MissingExtraError, ModelError
from dsmobile.evaluation.logits import LogitReader, keras_with_logits, onnx_with_logits, tflite_with_logits
from dsmobile.evaluation.wire import Array, read_message, write_message
from dsmobile.exporters.artifact import TensorInfo
from dsmobile.exporters.runners import Runner, first_line, open_runner

_LARGEST_WRITE_BYTES = 64 << 20


def main() -> None:
    """Serves until the other end closes the pipe."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # native libraries print to stdout
    try:
        _serve(requests, replies)
    except (EOFError, BrokenPipeError):
        sys.exit(0)


def _serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    header, _ = read_message(requests)
    limit_memory(header["memory_bytes"])
    with _Alarm(header["load_s"]):
        reader, problem = _attempt(lambda: _reader(header), header["memory_bytes"])
    if reader is None:
        write_message(replies, {"error": problem})
        return
    write_message(replies, {**{key: list(map(asdict, infos)) for key, infos in reader.ends.items()}, "no_logits": reader.problem})
    while True:
        request, arrays = read_message(requests)
        with _Alarm(header["inference_s"]):
            started = time.perf_counter()
            answer, problem = _attempt(lambda: reader.run(arrays[0], raw=request["raw"]), header["memory_bytes"])  # noqa: B023
            seconds = time.perf_counter() - started
        if answer is None:
            write_message(replies, {"error": problem})
        else:
            outputs, logits = answer
            write_message(replies, {"seconds": seconds, "outputs": len(outputs)}, [*outputs, *([] if logits is None else [logits])])


def _attempt(action: Callable[[], Any], memory_bytes: int) -> tuple[Any, dict[str, str]]:
    """The action's value, or None and the error as the other process will raise it."""
    try:
        return action(), {}
    except DsmobileError as error:
        return None, {"kind": error.kind, "message": error.message, "advice": error.advice}
    except MemoryError:
        message = f"it needs more than the {memory_bytes / 2**30:.0f} GiB of memory that it may take"
        return None, {"kind": ModelError.__name__, "message": message, "advice": "check the file with `dsmobile inspect`"}
    except ImportError as error:
        return None, {
            "kind": MissingExtraError.__name__,
            "message": f"a library is missing: {first_line(error)}",
            "advice": 'install it: pip install "dsmobile[export]"',
        }


def _reader(header: dict[str, Any]) -> LogitReader:
    runner = _open(header)
    return LogitReader(runner, lambda: _open_with_logits(header, runner) if header["logits"] else None)


def _open(header: dict[str, Any], data: bytes | None = None) -> Runner:
    path = Path(header["path"])
    if header["format"] in ("keras", "h5"):
        from dsmobile.keras_files import load_keras_file

        return KerasRunner(path, load_keras_file(path))
    known = {key: tuple(TensorInfo(**{**info, "shape": tuple(info["shape"])}) for info in header[key]) for key in ("inputs", "outputs")}
    return open_runner(path, threads=header["threads"], layout=header["layout"], reduced_range=header["reduced_range"], data=data, **known)


def _open_with_logits(header: dict[str, Any], runner: Runner) -> Runner | None:
    path = Path(header["path"])
    if isinstance(runner, KerasRunner):
        model = keras_with_logits(runner.model)
        return None if model is None else KerasRunner(path, model)
    data = tflite_with_logits(path.read_bytes()) if header["format"] == "tflite" else onnx_with_logits(path)
    return None if data is None else _open(header, data)


class KerasRunner(Runner):
    """A Keras file's model, run by Keras itself: what the exported files are judged against."""

    def __init__(self, path: Path, model: Any) -> None:
        """Takes the file's `keras.Model`."""
        self.model = model
        inputs, outputs = (tuple(map(_keras_info, tensors)) for tensors in (model.inputs, model.outputs))
        super().__init__(path, "keras", inputs, outputs)

    def _invoke(self, stored: Sequence[Array]) -> list[Array]:
        outputs = self.model.predict_on_batch(stored[0] if len(stored) == 1 else list(stored))
        if isinstance(outputs, dict):
            outputs = list(outputs.values())
        return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def _keras_info(tensor: Any) -> TensorInfo:
    shape = tuple(-1 if size is None else int(size) for size in tensor.shape)
    return TensorInfo(tensor.name, (1, *shape[1:]), str(tensor.dtype), layout="nhwc" if len(shape) == 4 else "")


def limit_memory(limit: int) -> None:
    """Bounds this process's address space, its files and its core dumps, where the system can: Linux; macOS bounds only the latter two.

    Args:
        limit: Bytes of address space.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limits: there, the time limit alone holds
        return
    wanted = {resource.RLIMIT_FSIZE: _LARGEST_WRITE_BYTES, resource.RLIMIT_CORE: 0}
    if sys.platform == "linux":
        wanted[resource.RLIMIT_AS] = limit
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


class _Alarm:
    """Ends this process some seconds after its time is over, where the other process is gone and cannot."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        self._set(self.seconds + 10)

    def __exit__(self, *_: object) -> None:
        self._set(0)

    def _set(self, seconds: float) -> None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main()
