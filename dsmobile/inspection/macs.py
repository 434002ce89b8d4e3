"""Multiply-accumulates of a TFLite or ONNX graph, as `models show` counts a network's.

Convolutions count whatever their weights are. A dense layer or matrix product counts where one of its two operands is constant, thus weights;
products of two activations, as in attention, are left out and named. Bias, normalization, activations, pooling and resizing are not MACs.
A batch that is not fixed is 1; one that is fixed counts as it is. What runs an unknown number of times, and what we do not know, is named,
never taken for zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import prod

from dsmobile.inspection.facts import Macs, Uncounted
from dsmobile.inspection.graph import Graph, Operator

_SHAPE = "the sizes of what it reads or writes are not fixed or not said"
_OWN = "an operator that is not of the format: what it computes is not known"
_TIMES = "how often its body runs is not known"
_RULE = "no rule for it: MACs here are those of convolutions and dense layers"
_ACTIVATIONS = "a product of two activations, not of weights"

_NOT_YET = Macs(0)
_Known = dict[tuple[int, frozenset[str]], Macs | None]
_LOOPS = frozenset({"WHILE", "STABLEHLO_WHILE", "Loop", "Scan", "SequenceMap"})
_UNKNOWN = frozenset(
    """LSTM RNN UNIDIRECTIONAL_SEQUENCE_LSTM UNIDIRECTIONAL_SEQUENCE_RNN BIDIRECTIONAL_SEQUENCE_LSTM BIDIRECTIONAL_SEQUENCE_RNN DELEGATE
    STABLEHLO_CONVOLUTION STABLEHLO_DOT_GENERAL STABLEHLO_CUSTOM_CALL STABLEHLO_CASE PLACEHOLDER_FOR_GREATER_OP_CODES
    GRU Einsum Attention FlexAttention LinearAttention LinearClassifier LinearRegressor SVMClassifier SVMRegressor""".split()
)
_CUSTOM_WITHOUT_MACS = frozenset(
    """TFLite_Detection_PostProcess MaxPoolingWithArgmax2D MaxUnpooling2D Landmarks2TransformMatrix TransformTensorBilinear TransformLandmarks
    FlexErf FlexErfc FlexExp FlexSoftplus FlexSize FlexRound FlexIdentity FlexDecodeJpeg FlexSplitV FlexAddV2 FlexMul FlexSub FlexRealDiv
    FlexStridedSlice FlexConcatV2 FlexRegexReplace FlexUnique FlexSign FlexTanh FlexSigmoid FlexRelu FlexCumsum FlexTile FlexPad
    QLinearAdd QLinearMul QLinearSigmoid QLinearLeakyRelu QLinearSoftmax QLinearGlobalAveragePool QLinearAveragePool QLinearConcat QLinearReduceMean
    QLinearWhere QuantizeLinear DequantizeLinear Gelu FastGelu BiasGelu QuickGelu SkipLayerNormalization SkipSimplifiedLayerNormalization
    SimplifiedLayerNormalization LayerNormalization EmbedLayerNormalization BiasSoftmax BiasAdd BiasSplitGelu GroupNorm SkipGroupNorm RotaryEmbedding
    NhwcMaxPool Pad Trilu GatherND Unique Tokenizer Inverse Range""".split()
)


class _UnknownShapeError(Exception):
    """A size is not known."""


def count_macs(graphs: Sequence[Graph], entry: int = 0) -> Macs:
    """Counts one run of a graph and of the graphs that it runs.

    Args:
        graphs: All subgraphs of the file.
        entry: Which of them is run.
    """
    return _count(graphs, entry, frozenset(), {})


def _count(graphs: Sequence[Graph], entry: int, given: frozenset[str], known: _Known) -> Macs:
    """Args as above; `given` names inputs that are constants; `known` holds what was counted already, and None for what is just being counted."""
    if not 0 <= entry < len(graphs) or known.get((entry, given), _NOT_YET) is None:
        return Macs(0, (Uncounted("subgraph", 1, "it runs itself, or does not exist"),))
    if (entry, given) not in known:
        known[entry, given] = None
        known[entry, given] = _count_graph(graphs, entry, given, known)
    return known[entry, given] or _NOT_YET


def _count_graph(graphs: Sequence[Graph], entry: int, given: frozenset[str], known: _Known) -> Macs:
    total, unknown, left_out = 0, Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    graph = graphs[entry]
    constants = graph.constants_with(given)
    for operator in graph.operators:
        kind = operator.kind
        if operator.inputs and operator.outputs and all(key in constants for key in operator.outputs if key):
            continue  # computed once, before any inference
        if operator.bodies:
            found = _of_bodies(
                operator,
                {role: _count(graphs, number, _given(graphs, operator, number, constants), known) for role, number in operator.bodies.items()},
            )
            total += found.count
            for tally, entries in ((unknown, found.unknown), (left_out, found.left_out)):
                for uncounted in entries:
                    tally[uncounted.operator, uncounted.reason] += uncounted.count
            continue
        rule = _RULES.get(kind)
        if rule is not None and _weighs_nothing(operator, constants):
            left_out[kind, _ACTIVATIONS] += 1
        elif rule is not None:
            try:
                total += rule(graph, operator)
            except (_UnknownShapeError, IndexError):
                unknown[kind, _SHAPE] += 1
        elif operator.domain and kind not in _CUSTOM_WITHOUT_MACS and operator.domain != "ai.onnx.ml":
            unknown[kind, _OWN] += 1
        elif kind in _UNKNOWN:
            unknown[kind, _RULE] += 1
    return Macs(total, *(tuple(Uncounted(kind, times, reason) for (kind, reason), times in tally.items()) for tally in (unknown, left_out)))


def _of_bodies(operator: Operator, bodies: dict[str, Macs]) -> Macs:
    """What an operator costs that runs other graphs: called once, one of two branches, or again and again."""
    left_out = tuple(entry for body in bodies.values() for entry in body.left_out)
    unknown = tuple(entry for body in bodies.values() for entry in body.unknown)
    counts = [body.count for body in bodies.values()]
    if operator.kind == "CALL_ONCE":
        return Macs(0)
    if operator.kind in _LOOPS:
        return Macs(0, (Uncounted(operator.kind, 1, _TIMES),) if any(counts) or unknown else (), left_out)
    if operator.kind in ("IF", "If", "STABLEHLO_CASE"):
        uneven = (Uncounted(operator.kind, 1, f"its branches cost from {min(counts):,} to {max(counts):,}"),) if len(set(counts)) > 1 else ()
        return Macs(min(counts), uneven + unknown, left_out)
    return Macs(sum(counts), unknown, left_out)


def _given(graphs: Sequence[Graph], operator: Operator, number: int, constants: frozenset[str]) -> frozenset[str]:
    """Which inputs of a graph are constants where an operator runs it; TFLite hands weights down so, ONNX by their name."""
    if operator.kind not in ("IF", "CALL", "STABLEHLO_COMPOSITE", *_LOOPS) or not 0 <= number < len(graphs):
        return frozenset()
    handed = operator.inputs[1:] if operator.kind == "IF" else operator.inputs
    body = graphs[number]
    places = [place for place, key in enumerate(handed) if key in constants and place < len(body.inputs)]
    if operator.kind in _LOOPS:  # what the body gives back changed is no constant in the next round
        places = [place for place in places if body.outputs[place : place + 1] == body.inputs[place : place + 1]]
    return frozenset(body.inputs[place] for place in places)


def _weighs_nothing(operator: Operator, constants: frozenset[str]) -> bool:
    """Whether a matrix product has no constant operand."""
    places = PRODUCTS.get(operator.kind)
    if places is None:
        return False
    return not any(index < len(operator.inputs) and operator.inputs[index] in constants for index in places)


def _sizes(graph: Graph, key: str) -> tuple[int, ...]:
    tensor = graph.tensors.get(key)
    if tensor is None or tensor.shape is None:
        raise _UnknownShapeError
    sizes = tuple(1 if size is None and axis == 0 else size for axis, size in enumerate(tensor.shape))
    known = tuple(size for size in sizes if size is not None and size > 0)
    if len(known) < len(sizes):
        raise _UnknownShapeError
    return known


def _filter(first: int, weights: int = 1) -> Callable[[Graph, Operator], int]:
    """A convolution: each output is a sum over its weights' axes from `first` on."""

    def macs(graph: Graph, operator: Operator) -> int:
        shape = _sizes(graph, operator.inputs[weights])
        if len(shape) < 3:
            raise _UnknownShapeError
        return _positive(_sizes(graph, operator.outputs[0])) * prod(shape[first:])

    return macs


