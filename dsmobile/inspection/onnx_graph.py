"""ONNX's graphs, nested ones too, as `dsmobile.inspection.graph` has them."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping
from math import prod
from typing import Any

from dsmobile.inspection.graph import Graph, Operator, Tensor

# Where the scale and zero point of an operand stand among an operator's inputs: (operand, scale, zero point); -1 is the output.
_QUANTIZED: dict[str, tuple[tuple[int, int, int], ...]] = {
    "QuantizeLinear": ((-1, 1, 2),),
    "DequantizeLinear": ((0, 1, 2),),
    "QLinearConv": ((0, 1, 2), (3, 4, 5), (-1, 6, 7)),
    "QLinearMatMul": ((0, 1, 2), (3, 4, 5), (-1, 6, 7)),
    "QLinearAdd": ((0, 1, 2), (3, 4, 5), (-1, 6, 7)),
    "QLinearMul": ((0, 1, 2), (3, 4, 5), (-1, 6, 7)),
    "QGemm": ((0, 1, 2), (3, 4, 5), (-1, 7, 8)),
    **dict.fromkeys(("QLinearGlobalAveragePool", "QLinearAveragePool", "QLinearSigmoid", "QLinearSoftmax"), ((0, 1, 2), (-1, 3, 4))),
    **dict.fromkeys(("DynamicQuantizeMatMul",), ((1, 2, 3),)),
    **dict.fromkeys(("MatMulIntegerToFloat",), ((1, 3, 5),)),
}
STANDARD = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "ai.onnx.preview", "ai.onnx.training")
VENDORS = ("com.microsoft", "com.microsoft.nchwc", "com.microsoft.experimental", "com.ms.internal.nhwc", "com.microsoft.dml")
SMALL = 8192
"""Elements of the largest tensor whose numbers are looked at: a scale for each channel, the sizes of a reshape."""
_ATTRIBUTES = ("transA", "transB", "K", "N", "bits")
_BITS = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2, "float4e2m1": 4, "bool": 8, "string": 0}
_WIDTHS = (("64", 64), ("32", 32), ("16", 16), ("8", 8))


_Tensors = MutableMapping[str, Tensor]


class GraphReader:
    """Collects the graphs of a model, the main one first.

    Attributes:
        graphs: What was read.
    """

    def __init__(self) -> None:
        self.graphs: list[Graph] = []

    def read(self, graph: Any, outer: _Tensors | None = None) -> int:
        """Reads a GraphProto, and those within its operators.

        Args:
            graph: The graph.
            outer: Tensors of the graph around it.

        Returns:
            Its number in `graphs`.
        """
        number = len(self.graphs)
        self.graphs.append(Graph((), (), {}, ()))
        own: dict[str, Tensor] = {}
        for value in (*graph.input, *graph.value_info, *graph.output):
            own[value.name] = _described(value, f"{number}:{value.name}")
        for tensor, name in _stored_tensors(graph):
            own[name] = _stored(tensor, name, f"stored {number}:{name}")
        for node in graph.node:
            for name in node.output:
                if name and name not in own:
                    own[name] = Tensor(f"{number}:{name}", name, None, "")
        values = {name: tensor for tensor, name in _stored_tensors(graph) if prod(tensor.dims) <= SMALL}
        for node in graph.node:
            _add_quantization(node, own, values)
        tensors: _Tensors = ChainMap(own, outer) if outer is not None else own
        operators = tuple(self._operator(node, tensors) for node in graph.node)
        self.graphs[number] = Graph(tuple(value.name for value in graph.input), tuple(value.name for value in graph.output), tensors, operators)
        return number

    def _operator(self, node: Any, tensors: _Tensors) -> Operator:
        attributes = {entry.name: entry.i for entry in node.attribute if entry.name in _ATTRIBUTES}
        bodies = {entry.name: self.read(entry.g, tensors) for entry in node.attribute if entry.HasField("g")}
        domain = "" if node.domain == "ai.onnx" else node.domain
        return Operator(called(node), tuple(node.input), tuple(node.output), domain, attributes, bodies)


def called(node: Any) -> str:
    """A node's kind, after its domain where neither ONNX nor ONNX Runtime defines it."""
    return str(node.op_type) if node.domain in STANDARD or node.domain in VENDORS else f"{node.domain}::{node.op_type}"


