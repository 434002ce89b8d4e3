"""Runs a TFLite or ONNX file in this process, for files we trust: real numbers in, real numbers out, whatever integers the file takes."""

from __future__ import annotations

import importlib.util
import os
import platform
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from device_bench.machine import cpu_flags, int8_features, read
from device_bench.runtimes import exact_kernels, holds_int8_operators
from dsmobile.architectures.backend import captured_stderr
from dsmobile.errors import DataError, ModelError
from dsmobile.exporters.artifact import TensorInfo
from dsmobile.exporters.onnx_io import boundary_quantization

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
_UNKNOWN = -1


class Runner(ABC):
    """An open model file.

    Args:
        path: The file.
        runtime: `litert` or `onnxruntime`.
        inputs: The file's inputs; -1 stands for a size that is not fixed, a batch that is not fixed is taken as 1.
        outputs: The file's outputs.
        exact_kernels: What was done so that int8 kernels do not saturate, as `device_bench.runtimes.exact_kernels` says it.
    """

    layout_hint = ""

    def __init__(self, path: Path, runtime: str, inputs: tuple[TensorInfo, ...], outputs: tuple[TensorInfo, ...], exact: str = "") -> None:
        """See the class."""
        self.path, self.runtime, self.inputs, self.outputs, self.exact_kernels = path, runtime, inputs, outputs, exact

    def run(self, x: Array) -> list[Floats]:
        """One inference in real numbers.

        Args:
            x: Real values, shape (1, H, W, C), or the model's own shape where it takes no image.

        Returns:
            One float32 array for each output, dequantized.

        Raises:
            DataError: The shape does not fit, or the values are not finite.
            ModelError: The model has several inputs or takes integers whose scale is unknown, or the runtime refuses it.
        """
        return [dequantize(stored, info) for stored, info in zip(self.run_raw(x), self.outputs, strict=True)]

    def run_raw(self, x: Array) -> list[Array]:
        """One inference; the outputs as the file stores them.

        Args:
            x: As for `run`.
        """
        return self.run_stored(quantize(arrange(x, self.input, self.path.name, self.layout_hint), self.input))

    def run_sample(self, sample: Sequence[Array]) -> list[Floats]:
        """One inference in real numbers on an array for each input, in the file's order; as `run` otherwise."""
        if len(sample) != len(self.inputs):
            raise DataError(f"{self.path} takes {len(self.inputs)} inputs, not {len(sample)}", "give one array for each input")
        stored = [quantize(arrange(x, info, self.path.name, self.layout_hint), info) for x, info in zip(sample, self.inputs, strict=True)]
        return [dequantize(values, info) for values, info in zip(self.run_stored(*stored), self.outputs, strict=True)]

    def run_stored(self, *stored: Array) -> list[Array]:
        """One inference on inputs as the file stores them: its own types and order of axes."""
        try:
            return self._invoke([np.ascontiguousarray(array) for array in stored])
        except (ModelError, DataError):
            raise
        except Exception as error:
            raise ModelError(f"{self.path} cannot be run: {first_line(error)}", "check the file with `dsmobile inspect`") from error

    @property
    def input(self) -> TensorInfo:
        """The only input.

        Raises:
            ModelError: There is another number of inputs.
        """
        if len(self.inputs) != 1:
            raise ModelError(f"{self.path} has {len(self.inputs)} inputs", "give a model with one input")
        return self.inputs[0]

    @abstractmethod
    def _invoke(self, stored: Sequence[Array]) -> list[Array]: ...


def open_runner(
    path: Path,
    *,
    threads: int = 1,
    inputs: tuple[TensorInfo, ...] = (),
    outputs: tuple[TensorInfo, ...] = (),
    layout: str = "",
    reduced_range: bool = False,
    data: bytes | None = None,
) -> Runner:
    """Opens a file that we trust.

    Args:
        path: A `.tflite` or `.onnx` file.
        threads: Threads of the runtime.
        inputs: What the manifest says of the inputs: layout, and the scale and zero point that ONNX does not hold.
        outputs: What the manifest says of the outputs.
        layout: `nhwc` or `nchw`, where a person said it; used where neither the manifest nor the shape of what is given tells.
        reduced_range: Whether the weights have 7 bits, with which no int8 kernel saturates.
        data: What is opened instead of the file's own bytes: the same network with other outputs.

    Raises:
        ModelError: The runtime refuses the file.
    """
    openers: dict[str, Callable[[], Runner]] = {
        ".tflite": lambda: LiteRTRunner(path, threads, data),
        ".lite": lambda: LiteRTRunner(path, threads, data),
        ".onnx": lambda: OnnxRunner(path, threads, reduced_range=reduced_range, data=data),
    }
    opener = openers.get(path.suffix.lower())
    if opener is None:
        raise ModelError(f"{path} cannot be run: its name ends in {path.suffix or 'nothing'}", "give a .tflite or .onnx file")
    try:
        runner = opener()
    except (ModelError, ImportError):
        raise
    except Exception as error:
        raise ModelError(f"{path} cannot be opened: {first_line(error)}", "export or download it again") from error
    runner.inputs = tuple(_with_known(info, inputs) for info in runner.inputs)
    runner.outputs = tuple(_with_known(info, outputs) for info in runner.outputs)
    runner.layout_hint = layout
    return runner


