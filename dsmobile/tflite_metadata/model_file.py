"""A TFLite file's root table and what metadata touch of it, read with bounds; and whether its bytes may stand elsewhere in a file."""

from __future__ import annotations

from dataclasses import dataclass

from dsmobile.errors import ModelError
from dsmobile.tflite_metadata import schema
from dsmobile.tflite_metadata.flatbuffer import DamagedError, Table, root

_LONGEST_NAME = 1000


@dataclass(frozen=True)
class End:
    """An input or output of the first graph.

    Args:
        shape: Its sizes, batch included, as the file would run; 1 where one is left open.
        dtype: numpy's name, or the type's number.
        quantization: Scale and zero point; None where it has none, or one per channel.
        signature: The sizes with -1 where one is left open; empty where none is.
    """

    shape: tuple[int, ...]
    dtype: str
    quantization: tuple[float, int] | None
    signature: tuple[int, ...] = ()


@dataclass(frozen=True)
class ModelFile:
    """What metadata touch of a model.

    Args:
        root: Its root table.
        inputs: Of its first graph.
        outputs: Likewise.
        buffers: Its constants.
        used: The buffers that tensors refer to.
        entries: Its metadata's names and buffers.
    """

    root: Table
    inputs: tuple[End, ...]
    outputs: tuple[End, ...]
    buffers: tuple[Table, ...]
    used: frozenset[int]
    entries: tuple[tuple[str, int, Table], ...]

    @property
    def metadata(self) -> bytes | None:
        """The bytes of its TFLite metadata; None where it has none."""
        numbers = [number for name, number, _ in self.entries if name == schema.METADATA_NAME]
        return self.contents(numbers[0]) if numbers else None

    def contents(self, buffer: int) -> bytes:
        """A buffer's bytes; none where it does not exist."""
        return self.buffers[buffer].contents(schema.Buffer.DATA) if 0 < buffer < len(self.buffers) else b""


def read_model(data: bytes) -> ModelFile:
    """Reads a TFLite file's root.

    Args:
        data: The file.

    Raises:
        DamagedError: An offset leads out of it.
    """
    model = root(data, schema.MODEL_IDENTIFIER)
    subgraphs = model.tables(schema.Model.SUBGRAPHS)
    if not subgraphs:
        raise DamagedError("it has no graph")
    buffers = tuple(model.tables(schema.Model.BUFFERS))
    tensors = [subgraph.tables(schema.Subgraph.TENSORS) for subgraph in subgraphs]
    used = frozenset(int(tensor.value(schema.Tensor.BUFFER, "I")) for graph in tensors for tensor in graph)
    entries = tuple(
        (entry.text(schema.Entry.NAME, _LONGEST_NAME), int(entry.value(schema.Entry.BUFFER, "I")), entry)
        for entry in model.tables(schema.Model.METADATA)
    )
    inputs, outputs = (
        tuple(_end(tensors[0], index) for index in subgraphs[0].numbers(field, "i", 1000))
        for field in (schema.Subgraph.INPUTS, schema.Subgraph.OUTPUTS)
    )
    return ModelFile(model, inputs, outputs, buffers, used, entries)


def require_movable(model: ModelFile) -> None:
    """Raises where something in a model is found by its distance from the file's first byte, or by what we do not know.

    Raises:
        DamagedError: An offset leads out of it.
        ModelError: With what it is.
    """
    if model.root.fields > schema.Model.COUNT and any(model.root.field(index) for index in range(schema.Model.COUNT, model.root.fields)):
        raise ModelError("the model has parts that this version of dsmobile does not know", "write its metadata with the tool that made it")
    behind = any(buffer.value(schema.Buffer.OFFSET, "Q") > 1 for buffer in model.buffers) or any(  # 1: never filled in
        operator.value(schema.Operator.LARGE_OPTIONS_OFFSET, "Q") > 1
        for subgraph in model.root.tables(schema.Model.SUBGRAPHS)
        for operator in subgraph.tables(schema.Subgraph.OPERATORS)
    )
    if behind:
        raise ModelError("the model keeps weights behind its flatbuffer, which metadata would move", "convert it to a file smaller than 2 GB")


def _end(tensors: list[Table], index: int) -> End:
    if not 0 <= index < len(tensors):
        raise DamagedError(f"an end of the graph is tensor {index} of {len(tensors)}")
    tensor = tensors[index]
    number = int(tensor.value(schema.Tensor.TYPE, "b"))
    shape = tuple(int(size) for size in tensor.numbers(schema.Tensor.SHAPE, "i", 16))
    quantization = tensor.table(schema.Tensor.QUANTIZATION)
    scales = quantization.numbers(schema.Quantization.SCALE, "f", 2) if quantization else ()
    zero_points = quantization.numbers(schema.Quantization.ZERO_POINT, "q", 2) if quantization else ()
    stored = (float(scales[0]), int(zero_points[0]) if zero_points else 0) if len(scales) == 1 else None
    signature = tuple(int(size) for size in tensor.numbers(schema.Tensor.SIGNATURE, "i", 16))
    return End(shape, schema.TENSOR_TYPES.get(number, f"type {number}"), stored, signature if any(size < 0 for size in signature) else ())