def tensors_of(graph: Any) -> Iterator[Any]:
    """Every TensorProto that a graph stores, nested graphs included."""
    yield from graph.initializer
    for node in graph.node:
        for entry in node.attribute:
            if entry.HasField("t"):
                yield entry.t
            if entry.HasField("g"):
                yield from tensors_of(entry.g)


def dtype_name(number: int) -> str:
    """numpy's name of an ONNX element type, where it has one."""
    import onnx

    try:
        name = str(onnx.TensorProto.DataType.Name(number)).lower()
    except ValueError:
        return f"type {number}"
    return {"float": "float32", "double": "float64"}.get(name, name)


def sizes_of(tensor_type: Any) -> tuple[int | None, ...] | None:
    """The sizes of a TypeProto.Tensor; None for each that is not fixed, None where their number is not said."""
    if not tensor_type.HasField("shape"):
        return None
    return tuple(size.dim_value if size.HasField("dim_value") and size.dim_value > 0 else None for size in tensor_type.shape.dim)


def _stored_tensors(graph: Any) -> Iterator[tuple[Any, str]]:
    for tensor in graph.initializer:
        yield tensor, tensor.name
    for sparse in graph.sparse_initializer:
        yield sparse.values, sparse.values.name
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            for entry in node.attribute:
                if entry.name == "value":
                    yield entry.t, node.output[0]
                elif entry.name in ("value_float", "value_floats", "value_int", "value_ints"):
                    yield _as_tensor(entry), node.output[0]


def _as_tensor(entry: Any) -> Any:
    from onnx import TensorProto

    tensor = TensorProto(data_type=TensorProto.FLOAT if "float" in entry.name else TensorProto.INT64)
    if entry.name.endswith("s"):
        tensor.dims.append(len(entry.floats) or len(entry.ints))
    tensor.float_data.extend(entry.floats or ([entry.f] if entry.name == "value_float" else []))
    tensor.int64_data.extend(entry.ints or ([entry.i] if entry.name == "value_int" else []))
    return tensor


def _described(value: Any, key: str) -> Tensor:
    if value.type.WhichOneof("value") != "tensor_type":
        return Tensor(key, value.name, None, "")
    return Tensor(key, value.name, sizes_of(value.type.tensor_type), dtype_name(value.type.tensor_type.elem_type))


def _stored(tensor: Any, name: str, key: str) -> Tensor:
    dtype = dtype_name(tensor.data_type)
    bits = _BITS.get(dtype) or next((width for digits, width in _WIDTHS if digits in dtype), 8)
    return Tensor(key, name, tuple(tensor.dims), dtype, True, size_bytes=(prod(tensor.dims) * bits + 7) // 8)


def _add_quantization(node: Any, tensors: dict[str, Tensor], values: Mapping[str, Any]) -> None:
    """Gives each quantized operand of a node its scale and zero point, where those are constants."""
    for operand, scale, zero_point in _QUANTIZED.get(node.op_type, ()):
        name = (node.output[0] if node.output else "") if operand < 0 else (node.input[operand] if operand < len(node.input) else "")
        if name not in tensors or scale >= len(node.input) or node.input[scale] not in values:
            continue
        scales = _numbers(values[node.input[scale]])
        given = zero_point < len(node.input) and node.input[zero_point]
        if given and node.input[zero_point] not in values:
            continue
        zeros = tuple(int(number) for number in _numbers(values[node.input[zero_point]])) if given else (0,) * len(scales)
        before = tensors[name]
        dtype = dtype_name(values[node.input[zero_point]].data_type) if given and not before.stored else before.dtype
        tensors[name] = Tensor(before.key, before.name, before.shape, dtype, before.stored, scales, zeros, before.size_bytes)


def _numbers(tensor: Any) -> tuple[float, ...]:
    """A small stored tensor's numbers; none where they lie in another file or are damaged."""
    from onnx import numpy_helper

    if tensor.data_location == tensor.EXTERNAL:
        return ()
    try:
        return tuple(float(number) for number in numpy_helper.to_array(tensor).reshape(-1))
    except (ValueError, TypeError):
        return ()
