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

A layer that is called at several places is looked at place by place. A value that more than one call needs, or that the model gives out, cannot
go: its two sides are no pair. A layer normalization mixes the channels, so that nothing may be joined across it: ConvNeXt's blocks are (c).
With a depth multiplier m every depthwise channel costs m times: (a) s^2/(m K^2) + 1/M, (b) m (1/N + 1/K^2), (c) 1/M as before.

Source of the ratio of (b): MobileNets, arXiv:1704.04861, section 3.1; of (a): EfficientNet-EdgeTPU's Fused-MBConv, arXiv:2104.00298, section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from dsmobile.architectures.convolutions import (
    channel_axis,
    inputs_of,
    is_depthwise,
    is_pointwise,
    is_separable,
    multiplier_of,
    outputs_of,
    positions_of,
)  # fmt: skip
from dsmobile.architectures.cost import call_macs
from dsmobile.architectures.graph import Call, Graph
from dsmobile.architectures.layer_kinds import is_linear
from dsmobile.architectures.passages import PADDING, Passage, follow, is_activated, is_affine, scaling


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
        formula_ratio: The ratio by the formula; the count differs a little where a stride does not divide the map.
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
        """Whether one kernel computes the same: nothing non-linear stands between the two, and no constant is added before a padding."""
        if self.pointwise is None:
            return True
        first = self.pointwise if self.rule == "fused" else self.depthwise
        if not is_linear(first.layer) or not all(self._joins(call) for call in self.between):
            return False
        padded = next((place for place, call in enumerate(self.between) if call.kind in PADDING), None)
        if self.rule == "fused":
            padding = padded is not None or self.depthwise.layer.padding != "valid"
            return not padding or not (first.layer.use_bias or any(map(_adds, self.between)))
        constant = self.pointwise.layer.use_bias or not is_linear(self.pointwise.layer) or any(map(_adds, self.between[padded:]))
        return padded is None or not constant

    @property
    def adds_a_constant(self) -> bool:
        """Whether the first of the two, or what stands between, adds something to every channel."""
        first = self.pointwise if self.rule == "fused" else self.depthwise
        alone = self.pointwise is None
        return not alone and bool((first and first.layer.use_bias) or any(map(_adds, self.between)))

    def _joins(self, call: Call) -> bool:
        if call.kind in PADDING:
            return call.kind != "Pad"
        if scaling(call):
            return True
        axis = getattr(call.layer, "axis", -1) if call.kind == "BatchNormalization" else channel_axis(self.depthwise)
        return is_affine(call) and axis % (len(call.input_shape) + 1) == channel_axis(self.depthwise)


def _adds(call: Call) -> bool:
    """Whether a call that is no activation adds something to every channel."""
    factor_and_addend = scaling(call)
    return call.kind == "BatchNormalization" or bool(factor_and_addend and factor_and_addend[1])


def find_pairs(graph: Graph) -> list[Pair]:
    """All pairs of a graph, in its order; a shared layer once for each place.

    Raises:
        ModelError: The height or width of a map is not fixed.
    """
    expansions = {
        id(found.end): Passage(call, found.calls, found.excited)
        for call in graph.calls
        if is_pointwise(call) and (found := follow(graph, call.outputs[0], is_depthwise))
    }
    used: set[int] = set()
    pairs: list[Pair] = []
    for call in graph.calls:
        if is_separable(call):
            pairs.append(_merged(call, None, ()))
        elif is_depthwise(call):
            pairs.append(_pair(graph, call, expansions.get(id(call)), used))
    return pairs


def _pair(graph: Graph, depthwise: Call, before: Passage | None, used: set[int]) -> Pair:
    """Applies the rules; `used` holds the pointwise calls that are taken."""
    after = follow(graph, depthwise.outputs[0], is_pointwise)
    after = after if after and channel_axis(after.end) == channel_axis(depthwise) else None
    fits = before and not before.excited and id(before.end) not in used and channel_axis(before.end) == channel_axis(depthwise)
    if before and fits and after and is_linear(after.end.layer) and not is_activated(graph, after.end.outputs[0]):
        used.add(id(before.end))
        return _fused(depthwise, before)
    if after and not after.excited and id(after.end) not in used:
        used.add(id(after.end))
        return _merged(depthwise, after.end, after.calls)
    return _unpaired(depthwise)


def _fused(depthwise: Call, before: Passage) -> Pair:
    layer, expansion = depthwise.layer, before.end
    area, multiplier, stride = prod(layer.kernel_size), multiplier_of(depthwise), prod(layer.strides)
    inputs, width, outputs = inputs_of(expansion), inputs_of(depthwise), outputs_of(depthwise)
    many = "" if multiplier == 1 else f"{multiplier} "
    return Pair(
        layer.name, "fused", depthwise, expansion, before.calls,
        (call_macs(depthwise) or 0) + (call_macs(expansion) or 0), area * inputs * outputs * positions_of(depthwise),
        area * outputs + inputs * width, area * inputs * outputs,
        f"{_power('s', layer.strides)}/{_over(many and 'm ', _power('K', layer.kernel_size))} + 1/M"
        f" = {_value(layer.strides)}/{_over(many, _value(layer.kernel_size))} + 1/{inputs}",
        stride / (multiplier * area) + 1 / inputs,
    )  # fmt: skip


def _merged(depthwise: Call, pointwise: Call | None, between: tuple[Call, ...]) -> Pair:
    layer = depthwise.layer
    area, multiplier = prod(layer.kernel_size), multiplier_of(depthwise)
    inputs, outputs = inputs_of(depthwise), outputs_of(pointwise or depthwise)
    letters, numbers = f"1/N + 1/{_power('K', layer.kernel_size)}", f"1/{outputs} + 1/{_value(layer.kernel_size)}"
    return Pair(
        layer.name, "merged", depthwise, pointwise, between,
        (call_macs(depthwise) or 0) + (call_macs(pointwise) or 0 if pointwise else 0), area * inputs * outputs * positions_of(depthwise),
        (area + outputs) * inputs * multiplier, area * inputs * outputs,
        f"{letters} = {numbers}" if multiplier == 1 else f"m ({letters}) = {multiplier} ({numbers})",
        multiplier * (1 / outputs + 1 / area),
    )  # fmt: skip


def _unpaired(depthwise: Call) -> Pair:
    inputs, kernels = inputs_of(depthwise), prod(depthwise.layer.kernel_size) * outputs_of(depthwise)
    macs = call_macs(depthwise) or 0
    name, formula = depthwise.layer.name, f"1/M = 1/{inputs}"
    return Pair(name, "unpaired", depthwise, None, (), macs, macs * inputs, kernels, kernels * inputs, formula, 1 / inputs)


def _power(letter: str, sides: tuple[int, ...]) -> str:
    """The product of a kernel's sides or of strides in letters: `K^2`, `K` in one dimension, `(Kh*Kw)` where they differ."""
    if len(sides) == 1:
        return letter
    return f"{letter}^{len(sides)}" if len(set(sides)) == 1 else f"({'*'.join(letter + axis for axis in 'dhw'[-len(sides) :])})"


def _value(sides: tuple[int, ...]) -> str:
    """The same in numbers: `3^2`, `3`, `(5*1)`."""
    if len(sides) == 1:
        return str(sides[0])
    return f"{sides[0]}^{len(sides)}" if len(set(sides)) == 1 else f"({'*'.join(map(str, sides))})"


def _over(many: str, text: str) -> str:
    return f"({many}{text})" if many else text
