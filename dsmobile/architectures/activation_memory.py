"""How much memory the tensors between the layers take, and how many MACs there are for each byte that is moved.

The network runs step by step in the order of its graph, with layers fused as `steps` says. A tensor is alive from the step that writes it to the last
one that reads it; inputs from the start, outputs to the end, the input of a residual connection until the addition. The peak is the
largest sum of tensors alive during one step, what it reads and writes included. Every tensor counts at the stated precision, inputs
and outputs too. Not counted are a runtime's own buffers (packed weights, im2col, the alignment and gaps of an arena) and what is inside
a layer that we do not know; a runtime that writes an addition or a depthwise convolution over its input needs less.

A step moves its weights, inputs and outputs once. MACs over those bytes is its arithmetic intensity: below a device's MACs per byte of
memory bandwidth, memory bounds it.

Source: Williams, Waterman and Patterson, Roofline: An Insightful Visual Performance Model for Multicore Architectures, CACM 52(4), 2009, where
it is operational intensity in floating-point operations per byte; a MAC is two of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from dsmobile.architectures.cost import ITEM_BYTES, Cost, Weights, cost, separable_macs
from dsmobile.architectures.graph import Call, read_graph
from dsmobile.architectures.steps import Step, Steps, fuse


@dataclass(frozen=True)
class StepCost:
    """What one step costs.

    Args:
        name: Of the layer that computes.
        core: The number of that layer's call, in the graph's order.
        taken: The numbers of the calls that it takes in.
        macs: Multiply-accumulates; None where we cannot count them.
        weights: That it and what it takes in read.
        moved: Numbers of the tensors that it reads and writes.
        alive: Numbers of all tensors alive while it runs.
    """

    name: str
    core: int
    taken: tuple[int, ...]
    macs: int | None
    weights: Weights
    moved: int
    alive: int

    def activation_bytes(self, dtype: str) -> int:
        """Bytes of all tensors alive while it runs, at `float32` or `int8`."""
        return self.alive * ITEM_BYTES[dtype]

    def moved_bytes(self, dtype: str) -> int:
        """Bytes of its weights, inputs and outputs, at `float32` or `int8`."""
        return self.moved * ITEM_BYTES[dtype] + self.weights.size_bytes(dtype)

    def arithmetic_intensity(self, dtype: str) -> float | None:
        """MACs over the bytes moved; None where the MACs are not known."""
        return None if self.macs is None else _over(self.macs, self.moved_bytes(dtype))


@dataclass(frozen=True)
class Execution:
    """What running a network once costs in memory.

    Args:
        steps: In their order; a separable convolution is two, with the tensor between.
        given: Numbers of the inputs.
    """

    steps: tuple[StepCost, ...]
    given: int

    @property
    def peak_step(self) -> StepCost | None:
        """The first step with the most alive; None for a network without steps."""
        return max(self.steps, key=lambda step: step.alive, default=None)

    def peak_activation_bytes(self, dtype: str) -> int:
        """The most that is alive at once, at `float32` or `int8`."""
        return (self.peak_step.alive if self.peak_step else self.given) * ITEM_BYTES[dtype]

    def moved_bytes(self, dtype: str) -> int:
        """Bytes that all steps move."""
        return sum(step.moved_bytes(dtype) for step in self.steps)

    def arithmetic_intensity(self, dtype: str) -> float:
        """MACs over bytes moved, of the whole network; a lower bound where MACs are not known."""
        return _over(sum(step.macs or 0 for step in self.steps), self.moved_bytes(dtype))


def execution(model: Any, counted: Cost | None = None) -> Execution:
    """Follows a functional Keras model step by step without running it.

    Args:
        model: A functional `keras.Model`.
        counted: Its cost, where it is known already.

    Raises:
        ModelError: A subclassed model, or a size that is not fixed.
    """
    counted = cost(model) if counted is None else counted
    graph = read_graph(model)
    fused = fuse(graph)
    steps = tuple(_cost(counted, fused, step, graph.calls[step.core], alive) for step, alive in zip(fused.steps, _alive(fused), strict=True))
    return Execution(steps, sum(fused.sizes[key] for key in fused.inputs))


def _alive(fused: Steps) -> list[int]:
    """How many numbers are alive during each step."""
    if not fused.steps:
        return []
    first = dict.fromkeys(fused.inputs, 0)
    last = dict.fromkeys(fused.inputs, 0)
    for place, step in enumerate(fused.steps):
        first.update(dict.fromkeys(step.writes, place))
        last.update(dict.fromkeys((*step.writes, *step.reads), place))
    last.update(dict.fromkeys(fused.outputs, len(fused.steps) - 1))
    changes = [0] * (len(fused.steps) + 1)
    for key in first:
        changes[first[key]] += fused.sizes[key]
        changes[last[key] + 1] -= fused.sizes[key]
    alive, now = [], 0
    for change in changes[:-1]:
        now += change
        alive.append(now)
    return alive


def _cost(counted: Cost, fused: Steps, step: Step, call: Call, alive: int) -> StepCost:
    row, name, macs = counted.calls[step.core], counted.calls[step.core].name, counted.calls[step.core].macs
    own = row.weights
    if step.half:
        kernel = Weights(prod(call.layer.depthwise_kernel.shape), 0)
        own = kernel if step.half == "depthwise" else Weights(own.numbers - kernel.numbers, own.biases)
        name, macs = f"{row.name} ({step.half})", dict(zip(("depthwise", "pointwise"), separable_macs(call), strict=True))[step.half]
    weights = sum((counted.calls[number].weights for number in step.taken), own)
    moved = sum(fused.sizes[key] for key in (*step.reads, *step.writes))
    return StepCost(name, step.core, step.taken, macs, weights, moved, alive)


def _over(macs: int, size_bytes: int) -> float:
    return macs / size_bytes if size_bytes else 0.0
