"""Which of a graph's stored numbers are parameters, and in which type they are stored.

A parameter is a number of a constant tensor that an operator reads as weights, bias, factor or table: real, or an integer that stands for a real
number. Not parameters: shapes, indices and axes; scales and zero points of a quantization; single numbers in element-wise operators, such as the
6 of a ReLU6. What several operators or subgraphs share counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from dsmobile.inspection.facts import Precision
from dsmobile.inspection.graph import Graph, Operator, Tensor

# Which inputs are weights, whatever their type and number of elements.
_WEIGHTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "CONV_3D"), (1, 2)),
    **dict.fromkeys(("TRANSPOSE_CONV", "CONV_3D_TRANSPOSE"), (1, 3)),
    **dict.fromkeys(("Conv", "ConvTranspose", "FusedConv", "Gemm", "FusedGemm", "LayerNormalization", "InstanceNormalization"), (1, 2)),
    **dict.fromkeys(("ConvInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "PRelu"), (1,)),
    "MatMulInteger": (0, 1),
    "QLinearConv": (3, 8),
    "QGemm": (3, 6),
    "QLinearMatMul": (0, 3),
    "BatchNormalization": (1, 2, 3, 4),
    "MatMulNBits": (1,),
}
# Which inputs say how, not what: scales, zero points, sizes, limits, thresholds.
_SETTINGS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), (1, 2)),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul"), (1, 2, 4, 5, 6, 7)),
    "QGemm": (1, 2, 4, 5, 7, 8),
    **dict.fromkeys(("QLinearGlobalAveragePool", "QLinearAveragePool", "QLinearSigmoid", "QLinearSoftmax", "QLinearLeakyRelu"), (1, 2, 3, 4)),
    **dict.fromkeys(("ConvInteger", "MatMulInteger", "MatMulNBits", "OneHot", "ONE_HOT"), (2, 3)),
    **dict.fromkeys(("DynamicQuantizeMatMul", "MatMulIntegerToFloat", "NonMaxSuppression"), (2, 3, 4, 5)),
    **dict.fromkeys(("Resize", "Clip", "Pad"), (1, 2, 3)),
    **dict.fromkeys(("Upsample", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5"), (1, 2, 3, 4, 5)),
    "Range": (0, 1, 2),
}


def weights_of(graphs: Sequence[Graph]) -> dict[str, Precision]:
    """Parameters by the type in which they are stored, the commonest first.

    Args:
        graphs: All subgraphs of the file.
    """
    found: dict[str, tuple[str, int, int]] = {}
    for graph in graphs:
        for operator in graph.operators:
            for index, key in enumerate(operator.inputs):
                tensor = graph.tensors.get(key)
                if tensor is not None and (tensor.stored or _is_filled(graph, key)) and _is_weight(operator, index, tensor):
                    found[tensor.key] = (*_numbers(operator, index, tensor), tensor.size_bytes)
    by_type: dict[str, Precision] = {}
    for dtype, count, size_bytes in found.values():
        before = by_type.get(dtype, Precision(0, 0))
        by_type[dtype] = Precision(before.parameters + count, before.size_bytes + size_bytes)
    return dict(sorted(by_type.items(), key=lambda entry: -entry[1].parameters))


def _is_filled(graph: Graph, key: str) -> bool:
    """Whether the numbers are one value repeated, which the file says in a word instead of storing them: stand-ins for weights."""
    producer = graph.producers.get(key)
    return producer is not None and producer.kind == "ConstantOfShape" and key in graph.constants


def _is_weight(operator: Operator, index: int, tensor: Tensor) -> bool:
    if index in _SETTINGS.get(operator.kind, ()):
        return False
    if index in _WEIGHTS.get(operator.kind, ()):
        return True
    if operator.kind in ("DequantizeLinear", "DEQUANTIZE"):
        return True
    real = "float" in tensor.dtype or bool(tensor.scales)
    return real and _elements(tensor) > 1


def _elements(tensor: Tensor) -> int:
    return prod(size or 0 for size in tensor.shape or ())


def _numbers(operator: Operator, index: int, tensor: Tensor) -> tuple[str, int]:
    """The type and number of what a tensor stands for: several small integers may be packed into a byte."""
    if operator.kind == "MatMulNBits" and index == 1:
        return f"int{operator.attributes['bits']}", int(operator.attributes["K"]) * int(operator.attributes["N"])
    return tensor.dtype, _elements(tensor)