def _spread(data: int, axes: slice) -> Callable[[Graph, Operator], int]:
    """A transposed convolution: each input is multiplied with its weights' `axes`."""

    def macs(graph: Graph, operator: Operator) -> int:
        shape = _sizes(graph, operator.inputs[1])
        if len(shape) < 3:
            raise _UnknownShapeError
        return _positive(_sizes(graph, operator.inputs[data])) * prod(shape[axes])

    return macs


def _positive(shape: tuple[int, ...]) -> int:
    """Elements of what has at least three axes: a scalar here is a shape that was never written down."""
    if len(shape) < 3:
        raise _UnknownShapeError
    return prod(shape)


def _depthwise(graph: Graph, operator: Operator) -> int:
    shape = _sizes(graph, operator.inputs[1])
    return _positive(_sizes(graph, operator.outputs[0])) * prod(shape[1:3])


def _conv_3d(graph: Graph, operator: Operator) -> int:
    return _positive(_sizes(graph, operator.outputs[0])) * prod(_sizes(graph, operator.inputs[1])[:4])


def _fully_connected(graph: Graph, operator: Operator) -> int:
    units, width = _sizes(graph, operator.inputs[1])
    elements = prod(_sizes(graph, operator.inputs[0]))
    if elements % width:
        raise _UnknownShapeError
    return elements * units


