"""Decides what a file holds: which nodes compute in integers, how every value is stored, which integers the weights become.

Kernels for integers want some values stored alike: what a pool, a reshape or padding gives is stored as what it takes; what is only concatenated
is stored as the whole; a sigmoid, a softmax and a tanh have fixed scales. Both formats follow the stricter rules, TFLite's, so that they carry the
same integers. Source: the TensorFlow Lite 8-bit quantization specification.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from dsmobile.exporters.folded import FoldedModel, Node
from dsmobile.exporters.operators import (
    Activation,
    Add,
    Concatenate,
    Convolution,
    Crop,
    Dense,
    DepthwiseConvolution,
    GlobalPool,
    Multiply,
    Pad,
    ParametricRelu,
    Pool,
    Reshape,
    Softmax,
    Subtract,
    TransposedConvolution,
    Upsample,
    Weighted,
)
from dsmobile.exporters.plan import Plan, QuantizedWeights, Storage
from dsmobile.exporters.quantization import LARGEST, Range, quantize_slopes, quantize_weights, real_kernel
from dsmobile.exporters.tflite_kernels import FIXED_STORAGE, faster_in_float, has_integer_kernel

_AS_ITS_INPUT = (Pool, Pad, Crop, Upsample, Reshape)
_FUSING = (Convolution, DepthwiseConvolution, TransposedConvolution, Dense, Add, Subtract, Multiply)
_LARGEST = (GlobalPool("max", keeps_map=True), GlobalPool("max", keeps_map=False))
_UNIT = Storage("int8", 1 / 255, -128)


def float_plan(model: FoldedModel, *, half: bool = False) -> Plan:
    """Everything in float32; with `half`, kernels and biases kept in float16."""
    return Plan(model, fused=_fused(model, frozenset()), half=half)


def weights_plan(model: FoldedModel) -> Plan:
    """int8 weights, values in float32."""
    weights = {node.name: quantize_weights(node.operator) for node in model if isinstance(node.operator, Weighted)}
    return with_weights(Plan(model, fused=_fused(model, frozenset())), weights)


def integer_plan(
    model: FoldedModel,
    ranges: dict[str, Range],
    *,
    dtype: str = "int8",
    bound: int = LARGEST,
    wide: Iterable[str] = (),
    everywhere: bool = False,
    wide_logits: bool = False,
) -> Plan:
    """Integer weights, rounded to the nearest, and integer values.

    Args:
        model: The network, lowered.
        ranges: The range of every value.
        dtype: Of the values: `int8`, or `int16`, which TFLite alone has.
        bound: The largest integer of a weight.
        wide: Nodes to leave in float32.
        everywhere: Whether operators that are faster in float32 compute in integers too, for hardware that knows nothing else.
        wide_logits: Whether a dense layer that gives an output of the network gives it in float32.
    """
    left = frozenset(wide)
    integer = frozenset(node.name for node in model if node.name not in left and _computes_in_integers(model, node, dtype, everywhere=everywhere))
    fused = _fused(model, integer)
    # An activation computes as the node that takes it in does.
    integer = (integer - fused) | frozenset(name for name in fused if _before(model, name) in integer)
    widened = frozenset(name for name in model.outputs if wide_logits and name in integer and _gives_logits(model, name))
    plan = Plan(model, integer_nodes=integer - widened, fused=fused, widened=widened)
    plan = replace(plan, storage=_storage(plan, ranges, dtype))
    weights = {
        node.name: quantize_weights(node.operator, plan.storage[node.inputs[0]].scale, bound)
        for node in model
        if node.name in integer and isinstance(node.operator, Weighted)  # widened or not
    }
    weights |= {node.name: quantize_slopes(node.operator) for node in model if node.name in integer and isinstance(node.operator, ParametricRelu)}
    return with_weights(plan, weights)


def with_weights(plan: Plan, weights: dict[str, QuantizedWeights]) -> Plan:
    """The plan with these integers, and with the kernels that they stand for."""
    nodes = []
    for node in plan.model:
        if node.name in weights and isinstance(node.operator, Weighted):
            node = replace(node, operator=replace(node.operator, kernel=real_kernel(node.operator, weights[node.name])))
        elif node.name in weights and isinstance(node.operator, ParametricRelu):
            node = replace(node, operator=ParametricRelu(weights[node.name].integers * weights[node.name].scales))
        nodes.append(node)
    return replace(plan, model=replace(plan.model, nodes=tuple(nodes)), weights=weights)


def _before(model: FoldedModel, name: str) -> str:
    node = model.node(name)
    return node.inputs[0] if node else ""


def _computes_in_integers(model: FoldedModel, node: Node, dtype: str, *, everywhere: bool) -> bool:
    operator = node.operator
    if not has_integer_kernel(operator, dtype):
        return False
    if isinstance(operator, Softmax) and node.name not in model.outputs:
        return False  # in the middle of a network its 256 levels lose more than they save
    return everywhere or dtype != "int8" or not faster_in_float(operator)


def _fused(model: FoldedModel, integer: frozenset[str]) -> frozenset[str]:
    """The activations that the node before them takes in: the only reader of a convolution, a dense layer or a sum of the same precision."""
    found = set()
    for node in model:
        before = model.node(node.inputs[0])
        if not isinstance(node.operator, Activation) or before is None or not isinstance(before.operator, _FUSING):
            continue
        kinds: tuple[str, ...] = ("relu", "relu6", "unit", "relu_limit") if before.name in integer else ("relu", "relu6")
        if (
            node.operator.kind in kinds
            and model.sole_reader(before.name) is node
            and not (isinstance(before.operator, TransposedConvolution) and before.name not in integer)
        ):
            found.add(node.name)
    return frozenset(found)


def _storage(plan: Plan, ranges: dict[str, Range], dtype: str) -> dict[str, Storage]:
    """How every value is stored that an integer node takes or gives, and the network's inputs and outputs where they are integers."""
    model = plan.model
    whole = _joined(plan, ranges)
    found: dict[str, Storage] = {value.name: whole[value.name].storage(dtype) for value in model.inputs}
    for node in model:
        operator = node.operator
        if isinstance(operator, _AS_ITS_INPUT) or operator in _LARGEST:
            found[node.name] = found[node.inputs[0]]
        elif isinstance(operator, Softmax):
            found[node.name] = FIXED_STORAGE["softmax"][dtype]
        elif isinstance(operator, Activation) and operator.kind in FIXED_STORAGE:
            found[node.name] = FIXED_STORAGE[operator.kind][dtype]
        elif operator == Activation("unit") and dtype == "int8":
            found[node.name] = _UNIT
        else:
            found[node.name] = whole[node.name].storage(dtype)
    fused_away = {node.name for node in model if plan.fused_activation(node)}
    needed = {value.name for value in model.inputs} | set(model.outputs)  # that the file's ends may be integers
    for node in model:
        if node.name in plan.integer_nodes | plan.widened:
            needed |= {node.name, *node.inputs}
    return {name: storage for name, storage in found.items() if name in needed - fused_away}


