"""In which steps a converted network runs: what follows a layer and can be done in passing becomes one step with it.

As the converters do it: batch normalization, an activation or a reshape joins the step whose result it alone reads; zeros around a map join
the convolutions that alone read them; what only acts in training is gone. Everything else is a step of its own, in the order of the graph.
An activation that is written out of several layers, each reading the same tensor (x * relu6(x + 3) / 6), stays several steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from dsmobile.architectures.graph import Call, Graph, Value
from dsmobile.architectures.layer_kinds import CONVOLUTIONS, ELEMENTWISE, NORMALIZED, PADDING, SEPARABLE, VIEWS, is_identity, is_kerass, is_linear
from dsmobile.errors import ModelError


@dataclass(frozen=True)
class Step:
    """One step.

    Args:
        core: The number of the call that computes, in the graph's order.
        taken: The numbers of the calls that it takes in.
        reads: The tensors that it reads, each once, as keys of `Steps.sizes`.
        writes: The tensors that it writes.
        half: `depthwise` or `pointwise` of a separable convolution; else empty.
    """

    core: int
    taken: tuple[int, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    half: str = ""


@dataclass(frozen=True)
class Steps:
    """A graph in steps.

    Args:
        steps: In their order.
        inputs: The tensors that the network is given.
        outputs: Those that it gives.
        sizes: How many numbers each tensor holds, batch 1.
    """

    steps: tuple[Step, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    sizes: dict[int, int]


class Wiring:
    """Who reads and who writes which tensor, with what does nothing at inference left out."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._origin: dict[int, int] = {}
        self.readers: dict[int, list[int]] = {}
        self.writer: dict[int, int] = {}
        for number, call in enumerate(graph.calls):
            if self.is_gone(call):
                self._origin[call.outputs[0].key] = self.origin(call.inputs[0])
                continue
            for key in dict.fromkeys(self.origin(value) for value in call.inputs):
                self.readers.setdefault(key, []).append(number)
            self.writer.update((value.key, number) for value in call.outputs)
        self.kept = {self.origin(value) for value in graph.outputs}

    def is_gone(self, call: Call) -> bool:
        """Whether a call does nothing at inference."""
        return len(call.inputs) == 1 and len(call.outputs) == 1 and is_identity(call.layer)

    def origin(self, value: Value) -> int:
        """The tensor that a value is, seen through what does nothing."""
        return self._origin.get(value.key, value.key)

    def alone_reads(self, number: int, tensor: int) -> bool:
        """Whether a call is the only one to read a tensor, which is no output of the network."""
        return self.readers.get(tensor) == [number] and tensor not in self.kept


def folded_normalizations(wiring: Wiring) -> dict[int, int]:
    """Which batch normalization is folded into which convolution or dense layer right before it, by their numbers."""
    times: dict[int, int] = {}
    for call in wiring.graph.calls:
        times[id(call.layer)] = times.get(id(call.layer), 0) + 1
    folded: dict[int, int] = {}
    for number, call in enumerate(wiring.graph.calls):
        if call.kind != "BatchNormalization" or not is_kerass(call.layer):
            continue
        tensor = wiring.origin(call.inputs[0])
        writer = wiring.writer.get(tensor)
        writer = folded.get(writer, writer) if writer is not None else None
        if writer is None or not wiring.alone_reads(number, tensor):
            continue
        layer, kind = wiring.graph.calls[writer].layer, wiring.graph.calls[writer].kind
        fits = kind in NORMALIZED and is_kerass(layer) and is_linear(layer) and times[id(layer)] == 1
        if fits and _axis(call) == (0 if getattr(layer, "data_format", "") == "channels_first" else len(call.input_shape) - 1):
            folded[number] = writer
    return folded


def _axis(call: Call) -> int:
    """The axis that a batch normalization scales, without the batch."""
    axis = int(call.layer.axis)
    return axis - 1 if axis >= 0 else axis + len(call.input_shape)


def fuse(graph: Graph) -> Steps:
    """Puts a graph into steps.

    Raises:
        ModelError: A size is not fixed.
    """
    return _Fuser(graph).fuse()


