"""A Keras model as a list of calls in order, and the same model with some calls replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from dsmobile.architectures.functional import given_to, packed_as
from dsmobile.architectures.functional import require_functional as require_functional


@dataclass(frozen=True)
class Value:
    """What a call gives to the next: one tensor of the graph.

    Args:
        key: Its number in the graph.
        shape: Its shape without the batch.
    """

    key: int
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Call:
    """One call of one layer; a shared layer has several.

    Args:
        layer: The Keras layer.
        inputs: The values it was called with, in order.
        outputs: The values it gave.
    """

    layer: Any
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    _node: Any = field(repr=False, compare=False)

    @property
    def kind(self) -> str:
        """The layer's class."""
        return type(self.layer).__name__

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the first input, without the batch."""
        return self.inputs[0].shape

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Shape of the first output, without the batch."""
        return self.outputs[0].shape

    @property
    def operands(self) -> tuple[Any, ...]:
        """What an operator on tensors was called with, in order: None for a tensor of the graph, the value for a constant."""
        import keras

        arguments = (*self._node.arguments.args, *self._node.arguments.kwargs.values())
        return tuple(None if isinstance(value, keras.KerasTensor) else value for value in arguments)

    def apply(self, layer: Any, tensors: list[Any], **options: Any) -> tuple[Any, ...]:
        """Calls `layer` as this call's layer was called, with other tensors.

        Args:
            layer: This call's layer or a copy of it.
            tensors: One for each of `inputs`.
            **options: Such as `training=False`; given only to layers that take it.
        """
        import keras

        given = {id(old): new for old, new in zip(self._node.input_tensors, tensors, strict=True)}
        arguments, keywords = self._node.arguments.fill_in(given)
        if isinstance(layer, keras.Layer) and layer._call_has_training_arg:
            keywords = {**keywords, **options}
        results = layer(*arguments, **keywords)
        return tuple(results) if isinstance(results, (list, tuple)) else (results,)


@dataclass(frozen=True)
class Graph:
    """A functional model written out: nested models opened, input layers left away.

    Args:
        name: The model's name.
        inputs: Its inputs.
        outputs: Its outputs.
        calls: Its calls in topological order.
    """

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    calls: tuple[Call, ...]

    def consumers(self, value: Value) -> list[Call]:
        """The calls that take a value."""
        return list(self._consumers.get(value.key, ()))

    def producer(self, value: Value) -> Call | None:
        """The call that gives a value; None for an input."""
        return self._producers.get(value.key)

    @cached_property
    def _consumers(self) -> dict[int, list[Call]]:
        taken: dict[int, list[Call]] = {}
        for call in self.calls:
            for key in {value.key for value in call.inputs}:
                taken.setdefault(key, []).append(call)
        return taken

    @cached_property
    def _producers(self) -> dict[int, Call]:
        return {value.key: call for call in self.calls for value in call.outputs}


Replacement = Callable[[Call, list[Any]], tuple[Any, ...] | None]


def read_graph(model: Any) -> Graph:
    """Reads a model's graph.

    Raises:
        ModelError: A subclassed model, also inside another one.
    """
    model = require_functional(model)
    reader = _Reader()
    known = {id(tensor): reader.value(tensor) for tensor in model.inputs}
    inputs = tuple(known[id(tensor)] for tensor in model.inputs)
    reader.read(model, known)
    graph = Graph(model.name, inputs, tuple(known[id(tensor)] for tensor in model.outputs), tuple(reader.calls))
    values = [value for call in graph.calls for value in call.outputs]
    if all(None not in value.shape for value in inputs) and any(None in value.shape for value in values):
        return _sized(graph)
    return graph


def _sized(graph: Graph) -> Graph:
    """The graph with the sizes that its inputs give to a nested model whose own sizes are open."""
    import keras

    sized = {value.key: value for value in graph.inputs}
    calls = []
    for call in graph.calls:
        inputs = tuple(sized[value.key] for value in call.inputs)
        if any(None in value.shape for value in call.outputs):
            tensors = [keras.KerasTensor((1, *new.shape), old.dtype) for new, old in zip(inputs, call._node.input_tensors, strict=True)]
            given = {id(old): new for old, new in zip(call._node.input_tensors, tensors, strict=True)}
            arguments, keywords = call._node.arguments.fill_in(given)
            specs = keras.tree.flatten(call.layer.compute_output_spec(*arguments, **keywords))
            outputs = tuple(Value(value.key, tuple(spec.shape[1:])) for value, spec in zip(call.outputs, specs, strict=True))
        else:
            outputs = call.outputs
        sized.update((value.key, value) for value in outputs)
        calls.append(replace(call, inputs=inputs, outputs=outputs))
    return Graph(graph.name, graph.inputs, tuple(sized[value.key] for value in graph.outputs), tuple(calls))


