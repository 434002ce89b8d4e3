"""Files of one matrix, written by hand: scores = input flattened @ weights, in either format, with real numbers or integers at the ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Quantization = tuple[float, int]


def linear_onnx(
    path: Path,
    weights: Floats,
    shape: tuple[int | str, ...],
    *,
    softmax: bool = False,
    ends: tuple[Quantization, Quantization] | None = None,
) -> Path:
    """An ONNX file.

    Args:
        path: Where to write it.
        weights: Shape (inputs, classes).
        shape: Of the input, in the file's own order; a string leaves a size open.
        softmax: Whether the scores pass a softmax.
        ends: Scale and zero point of an int8 input and output.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    stored = TensorProto.INT8 if ends else TensorProto.FLOAT
    constants = [
        numpy_helper.from_array(np.ascontiguousarray(weights, np.float32), "weights"),
        numpy_helper.from_array(np.array([1, -1]), "flat"),
    ]
    nodes = []
    for end, (scale, zero_point) in zip(("in", "out"), ends or (), strict=False):
        constants += [
            numpy_helper.from_array(np.float32(scale).reshape(()), f"{end}_scale"),
            numpy_helper.from_array(np.int8(zero_point).reshape(()), f"{end}_zero"),
        ]
    if ends:
        nodes.append(helper.make_node("DequantizeLinear", ["input", "in_scale", "in_zero"], ["real"]))
    nodes.append(helper.make_node("Reshape", ["real" if ends else "input", "flat"], ["row"]))
    nodes.append(helper.make_node("MatMul", ["row", "weights"], ["scores"]))
    last = "scores"
    if softmax:
        nodes.append(helper.make_node("Softmax", [last], ["probabilities"], axis=-1))
        last = "probabilities"
    nodes.append(
        helper.make_node("QuantizeLinear", [last, "out_scale", "out_zero"], ["output"]) if ends else helper.make_node("Identity", [last], ["output"])
    )
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("input", stored, shape)],
        [helper.make_tensor_value_info("output", stored, (1, weights.shape[1]))],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def linear_tflite(
    path: Path,
    weights: Floats,
    shape: tuple[int, ...],
    *,
    softmax: bool = False,
    beta: float = 1.0,
    ends: tuple[Quantization, Quantization] | None = None,
) -> Path:
    """A TFLite file; `beta` is what its softmax multiplies the scores by, for the other arguments see `linear_onnx`."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as tfl

    model, graph = tfl.ModelT(), tfl.SubGraphT()
    model.version, model.subgraphs = 3, [graph]
    model.buffers = [_buffer(tfl, b""), _buffer(tfl, np.ascontiguousarray(weights.T, np.float32).tobytes())]
    int8, float32 = tfl.TensorType.INT8, tfl.TensorType.FLOAT32
    classes = weights.shape[1]
    graph.tensors = [
        _tensor(tfl, "weights", (classes, weights.shape[0]), float32, 1),
        _tensor(tfl, "real", shape, float32, 0),
        _tensor(tfl, "scores", (1, classes), float32, 0),
    ]
    graph.operators, graph.inputs, graph.outputs, model.operatorCodes = [], [1], [2], []
    if ends:
        graph.tensors += [_tensor(tfl, "input", shape, int8, 0, ends[0]), _tensor(tfl, "output", (1, classes), int8, 0, ends[1])]
        graph.inputs, graph.outputs = [3], [4]
        _operator(tfl, model, graph, tfl.BuiltinOperator.DEQUANTIZE, [3], [1], tfl.BuiltinOptions.DequantizeOptions, tfl.DequantizeOptionsT())
    _operator(
        tfl,
        model,
        graph,
        tfl.BuiltinOperator.FULLY_CONNECTED,
        [1, 0, -1],
        [2],
        tfl.BuiltinOptions.FullyConnectedOptions,
        tfl.FullyConnectedOptionsT(),
    )
    last = 2
    if softmax:
        last = len(graph.tensors)
        graph.tensors.append(_tensor(tfl, "probabilities", (1, classes), float32, 0))
        options = tfl.SoftmaxOptionsT()
        options.beta = beta
        _operator(tfl, model, graph, tfl.BuiltinOperator.SOFTMAX, [2], [last], tfl.BuiltinOptions.SoftmaxOptions, options)
        graph.outputs = graph.outputs if ends else [last]
    if ends:
        _operator(tfl, model, graph, tfl.BuiltinOperator.QUANTIZE, [last], [4], tfl.BuiltinOptions.QuantizeOptions, tfl.QuantizeOptionsT())
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _buffer(tfl: Any, data: bytes) -> Any:
    buffer = tfl.BufferT()
    buffer.data = np.frombuffer(data, np.uint8) if data else None
    return buffer


def _tensor(tfl: Any, name: str, shape: tuple[int, ...], kind: int, buffer: int, quantization: Quantization | None = None) -> Any:
    tensor = tfl.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), list(shape), kind, buffer
    if quantization:
        tensor.quantization = tfl.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [quantization[0]], [quantization[1]]
    return tensor


def _operator(tfl: Any, model: Any, graph: Any, code: int, inputs: list[int], outputs: list[int], options_type: int, options: Any) -> None:
    entry = tfl.OperatorCodeT()
    entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
    operator = tfl.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = len(model.operatorCodes), inputs, outputs
    operator.builtinOptionsType, operator.builtinOptions = options_type, options
    model.operatorCodes.append(entry)
    graph.operators.append(operator)
