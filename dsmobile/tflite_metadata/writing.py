"""Writes metadata into a TFLite file. The model's own bytes stay as they are: a new root table before them refers to what the old one referred to.

Layout: the new root, the list of buffers with one more, the metadata; then the model, byte for byte, at a multiple of 16; then the archive of labels.
"""

from __future__ import annotations

from typing import Any

from dsmobile.errors import DataError, ModelError
from dsmobile.tflite_metadata import schema
from dsmobile.tflite_metadata.archive import start_of_archive, with_files
from dsmobile.tflite_metadata.checking import ALIGNMENT, as_read, check_written
from dsmobile.tflite_metadata.fitting import misfits
from dsmobile.tflite_metadata.flatbuffer import DamagedError
from dsmobile.tflite_metadata.model_file import ModelFile, read_model, require_movable
from dsmobile.tflite_metadata.tables import metadata_buffer
from dsmobile.tflite_metadata.values import ClassifierMetadata

LARGEST_BYTES = (1 << 31) - 1  # a flatbuffer's offsets


def with_metadata(model: bytes, metadata: ClassifierMetadata, *, replace: bool = False) -> bytes:
    """A TFLite file that says what it is.

    Args:
        model: A TFLite file.
        metadata: What it is to say; it must fit the model's ends.
        replace: Whether metadata and packed files that are already there give way; otherwise they are an error.

    Returns:
        The file's bytes: the same for the same model and metadata. They were read back and compared.

    Raises:
        ModelError: The model is damaged, is larger than 2 GB, keeps weights behind its flatbuffer, or already has metadata.
        DataError: The metadata do not fit the model.
    """
    try:
        before = read_model(model)
        require_movable(before)
        body = _without_archive(model, before, replace=replace)
        found = next(misfits(before, metadata), None)
        if found:
            raise DataError(f"the metadata do not fit the model: {found.why}", found.instead)
        prefix = _prefix(before, metadata_buffer(metadata))
    except DamagedError as error:
        raise ModelError(f"the TFLite file is damaged: {error}", "export or download it again") from error
    if len(prefix) + len(body) > LARGEST_BYTES:
        raise ModelError(f"with metadata the file would have {len(prefix) + len(body)} bytes", "a TFLite file has less than 2 GB")
    files = {file.name: file.contents or b"" for file in as_read(metadata).files}
    written = with_files(prefix + body, files)
    check_written(written, len(prefix), body, before, metadata)
    return written


def _without_archive(model: bytes, before: ModelFile, *, replace: bool) -> bytes:
    """The model up to the archive behind it."""
    start = start_of_archive(model)
    there = "TFLite metadata" if before.metadata is not None else "an archive of files at its end" if start is not None else ""
    if there and not replace:
        raise ModelError(f"the file already has {there}", "take the file as it was before that was written, or have it replaced")
    return model if start is None else model[:start]


def _prefix(model: ModelFile, contents: bytes) -> bytes:
    """The new root and all that is new; what it refers to in the model lies behind its end.

    A builder counts places from its end backwards, so that byte n of what follows it has the place -n.
    """
    import flatbuffers

    builder = flatbuffers.Builder(len(contents) + 8 * len(model.buffers) + 1024)
    data, name = _bytes(builder, contents), builder.CreateString(schema.METADATA_NAME)
    empty, buffer = _table(builder, {}), _table(builder, {schema.Buffer.DATA: data})
    entry = _table(builder, {schema.Entry.NAME: name}, {schema.Entry.BUFFER: len(model.buffers)})
    given_up = {number for key, number, _ in model.entries if key == schema.METADATA_NAME} - model.used
    buffers = [empty if number in given_up else -table.place for number, table in enumerate(model.buffers)]
    entries = [-table.place for key, _, table in model.entries if key != schema.METADATA_NAME]
    fields = schema.Model
    references = {field: -model.root.points_to(field) for field in range(fields.COUNT) if field != fields.VERSION}
    references[fields.BUFFERS] = _references(builder, [*buffers, buffer])
    references[fields.METADATA] = _references(builder, [*entries, entry])
    builder.Finish(_table(builder, references, {fields.VERSION: model.root.value(fields.VERSION, "I")}), schema.MODEL_IDENTIFIER)
    return bytes(builder.Output())


def _table(builder: Any, references: dict[int, int], integers: dict[int, int] | None = None) -> int:
    """A table; a reference to 0 is left out."""
    builder.StartObject(schema.Model.COUNT)
    for field, place in references.items():
        builder.PrependUOffsetTRelativeSlot(field, place, 0)
    for field, value in (integers or {}).items():
        builder.PrependUint32Slot(field, value, 0)
    return int(builder.EndObject())


def _references(builder: Any, places: list[int]) -> int:
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())


def _bytes(builder: Any, contents: bytes) -> int:
    builder.StartVector(1, len(contents), ALIGNMENT)
    for byte in reversed(contents):
        builder.PrependByte(byte)
    return int(builder.EndVector())
