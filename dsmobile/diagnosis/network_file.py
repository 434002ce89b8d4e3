"""A TFLite file as a graph: its operators, which of its tensors are another file's too, and parts of it cut out as files of their own."""

from __future__ import annotations

import copy
import math
from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

WITH_KERNEL = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0}  # and the axis of its outputs
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE", "CAST")
# What moves numbers and computes none: it adds no error of its own.
_MOVES = (*_CONVERSIONS, "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "PAD", "PADV2", "STRIDED_SLICE", "SLICE", "TRANSPOSE", "MAX_POOL_2D", "SHAPE", "PACK")
_BEHIND = (*_CONVERSIONS, "RESHAPE", "SQUEEZE", "EXPAND_DIMS")


@dataclass(frozen=True)
class Operator:
    """An operator of a file.

    Args:
        place: In the order in which they run.
        kind: The schema's name.
        inputs: Tensors; -1 where one is left out.
        outputs: Tensors.
    """

    place: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class NetworkFile:
    """A TFLite file; what it computes is in its first subgraph.

    Args:
        data: The file's bytes.
    """

    def __init__(self, data: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.data = data
        self._model = schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
        self._graph = self._model.subgraphs[0]
        self._names, self._type_names = (
            {number: name for name, number in vars(kinds).items() if isinstance(number, int)} for kinds in (schema.BuiltinOperator, schema.TensorType)
        )
        self.inputs, self.outputs = ([int(place) for place in ends] for ends in (self._graph.inputs, self._graph.outputs))

    @cached_property
    def operators(self) -> list[Operator]:
        """Its operators, in the order in which they run."""
        return [
            Operator(place, self._kind(entry), _places(entry.inputs), _places(entry.outputs)) for place, entry in enumerate(self._graph.operators)
        ]

    @cached_property
    def producers(self) -> dict[int, Operator]:
        """The operator that gives a tensor."""
        return {tensor: operator for operator in self.operators for tensor in operator.outputs}

    def name(self, tensor: int) -> str:
        """A tensor's name."""
        name = self._graph.tensors[tensor].name
        return (name.decode("utf-8", "replace") if isinstance(name, bytes) else name) or ""

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's shape as the file says it, batch included."""
        shape = self._graph.tensors[tensor].shape
        return () if shape is None else tuple(int(size) for size in shape)

    def is_constant(self, tensor: int) -> bool:
        """Whether a tensor is in the file."""
        data = self._model.buffers[self._graph.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    @cached_property
    def whole(self) -> bool:
        """Whether the file holds its weights in its graph, so that parts of it can be files."""
        return not any(buffer.offset for buffer in self._model.buffers)

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of its convolutions and dense layers, one inference; sizes that are not fixed count as 1."""
        total = 0
        for operator in self.operators:
            if operator.kind in WITH_KERNEL:
                places = operator.inputs[2] if operator.kind == "TRANSPOSE_CONV" else operator.outputs[0]
                sizes = (*self.shape(operator.inputs[1]), *self.shape(places)[1:-1])
                total += math.prod(max(size, 1) for size in sizes)
        return total

    @cached_property
    def weight_types(self) -> set[str]:
        """The types in which it holds its kernels: the schema's names, in small letters."""
        kernels = [self.source(operator.inputs[1]) for operator in self.operators if operator.kind in WITH_KERNEL]
        return {self._type_names.get(self._graph.tensors[tensor].type, "unknown").lower() for tensor in kernels if self.is_constant(tensor)}

    @cached_property
    def softmax(self) -> Operator | None:
        """The softmax that the first output comes out of; None where there is none."""
        operator = self.producers.get(self.outputs[0])
        while operator is not None and operator.kind in _BEHIND:
            operator = self.producers.get(operator.inputs[0])
        return operator if operator is not None and operator.kind == "SOFTMAX" else None

    @property
    def logits(self) -> int:
        """What goes into the final softmax, or the first output where there is none."""
        return self.softmax.inputs[0] if self.softmax else self.outputs[0]

    def layers(self) -> list[Operator]:
        """The operators that compute something, up to the logits."""
        needed = self._needed([self.logits])
        return [operator for operator in self.operators if operator.place in needed and operator.kind not in (*_MOVES, "SOFTMAX")]

    def layer_name(self, operator: Operator) -> str:
        """What people call a layer: in our files a kernel bears its name; converters join the names of what they fused."""
        if operator.kind in WITH_KERNEL:
            kernel = self.name(operator.inputs[1])
            if kernel.endswith(("/kernel", "/kernel_int8")):
                return kernel.rpartition("/")[0]
        return self.name(operator.outputs[0]).split(";")[0]

    def moved_from(self, tensor: int) -> Operator | None:
        """The operator that computes a tensor's numbers, where they are only moved or converted after it; None where nothing moves them."""
        operator, moves = self.producers.get(tensor), 0
        while operator is not None and operator.kind in _BEHIND:
            operator, moves = self.producers.get(operator.inputs[0]), moves + 1
        return operator if moves else None

    def source(self, tensor: int) -> int:
        """The tensor whose numbers a tensor holds in another type."""
        operator = self.producers.get(tensor)
        while operator is not None and operator.kind in _CONVERSIONS:
            tensor = operator.inputs[0]
            operator = self.producers.get(tensor)
        return tensor

    def twins(self, reference: NetworkFile) -> dict[int, int]:
        """The reference's tensor for each of this file's.

        One of the same name and shape, or the same input, output or logits; or what the same operator makes of such tensors.
        """
        theirs = {reference.name(tensor): tensor for tensor in reversed(range(len(reference._graph.tensors)))}
        ends = dict(zip(self.inputs, reference.inputs, strict=False))
        ends |= {self.logits: reference.logits, self.source(self.logits): reference.source(reference.logits)}
        found = {}
        for tensor in range(len(self._graph.tensors)):
            for candidate in (tensor, self.source(tensor)):
                twin = ends.get(candidate, theirs.get(self.name(candidate)))
                if twin is not None and reference.shape(twin) == self.shape(tensor) and not reference.is_constant(twin):
                    found[tensor] = twin
                    break
        self._add_results(found, reference)
        return found

    def _add_results(self, found: dict[int, int], reference: NetworkFile) -> None:
        """Adds the results of operators that both files have under other names: parts of what is one layer to people."""
        theirs = {(entry.kind, reference._activation(entry), reference._values(entry)): entry.outputs[0] for entry in reversed(reference.operators)}
        for operator in self.operators:
            values = self._values(operator)
            if operator.kind in WITH_KERNEL or not values or operator.outputs[0] in found or not all(value in found for value in values):
                continue
            twin = theirs.get((operator.kind, self._activation(operator), tuple(reference.source(found[value]) for value in values)))
            if twin is not None and reference.shape(twin) == self.shape(operator.outputs[0]):
                found[operator.outputs[0]] = twin

    def _values(self, operator: Operator) -> tuple[int, ...]:
        """What an operator takes that is no constant, before conversions; nothing where it takes a constant too."""
        taken = [self.source(tensor) for tensor in operator.inputs if tensor >= 0]
        return () if any(self.is_constant(tensor) for tensor in taken) else tuple(taken)

    def _activation(self, operator: Operator) -> int:
        """The number of the activation that an operator ends with; 0 is none."""
        return int(getattr(self._graph.operators[operator.place].builtinOptions, "fusedActivationFunction", 0))

    def behind(self, tensor: int) -> list[Operator]:
        """The operators through which a tensor acts on the logits."""
        needed, reached, found = self._needed([self.logits]), {tensor}, []
        for operator in self.operators:
            if operator.place in needed and reached & set(operator.inputs) and tensor not in operator.outputs:
                reached |= set(operator.outputs)
                found.append(operator)
        return found

    def with_conversions(self, operator: Operator, known: Container[int] | None = None) -> list[Operator]:
        """An operator, and before it what converts the values that it takes.

        Args:
            operator: Of this file.
            known: Tensors that can be given; what only moves the numbers of another one is taken along. None takes along conversions only.
        """
        found, waiting = [operator], list(operator.inputs)
        while waiting:
            tensor = waiting.pop()
            before = self.producers.get(tensor)
            if before is None or before in found:
                continue
            if before.kind in _CONVERSIONS or (before.kind in _BEHIND and known is not None and tensor not in known):
                found.append(before)
                waiting += before.inputs
        return sorted(found, key=lambda entry: entry.place)

    def taken(self, operators: list[Operator]) -> list[int]:
        """What operators take from others: the inputs of the file that they would be."""
        given = {tensor for operator in operators for tensor in operator.outputs}
        wanted = dict.fromkeys(tensor for operator in operators for tensor in operator.inputs if tensor >= 0)
        return [tensor for tensor in wanted if tensor not in given and not self.is_constant(tensor)]

    def cut(self, operators: list[Operator], inputs: list[int], outputs: list[int]) -> bytes:
        """A file with some of the operators.

        Args:
            operators: In the order in which they run.
            inputs: Tensors that it takes; every tensor keeps its number.
            outputs: Tensors that it gives.
        """
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema

        model, graph = copy.copy(self._model), copy.copy(self._graph)
        used = {*inputs, *outputs, *(tensor for operator in operators for tensor in (*operator.inputs, *operator.outputs))}
        graph.operators = [self._graph.operators[operator.place] for operator in operators]
        graph.inputs, graph.outputs = np.asarray(inputs, np.int32), np.asarray(outputs, np.int32)
        graph.tensors = [entry if place in used else schema.TensorT(shape=[], name=entry.name) for place, entry in enumerate(self._graph.tensors)]
        kept = {self._graph.tensors[tensor].buffer for tensor in used if tensor >= 0}
        model.buffers = [entry if place in kept else schema.BufferT() for place, entry in enumerate(self._model.buffers)]
        model.subgraphs = [graph, *self._model.subgraphs[1:]]
        model.signatureDefs, model.metadata, model.metadataBuffer = [], [], []
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _needed(self, tensors: list[int]) -> set[int]:
        """The places of the operators that tensors come from."""
        wanted, found = set(tensors), set()
        for operator in reversed(self.operators):
            if wanted & set(operator.outputs):
                wanted |= set(operator.inputs)
                found.add(operator.place)
        return found

    def _kind(self, operator: Any) -> str:
        code = self._model.operatorCodes[operator.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)  # files of old know only the latter
        return str(self._names.get(number, number))


def _places(tensors: Any) -> tuple[int, ...]:
    return () if tensors is None else tuple(int(tensor) for tensor in tensors)