class _Fuser:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.wiring = Wiring(graph)
        self.sizes = {value.key: numbers(value, "input") for value in graph.inputs}
        self.held: dict[int, int] = {}  # by value, the tensor that holds it, where that is another
        self.written_by: dict[int, int] = {}  # by tensor, the step that writes it
        self.waiting: dict[int, list[int]] = {}  # by value, calls that its first reader takes in
        self.steps: list[Step] = []
        self.taken: list[list[int]] = []  # by step

    def fuse(self) -> Steps:
        for number, call in enumerate(self.graph.calls):
            if not self.wiring.is_gone(call) and not self._join(number, call):
                self._begin(number, call)
        self._place_gone()
        steps = tuple(replace(step, taken=tuple(sorted(taken))) for step, taken in zip(self.steps, self.taken, strict=True))
        inputs = tuple(value.key for value in self.graph.inputs)
        outputs = tuple(dict.fromkeys(self._tensor(value) for value in self.graph.outputs))
        return Steps(steps, inputs, outputs, self.sizes)

    def _tensor(self, value: Value) -> int:
        key = self.wiring.origin(value)
        return self.held.get(key, key)

    def _join(self, number: int, call: Call) -> bool:
        """Lets a call join the step before it, or wait for the one behind it; False where it is a step of its own."""
        if len(call.inputs) != 1 or len(call.outputs) != 1 or not is_kerass(call.layer):
            return False
        read, given = self.wiring.origin(call.inputs[0]), call.outputs[0].key
        tensor = self.held.get(read, read)
        if call.kind in PADDING and self._only_convolutions_read(given):
            self.waiting[given] = [number]
        elif (
            call.kind in ELEMENTWISE | VIEWS
            and self.wiring.alone_reads(number, read)
            and numbers(call.outputs[0], call.layer.name) == self.sizes[tensor]
            and read not in self.waiting
        ):
            if tensor in self.written_by:
                self.taken[self.written_by[tensor]].append(number)
            elif call.kind in VIEWS:
                self.waiting[given] = [number]
            else:
                return False
        else:
            return False
        self.held[given] = tensor
        return True

    def _only_convolutions_read(self, key: int) -> bool:
        readers = [self.graph.calls[number] for number in self.wiring.readers.get(key, [])]
        return bool(readers) and key not in self.wiring.kept and all(call.kind in CONVOLUTIONS and is_kerass(call.layer) for call in readers)

    def _begin(self, number: int, call: Call) -> None:
        taken = [waited for value in call.inputs for waited in self.waiting.pop(self.wiring.origin(value), [])]
        reads = tuple(dict.fromkeys(self._tensor(value) for value in call.inputs))
        writes = tuple(value.key for value in call.outputs)
        self.sizes.update((value.key, numbers(value, call.layer.name)) for value in call.outputs)
        if call.kind in SEPARABLE and is_kerass(call.layer):
            between = -writes[0]  # no value of the graph has a number below 1
            self.sizes[between] = self.sizes[writes[0]] // call.layer.filters * prod(call.layer.depthwise_kernel.shape[-2:])
            self._add(Step(number, (), reads, (between,), "depthwise"), taken)
            self._add(Step(number, (), (between,), writes, "pointwise"), [])
        else:
            self._add(Step(number, (), reads, writes), taken)

    def _add(self, step: Step, taken: list[int]) -> None:
        self.written_by.update(dict.fromkeys(step.writes, len(self.steps)))
        self.steps.append(step)
        self.taken.append(taken)

    def _place_gone(self) -> None:
        """What does nothing belongs to the step before it, or on an input to the first one behind it."""
        step_of = {step.core: place for place, step in enumerate(self.steps)}
        step_of.update((number, place) for place, taken in enumerate(self.taken) for number in taken)
        for number, call in enumerate(self.graph.calls):
            if not self.wiring.is_gone(call):
                continue
            behind = self.wiring.readers.get(self.wiring.origin(call.inputs[0]), [])
            step = self.written_by.get(self._tensor(call.inputs[0]), step_of.get(behind[0]) if behind else None)
            if step is not None:
                self.taken[step].append(number)


def numbers(value: Value, name: str) -> int:
    """How many numbers a value holds, batch 1.

    Args:
        value: A value of the graph.
        name: Of the layer that gives it.

    Raises:
        ModelError: A size is not fixed.
    """
    return prod(fixed(value.shape, name))


def fixed(shape: tuple[int | None, ...], name: str) -> tuple[int, ...]:
    """The shape, if all of it is known.

    Raises:
        ModelError: A size is not fixed.
    """
    if None in shape:
        raise ModelError(f"the size of the layer {name!r} is not fixed: {shape}", "give the model an input of fixed height and width")
    return tuple(side for side in shape if side is not None)
