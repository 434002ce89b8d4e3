"""What convolutions take in: the scale and shift behind them, the zeros around the map before them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsmobile.exporters.operators import Convolution, Dense, DepthwiseConvolution, FoldedModel, Node, Pad, Pads, Reshape, ScaleShift


def merge_scales(model: FoldedModel) -> FoldedModel:
    """Takes every scale and shift into the convolution that alone feeds it."""
    nodes = {node.name: node for node in model}
    renamed: dict[str, str] = {}
    for node in model:
        feeding = nodes.get(renamed.get(node.inputs[0], node.inputs[0]))
        if (
            not isinstance(node.operator, ScaleShift)
            or feeding is None
            or not isinstance(feeding.operator, (Convolution, DepthwiseConvolution, Dense))
        ):
            continue
        if len(model.consumers(node.inputs[0])) != 1 or model.output == node.inputs[0]:
            continue
        nodes[feeding.name] = replace(feeding, operator=_scaled(feeding.operator, node.operator))
        renamed[node.name] = feeding.name
        del nodes[node.name]
    return _renamed(model, nodes, renamed)


def _scaled(operator: Convolution | DepthwiseConvolution | Dense, change: ScaleShift) -> Convolution | DepthwiseConvolution | Dense:
    scale, shift = change.scale.astype(np.float64), change.shift.astype(np.float64)
    kernel = operator.kernel.astype(np.float64)
    factor = scale.reshape(kernel.shape[2:]) if isinstance(operator, DepthwiseConvolution) else scale
    return replace(operator, kernel=(kernel * factor).astype(np.float32), bias=(operator.bias.astype(np.float64) * scale + shift).astype(np.float32))


def merge_padding(model: FoldedModel) -> FoldedModel:
    """Takes zeros around a map into the convolutions that alone read it, and drops reshapes that change nothing."""
    nodes = {node.name: node for node in model}
    renamed: dict[str, str] = {}
    for node in model:
        source = node.inputs[0]
        if isinstance(node.operator, Reshape) and node.shape == model.shape_of(source) and model.output != node.name:
            renamed[node.name] = renamed.get(source, source)
            del nodes[node.name]
        if not isinstance(node.operator, Pad):
            continue
        readers = model.consumers(node.name)
        if (
            not readers
            or model.output == node.name
            or any(not isinstance(reader.operator, (Convolution, DepthwiseConvolution)) for reader in readers)
        ):
            continue
        for reader in readers:
            operator = nodes[reader.name].operator
            if isinstance(operator, (Convolution, DepthwiseConvolution)):
                nodes[reader.name] = replace(nodes[reader.name], operator=replace(operator, pads=_sum(operator.pads, node.operator.pads)))
        renamed[node.name] = renamed.get(source, source)
        del nodes[node.name]
    return _renamed(model, nodes, renamed)


def _sum(first: Pads, second: Pads) -> Pads:
    (a, b), (c, d) = first
    (e, f), (g, h) = second
    return (a + e, b + f), (c + g, d + h)


def _renamed(model: FoldedModel, nodes: dict[str, Node], renamed: dict[str, str]) -> FoldedModel:
    def final(name: str) -> str:
        while name in renamed:
            name = renamed[name]
        return name

    kept = tuple(replace(nodes[node.name], inputs=tuple(final(name) for name in nodes[node.name].inputs)) for node in model if node.name in nodes)
    return replace(model, nodes=kept, output=final(model.output))
