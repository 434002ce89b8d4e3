"""Reads a TFLite file's flatbuffer: subgraphs, signatures, what stands at its ends. No interpreter is started.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, by the accessors that LiteRT brings.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from dsmobile.errors import ModelError
from dsmobile.inspection.facts import End, Facts, Macs
from dsmobile.inspection.graph import Graph, Operator, Tensor
from dsmobile.inspection.macs import count_macs
from dsmobile.inspection.quantization import quantization_of
from dsmobile.inspection.tflite_metadata import read_metadata
from dsmobile.inspection.weights import weights_of

_Entry = TypeVar("_Entry")
_LONGEST_NAME = 200


def read_tflite(path: Path) -> Facts:
    """What a TFLite file holds.

    Args:
        path: The file, already known to begin like one.

    Raises:
        ModelError: It is damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        return _Reader(schema, path.read_bytes(), path).facts()
    except (struct.error, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:  # what following a wrong offset can raise
        raise ModelError(f"{path} is a TFLite file that is cut short or damaged: an offset leads out of it", "export or download it again") from error


class _Reader:
    def __init__(self, schema: Any, data: bytes, path: Path) -> None:
        self.schema, self.size, self.path = schema, len(data), path
        self.model = schema.Model.GetRootAs(data, 0)
        self.types = _names(schema.TensorType)
        self.builtins = _names(schema.BuiltinOperator)
        self.codes = [self._code(code) for code in self._each(self.model.OperatorCodesLength(), self.model.OperatorCodes)]

    def facts(self) -> Facts:
        subgraphs = list(self._each(self.model.SubgraphsLength(), self.model.Subgraphs))
        graphs = [self._graph(subgraph, number) for number, subgraph in enumerate(subgraphs)]
        inputs, outputs = self._ends(graphs[0], graphs[0].inputs), self._ends(graphs[0], graphs[0].outputs)
        weights = weights_of(graphs)
        kinds = Counter(operator.kind for graph in graphs for operator in graph.operators)
        domains = {operator.kind: operator.domain for graph in graphs for operator in graph.operators if operator.domain}
        signatures = tuple(self._signature(entry, graphs) for entry in self._each(self.model.SignatureDefsLength(), self.model.SignatureDefs))
        metadata, notes = read_metadata(self.path, self.model)
        if len({signature["subgraph"] for signature in signatures}) > 1:
            notes.append("It has several signatures: the MACs are those of the first subgraph, each signature's own are with it.")
        if kinds["READ_VARIABLE"] and not kinds["ASSIGN_VARIABLE"]:
            notes.append(
                f"It reads {kinds['READ_VARIABLE']} variables that nothing in the file fills: its weights are missing. Convert the model again, "
                "with its variables frozen to constants."
            )
        if self.model.ExternalBuffersLength():
            notes.append("It keeps weights in other files: they are not counted.")
        return Facts(
            format="tflite",
            inputs=inputs,
            outputs=outputs,
            operators=dict(kinds.most_common()),
            macs=count_macs(graphs),
            parameters=sum(entry.parameters for entry in weights.values()),
            weight_precision=weights,
            quantization=quantization_of(graphs),
            custom_operators=tuple(sorted(kind for kind, domain in domains.items() if domain == "custom")),
            select_tf_operators=tuple(sorted(kind for kind, domain in domains.items() if domain == "flex")),
            subgraphs=len(graphs),
            signatures=signatures,
            metadata=metadata,
            notes=tuple(notes),
        )

    def _each(self, length: int, entry: Callable[[int], _Entry]) -> Iterator[_Entry]:
        """The entries of a vector, whose length a damaged file may have invented."""
        if length * 4 > self.size:
            raise ModelError(f"{self.path} is a TFLite file that is damaged: a list of {length} entries does not fit into it", "download it again")
        return (entry(number) for number in range(length))

    def _code(self, code: Any) -> tuple[str, str]:
        """An operator's name, and who defines it: nobody else, `custom` or `flex`."""
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == self.schema.BuiltinOperator.CUSTOM:
            name = text(code.CustomCode()) or "custom operator without a name"
            return name, "flex" if name.startswith("Flex") else "custom"
        name = self.builtins.get(number, "")
        return (name, "") if name else (f"operator {number}", "custom")

    def _graph(self, subgraph: Any, number: int) -> Graph:
        tensors = {}
        keys: list[str] = []
        for place, entry in enumerate(self._each(subgraph.TensorsLength(), subgraph.Tensors)):
            tensor = self._tensor(entry, f"{number}:{place}")
            key = tensor.key if tensor.key not in tensors else f"{tensor.key}:{number}:{place}"
            tensors[key] = tensor
            keys.append(key)

        def named(length: int, entry: Callable[[int], int]) -> tuple[str, ...]:
            places = self._each(length, entry)
            return tuple(keys[place] if 0 <= place < len(keys) else "" for place in places)

        operators = tuple(self._operator(entry, named) for entry in self._each(subgraph.OperatorsLength(), subgraph.Operators))
        inputs, outputs = named(subgraph.InputsLength(), subgraph.Inputs), named(subgraph.OutputsLength(), subgraph.Outputs)
        return Graph(inputs, outputs, tensors, operators)

    def _tensor(self, entry: Any, place: str) -> Tensor:
        number = entry.Buffer()
        buffer = self.model.Buffers(number) if 0 < number < self.model.BuffersLength() else None
        stored_bytes = _size_bytes(buffer) if buffer is not None else 0
        stored = (stored_bytes > 0 or entry.ExternalBuffer() > 0) and not entry.IsVariable()
        shape = tuple(self._each(entry.ShapeLength(), entry.Shape))
        signature = tuple(self._each(entry.ShapeSignatureLength(), entry.ShapeSignature))
        scales, zero_points = self._quantization(entry)
        sizes = signature if len(signature) == len(shape) else shape
        return Tensor(
            key=f"buffer {number}" if stored and stored_bytes else place,
            name=text(entry.Name()),
            shape=tuple(None if size < 0 else size for size in sizes),
            dtype=self.types.get(entry.Type(), f"type {entry.Type()}").lower(),
            stored=stored,
            scales=scales,
            zero_points=zero_points,
            size_bytes=stored_bytes,
        )

    def _quantization(self, entry: Any) -> tuple[tuple[float, ...], tuple[int, ...]]:
        quantization = entry.Quantization()
        if quantization is None:
            return (), ()
        scales = tuple(float(scale) for scale in self._each(quantization.ScaleLength(), quantization.Scale))
        return scales, tuple(self._each(quantization.ZeroPointLength(), quantization.ZeroPoint)) if scales else ()

    def _operator(self, entry: Any, named: Callable[[int, Callable[[int], int]], tuple[str, ...]]) -> Operator:
        place = entry.OpcodeIndex()
        if place >= len(self.codes):
            raise ModelError(f"{self.path} is a TFLite file that is damaged: it names an operator that it does not list", "download it again")
        kind, domain = self.codes[place]
        inputs, outputs = named(entry.InputsLength(), entry.Inputs), named(entry.OutputsLength(), entry.Outputs)
        attributes, bodies = self._options(kind, entry)
        return Operator(kind, inputs, outputs, domain, attributes, bodies)

    def _options(self, kind: str, entry: Any) -> tuple[dict[str, Any], dict[str, int]]:
        """What counting needs of an operator's options: turned operands, and the subgraphs that it runs."""
        name, attributes, bodies = _OPTIONS.get(kind, ("", {}, {}))
        second = kind.startswith("STABLEHLO")
        table = (entry.BuiltinOptions2() if second else entry.BuiltinOptions()) if name else None
        if table is None:
            return {}, {}
        options = getattr(self.schema, name)()
        options.Init(table.Bytes, table.Pos)
        return (
            {key: getattr(options, getter)() for key, getter in attributes.items()},
            {role: getattr(options, getter)() for role, getter in bodies.items()},
        )

    def _ends(self, graph: Graph, keys: tuple[str, ...]) -> tuple[End, ...]:
        return tuple(_end(graph.tensors[key]) for key in keys if key)

    def _signature(self, entry: Any, graphs: list[Graph]) -> dict[str, Any]:
        number = entry.SubgraphIndex()
        if number >= len(graphs):
            raise ModelError(f"{self.path} is a TFLite file that is damaged: a signature names a subgraph that does not exist", "download it again")
        macs: Macs = count_macs(graphs, number)
        return {
            "key": text(entry.SignatureKey()),
            "subgraph": number,
            "macs": None if macs.unknown and not macs.count else macs.count,
            "macs_unknown": [asdict(uncounted) for uncounted in macs.unknown],
            "inputs": [text(item.Name()) for item in self._each(entry.InputsLength(), entry.Inputs)],
            "outputs": [text(item.Name()) for item in self._each(entry.OutputsLength(), entry.Outputs)],
        }


# An operator's options: the table's class, what is read of it, and the subgraphs that it names.
_OPTIONS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "BATCH_MATMUL": ("BatchMatMulOptions", {"adj_x": "AdjX", "adj_y": "AdjY"}, {}),
    "WHILE": ("WhileOptions", {}, {"condition": "CondSubgraphIndex", "body": "BodySubgraphIndex"}),
    "IF": ("IfOptions", {}, {"then": "ThenSubgraphIndex", "else": "ElseSubgraphIndex"}),
    "CALL": ("CallOptions", {}, {"body": "Subgraph"}),
    "CALL_ONCE": ("CallOnceOptions", {}, {"body": "InitSubgraphIndex"}),
    "STABLEHLO_WHILE": ("StablehloWhileOptions", {}, {"condition": "CondSubgraphIndex", "body": "BodySubgraphIndex"}),
    "STABLEHLO_COMPOSITE": ("StableHLOCompositeOptions", {}, {"body": "DecompositionSubgraphIndex"}),
}


def _size_bytes(buffer: Any) -> int:
    """What a buffer holds, within the flatbuffer or behind it; there, 1 stands for a size that was never filled in."""
    behind = int(buffer.Size())
    return int(buffer.DataLength()) or (behind if behind > 1 else 0)


def _end(tensor: Tensor) -> End:
    single = len(tensor.scales) == 1
    zero_points = tensor.zero_points or (0,) * len(tensor.scales)
    return End(
        tensor.name,
        tensor.shape,
        tensor.dtype,
        (tensor.scales[0] if single else tensor.scales) if tensor.scales else None,
        (zero_points[0] if single else zero_points) if tensor.scales else None,
    )


def text(raw: bytes | None) -> str:
    """A stranger's string, not endlessly long."""
    return (raw or b"").decode("utf-8", "replace")[:_LONGEST_NAME]


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if name.isupper()}
