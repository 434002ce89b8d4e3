"""What TFLite metadata say: of a classifier that we describe, and of any model as it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

LABELS_FILE = "labels.txt"
CALIBRATION_FILE = "score_calibration.txt"


class Obstacle(NamedTuple):
    """Why a file carries no metadata, and what to do.

    Args:
        why: What stands in the way.
        instead: What to do.
        misread: Whether a reader that takes the file without metadata would put something else into it than it was trained on.
    """

    why: str
    instead: str
    misread: bool = False


@dataclass(frozen=True)
class Sigmoid:
    """What a class's score becomes: scale / (1 + exp(-(slope * g(score) + offset))).

    Args:
        scale: The largest score it can become; not negative.
        slope: Factor of the score.
        offset: Summand.
        min_score: A score that is not above it becomes the default; None where every score counts.
    """

    scale: float
    slope: float
    offset: float
    min_score: float | None = None


@dataclass(frozen=True)
class ScoreCalibration:
    """How the scores of all classes become comparable.

    Args:
        sigmoids: One per class; None where the class always gets the default.
        transformation: g: `identity`, `log`, or `inverse_logistic` (log x - log(1 - x)).
        default_score: What a score becomes that has no sigmoid or is not above its `min_score`.
    """

    sigmoids: tuple[Sigmoid | None, ...]
    transformation: str = "identity"
    default_score: float = 0.0


@dataclass(frozen=True)
class ClassifierMetadata:
    """An image classifier's description; `dsmobile.tflite_metadata.describing.describe_classifier` makes it.

    Args:
        name: Of the network.
        height: Of the input image, in pixels.
        width: Likewise.
        channels: 3 for RGB, 1 for grey.
        mean: One, or one per channel: input = (byte - mean) / std.
        std: Likewise.
        input_range: The lowest and highest value of the input.
        input_dtype: numpy's name.
        labels: One per class.
        score_range: The lowest and highest score; None where they have no bounds.
        score_calibration: None where scores stay as they are.
        description: Of the network.
        version: Of the network.
        author: Of the network.
        license: Of the network.
        normalization_error: Largest difference between what MediaPipe makes of a byte and what our preprocessing makes of it: 0 for the usual scales.
    """

    name: str
    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_range: tuple[float, float]
    input_dtype: str
    labels: tuple[str, ...]
    score_range: tuple[float, float] | None = None
    score_calibration: ScoreCalibration | None = None
    description: str = ""
    version: str = ""
    author: str = ""
    license: str = ""
    normalization_error: float = 0.0


@dataclass(frozen=True)
class FileEntry:
    """A packed file as a tensor's metadata name it.

    Args:
        name: In the archive.
        kind: `labels`, `value labels`, `score calibration`, or empty.
        locale: Of its texts; often empty.
    """

    name: str
    kind: str = ""
    locale: str = ""


@dataclass(frozen=True)
class TensorMetadata:
    """What is said of an input or output; what is not said is empty or None.

    Args:
        name: Its name.
        description: Its description.
        content: `feature`, `image`, or empty.
        colour_space: `rgb`, `grey`, or empty.
        size: Height and width of an image, in pixels.
        mean: One, or one per channel.
        std: Likewise.
        minimum: One, or one per channel.
        maximum: Likewise.
        calibration: The transformation of a score calibration and its default score.
        files: The packed files that belong to it.
    """

    name: str = ""
    description: str = ""
    content: str = ""
    colour_space: str = ""
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    minimum: tuple[float, ...] = ()
    maximum: tuple[float, ...] = ()
    calibration: tuple[str, float] | None = None
    files: tuple[FileEntry, ...] = ()


@dataclass(frozen=True)
class PackedFile:
    """A file in the archive behind a model.

    Args:
        name: Its name; never a path to write to.
        size_bytes: Unpacked, as the archive says.
        contents: The bytes of a small text file; None where it was left unread.
        stored: Whether it is stored as it is, as MediaPipe wants it.
    """

    name: str
    size_bytes: int
    contents: bytes | None = None
    stored: bool = True


@dataclass(frozen=True)
class ModelMetadata:
    """What a TFLite file says of itself.

    Args:
        name: Of the network.
        description: Of the network.
        version: Of the network.
        author: Of the network.
        license: Of the network.
        min_parser_version: The oldest reader that understands everything.
        inputs: One per input of the first graph.
        outputs: One per output.
        files: The archive behind the model.
    """

    name: str = ""
    description: str = ""
    version: str = ""
    author: str = ""
    license: str = ""
    min_parser_version: str = ""
    inputs: tuple[TensorMetadata, ...] = ()
    outputs: tuple[TensorMetadata, ...] = ()
    files: tuple[PackedFile, ...] = ()

    def contents(self, kind: str) -> bytes | None:
        """The bytes of the first output's first file of a kind; None where there is none, or it was left unread."""
        names = [entry.name for output in self.outputs[:1] for entry in output.files if entry.kind == kind]
        return next((file.contents for name in names[:1] for file in self.files if file.name == name), None)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes' labels; empty where there are none, or they are no UTF-8."""
        contents = self.contents("labels")
        try:
            text = (contents or b"").decode("utf-8")
        except UnicodeDecodeError:
            return ()
        lines = [line.rstrip("\r") for line in text.split("\n")]
        return tuple(lines[:-1] if lines[-1] == "" else lines)
