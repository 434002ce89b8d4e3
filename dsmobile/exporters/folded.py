"""A folded network: operators and the order in which they run.

A frozen value of names, shapes and numpy arrays: both exporters start from it, it can be pickled, and it needs neither Keras nor TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from dsmobile.exporters.operators import Operator, Softmax

OUTPUT_NAME = "scores"


@dataclass(frozen=True, eq=False)
class Node:
    """One operator at its place.

    Args:
        name: Of the node and of its output.
        operator: What it does.
        inputs: Names of its inputs.
        shape: Of its output, without the batch.
    """

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Input:
    """An input of a network.

    Args:
        name: What files call it.
        shape: Without the batch; a sequence keeps its rank of two.
    """

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class FoldedModel:
    """A folded network.

    Args:
        name: The network's name.
        inputs: In the source's order.
        nodes: In the order in which they run.
        outputs: The nodes whose outputs are the network's, in the source's order.
        left: What could not be folded, and why.
    """

    name: str
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    left: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    @property
    def input(self) -> Input:
        """The first input: the only one of most networks."""
        return self.inputs[0]

    @property
    def output(self) -> str:
        """The first output: the only one of most networks."""
        return self.outputs[0]

    @property
    def output_names(self) -> tuple[str, ...]:
        """What files call the outputs, in order: `scores` where there is one."""
        return (OUTPUT_NAME,) if len(self.outputs) == 1 else self.outputs

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {**{value.name: value.shape for value in self.inputs}, **{node.name: node.shape for node in self.nodes}}

    @cached_property
    def _consumers(self) -> dict[str, list[Node]]:
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(node)
        return found

    @cached_property
    def _nodes(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def node(self, name: str) -> Node | None:
        """The node that gives a value; None for an input."""
        return self._nodes.get(name)

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a value, without the batch."""
        return self._shapes[name]

    def consumers(self, name: str) -> list[Node]:
        """The nodes that take a value."""
        return self._consumers.get(name, [])

    def sole_reader(self, name: str) -> Node | None:
        """The node that alone takes a value, which is no output of the network; None where there is no such node."""
        readers = self.consumers(name)
        return readers[0] if len(readers) == 1 and name not in self.outputs and readers[0].inputs.count(name) == 1 else None

    def with_softmax(self) -> FoldedModel:
        """The same network of one output with a softmax at its end."""
        node = Node(f"{self.output}_softmax", Softmax(), (self.output,), self.shape_of(self.output))
        return replace(self, nodes=(*self.nodes, node), outputs=(node.name,))