def _svdf(graph: Graph, operator: Operator) -> int:
    """A dense layer of rank one in time (arXiv:1812.02802): its features, then their filter over the frames kept."""
    batch = _sizes(graph, operator.inputs[0])[0]
    return batch * sum(prod(_sizes(graph, operator.inputs[index])) for index in (1, 2))


def _product(left: int, right: int, turned_left: str = "", turned_right: str = "") -> Callable[[Graph, Operator], int]:
    """A matrix product: each output is a sum over the axis that both sides share."""

    def macs(graph: Graph, operator: Operator) -> int:
        try:
            shape, turned, inner = _sizes(graph, operator.inputs[left]), operator.attributes.get(turned_left), -1
        except _UnknownShapeError:
            shape, turned, inner = _sizes(graph, operator.inputs[right]), operator.attributes.get(turned_right), -2
        if len(shape) == 1:
            inner = -1
        elif turned:
            inner = -3 - inner
        return prod(_sizes(graph, operator.outputs[0])) * shape[inner]

    return macs


def _packed_product(graph: Graph, operator: Operator) -> int:
    return prod(_sizes(graph, operator.outputs[0])) * int(operator.attributes["K"])


_Rule = Callable[[Graph, Operator], int]
_RULES: dict[str, _Rule] = {
    "CONV_2D": _filter(1),
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _spread(2, slice(0, 3)),
    "CONV_3D": _conv_3d,
    "CONV_3D_TRANSPOSE": _spread(2, slice(0, 4)),
    "Convolution2DTransposeBias": _spread(0, slice(0, 3)),
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _product(0, 1, "adj_x", "adj_y"),
    "SVDF": _svdf,
    **dict.fromkeys(("Conv", "ConvInteger", "FusedConv", "DeformConv", "NhwcFusedConv"), _filter(1)),
    "QLinearConv": _filter(1, weights=3),
    "ConvTranspose": _spread(0, slice(1, None)),
    **dict.fromkeys(("MatMul", "MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"), _product(0, 1)),
    **dict.fromkeys(("Gemm", "FusedGemm", "FusedMatMul"), _product(0, 1, "transA", "transB")),
    "QLinearMatMul": _product(0, 3),
    "QGemm": _product(0, 3, "transA", "transB"),
    "MatMulNBits": _packed_product,
}
PRODUCTS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("FULLY_CONNECTED", "BATCH_MATMUL", "MatMul", "MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"), (0, 1)),
    **dict.fromkeys(("Gemm", "FusedGemm", "FusedMatMul"), (0, 1)),
    **dict.fromkeys(("QLinearMatMul", "QGemm"), (0, 3)),
}
COUNTED = frozenset(_RULES)
