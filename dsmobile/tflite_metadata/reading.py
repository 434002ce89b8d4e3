"""Reads the metadata of anybody's TFLite file: sizes are bounded, and what is damaged is said rather than guessed."""

from __future__ import annotations

import io

from dsmobile.tflite_metadata import schema
from dsmobile.tflite_metadata.archive import read_files
from dsmobile.tflite_metadata.flatbuffer import DamagedError, Table, root
from dsmobile.tflite_metadata.model_file import read_model
from dsmobile.tflite_metadata.values import FileEntry, ModelMetadata, PackedFile, TensorMetadata

DAMAGED_METADATA = "Its TFLite metadata is damaged."
DAMAGED_ARCHIVE = "The archive of files at its end is damaged."
LONGEST_TEXT_BYTES = 1 << 16
_MOST_TENSORS = 100
_MOST_UNITS = 20
_MOST_NUMBERS = 1024
_KINDS = {
    schema.AssociatedFile.AXIS_LABELS: "labels",
    schema.AssociatedFile.VALUE_LABELS: "value labels",
    schema.AssociatedFile.SCORE_CALIBRATION: "score calibration",
}


def read_metadata(data: bytes) -> tuple[ModelMetadata | None, tuple[str, ...]]:
    """What a TFLite file says of itself.

    Args:
        data: The file.

    Returns:
        Its metadata, None where it has none or they are damaged; and notes about what is damaged.

    Raises:
        DamagedError: The model itself is damaged.
    """
    contents = read_model(data).metadata
    files = read_files(io.BytesIO(data))
    notes = [DAMAGED_ARCHIVE] if files is None else []
    try:
        found = metadata_of(contents, files or ()) if contents is not None else None
    except DamagedError:
        return None, (DAMAGED_METADATA, *notes)
    return found, tuple(notes)


def metadata_of(contents: bytes, files: tuple[PackedFile, ...] = ()) -> ModelMetadata:
    """The metadata of a flatbuffer.

    Args:
        contents: The flatbuffer.
        files: The archive behind the model.

    Raises:
        DamagedError: It is damaged, or no metadata.
    """
    whole = schema.ModelMetadata
    model = root(contents, schema.METADATA_IDENTIFIER)
    texts = (whole.NAME, whole.DESCRIPTION, whole.VERSION, whole.AUTHOR, whole.LICENSE, whole.PARSER_VERSION)
    name, description, version, author, licence, parser = (model.text(field, LONGEST_TEXT_BYTES) for field in texts)
    inputs: tuple[TensorMetadata, ...] = ()
    outputs: tuple[TensorMetadata, ...] = ()
    for subgraph in model.tables(whole.SUBGRAPHS, 1):
        graph = schema.SubgraphMetadata
        inputs, outputs = (tuple(_tensor(table) for table in subgraph.tables(field, _MOST_TENSORS)) for field in (graph.INPUTS, graph.OUTPUTS))
    return ModelMetadata(name, description, version, author, licence, parser, inputs, outputs, files)


def _tensor(table: Table) -> TensorMetadata:
    fields, stats, unit_kinds = schema.TensorMetadata, schema.Stats, schema.ProcessUnit
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    calibration = None
    for unit in table.tables(fields.PROCESS_UNITS, _MOST_UNITS):
        kind, options = unit.value(unit_kinds.KIND, "B"), unit.table(unit_kinds.OPTIONS)
        if options and kind == unit_kinds.NORMALIZATION:
            mean, std = (options.numbers(field, "f", _MOST_NUMBERS) for field in (schema.Normalization.MEAN, schema.Normalization.STD))
        elif options and kind == unit_kinds.SCORE_CALIBRATION:
            calibration = _calibration(options)
    extremes = table.table(fields.STATS)
    content, colour_space, size = _content(table.table(fields.CONTENT))
    return TensorMetadata(
        name=table.text(fields.NAME, LONGEST_TEXT_BYTES),
        description=table.text(fields.DESCRIPTION, LONGEST_TEXT_BYTES),
        content=content,
        colour_space=colour_space,
        size=size,
        mean=mean,
        std=std,
        minimum=extremes.numbers(stats.MIN, "f", _MOST_NUMBERS) if extremes else (),
        maximum=extremes.numbers(stats.MAX, "f", _MOST_NUMBERS) if extremes else (),
        calibration=calibration,
        files=tuple(_file(entry) for entry in table.tables(fields.FILES, _MOST_UNITS)),
    )


def _content(content: Table | None) -> tuple[str, str, tuple[int, int] | None]:
    """A tensor's kind; an image's colour space and its height and width."""
    kind = content.value(schema.Content.KIND, "B") if content else 0
    if kind == schema.Content.FEATURE:
        return "feature", "", None
    image = content.table(schema.Content.PROPERTIES) if content and kind == schema.Content.IMAGE else None
    if not image:
        return "", "", None
    size = image.table(schema.ImageProperties.SIZE)
    pixels = (int(size.value(schema.ImageSize.HEIGHT, "I")), int(size.value(schema.ImageSize.WIDTH, "I"))) if size else None
    return "image", schema.COLOUR_SPACES.get(image.value(schema.ImageProperties.COLOUR_SPACE, "b"), "unknown"), pixels


def _calibration(options: Table) -> tuple[str, float]:
    number = options.value(schema.ScoreCalibrationOptions.TRANSFORMATION, "b")
    name = schema.TRANSFORMATIONS[number] if 0 <= number < len(schema.TRANSFORMATIONS) else f"transformation {number}"
    return name, float(options.value(schema.ScoreCalibrationOptions.DEFAULT_SCORE, "f", 0.0))


def _file(table: Table) -> FileEntry:
    file = schema.AssociatedFile
    kind = _KINDS.get(table.value(file.KIND, "b"), "")
    return FileEntry(table.text(file.NAME, LONGEST_TEXT_BYTES), kind, table.text(file.LOCALE, LONGEST_TEXT_BYTES))
