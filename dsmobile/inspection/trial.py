"""Gives a file to the runtime that this machine has for it: opens it, and runs it once on zeros where its sizes are fixed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.architectures.backend import captured_stderr
from dsmobile.errors import DsmobileError

RUNTIMES = {
    "tflite": ("litert", "ai_edge_litert", "ai-edge-litert"),
    "onnx": ("onnxruntime", "onnxruntime", "onnxruntime"),
    "keras": ("keras", "keras", "keras"),
    "h5": ("keras", "keras", "keras"),
}
_NUMBERS = frozenset("float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool complex64 complex128".split())
_LARGEST_INPUT_BYTES = 1 << 30
Array = npt.NDArray[Any]
Tell = Callable[[dict[str, Any]], None]


class _OpenSizeError(Exception):
    """An input has no fixed size, or a type that zeros do not stand for."""


def installed(file_format: str) -> str:
    """The version of the format's runtime here; empty where there is none."""
    _, module, package = RUNTIMES[file_format]
    if find_spec(module) is None:
        return ""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def attempt(path: Path, file_format: str, tell: Tell) -> None:
    """Opens and runs; a failure is an exception, or the end of this process.

    Args:
        path: The file.
        file_format: `tflite`, `onnx`, `keras` or `h5`.
        tell: Given what is known, as soon as it is known: `opened`, `ran`, `left_open` (why it was not run), `takes_indices` (whether an input may
            stand for sizes or places, which zeros need not be), and for Keras what it cost.
    """
    {"tflite": _litert, "onnx": _onnxruntime}.get(file_format, _keras)(path, tell)


def _litert(path: Path, tell: Tell) -> None:
    from ai_edge_litert.interpreter import Interpreter

    with captured_stderr():  # it announces its delegate there
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    tell({"opened": True})

    def zeros(detail: dict[str, Any]) -> Array:  # sizes are those that the interpreter has set, 1 for an open batch
        shape = [int(size) for size in detail["shape"]]
        if any(size < 0 for size in list(detail.get("shape_signature", shape))[1:]):
            raise _OpenSizeError(f"its input {detail['name']} has no fixed size")
        dtype = np.dtype(detail["dtype"])
        return _zeros(detail["name"], shape, "bytes" if dtype.kind in "SO" else dtype.name)

    def run(arrays: Sequence[Array]) -> None:
        for detail, array in zip(interpreter.get_input_details(), arrays, strict=True):
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()

    _run_on_zeros([partial(zeros, detail) for detail in interpreter.get_input_details()], run, tell)


def _onnxruntime(path: Path, tell: Tell) -> None:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    tell({"opened": True})
    nodes = session.get_inputs()

    def zeros(node: Any) -> Array:
        kind = node.type.removeprefix("tensor(").removesuffix(")")
        shape = [1 if axis == 0 and not isinstance(size, int) else size for axis, size in enumerate(node.shape or ())]
        return _zeros(node.name, shape, {"float": "float32", "double": "float64", "string": "text"}.get(kind, kind))

    def run(arrays: Sequence[Array]) -> None:
        session.run(None, {node.name: array for node, array in zip(nodes, arrays, strict=True)})

    _run_on_zeros([partial(zeros, node) for node in nodes], run, tell)


def _keras(path: Path, tell: Tell) -> None:
    from dsmobile.architectures.cost import cost
    from dsmobile.keras_files import load_keras_file

    model = load_keras_file(path)
    tell({"opened": True, "parameters": int(model.count_params()), "inputs": _keras_ends(model.inputs), "outputs": _keras_ends(model.outputs)})
    try:
        counted = cost(model)
        tell({"macs": counted.macs, "unknown": list(counted.unknown)})
    except DsmobileError as error:
        tell({"uncounted": error.message})

    def run(arrays: Sequence[Array]) -> None:
        model.predict_on_batch(list(arrays) if len(arrays) > 1 else arrays[0])

    def zeros(tensor: Any) -> Array:
        return _zeros(tensor.name, [1, *tensor.shape[1:]], {"string": "text"}.get(str(tensor.dtype), str(tensor.dtype)))

    _run_on_zeros([partial(zeros, tensor) for tensor in model.inputs], run, tell)


def _keras_ends(tensors: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"name": tensor.name, "shape": [None if size is None else int(size) for size in tensor.shape], "dtype": str(tensor.dtype)}
        for tensor in tensors
    ]


def _run_on_zeros(makers: Sequence[Callable[[], Array]], run: Callable[[Sequence[Array]], None], tell: Tell) -> None:
    try:
        arrays = [make() for make in makers]
    except _OpenSizeError as reason:
        tell({"left_open": str(reason)})
        return
    tell({"takes_indices": any(array.dtype.kind not in "fc" and array.dtype.itemsize != 1 for array in arrays)})
    run(arrays)
    tell({"ran": True})


def _zeros(name: str, shape: Sequence[Any], dtype: str) -> Array:
    """Zeros of a fixed shape.

    Raises:
        _OpenSizeError: A size is open, or the type is none that zeros stand for.
    """
    if any(not isinstance(size, int) or size < 0 for size in shape):
        raise _OpenSizeError(f"its input {name} has no fixed size")
    if dtype in ("text", "bytes"):
        return np.full(shape, "" if dtype == "text" else b"", dtype=object if dtype == "text" else "S1")
    if dtype not in _NUMBERS:
        raise _OpenSizeError(f"its input {name} takes {dtype}")
    if int(np.prod([int(size) for size in shape], dtype=object) or 0) * np.dtype(dtype).itemsize > _LARGEST_INPUT_BYTES:
        raise _OpenSizeError(f"its input {name} is larger than 1 GiB")
    return np.zeros(shape, dtype)
