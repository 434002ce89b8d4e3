"""What convolutions take in: the scale and shift behind them or before them, the zeros around the map before them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dsmobile.errors import ConversionError
from dsmobile.exporters.folded import FoldedModel, Node
from dsmobile.exporters.operators import (
    NO_PADS,
    Convolution,
    Dense,
    DepthwiseConvolution,
    Pad,
    Pads,
    Reshape,
    ScaleShift,
    TransposedConvolution,
    Weighted,
)


def merge_reshapes(model: FoldedModel) -> FoldedModel:
    """Drops reshapes that change nothing, and joins one that alone reads another with it."""
    shapes = {value.name: value.shape for value in model.inputs}
    nodes: dict[str, Node] = {}
    renamed: dict[str, str] = {}
    for node in model:
        inputs = tuple(renamed.get(name, name) for name in node.inputs)
        before = nodes.get(inputs[0])
        if isinstance(node.operator, Reshape) and before is not None and isinstance(before.operator, Reshape):
            inputs = before.inputs
        if isinstance(node.operator, Reshape) and node.shape == shapes[inputs[0]] and node.name not in model.outputs:
            renamed[node.name] = inputs[0]
            continue
        nodes[node.name] = replace(node, inputs=inputs)
        shapes[node.name] = node.shape
    kept = replace(model, nodes=tuple(nodes.values()))
    read = {name for node in kept for name in node.inputs} | set(model.outputs)
    return replace(kept, nodes=tuple(node for node in kept if node.name in read or not isinstance(node.operator, Reshape)))


def merge_scales(model: FoldedModel) -> FoldedModel:
    """Takes every scale and shift into the layer with a kernel, or the other scale and shift, that alone feeds it."""
    nodes = {node.name: node for node in model}
    renamed: dict[str, str] = {}
    for node in model:
        feeding = nodes.get(renamed.get(node.inputs[0], node.inputs[0]))
        if not isinstance(node.operator, ScaleShift) or feeding is None or not isinstance(feeding.operator, Weighted | ScaleShift):
            continue
        if model.sole_reader(node.inputs[0]) is not node:
            continue
        nodes[feeding.name] = replace(feeding, operator=_scaled(feeding.operator, node.operator))
        renamed[node.name] = feeding.name
        del nodes[node.name]
    return _renamed(model, nodes, renamed)


def _scaled(operator: Weighted | ScaleShift, change: ScaleShift) -> Weighted | ScaleShift:
    scale, shift = change.scale.astype(np.float64), change.shift.astype(np.float64)
    if isinstance(operator, ScaleShift):
        return ScaleShift(operator.scale * scale, operator.shift * scale + shift)
    kernel = operator.kernel.astype(np.float64)
    match operator:
        case DepthwiseConvolution():
            factor = scale.reshape(kernel.shape[2:])
        case TransposedConvolution():
            factor = scale[:, None]
        case Convolution() | Dense():
            factor = scale
    return replace(operator, kernel=kernel * factor, bias=operator.bias.astype(np.float64) * scale + shift)


def merge_scales_forward(model: FoldedModel) -> FoldedModel:
    """Takes a scale and shift into the layers with a kernel that alone read it: a rescaling of the input, for one.

    Zeros around the map stand behind the shift, so that a layer with padding takes in a scale alone.
    """
    nodes = {node.name: node for node in model}
    renamed: dict[str, str] = {}
    for node in model:
        if not isinstance(node.operator, ScaleShift) or node.name in model.outputs:
            continue
        change = node.operator
        readers = model.consumers(node.name)
        if not readers or not all(_takes(nodes[reader.name], change) for reader in readers):
            continue
        for reader in readers:
            operator = nodes[reader.name].operator
            assert isinstance(operator, Weighted)  # noqa: S101
            nodes[reader.name] = replace(nodes[reader.name], operator=_scaled_before(operator, change))
        renamed[node.name] = renamed.get(node.inputs[0], node.inputs[0])
        del nodes[node.name]
    return _renamed(model, nodes, renamed)


def _takes(reader: Node, change: ScaleShift) -> bool:
    operator = reader.operator
    if not isinstance(operator, (Convolution, DepthwiseConvolution, Dense)) or (isinstance(operator, Convolution) and operator.groups != 1):
        return False
    return not change.shift.any() or isinstance(operator, Dense) or operator.pads == NO_PADS


def _scaled_before(operator: Weighted, change: ScaleShift) -> Weighted:
    scale, shift = change.scale.astype(np.float64), change.shift.astype(np.float64)
    kernel = operator.kernel.astype(np.float64)
    shifted = kernel * shift[:, None]  # the axis of the inputs is the last but one in every kernel that `_takes` lets through
    gained = shifted.sum(axis=(0, 1)).ravel() if isinstance(operator, DepthwiseConvolution) else shifted.reshape(-1, kernel.shape[-1]).sum(axis=0)
    return replace(operator, kernel=kernel * scale[:, None], bias=operator.bias.astype(np.float64) + gained)


def merge_padding(model: FoldedModel) -> FoldedModel:
    """Takes zeros around a map into the convolutions that alone read it."""
    nodes = {node.name: node for node in model}
    renamed: dict[str, str] = {}
    for node in model:
        if not isinstance(node.operator, Pad):
            continue
        readers = model.consumers(node.name)
        if (
            not readers
            or node.name in model.outputs
            or any(not isinstance(reader.operator, (Convolution, DepthwiseConvolution)) for reader in readers)
        ):
            continue
        for reader in readers:
            operator = nodes[reader.name].operator
            if isinstance(operator, (Convolution, DepthwiseConvolution)):
                nodes[reader.name] = replace(nodes[reader.name], operator=replace(operator, pads=_sum(operator.pads, node.operator.pads)))
        renamed[node.name] = renamed.get(node.inputs[0], node.inputs[0])
        del nodes[node.name]
    return _renamed(model, nodes, renamed)


def _sum(first: Pads, second: Pads) -> Pads:
    (a, b), (c, d) = first
    (e, f), (g, h) = second
    return (a + e, b + f), (c + g, d + h)


def in_float32(model: FoldedModel) -> FoldedModel:
    """The network with its weights rounded once, from float64 to float32."""
    nodes = []
    for node in model:
        for name, value in vars(node.operator).items():
            if isinstance(value, np.ndarray) and not np.isfinite(value.astype(np.float32)).all():
                raise ConversionError(
                    f"folded, the {name} of the layer {node.name!r} is not finite",
                    "a variance below 0, a number that is not finite or a scale beyond float32: load an earlier checkpoint",
                )
        arrays: dict[str, Any] = {name: value.astype(np.float32) for name, value in vars(node.operator).items() if isinstance(value, np.ndarray)}
        nodes.append(replace(node, operator=replace(node.operator, **arrays)) if arrays else node)
    return replace(model, nodes=tuple(nodes))


def _renamed(model: FoldedModel, nodes: dict[str, Node], renamed: dict[str, str]) -> FoldedModel:
    def final(name: str) -> str:
        while name in renamed:
            name = renamed[name]
        return name

    kept = tuple(replace(nodes[node.name], inputs=tuple(final(name) for name in nodes[node.name].inputs)) for node in model if node.name in nodes)
    return replace(model, nodes=kept, outputs=tuple(final(name) for name in model.outputs))
