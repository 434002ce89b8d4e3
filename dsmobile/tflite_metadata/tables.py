"""A classifier's metadata as a flatbuffer."""

from __future__ import annotations

from typing import Any

from dsmobile.tflite_metadata import schema
from dsmobile.tflite_metadata.values import CALIBRATION_FILE, LABELS_FILE, ClassifierMetadata

IMAGE = "The image to be classified."
SCORES = "The score of each class."


def metadata_buffer(metadata: ClassifierMetadata) -> bytes:
    """The metadata's flatbuffer: the same bytes for the same metadata.

    Args:
        metadata: What it is to say.
    """
    import flatbuffers

    writer = _Writer(flatbuffers.Builder(1024))
    graph = schema.SubgraphMetadata
    subgraph = writer.table(
        graph.COUNT, {graph.INPUTS: writer.references([_image(writer, metadata)]), graph.OUTPUTS: writer.references([_scores(writer, metadata)])}
    )
    whole = schema.ModelMetadata
    texts = {
        whole.NAME: metadata.name,
        whole.DESCRIPTION: metadata.description,
        whole.VERSION: metadata.version,
        whole.AUTHOR: metadata.author,
        whole.LICENSE: metadata.license,
        whole.PARSER_VERSION: schema.PARSER_VERSION,
    }
    fields = {field: writer.text(text) for field, text in texts.items() if text}
    fields[whole.SUBGRAPHS] = writer.references([subgraph])
    return writer.finish(writer.table(whole.COUNT, fields), schema.METADATA_IDENTIFIER)


class _Writer:
    """Tables by field numbers: references as they come, numbers of one byte and floats by their own slots."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def text(self, text: str) -> int:
        return int(self.builder.CreateString(text))

    def references(self, entries: list[int]) -> int:
        self.builder.StartVector(4, len(entries), 4)
        for entry in reversed(entries):
            self.builder.PrependUOffsetTRelative(entry)
        return int(self.builder.EndVector())

    def floats(self, values: tuple[float, ...]) -> int:
        self.builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.builder.PrependFloat32(value)
        return int(self.builder.EndVector())

    def table(
        self,
        count: int,
        references: dict[int, int],
        *,
        bytes_: dict[int, int] | None = None,
        integers: dict[int, int] | None = None,
        floats: dict[int, float] | None = None,
    ) -> int:
        self.builder.StartObject(count)
        for field, place in references.items():
            self.builder.PrependUOffsetTRelativeSlot(field, place, 0)
        for field, value in (integers or {}).items():
            self.builder.PrependUint32Slot(field, value, 0)
        for field, number in (floats or {}).items():
            self.builder.PrependFloat32Slot(field, number, 0.0)
        for field, value in (bytes_ or {}).items():
            self.builder.PrependUint8Slot(field, value, 0)
        return int(self.builder.EndObject())

    def finish(self, root: int, identifier: bytes) -> bytes:
        self.builder.Finish(root, identifier)
        return bytes(self.builder.Output())


def _image(writer: _Writer, metadata: ClassifierMetadata) -> int:
    size, image, content, tensor = schema.ImageSize, schema.ImageProperties, schema.Content, schema.TensorMetadata
    pixels = writer.table(size.COUNT, {}, integers={size.WIDTH: metadata.width, size.HEIGHT: metadata.height})
    colour = 1 if metadata.channels == 3 else 2
    properties = writer.table(image.COUNT, {image.SIZE: pixels}, bytes_={image.COLOUR_SPACE: colour})
    contents = writer.table(content.COUNT, {content.PROPERTIES: properties}, bytes_={content.KIND: content.IMAGE})
    mean, std = writer.floats(metadata.mean), writer.floats(metadata.std)
    options = writer.table(schema.Normalization.COUNT, {schema.Normalization.MEAN: mean, schema.Normalization.STD: std})
    fields = {
        tensor.NAME: writer.text("image"),
        tensor.DESCRIPTION: writer.text(IMAGE),
        tensor.CONTENT: contents,
        tensor.PROCESS_UNITS: writer.references([_unit(writer, schema.ProcessUnit.NORMALIZATION, options)]),
        tensor.STATS: _stats(writer, metadata.input_range),
    }
    return writer.table(tensor.COUNT, fields)


def _scores(writer: _Writer, metadata: ClassifierMetadata) -> int:
    content, tensor, file = schema.Content, schema.TensorMetadata, schema.AssociatedFile
    feature = writer.table(0, {})
    contents = writer.table(content.COUNT, {content.PROPERTIES: feature}, bytes_={content.KIND: content.FEATURE})
    files = [_file(writer, LABELS_FILE, "The class of each score.", file.AXIS_LABELS)]
    fields = {
        tensor.NAME: writer.text("score"),
        tensor.DESCRIPTION: writer.text(SCORES),
        tensor.CONTENT: contents,
    }
    calibration = metadata.score_calibration
    if calibration:
        files.append(_file(writer, CALIBRATION_FILE, "The sigmoid of each score.", file.SCORE_CALIBRATION))
        kind = schema.ScoreCalibrationOptions
        options = writer.table(
            kind.COUNT,
            {},
            bytes_={kind.TRANSFORMATION: schema.TRANSFORMATIONS.index(calibration.transformation)},
            floats={kind.DEFAULT_SCORE: calibration.default_score},
        )
        fields[tensor.PROCESS_UNITS] = writer.references([_unit(writer, schema.ProcessUnit.SCORE_CALIBRATION, options)])
    if metadata.score_range:
        fields[tensor.STATS] = _stats(writer, metadata.score_range)
    fields[tensor.FILES] = writer.references(files)
    return writer.table(tensor.COUNT, fields)


def _unit(writer: _Writer, kind: int, options: int) -> int:
    unit = schema.ProcessUnit
    return writer.table(unit.COUNT, {unit.OPTIONS: options}, bytes_={unit.KIND: kind})


def _stats(writer: _Writer, both: tuple[float, float]) -> int:
    largest, smallest = writer.floats(both[1:]), writer.floats(both[:1])
    return writer.table(schema.Stats.COUNT, {schema.Stats.MAX: largest, schema.Stats.MIN: smallest})


def _file(writer: _Writer, name: str, description: str, kind: int) -> int:
    file = schema.AssociatedFile
    return writer.table(
        file.COUNT, {file.NAME: writer.text(name), file.DESCRIPTION: writer.text(description)}, bytes_={file.KIND: kind}
    )  # fmt: skip