class LiteRTRunner(Runner):
    """A TFLite file in LiteRT's interpreter, with its default delegate (XNNPACK)."""

    def __init__(self, path: Path, threads: int, data: bytes | None = None) -> None:
        """Opens the file, or `data` in its place."""
        from ai_edge_litert.interpreter import Interpreter

        with captured_stderr():  # it announces its delegate there
            self._interpreter = Interpreter(model_path=None if data else str(path), model_content=data, num_threads=threads)
            self._interpreter.allocate_tensors()
        self._details = self._interpreter.get_output_details()
        inputs = self._interpreter.get_input_details()
        super().__init__(path, "litert", tuple(map(_tflite_info, inputs)), tuple(map(_tflite_info, self._details)))

    def _invoke(self, stored: Sequence[Array]) -> list[Array]:
        interpreter = self._interpreter
        details = interpreter.get_input_details()
        resized = [(detail, array) for detail, array in zip(details, stored, strict=True) if tuple(detail["shape"]) != array.shape]
        for detail, array in resized:
            interpreter.resize_tensor_input(detail["index"], array.shape, strict=True)
        if resized:
            interpreter.allocate_tensors()
        for detail, array in zip(details, stored, strict=True):
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        return [interpreter.get_tensor(detail["index"]) for detail in self._details]


class OnnxRunner(Runner):
    """An ONNX file in ONNX Runtime on the CPU, with int8 kernels that do not saturate."""

    def __init__(self, path: Path, threads: int, *, reduced_range: bool = False, data: bytes | None = None) -> None:
        """Opens the file, or `data` in its place."""
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        features = sorted(int8_features(cpu_flags(read("/proc/cpuinfo") or "")))
        exact = exact_kernels(holds_int8_operators(str(path)), reduced_range, platform.machine(), features)
        if exact == "x64quantprecision":
            options.add_session_config_entry("session.x64quantprecision", "1")
        self._session = onnxruntime.InferenceSession(data or str(path), options, providers=["CPUExecutionProvider"])
        inputs, outputs = (tuple(map(_onnx_info, nodes)) for nodes in (self._session.get_inputs(), self._session.get_outputs()))
        if any(np.dtype(info.dtype).kind in "iu" for info in inputs + outputs) and importlib.util.find_spec("onnx"):
            known = boundary_quantization(path)
            inputs, outputs = (tuple(_with_quantization(info, known) for info in infos) for infos in (inputs, outputs))
        super().__init__(path, "onnxruntime", inputs, outputs, exact)

    def _invoke(self, stored: Sequence[Array]) -> list[Array]:
        outputs = self._session.run(None, {info.name: array for info, array in zip(self.inputs, stored, strict=True)})
        if not all(isinstance(output, np.ndarray) for output in outputs):
            raise ModelError(f"{self.path} has outputs that are no tensors", "export the model without the sequence or map at its end")
        return list(outputs)


