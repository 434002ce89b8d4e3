"""A model's graph as both formats have it: tensors by key, operators in order, subgraphs by number. Read-only, nothing of a library in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

# Operators that hand on the numbers they are given: a weight stays a weight behind them.
_HANDING_ON = frozenset(
    """DequantizeLinear QuantizeLinear Cast CastLike Identity Transpose Reshape Squeeze Unsqueeze Flatten Expand
    DEQUANTIZE QUANTIZE DENSIFY CAST TRANSPOSE RESHAPE SQUEEZE EXPAND_DIMS""".split()
)


@dataclass(frozen=True)
class Tensor:
    """A value that operators read or write.

    Args:
        key: Its place in the graph; the same in two graphs only where both read the same stored numbers.
        name: Its name in the file.
        shape: Its sizes; None where the number of axes is unknown, None in the place of a size that is unknown.
        dtype: The type's name.
        stored: Whether the file holds its numbers.
        scales: Of its quantization, one or one for each channel.
        zero_points: Likewise.
        size_bytes: What its numbers take in the file.
    """

    key: str
    name: str
    shape: tuple[int | None, ...] | None
    dtype: str
    stored: bool = False
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    size_bytes: int = 0


@dataclass(frozen=True)
class Operator:
    """One operation.

    Args:
        kind: `CONV_2D`, `Conv`, or a custom operator's own name.
        inputs: Keys of what it reads; empty for an input left away.
        outputs: Keys of what it writes.
        domain: Empty for the format's own kinds, else who defines it.
        attributes: What counting needs of its options.
        bodies: Numbers of the subgraphs that it runs, by their role.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    domain: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    bodies: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """One subgraph.

    Args:
        inputs: Keys.
        outputs: Keys.
        tensors: By key; those of an enclosing graph too.
        operators: In the file's order.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    operators: tuple[Operator, ...]

    @cached_property
    def producers(self) -> dict[str, Operator]:
        """Who writes a tensor."""
        return {key: operator for operator in self.operators for key in operator.outputs if key}

    @cached_property
    def constants(self) -> frozenset[str]:
        """Keys of what does not depend on the inputs: stored numbers, variables, and what is computed from those alone."""
        return self.constants_with(frozenset())

    def constants_with(self, given: frozenset[str]) -> frozenset[str]:
        """Constants where some of the inputs are constants too: those of a graph that another one runs.

        Args:
            given: Keys of such inputs.
        """
        known = {key for key, tensor in self.tensors.items() if tensor.stored} | given
        for operator in self.operators:  # in topological order, as both formats demand
            read = [key for key in operator.inputs if key]
            fixed = bool(read) and not operator.bodies and all(key in known for key in read)
            if fixed or operator.kind == "READ_VARIABLE":  # a variable holds weights, or a state that is no larger than its own cell
                known.update(key for key in operator.outputs if key)
        return frozenset(known)

    def tensor(self, operator: Operator, index: int) -> Tensor | None:
        """What an operator reads in one place; None where that is left away or never described."""
        key = operator.inputs[index] if index < len(operator.inputs) else ""
        return self.tensors.get(key)

    def origin(self, key: str) -> Iterator[tuple[Tensor, Operator | None]]:
        """A tensor, then what it was made from by operators that hand numbers on, back to what is stored or computed.

        Yields:
            Each tensor on the way, with the operator that wrote it.
        """
        for _ in range(len(self.operators) + 1):  # a damaged file may run in circles
            tensor, producer = self.tensors.get(key), self.producers.get(key)
            if tensor is None:
                return
            yield tensor, producer
            if producer is None or producer.kind not in _HANDING_ON or not producer.inputs:
                return
            key = producer.inputs[0]
