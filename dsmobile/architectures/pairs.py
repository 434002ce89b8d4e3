"""Which depthwise convolution belongs to which pointwise one, and what the pair costs against one standard convolution.

Walk the graph in order; every depthwise convolution is replaced once, every pointwise used at most once; batch normalization, padding
and activations may stand between.

(a) fused: the pointwise after it is a linear bottleneck and an unused pointwise stands directly before it: expansion and depthwise become
    one K x K convolution, as in Fused-MBConv. Separable over standard MACs: s^2/K^2 + 1/M (M inputs of the expansion, stride s).
    Worked: K = 3, s = 1, M = 24, a 56 x 56 map, 144 channels: (24 * 144 + 9 * 144) * 3136 against 9 * 24 * 144 * 3136 = 1/9 + 1/24 = 0.1528.
(b) merged: else, with the unused pointwise directly after it: 1/N + 1/K^2 (N outputs). A `SeparableConv` layer is always (b).
    Worked: K = 3, N = 1024, M = 1024, 7 x 7: (9 * 1024 + 1024 * 1024) * 49 against 9 * 1024 * 1024 * 49 = 1/1024 + 1/9 = 0.1121.
(c) unpaired: else, a squeeze-excite in between or nothing to pair with: a full K x K convolution of its own width: 1/M.
    Worked: K = 3, M = 16, 56 x 56: 9 * 16 * 3136 against 9 * 16 * 16 * 3136 = 1/16 = 0.0625.

Source of the ratio of (b): MobileNets, arXiv:1704.04861, section 3.1; of (a): EfficientNet-EdgeTPU's Fused-MBConv, arXiv:2104.00298, section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from dsmobile.architectures.cost import call_macs
from dsmobile.architectures.graph import Call, Graph

_ACTIVATIONS = frozenset({"Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Relu", "Relu6", "Silu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh"})
_PADDING = frozenset({"ZeroPadding2D", "ZeroPadding1D"})
_PASSED = _ACTIVATIONS | _PADDING | {"BatchNormalization", "Dropout"}
DEPTHWISE = frozenset({"DepthwiseConv2D", "DepthwiseConv1D"})
SEPARABLE = frozenset({"SeparableConv2D", "SeparableConv1D"})


@dataclass(frozen=True)
class Pair:
    """One depthwise convolution and what it is replaced with.

    Args:
        name: The depthwise layer's name.
        rule: `fused`, `merged` or `unpaired`.
        depthwise: Its call.
        pointwise: The call of the pointwise that goes with it: the expansion for `fused`, the one after it for `merged`.
        between: The calls between the two.
        separable_macs: Of the two.
        standard_macs: Of the convolution that replaces them.
        separable_parameters: Kernels of the two.
        standard_parameters: Kernel of the convolution that replaces them.
        formula: The ratio in letters and numbers.
        formula_ratio: The ratio by the formula.
    """

    name: str
    rule: str
    depthwise: Call
    pointwise: Call | None
    between: tuple[Call, ...]
    separable_macs: int
    standard_macs: int
    separable_parameters: int
    standard_parameters: int
    formula: str
    formula_ratio: float

    @property
    def ratio(self) -> float:
        """Separable over standard MACs, by count."""
        return self.separable_macs / self.standard_macs

    @property
    def linear(self) -> bool:
        """Whether nothing non-linear stands between the two of a merged pair, so that one kernel computes the same."""
        if self.rule != "merged":
            return False
        inner = self.depthwise.kind in SEPARABLE or is_linear(self.depthwise.layer)
        return inner and all(call.kind in ("BatchNormalization", "Dropout") or _passes(call) for call in self.between)


def find_pairs(graph: Graph) -> list[Pair]:
    """All pairs of a graph, in its order."""
    used: set[int] = set()
    return [_pair(graph, call, used) for call in graph.calls if call.kind in DEPTHWISE | SEPARABLE]


def is_linear(layer: Any) -> bool:
    """Whether a layer has no activation of its own."""
    import keras

    return getattr(layer, "activation", None) in (None, keras.activations.linear)


def _passes(call: Call) -> bool:
    """Whether a call changes nothing: a linear activation."""
    return call.kind == "Activation" and is_linear(call.layer)


def _pair(graph: Graph, depthwise: Call, used: set[int]) -> Pair:
    layer = depthwise.layer
    kernel = prod(layer.kernel_size)
    side = max(layer.kernel_size)
    inputs = int(depthwise.input_shape[-1] or 0)
    own = call_macs(depthwise) or 0
    positions = prod(side or 0 for side in depthwise.output_shape[:-1])
    if depthwise.kind in SEPARABLE:
        outputs = layer.filters
        standard = kernel * inputs * outputs * positions
        kernels = kernel * inputs * layer.depth_multiplier + inputs * layer.depth_multiplier * outputs
        formula, ratio = _merged_formula(kernel, side, outputs, layer.depth_multiplier)
        return Pair(layer.name, "merged", depthwise, None, (), own, standard, kernels, kernel * inputs * outputs, formula, ratio)

    width = inputs * layer.depth_multiplier
    after, between_after, excited = _pointwise_after(graph, depthwise)
    before, between_before = _pointwise_before(graph, depthwise)
    if after and before and id(before.layer) not in used and _is_linear_bottleneck(graph, after):
        used.add(id(before.layer))
        expanded = int(before.input_shape[-1] or 0)
        stride = layer.strides[0]
        standard = kernel * expanded * width * positions
        return Pair(
            layer.name, "fused", depthwise, before, between_before,
            own + (call_macs(before) or 0), standard, kernel * width + expanded * inputs, kernel * expanded * width,
            f"s^2/K^2 + 1/M = {stride}^2/{side}^2 + 1/{expanded}", stride**2 / kernel + 1 / expanded,
        )  # fmt: skip
    if after and not excited and id(after.layer) not in used and all(call.kind not in _PADDING for call in between_after):
        used.add(id(after.layer))
        outputs = after.layer.filters
        formula, ratio = _merged_formula(kernel, side, outputs, layer.depth_multiplier)
        return Pair(
            layer.name, "merged", depthwise, after, between_after,
            own + (call_macs(after) or 0), kernel * inputs * outputs * positions, kernel * width + width * outputs, kernel * inputs * outputs,
            formula, ratio,
        )  # fmt: skip
    return Pair(
        layer.name,
        "unpaired",
        depthwise,
        None,
        (),
        own,
        own * inputs,
        kernel * width,
        kernel * inputs * width,
        f"1/M = 1/{inputs}",
        1 / inputs,
    )


def _merged_formula(kernel: int, side: int, outputs: int, multiplier: int) -> tuple[str, float]:
    if multiplier != 1:
        return f"m (1/N + 1/K^2) = {multiplier} (1/{outputs} + 1/{side}^2)", multiplier * (1 / outputs + 1 / kernel)
    return f"1/N + 1/K^2 = 1/{outputs} + 1/{side}^2", 1 / outputs + 1 / kernel


def _is_pointwise(call: Call) -> bool:
    layer = call.layer
    return call.kind in ("Conv2D", "Conv1D") and set(layer.kernel_size) == {1} and set(layer.strides) == {1} and layer.groups == 1


def _pointwise_after(graph: Graph, depthwise: Call) -> tuple[Call | None, tuple[Call, ...], bool]:
    """The pointwise after a depthwise convolution, what stands between, and whether a squeeze-excite is part of that."""
    between: list[Call] = []
    excited = False
    value = depthwise.outputs[0]
    while value not in graph.outputs:
        consumers = graph.consumers(value)
        gate = _squeeze_excite(graph, consumers)
        if gate is not None:
            excited, value = True, gate.outputs[0]
            continue
        if len(consumers) != 1:
            break
        if _is_pointwise(consumers[0]):
            return consumers[0], tuple(between), excited
        if consumers[0].kind not in _PASSED:
            break
        between.append(consumers[0])
        value = consumers[0].outputs[0]
    return None, (), False


def _squeeze_excite(graph: Graph, consumers: list[Call]) -> Call | None:
    """The multiplication that ends a squeeze-excite: a pooled copy of a value, through a chain, scales it."""
    gates = [call for call in consumers if call.kind == "Multiply"]
    if len(gates) != 1 or len(consumers) != 2:
        return None
    branch = next(call for call in consumers if call is not gates[0])
    if "Pool" not in branch.kind and branch.kind != "Mean":
        return None
    for _ in range(12):
        following = graph.consumers(branch.outputs[0])
        if following == [gates[0]]:
            return gates[0]
        if len(following) != 1:
            # a hard sigmoid or swish written out uses its input twice and multiplies
            return None
        branch = following[0]
    return None


def _pointwise_before(graph: Graph, depthwise: Call) -> tuple[Call | None, tuple[Call, ...]]:
    between: list[Call] = []
    value = depthwise.inputs[0]
    while len(graph.consumers(value)) == 1 and value not in graph.outputs:
        call = graph.producer(value)
        if call is None:
            break
        if _is_pointwise(call):
            return call, tuple(reversed(between))
        if call.kind not in _PASSED:
            break
        between.append(call)
        value = call.inputs[0]
    return None, ()


def _is_linear_bottleneck(graph: Graph, pointwise: Call) -> bool:
    if not is_linear(pointwise.layer):
        return False
    value = pointwise.outputs[0]
    while True:
        consumers = graph.consumers(value)
        if len(consumers) == 1 and consumers[0].kind == "BatchNormalization":
            value = consumers[0].outputs[0]
            continue
        return not any(call.kind in _ACTIVATIONS and not _passes(call) for call in consumers)