class _Reader:
    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.count = 0

    def value(self, tensor: Any) -> Value:
        self.count += 1
        return Value(self.count, tuple(tensor.shape[1:]))

    def read(self, model: Any, known: dict[int, Value]) -> None:
        import keras

        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                layer = node.operation
                if node.is_input or isinstance(layer, keras.layers.InputLayer):
                    continue
                tensors = list(node.output_tensors)
                if isinstance(layer, keras.Model):
                    inner = require_functional(layer)
                    inside = {id(tensor): known[id(given)] for tensor, given in zip(inner.inputs, given_to(inner, node), strict=True)}
                    self.read(inner, inside)
                    for tensor, inner_tensor in zip(tensors, inner.outputs, strict=True):
                        known[id(tensor)] = inside[id(inner_tensor)]
                    continue
                inputs = tuple(known[id(tensor)] for tensor in node.input_tensors)
                outputs = tuple(self.value(tensor) for tensor in tensors)
                known.update((id(tensor), value) for tensor, value in zip(tensors, outputs, strict=True))
                self.calls.append(Call(layer, inputs, outputs, node))


def rebuild(model: Any, replace: Replacement, name: str, names: dict[int, str] | None = None) -> Any:
    """The same model in fresh layers with the same weights, some calls replaced.

    Args:
        model: A functional model.
        replace: Given a call and its new input tensors, returns the new output tensors, or None for a copy of the call.
        name: Of the new model.
        names: What each layer that is copied is called, by its id; None is what `layer_names` says.

    Returns:
        A `keras.Model`.
    """
    import keras

    model = require_functional(model)
    graph = read_graph(model)
    fresh = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name) for tensor in model.inputs]
    tensors: dict[int, Any] = {value.key: tensor for value, tensor in zip(graph.inputs, fresh, strict=True)}
    copies: dict[int, Any] = {}
    names = names or layer_names(model, graph)
    for call in graph.calls:
        inputs = [tensors[value.key] for value in call.inputs]
        outputs = replace(call, inputs)
        if outputs is None:
            if id(call.layer) not in copies:
                copies[id(call.layer)] = copied(call.layer, names[id(call.layer)])
            outputs = call.apply(copies[id(call.layer)], inputs)
        tensors.update((value.key, tensor) for value, tensor in zip(call.outputs, outputs, strict=True))
    ends = [tensors[value.key] for value in graph.outputs]
    built = keras.Model(packed_as(model.input, fresh), packed_as(model.output, ends), name=name)
    for call in graph.calls:
        made = copies.get(id(call.layer))
        if made is not None and isinstance(made, keras.Layer) and made.weights:
            made.set_weights(call.layer.get_weights())
            if hasattr(made, "finalize_state"):  # Normalization computes with numbers that it derives from its weights
                made.finalize_state()
    return built


def layer_names(model: Any, graph: Graph, kept: Sequence[Call] | None = None) -> dict[int, str]:
    """What the layers of a model are called in a new one, by their id: as they are; where nested models share a name, all but one get a number.

    Args:
        model: The model.
        graph: Its graph.
        kept: The calls whose layers need a name; None is all. Layers that make an output always have one, their own before all others.
    """
    taken = {str(tensor.name) for tensor in model.inputs}
    names: dict[int, str] = {}
    ends = [call for value in graph.outputs if (call := graph.producer(value))]
    for call in (*ends, *(graph.calls if kept is None else kept)):
        if id(call.layer) not in names:
            names[id(call.layer)] = free_name(call.layer.name, taken)
            taken.add(names[id(call.layer)])
    return names


def copied(layer: Any, name: str, **changes: Any) -> Any:
    """A fresh layer or operator of that name; `changes` are what differs in the layer's config, or among the operator's attributes."""
    import keras

    if isinstance(layer, keras.Layer):
        return type(layer).from_config({**layer.get_config(), **changes, "name": name})
    made = copy(layer)
    vars(made).update(changes, name=name, _inbound_nodes=[], _outbound_nodes=[])
    return made


def free_name(wanted: str, taken: set[str]) -> str:
    """A name that is not taken: the one wanted, or that with a number behind it."""
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    return name


def run(graph: Graph, batches: Sequence[Any], visit: Callable[[Call, list[Any]], None]) -> tuple[Any, ...]:
    """Runs a batch through the graph call by call, at inference, holding only what is still needed.

    Args:
        graph: Of a model.
        batches: For each input an array, shape (count, ...).
        visit: Called before each call with its input tensors.

    Returns:
        The outputs.
    """
    import keras

    uses: dict[int, int] = {}
    for value in [value for call in graph.calls for value in call.inputs] + list(graph.outputs):
        uses[value.key] = uses.get(value.key, 0) + 1
    tensors: dict[int, Any] = {value.key: keras.ops.convert_to_tensor(batch) for value, batch in zip(graph.inputs, batches, strict=True)}
    for call in graph.calls:
        inputs = [tensors[value.key] for value in call.inputs]
        visit(call, inputs)
        outputs = call.apply(call.layer, inputs, training=False)
        for value in call.inputs:
            uses[value.key] -= 1
            if not uses[value.key]:
                tensors.pop(value.key, None)
        tensors.update((value.key, tensor) for value, tensor in zip(call.outputs, outputs, strict=True))
    return tuple(tensors[value.key] for value in graph.outputs)