def _joined(plan: Plan, ranges: dict[str, Range]) -> dict[str, Range]:
    """The ranges, with what is only concatenated stored as the whole."""
    model, joined = plan.model, dict(ranges)
    for node in reversed(model.nodes):
        if not isinstance(node.operator, Concatenate) or node.name not in plan.integer_nodes:
            continue
        for name in node.inputs:
            joined[node.name] = joined[node.name] | ranges[name]
        for name in node.inputs:
            given = model.node(name)
            if given is not None and model.sole_reader(name) is node and not isinstance(given.operator, (Activation, Softmax)):
                joined[name] = joined[node.name]
            if given is not None and given.name in plan.fused and model.sole_reader(name) is node and _clips_at_zero(given, joined[node.name]):
                joined[name] = joined[node.name]
    return joined


def _clips_at_zero(node: Node, extent: Range) -> bool:
    """Whether storing with this range still ends where a fused activation clips."""
    operator = node.operator
    assert isinstance(operator, Activation)  # noqa: S101
    return extent.low >= 0.0 and (operator.kind == "relu" or (operator.kind == "relu6" and extent.high <= 6.0))


def _gives_logits(model: FoldedModel, name: str) -> bool:
    """Whether a value comes from a dense layer with an integer kernel, and nothing else reads it."""
    node = model.node(name)
    return node is not None and isinstance(node.operator, Dense) and not model.consumers(name)


def describe(plan: Plan) -> dict[str, Any]:
    """What a manifest says of a plan: how many layers compute in integers, which do not."""
    layers = [node.name for node in plan.model if isinstance(node.operator, Weighted)]
    return {
        "layers": len(layers),
        "integer_layers": sum(name in plan.integer_nodes for name in layers),
        "float_layers": [name for name in layers if name not in plan.integer_nodes | plan.widened],
        "float_outputs": [name for name in layers if name in plan.widened],
    }
