"""The three runtimes behind one face: open a model with its threads, set its input once, run it."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import mmap
import os
import platform
import time
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

import numpy as np

from .delegation import coverage
from .inputs import probe_input
from .machine import MODULES, PACKAGES, cpu_flags, int8_features, int8_saturates, read
from .records import PlannedArtifact
from .unoptimised import compare

_APART = 1000  # of the seeds of two pictures
_INT8_OPERATORS = (b"QuantizeLinear", b"QLinearConv", b"QLinearMatMul", b"ConvInteger", b"MatMulInteger")


class Opened(NamedTuple):
    """A model that is ready to run.

    Args:
        invoke: Runs one inference.
        output: From what `invoke` returned to the first output in real numbers, and its quantization step (0 where it is float).
        load_ns: How long it took to open it until it could run.
        exact_kernels: `native`, `x64quantprecision`, or empty where it is not int8 ONNX.
        coverage: How much of it a delegate runs: see `delegation.coverage`.
        against_unoptimised: Runs it against its unoptimised graph: see `unoptimised.compare`; None where it is not int8 ONNX.
    """

    invoke: Callable[[], Any]
    output: Callable[[Any], Tuple[Any, float]]
    load_ns: int
    exact_kernels: str
    coverage: Optional[Dict[str, int]] = None
    against_unoptimised: Optional[Callable[[], Dict[str, Any]]] = None


def import_runtime(runtime: str) -> Tuple[Any, str, int]:
    """Imports a runtime.

    Returns:
        What opens its models, its version, and nanoseconds.

    Raises:
        ImportError: It is not installed or does not load.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    name = MODULES[runtime]
    started = time.perf_counter_ns()
    try:
        module = importlib.import_module(name if runtime == "onnxruntime" else name + ".interpreter")
    except OSError as error:  # of a library that was built for another processor
        raise ImportError(str(error)) from error
    elapsed = time.perf_counter_ns() - started
    try:
        version = importlib.metadata.version(PACKAGES[runtime])
    except importlib.metadata.PackageNotFoundError:
        version = getattr(importlib.import_module(name), "__version__", "unknown")
    return module, version, elapsed


def open_model(module: Any, artifact: PlannedArtifact, threads: int) -> Opened:
    """Opens a model and gives it its input.

    Args:
        module: From `import_runtime`.
        artifact: The model.
        threads: Threads of the runtime.

    Raises:
        ValueError: An input of the model has no fixed size or a type that cannot be drawn.
    """
    if artifact.runtime == "onnxruntime":
        return _open_onnx(module, artifact, threads)
    return _open_tflite(module, artifact, threads)


def _open_tflite(module: Any, artifact: PlannedArtifact, threads: int) -> Opened:
    started = time.perf_counter_ns()
    interpreter = module.Interpreter(model_path=artifact.path, num_threads=threads)
    interpreter.allocate_tensors()
    load_ns = time.perf_counter_ns() - started
    for number, detail in enumerate(interpreter.get_input_details()):
        signature = detail.get("shape_signature", detail["shape"])
        shape = [1 if axis == 0 and size < 1 else int(size) for axis, size in enumerate(signature)]
        interpreter.set_tensor(detail["index"], _draw(artifact, number, detail["name"], shape, np.dtype(detail["dtype"]).name))
    first = interpreter.get_output_details()[0]

    def output(_: Any) -> Tuple[Any, float]:
        stored = interpreter.get_tensor(first["index"])
        scales, zero_points = first["quantization_parameters"]["scales"], first["quantization_parameters"]["zero_points"]
        if stored.dtype.kind not in "iu" or len(scales) != 1:
            return stored, 0.0
        return (stored.astype(np.float64) - int(zero_points[0])) * float(scales[0]), float(scales[0])

    return Opened(interpreter.invoke, output, load_ns, "", coverage(interpreter))


def _open_onnx(module: Any, artifact: PlannedArtifact, threads: int) -> Opened:
    options = _onnx_options(module, threads)
    features = int8_features(cpu_flags(read("/proc/cpuinfo") or ""))
    int8 = holds_int8_operators(artifact.path)
    exact = exact_kernels(int8, artifact.reduced_range, platform.machine(), features)
    if exact == "x64quantprecision":
        options.add_session_config_entry("session.x64quantprecision", "1")
    started = time.perf_counter_ns()
    session = module.InferenceSession(artifact.path, options, providers=["CPUExecutionProvider"])
    load_ns = time.perf_counter_ns() - started
    feed, run = _onnx_feed(session, artifact), session.run

    def invoke() -> Any:
        return run(None, feed)

    def open_unoptimised() -> Callable[[Any], Any]:
        plain = _onnx_options(module, threads)
        plain.graph_optimization_level = module.GraphOptimizationLevel.ORT_DISABLE_ALL
        reference = module.InferenceSession(artifact.path, plain, providers=["CPUExecutionProvider"])
        return functools.partial(reference.run, None)

    def against_unoptimised() -> Dict[str, Any]:
        return compare(functools.partial(run, None), open_unoptimised, functools.partial(_onnx_feed, session, artifact))

    return Opened(invoke, lambda outputs: (np.asarray(outputs[0]), 0.0), load_ns, exact, None, against_unoptimised if int8 else None)


def _onnx_options(module: Any, threads: int) -> Any:
    options = module.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = module.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return options


def _onnx_feed(session: Any, artifact: PlannedArtifact, picture: int = 0, moved: bool = False) -> Dict[str, Any]:
    """All inputs; picture 0 is the one that is measured."""
    feed = {}
    for number, node in enumerate(session.get_inputs()):
        shape = [1 if axis == 0 and not isinstance(size, int) else size for axis, size in enumerate(node.shape)]
        feed[node.name] = _draw(artifact, picture * _APART + number, node.name, shape, _onnx_dtype(node.name, node.type), moved)
    return feed


def exact_kernels(holds_int8: bool, reduced_range: bool, machine: str, features: Iterable[str]) -> str:
    """What must be done so that int8 kernels do not saturate.

    Args:
        holds_int8: Whether the model has quantized operators.
        reduced_range: Whether its weights have 7 bits, with which nothing saturates.
        machine: As `platform.machine()` says it.
        features: From `machine.int8_features`.

    Returns:
        Empty where the model is not int8; `native` where the kernels are exact; `x64quantprecision` where ONNX Runtime must be told.
    """
    if not holds_int8:
        return ""
    return "x64quantprecision" if int8_saturates(machine, features) and not reduced_range else "native"


def holds_int8_operators(path: str) -> bool:
    """Whether an ONNX file names a quantized operator; its bytes are searched, nothing is parsed."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(name) >= 0 for name in _INT8_OPERATORS)


def _onnx_dtype(name: str, onnx_type: str) -> str:
    kind = onnx_type[len("tensor(") : -1] if onnx_type.startswith("tensor(") else onnx_type
    dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
    try:
        return np.dtype(dtype).name
    except TypeError:
        raise ValueError("its input %s has the type %s, which cannot be drawn" % (name, onnx_type)) from None


def _draw(artifact: PlannedArtifact, number: int, name: str, shape: List[Any], dtype: str, moved: bool = False) -> Any:
    if any(not isinstance(size, int) or size < 1 for size in shape):
        raise ValueError("its input %s has no fixed size: %s" % (name, shape))
    return probe_input(artifact.seed + number, shape, dtype, artifact.low, artifact.high, artifact.layout or "nhwc", moved)
