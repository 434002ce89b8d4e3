"""The tables' field numbers: of a TFLite file as far as metadata touches it, and of the metadata themselves.

Source: schema.fbs (identifier TFL3, version 3) of TensorFlow Lite; metadata_schema.fbs (identifier M001, version 1.5.0) of MediaPipe.
"""

from __future__ import annotations

MODEL_IDENTIFIER = b"TFL3"
METADATA_IDENTIFIER = b"M001"
METADATA_NAME = "TFLITE_METADATA"
PARSER_VERSION = "1.0.0"  # the oldest that knows every field that we write


class Model:
    """A TFLite file's root table; all but `VERSION` are references."""

    VERSION, OPERATOR_CODES, SUBGRAPHS, DESCRIPTION, BUFFERS, METADATA_BUFFER, METADATA, SIGNATURES, EXTERNAL_GROUPS, EXTERNAL_BUFFERS = range(10)
    COUNT = 10


class Buffer:
    """A constant's bytes, or where they lie behind the flatbuffer, counted from the file's first byte."""

    DATA, OFFSET, SIZE = range(3)


class Entry:
    """An entry of a model's metadata: a name and a buffer's number."""

    NAME, BUFFER = range(2)


class Subgraph:
    """A graph."""

    TENSORS, INPUTS, OUTPUTS, OPERATORS = range(4)


class Operator:
    """An operator, as far as it may keep options behind the flatbuffer."""

    LARGE_OPTIONS_OFFSET = 9


class Tensor:
    """A tensor."""

    SHAPE, TYPE, BUFFER, NAME, QUANTIZATION, IS_VARIABLE, SPARSITY, SIGNATURE = range(8)


class Quantization:
    """How a tensor's integers become numbers."""

    SCALE, ZERO_POINT = 2, 3


TENSOR_TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8"}


class ModelMetadata:
    """What is said of the whole model."""

    NAME, DESCRIPTION, VERSION, SUBGRAPHS, AUTHOR, LICENSE, FILES, PARSER_VERSION = range(8)
    COUNT = 8


class SubgraphMetadata:
    """What is said of a graph's inputs and outputs."""

    NAME, DESCRIPTION, INPUTS, OUTPUTS = range(4)
    COUNT = 10


class TensorMetadata:
    """What is said of an input or output."""

    NAME, DESCRIPTION, DIMENSIONS, CONTENT, PROCESS_UNITS, STATS, FILES = range(7)
    COUNT = 7


class Content:
    """What a tensor is: a kind and its properties."""

    KIND, PROPERTIES, RANGE = range(3)
    COUNT = 3
    FEATURE, IMAGE = 1, 2


class ImageProperties:
    """Colour space and size of an image."""

    COLOUR_SPACE, SIZE = range(2)
    COUNT = 2


COLOUR_SPACES = {0: "unknown", 1: "rgb", 2: "grey"}


class ImageSize:
    """In pixels."""

    WIDTH, HEIGHT = range(2)
    COUNT = 2


class ProcessUnit:
    """A step before or after the network: a kind and its options."""

    KIND, OPTIONS = range(2)
    COUNT = 2
    NORMALIZATION, SCORE_CALIBRATION, SCORE_THRESHOLD = 1, 2, 3


class Normalization:
    """(x - mean) / std."""

    MEAN, STD = range(2)
    COUNT = 2


class ScoreCalibrationOptions:
    """What a score becomes before its sigmoid, and what it is where its class has none."""

    TRANSFORMATION, DEFAULT_SCORE = range(2)
    COUNT = 2


TRANSFORMATIONS = ("identity", "log", "inverse_logistic")


class Stats:
    """The largest and smallest values of a tensor."""

    MAX, MIN = range(2)
    COUNT = 2


class AssociatedFile:
    """A file in the archive behind the model."""

    NAME, DESCRIPTION, KIND, LOCALE, VERSION = range(5)
    COUNT = 5
    AXIS_LABELS, VALUE_LABELS, SCORE_CALIBRATION = 2, 3, 4
