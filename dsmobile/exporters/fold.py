"""From a Keras model to a folded network: batch normalization and padding taken into the convolutions, training-only layers gone.

Folding is done in float64. A layer that is not known is named with its place; a batch normalization that no convolution can take in stays, as
a scale and a shift, and is named in `FoldedModel.left`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dsmobile.architectures.graph import Call, Graph, free_name, read_graph
from dsmobile.errors import ConversionError
from dsmobile.exporters.folded import OUTPUT_NAME, FoldedModel, Input, Node
from dsmobile.exporters.hard_functions import find_hard_functions
from dsmobile.exporters.layers import LAYERS, lifted
from dsmobile.exporters.merging import in_float32, merge_padding, merge_reshapes, merge_scales, merge_scales_forward
from dsmobile.exporters.operators import Reshape, ScaleShift

_GONE = frozenset(
    "Dropout SpatialDropout1D SpatialDropout2D GaussianDropout GaussianNoise AlphaDropout ActivityRegularization Identity InputLayer RandomFlip "
    "RandomRotation RandomZoom RandomTranslation RandomContrast RandomBrightness StochasticDepth DropPath".split()
)
_WEIGHTS_CHECKED = (
    "kernel",
    "depthwise_kernel",
    "pointwise_kernel",
    "bias",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
    "mean",
    "variance",
    "alpha",
)


def fold(model: Any, *, input_name: str = "image") -> FoldedModel:
    """Folds a Keras model.

    Args:
        model: A functional `keras.Model`, of fixed sizes.
        input_name: What its input is called in the written files; several inputs keep their own names.

    Raises:
        ConversionError: A layer that is not supported, named with its place; a weight that is not finite.
    """
    graph = read_graph(model)
    _require_float32(model, graph)
    inputs, nodes, names = _translate(model, graph, input_name)
    outputs = tuple(names[value.key] for value in graph.outputs)
    taken = {value.name for value in inputs}
    if len(set(outputs)) != len(outputs) or taken & set(outputs):
        raise ConversionError(f"{graph.name} has an output that is an input, or twice the same one", "keep each output once")
    folded = FoldedModel(graph.name, inputs, tuple(nodes), outputs)
    folded = merge_scales(find_hard_functions(merge_reshapes(folded)))
    folded = in_float32(merge_padding(merge_scales_forward(folded)))
    left = tuple(f"{node.name}: no convolution alone feeds it" for node in folded if isinstance(node.operator, ScaleShift))
    return replace(folded, left=left)


def _require_float32(model: Any, graph: Graph) -> None:
    types = {
        *(str(tensor.dtype) for tensor in model.inputs),
        *(str(call.layer.compute_dtype) for call in graph.calls if hasattr(call.layer, "compute_dtype")),
    }
    if types != {"float32"}:
        raise ConversionError(
            f"{graph.name} computes in {', '.join(sorted(types - {'float32'}))}",
            "save it in float32, its input too: the recipe sets the precision",
        )


def _translate(model: Any, graph: Graph, input_name: str) -> tuple[tuple[Input, ...], list[Node], dict[int, str]]:
    """Inputs, nodes, and by what name each value of the graph goes."""
    taken = {OUTPUT_NAME}
    names: dict[int, str] = {}
    nodes: list[Node] = []
    inputs = []
    for value, tensor in zip(graph.inputs, model.inputs, strict=True):
        shape = _fixed(value.shape, f"the input {tensor.name!r}")
        name = _free_name(input_name if len(graph.inputs) == 1 else str(tensor.name), taken)
        inputs.append(Input(name, shape))
        names[value.key] = name
        if len(shape) == 2:
            names[value.key] = _free_name(f"{name}_map", taken)
            nodes.append(Node(names[value.key], Reshape(), (name,), lifted(shape)))
    for place, call in enumerate(graph.calls, 1):
        if call.kind in _GONE:
            names[call.outputs[0].key] = names[call.inputs[0].key]
            continue
        if call.kind not in LAYERS or len(call.outputs) != 1:
            raise ConversionError(
                f"the layer {call.layer.name!r} ({call.kind}, number {place} of {len(graph.calls)}) is not supported",
                f"replace it, or cut the network before it; supported are {', '.join(sorted(LAYERS))}",
            )
        _require_finite(call)
        _fixed(call.output_shape, f"the layer {call.layer.name!r}")
        steps = LAYERS[call.kind](call)
        came = tuple(names[value.key] for value in call.inputs)
        for number, (operator, step_shape) in enumerate(steps):
            name = _free_name(call.layer.name if number == len(steps) - 1 else f"{call.layer.name}_{type(operator).__name__.lower()}", taken)
            nodes.append(Node(name, operator, came, lifted(step_shape)))
            came = (name,)
        names[call.outputs[0].key] = came[0]
    for value in graph.outputs:
        shape = _fixed(value.shape, "an output")
        if len(shape) == 2:
            name = _free_name(f"{names[value.key]}_sequence", taken)
            nodes.append(Node(name, Reshape(), (names[value.key],), shape))
            names[value.key] = name
    return tuple(inputs), nodes, names


def _fixed(shape: tuple[int | None, ...], what: str) -> tuple[int, ...]:
    if None in shape:
        raise ConversionError(f"{what} has no fixed size: {shape}", "save the model with inputs of fixed height and width")
    if not 1 <= len(shape) <= 3:
        raise ConversionError(
            f"{what} has the shape {shape}", "supported are vectors, sequences and maps: (channels), (length, channels), (height, width, channels)"
        )
    return tuple(int(side or 0) for side in shape)


def _require_finite(call: Call) -> None:
    for name in _WEIGHTS_CHECKED:
        weight = getattr(call.layer, name, None)
        if weight is None or not hasattr(weight, "shape"):
            continue
        values = np.asarray(weight)
        bad = int(values.size - np.isfinite(values).sum())
        if bad:
            raise ConversionError(
                f"{bad} of the {values.size} numbers in {name} of the layer {call.layer.name!r} are NaN or infinite",
                "the training diverged: load an earlier checkpoint",
            )


def _free_name(wanted: str, taken: set[str]) -> str:
    wanted = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "_" for letter in wanted) or "node"
    wanted = wanted if wanted[0].isalnum() else f"n{wanted}"
    name = free_name(wanted, taken)
    taken.add(name)
    return name