def arrange(x: Array, info: TensorInfo, name: str, hint: str = "") -> Array:
    """Puts a real-valued input into the file's order of axes.

    Axes of size 1 may come and go, and what has one channel may be flattened: the numbers keep their order.

    Args:
        x: Shape (1, H, W, C), or the model's own shape where it takes no image.
        info: The file's input.
        name: The file's name, for the error.
        hint: `nhwc` or `nchw`, where a person said it; used only where the shape fits both ways.

    Raises:
        DataError: The shape does not fit, or fits both as NHWC and as NCHW.
    """
    if x.ndim != 4 or len(info.shape) != 4:
        if _fits(x.shape, info.shape):
            return x
        one_channel = x.ndim < 4 or x.shape[-1] == 1
        if _UNKNOWN not in info.shape and (_long(x.shape) == _long(info.shape) or (one_channel and info.shape == (1, x.size))):
            return x.reshape(info.shape)
        raise _does_not_fit(x.shape, info, name)
    turned = x.transpose(0, 3, 1, 2)
    as_it_is, as_nchw = _fits(x.shape, info.shape), _fits(turned.shape, info.shape)
    layout = info.layout
    if not layout and as_it_is and as_nchw and x.size > 1:
        layout = hint
        if not layout:
            raise DataError(
                f"{name}: an input of shape {info.shape} could be NHWC or NCHW",
                "for images say it in --preprocess: layout=nhwc or layout=nchw; files of `dsmobile export` say it themselves",
            )
    if as_nchw and (layout == "nchw" or (not layout and not as_it_is)):
        return turned
    if as_it_is and layout != "nchw":
        return x
    raise _does_not_fit(x.shape, info, name)


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _does_not_fit(shape: tuple[int, ...], info: TensorInfo, name: str) -> DataError:
    order = f" ({info.layout.upper()})" if info.layout else ""
    return DataError(
        f"an input of shape {shape} does not fit {name}, which takes {info.shape}{order}",
        "set resize, crop and colour in --preprocess to the model's input, or give data of that shape",
    )


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(b in (_UNKNOWN, a) for a, b in zip(shape, wanted, strict=True))


def quantize(x: Array, info: TensorInfo) -> Array:
    """Real values to what the file stores: round(x / scale) + zero_point, rounded half to even and clipped, in float32.

    Raises:
        DataError: A value is not finite.
        ModelError: The file takes integers whose scale is unknown.
    """
    dtype = np.dtype(info.dtype)
    if dtype.kind == "f":
        return x.astype(dtype, copy=False)
    if dtype.kind not in "iu" or info.scale is None:
        raise ModelError(
            f"the input {info.name} takes {info.dtype}, and nothing says how real numbers become that",
            "export the model with --io float32, or keep the manifest beside the file",
        )
    if not np.isfinite(x).all():
        raise DataError("the input holds values that are not finite", "check the data for NaN and infinity")
    limits = np.iinfo(dtype)
    steps = np.rint(x.astype(np.float32) / np.float32(info.scale)).astype(np.float64) + (info.zero_point or 0)
    stored: Array = np.clip(steps, limits.min, limits.max).astype(dtype)
    return stored


def dequantize(stored: Array, info: TensorInfo) -> Floats:
    """What the file stores to real values: (stored - zero_point) * scale in float32; integers without a scale stay as they are."""
    if info.scale is None or stored.dtype.kind not in "iu":
        return stored.astype(np.float32)
    return (stored.astype(np.int64) - (info.zero_point or 0)).astype(np.float32) * np.float32(info.scale)


def first_line(error: BaseException) -> str:
    """The first line of what a library says, not endlessly long."""
    return next((line.strip()[:300] for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _with_known(info: TensorInfo, known: tuple[TensorInfo, ...]) -> TensorInfo:
    """Adds what the manifest knows of a tensor and the file does not say."""
    match = next((other for other in known if other.name == info.name), None)
    if match is None:
        return info
    if info.scale is None and match.scale is not None:
        info = replace(info, scale=match.scale, zero_point=match.zero_point)
    return replace(info, layout=info.layout or match.layout)


def _with_quantization(info: TensorInfo, known: dict[str, tuple[float, int]]) -> TensorInfo:
    if info.name not in known or np.dtype(info.dtype).kind not in "iu":
        return info
    scale, zero_point = known[info.name]
    return replace(info, scale=scale, zero_point=zero_point)


def _tflite_info(detail: dict[str, Any]) -> TensorInfo:
    signature = [int(size) for size in detail.get("shape_signature", detail["shape"])]
    shape = tuple(1 if axis == 0 and size < 1 else size for axis, size in enumerate(signature))
    quantization = detail["quantization_parameters"]
    scale = zero_point = None
    if len(quantization["scales"]) == 1:
        scale, zero_point = float(quantization["scales"][0]), int(quantization["zero_points"][0])
    return TensorInfo(detail["name"], shape, np.dtype(detail["dtype"]).name, scale, zero_point)


def _onnx_info(node: Any) -> TensorInfo:
    kind = node.type.removeprefix("tensor(").removesuffix(")")
    sizes = [size if isinstance(size, int) and size > 0 else _UNKNOWN for size in node.shape or ()]
    shape = tuple(1 if axis == 0 and size == _UNKNOWN else size for axis, size in enumerate(sizes))
    return TensorInfo(node.name, shape, {"float": "float32", "double": "float64"}.get(kind, kind))
