"""The same network with every inner width multiplied, and at which multiplier it costs what is wanted.

Channels of an input and of an output stay: a layer whose output reaches a model's output without another weighted layer keeps its width. All
others become a whole number, at least 1, equal widths alike; channels that are added, multiplied or split into groups stay equal and divisible.
Counting needs no network: MACs and parameters at any multiplier follow from the graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from dsmobile.architectures.axes import NORMALIZED, TRANSPOSED, Axes, follow_channels, is_widened
from dsmobile.architectures.convolutions import CONVOLUTIONS, SEPARABLE, channel_axis, inputs_of, is_depthwise
from dsmobile.architectures.graph import Call, Graph, Value, copied, free_name, layer_names, read_graph, rebuild
from dsmobile.architectures.sizes import Sizes
from dsmobile.errors import ModelError


@dataclass(frozen=True)
class Widths:
    """A network's widths as they follow from a multiplier.

    Args:
        graph: Of the network.
        sizes: What its channels are made of.
        axes: Where they lie, for each value's key.
    """

    graph: Graph
    sizes: Sizes
    axes: dict[int, Axes]

    def shape(self, value: Value, alpha: float) -> tuple[int, ...]:
        """A value's shape at a width multiplier, without the batch.

        Raises:
            ModelError: Its height or width is not fixed.
        """
        if None in value.shape:
            raise ModelError(f"a size of {self.graph.name} is not fixed: {value.shape}", "give the model an input of fixed height and width")
        return tuple(side or 0 if size is None else self.sizes.at(size, alpha) for side, size in zip(value.shape, self.axes[value.key], strict=True))

    def cost(self, alpha: float) -> tuple[int, int]:
        """MACs and parameters at a width multiplier."""
        macs = parameters = 0
        seen: set[int] = set()
        for call in self.graph.calls:
            taken, given = self.shape(call.inputs[0], alpha), self.shape(call.outputs[0], alpha)
            macs += _macs(call, taken, given)
            if id(call.layer) not in seen:
                parameters += _parameters(call, taken, given)
            seen.add(id(call.layer))
        return macs, parameters


def widths(model: Any) -> Widths:
    """Follows the channels of a functional model.

    Raises:
        ModelError: It cannot be widened; names the layer and why.
    """
    graph = read_graph(model)
    return Widths(graph, *follow_channels(graph))


def widened(model: Any, alpha: float, name: str | None = None) -> Any:
    """The model with every inner width multiplied.

    Args:
        model: A functional `keras.Model`.
        alpha: Width multiplier, above 0.
        name: Of the new model; None is the model's.

    Returns:
        A `keras.Model`; layers whose weights kept their shapes keep their weights, the others have Keras's random ones.

    Raises:
        ModelError: It cannot be widened; names the layer and why.
    """
    if not alpha > 0:
        raise ModelError(f"alpha {alpha:g} is out of range", "give a width multiplier above 0")
    found = widths(model)
    names = layer_names(model, found.graph)
    taken = {*names.values(), *(str(tensor.name) for tensor in model.inputs)}
    fresh: dict[int, Any] = {}
    reshaped: dict[tuple[int, tuple[int, ...]], Any] = {}  # a shared one may give a shape of its own at each place

    def replace(call: Call, inputs: list[Any]) -> tuple[Any, ...] | None:
        import keras

        if call.kind == "Reshape" and None not in call.output_shape:
            target = found.shape(call.outputs[0], alpha)
            if (id(call.layer), target) not in reshaped:
                own = names[id(call.layer)]
                own = free_name(own, taken) if any(key == id(call.layer) for key, _ in reshaped) else own
                taken.add(own)
                shape = {"target_shape": target} if isinstance(call.layer, keras.Layer) else {"newshape": (-1, *target)}
                reshaped[id(call.layer), target] = copied(call.layer, own, **shape)
            return call.apply(reshaped[id(call.layer), target], inputs)
        if not is_widened(call):
            return None
        if id(call.layer) not in fresh:
            changes = _changed(call, tuple(inputs[0].shape[1:]), found.shape(call.outputs[0], alpha))
            fresh[id(call.layer)] = copied(call.layer, names[id(call.layer)], **changes)
        return call.apply(fresh[id(call.layer)], inputs)

    wide = rebuild(model, replace, name or model.name, names)
    for call in found.graph.calls:
        layer = fresh.get(id(call.layer))
        if layer is not None and [weight.shape for weight in layer.weights] == [weight.shape for weight in call.layer.weights]:
            layer.set_weights(call.layer.get_weights())
    return wide


def _changed(call: Call, taken: tuple[int, ...], given: tuple[int, ...]) -> dict[str, Any]:
    """What is new in a layer's config, given the shapes that it takes and gives now."""
    place = channel_axis(call) - 1
    if call.kind == "Dense":
        return {"units": given[-1]}
    if call.kind in CONVOLUTIONS and is_depthwise(call):
        return {"filters": given[place], "groups": taken[place]}
    if call.kind in CONVOLUTIONS | TRANSPOSED | SEPARABLE:
        return {"filters": given[place]}
    if call.kind == "LayerScale":
        return {"projection_dim": taken[-1]}
    if call.kind == "GroupNormalization" and call.layer.groups == inputs_of(call):
        return {"groups": taken[place]}
    return {}


def _macs(call: Call, taken: tuple[int, ...], given: tuple[int, ...]) -> int:
    if not is_widened(call) or call.kind in NORMALIZED:
        return 0
    if call.kind == "Dense":
        return prod(taken) * given[-1]
    place, area = channel_axis(call) - 1, int(prod(call.layer.kernel_size))
    if call.kind in SEPARABLE:
        return (area + given[place]) * taken[place] * int(call.layer.depth_multiplier) * (prod(given) // given[place])
    if call.kind in TRANSPOSED:
        return area * prod(taken) * given[place]
    return area * prod(given) if is_depthwise(call) else area * taken[place] // int(call.layer.groups) * prod(given)


def _parameters(call: Call, taken: tuple[int, ...], given: tuple[int, ...]) -> int:
    layer = call.layer
    if not is_widened(call):
        return int(layer.count_params()) if getattr(layer, "weights", ()) else 0
    place = -1 if call.kind == "Dense" else channel_axis(call) - 1
    if call.kind in NORMALIZED:
        grown, was = prod(taken), prod(side or 0 for side in call.input_shape)
        return int(layer.count_params()) * grown // was
    bias = given[place] if layer.use_bias else 0
    if call.kind == "Dense":
        return taken[-1] * given[-1] + bias
    area = int(prod(layer.kernel_size))
    if call.kind in SEPARABLE:
        return (area + given[place]) * taken[place] * int(layer.depth_multiplier) + bias
    if is_depthwise(call):
        return area * given[place] + bias
    return area * taken[place] * given[place] // int(getattr(layer, "groups", 1)) + bias
