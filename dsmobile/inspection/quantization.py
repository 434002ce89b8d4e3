"""How a graph is quantized, in a few words: read from what its convolutions and dense layers compute with, not from the file's name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dsmobile.inspection.graph import Graph, Operator
from dsmobile.inspection.macs import COUNTED, PRODUCTS

_DATA_AND_WEIGHTS = {
    **dict.fromkeys(("TRANSPOSE_CONV", "CONV_3D_TRANSPOSE"), (2, 1)),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "QGemm"), (0, 3)),
}
_INTEGER_OPERATORS = frozenset({"QLinearConv", "QLinearMatMul", "QGemm"})
_DYNAMIC_OPERATORS = frozenset({"ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"})
NO_LAYERS = "no convolution or dense layer"


@dataclass(frozen=True)
class _Side:
    """An operand: the type it is stored or computed in, and whether a dequantization stands between that and the operator."""

    stored: str
    computed: str
    dequantized: bool
    per_channel: bool
    weight: bool


def quantization_of(graphs: Sequence[Graph]) -> str:
    """`float32`, `full int8, per channel (QDQ)`, `dynamic range int8`, or `mixed` with how many operators are what.

    Args:
        graphs: All subgraphs of the file.
    """
    found: Counter[str] = Counter()
    per_channel: set[str] = set()
    for graph in graphs:
        for operator in graph.operators:
            sides = _sides(graph, operator) if operator.kind in COUNTED else None
            if sides is None:
                continue
            label, style = _label(operator, *sides)
            found[label + style] += 1
            if sides[1].per_channel:
                per_channel.add(label + style)
    if not found:
        return NO_LAYERS
    named = [(_with_channels(label, label in per_channel), count) for label, count in found.most_common()]
    if len(named) == 1:
        return named[0][0]
    return "mixed: " + "; ".join(f"{count} {'layer' if count == 1 else 'layers'} {label}" for label, count in named)


def _with_channels(label: str, per_channel: bool) -> str:
    if "int" not in label or label.startswith("integers"):
        return label
    head, bracket, tail = label.partition(" (")
    return f"{head}, {'per channel' if per_channel else 'per tensor'}{bracket}{tail}"


def _sides(graph: Graph, operator: Operator) -> tuple[_Side, _Side] | None:
    """What the operator's data and weights are; None where both are activations, or one was never described."""
    if operator.kind == "MatMulNBits":
        side = _side(graph, operator.inputs[0])
        packed = f"int{operator.attributes['bits']}"
        return (side, _Side(packed, side.computed, True, True, True)) if side else None
    data, weights = _DATA_AND_WEIGHTS.get(operator.kind, (0, 1))
    if max(data, weights) >= len(operator.inputs):
        return None
    first, second = (_side(graph, operator.inputs[place]) for place in (data, weights))
    if first is None or second is None:
        return None
    if operator.kind in PRODUCTS and not (first.weight or second.weight):
        return None
    return (second, first) if first.weight and not second.weight else (first, second)


def _side(graph: Graph, key: str) -> _Side | None:
    """Follows an operand back, through a dequantization, to the type in which its numbers stand."""
    weight = key in graph.constants
    tensor = graph.tensors.get(key)
    if tensor is None:
        return None
    computed = stored = tensor.dtype
    dequantized, scales = False, tensor.scales
    for step, producer in graph.origin(key):
        if dequantized or weight:
            stored = step.dtype or stored
            scales = step.scales or scales
        if (dequantized and not weight) or producer is None:
            break
        dequantized |= producer.kind in ("DequantizeLinear", "DEQUANTIZE", "Cast", "CAST") and (weight or producer.kind.upper() != "CAST")
    return _Side(stored, computed, dequantized, len(scales) > 1, weight)


def _label(operator: Operator, data: _Side, weights: _Side) -> tuple[str, str]:
    """In words, and for ONNX the way of saying it."""
    onnx = operator.kind[1:2].islower()
    held = weights.stored if weights.weight else weights.computed
    if operator.kind in _DYNAMIC_OPERATORS:
        return f"dynamic range {held}", " (QOperator)"
    if operator.kind in _INTEGER_OPERATORS:
        return _full(data.stored, held), " (QOperator)"
    if not _integer(held):
        if held != data.computed and _float(data.computed):
            return f"{held} weights, computed in {data.computed}", ""
        return held or "unknown", ""
    if data.dequantized and _integer(data.stored):
        return _full(data.stored, held), " (QDQ)" if onnx else ""
    if _integer(data.computed):
        return _full(data.computed, held), ""
    if weights.dequantized:
        return f"{held} weights only, computed in {data.computed}", ""
    return f"dynamic range {held}", ""


def _full(data: str, weights: str) -> str:
    return f"full {weights}" if data.removeprefix("u") == weights.removeprefix("u") else f"{data} activations, {weights} weights"


def _integer(dtype: str) -> bool:
    return dtype.removeprefix("u").startswith("int")


def _float(dtype: str) -> bool:
    return "float" in dtype
