"""Reads a written file's weights back, layer by layer, and holds them against what was planned: integers, scales and biases, to the bit.

The file is read by other code than wrote it: TFLite through the runtime's own view of its tensors, ONNX through the `onnx` package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.errors import ConversionError
from dsmobile.exporters.folded import Node
from dsmobile.exporters.onnx import dense_orders
from dsmobile.exporters.operators import Dense, Weighted, output_channels
from dsmobile.exporters.plan import Plan

_TFLITE = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
Array = npt.NDArray[Any]
Layer = tuple[Array, Array, Array]  # weights of each output channel, shape (outputs, n); their scales; the biases


def check_weights(data: bytes, file_format: str, plan: Plan) -> str:
    """Compares a file's weights with its plan's.

    Returns:
        A digest of all weights, scales and biases, in an order that is the same for both formats.

    Raises:
        ConversionError: A weight, a scale or a bias differs.
    """
    found = list(_read_tflite(data) if file_format == "tflite" else _read_onnx(data, plan))
    nodes = [node for node in plan.model if isinstance(node.operator, Weighted)]
    if len(found) != len(nodes):
        raise ConversionError(
            f"the {file_format} file holds {len(found)} layers with weights, not {len(nodes)}", "this is a fault in dsmobile: report it"
        )
    digest = hashlib.sha256()
    for node, layer in zip(nodes, found, strict=True):
        for what, ours, theirs in zip(("weights", "scales", "biases"), _planned(plan, node), layer, strict=True):
            if ours.dtype != theirs.dtype or ours.shape != theirs.shape or not np.array_equal(ours, theirs):
                raise ConversionError(
                    f"the {what} of the layer {node.name!r} are not in the {file_format} file as planned", "this is a fault in dsmobile: report it"
                )
            digest.update(np.ascontiguousarray(theirs).tobytes())
    return digest.hexdigest()


def _planned(plan: Plan, node: Node) -> Layer:
    operator = node.operator
    assert isinstance(operator, Weighted)  # noqa: S101
    none = np.zeros(0, np.float32)
    kind = np.float16 if plan.half and node.name not in plan.weights else np.float32
    if node.name not in plan.weights:
        return output_channels(operator).astype(kind), none, operator.bias.astype(kind)
    weights = plan.weights[node.name]
    matrix = output_channels(replace(operator, kernel=weights.integers)).astype(np.int8)
    if node.name in plan.widened:
        return matrix, weights.scales, plan.real_bias(node)
    if node.name not in plan.integer_nodes:
        return matrix, weights.scales, operator.bias.astype(np.float32)
    return matrix, weights.scales, plan.integer_bias(node)[0]


def _read_tflite(data: bytes) -> Iterator[Layer]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from dsmobile.architectures.backend import captured_stderr

    with captured_stderr():
        interpreter = Interpreter(
            model_content=data,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    operations = interpreter._get_ops_details()
    widened = {int(entry["outputs"][0]): int(entry["inputs"][0]) for entry in operations if entry["op_name"] == "DEQUANTIZE"}
    for entry in operations:
        if entry["op_name"] not in _TFLITE:
            continue
        transposed = entry["op_name"] == "TRANSPOSE_CONV"
        kernel_place, bias_place = (
            widened.get(int(index), int(index)) for index in entry["inputs"][1 : 4 if transposed else 3 : 2 if transposed else 1]
        )
        kernel, bias = interpreter.get_tensor(kernel_place), interpreter.get_tensor(bias_place)
        matrix = kernel.reshape(-1, kernel.shape[3]).T if entry["op_name"] == "DEPTHWISE_CONV_2D" else kernel.reshape(kernel.shape[0], -1)
        yield matrix, details[kernel_place]["quantization_parameters"]["scales"], bias.astype(np.int64) if bias.dtype.kind == "i" else bias


def _read_onnx(data: bytes, plan: Plan) -> Iterator[Layer]:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(data).graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    before = {node.output[0]: node for node in graph.node if node.op_type in ("DequantizeLinear", "Cast")}
    orders = dense_orders(plan.model)
    layers = (node for node in plan.model if isinstance(node.operator, Weighted))
    for entry in graph.node:
        if entry.op_type not in ("Conv", "ConvTranspose", "Gemm"):
            continue
        node = next(layers, None)
        stored = [before[name].input[0] if name in before else name for name in entry.input[1:3]]
        kernel, bias = (numpy_helper.to_array(initializers[name]) for name in stored)
        through = before.get(entry.input[1])
        scaled = through is not None and through.op_type == "DequantizeLinear"
        scales = numpy_helper.to_array(initializers[through.input[1]]) if through is not None and scaled else np.zeros(0, np.float32)
        if entry.op_type == "Gemm":
            matrix = kernel.T
            order = orders.get(node.inputs[0]) if node is not None and isinstance(node.operator, Dense) else None
            if order is not None:
                matrix = matrix[:, np.argsort(order)]
        else:
            turned = kernel.transpose(0, 2, 3, 1) if entry.op_type == "Conv" else kernel.transpose(1, 2, 3, 0)
            matrix = turned.reshape(turned.shape[0], -1)
        if node is not None and node.name in plan.widened:
            bias = (bias.astype(np.int64) * numpy_helper.to_array(initializers[before[entry.input[2]].input[1]])).astype(np.float32)
        yield matrix, scales, bias.astype(np.int64) if bias.dtype.kind == "i" else bias
