"""What a Keras model, or its saved configuration, knows of its layers beside their weights: their order, what each depends on and computes with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dsmobile.architectures.graph import Call, Graph, read_graph
from dsmobile.errors import ModelError


@dataclass(frozen=True)
class LayerFacts:
    """What a model knows of one of its layers.

    Args:
        before: The layers that must be computed before it, as numbers in the list that `facts_of` was given.
        epsilon: Of a batch normalization.
        activation: What its output goes through next, as `relu6`; None where nothing, several things or something unknown.
    """

    before: frozenset[int]
    epsilon: float | None = None
    activation: str | None = None


def leaf_layers(model: Any) -> Iterator[Any]:
    """The layers of a model in its order, each once, those of models inside it in their place."""
    waiting, seen = list(reversed(model.layers)), set()
    while waiting:
        layer = waiting.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        if getattr(layer, "layers", None):
            waiting.extend(reversed(layer.layers))
        else:
            yield layer


def weights_of(layer: Any) -> list[Any]:
    """A layer's weights, without counters."""
    return [weight for weight in layer.weights if len(weight.shape)]


def facts_of(model: Any, layers: Sequence[Any]) -> list[LayerFacts | None]:
    """What the model knows of some of its layers.

    Args:
        model: A `keras.Model`.
        layers: Layers of it, or of a model inside it.

    Returns:
        One for each of `layers`; None where the model is subclassed and its graph cannot be read, or does not use the layer.
    """
    try:
        graph = read_graph(model)
    except ModelError:
        return [None] * len(layers)
    numbers = {id(layer): number for number, layer in enumerate(layers)}
    behind: dict[int, frozenset[int]] = {value.key: frozenset() for value in graph.inputs}
    found: dict[int, LayerFacts] = {}
    for call in graph.calls:
        before = frozenset().union(*(behind[value.key] for value in call.inputs))
        number = numbers.get(id(call.layer))
        if number is not None:
            earlier = found[number].before if number in found else frozenset()
            found[number] = LayerFacts(before | earlier, getattr(call.layer, "epsilon", None), _activation_behind(graph, call))
        behind.update((value.key, before if number is None else before | {number}) for value in call.outputs)
    return [found.get(number) for number in range(len(layers))]


def _activation_behind(graph: Graph, call: Call) -> str | None:
    """The function that a call's output goes through before anything with weights sees it; a branch ends the search."""
    while True:
        name = _function(call.layer)
        if name not in ("linear", None):
            return name
        consumers = graph.consumers(call.outputs[0]) if len(call.outputs) == 1 else []
        if len(consumers) != 1 or len(consumers[0].inputs) != 1 or getattr(consumers[0].layer, "weights", None):
            return None
        call = consumers[0]
        if _function(call.layer) is None:
            return None


def _function(layer: Any) -> str | None:
    """What a layer applies to each number, as `relu6`; None where that is not said by a name."""
    import keras

    if isinstance(layer, keras.layers.ReLU):
        slope, threshold = float(layer.negative_slope or 0.0), float(layer.threshold or 0.0)
        known = {None: "relu", 6.0: "relu6"}
        return known.get(layer.max_value) if slope == threshold == 0.0 else None
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", None)


def inner_layers(config: Any) -> dict[str, tuple[str, ...]]:
    """The names of the layers of each model inside a saved one, in order; its configuration is read as data only."""
    if config is None:
        return {}
    try:
        layers = _layers_in(json.loads(config))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its configuration is broken: {error}") from error
    return {str(_name_in(layer)): tuple(_leaves(layer)) for layer in layers if _layers_in(layer)}


def _layers_in(entry: Any) -> list[Any]:
    config = entry.get("config") if isinstance(entry, dict) else None
    layers = config.get("layers") if isinstance(config, dict) else config
    return layers if isinstance(layers, list) else []


def _name_in(entry: Any) -> Any:
    config = entry.get("config") if isinstance(entry, dict) else None
    return config.get("name") if isinstance(config, dict) else None


def _leaves(entry: Any) -> Iterator[str]:
    waiting = list(reversed(_layers_in(entry)))
    while waiting:
        layer = waiting.pop()
        inside = _layers_in(layer)
        if inside:
            waiting.extend(reversed(inside))
        elif _name_in(layer):
            yield str(_name_in(layer))
