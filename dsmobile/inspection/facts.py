"""What is known of a model file once it is read: frozen values with a JSON form."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA = "dsmobile.inspection/1"


@dataclass(frozen=True)
class End:
    """An input or an output.

    Args:
        name: Its name in the file.
        shape: Its sizes, batch included; None where the number of axes is not said, None in the place of a size that is not fixed.
        dtype: numpy's name, where numpy has one.
        scale: real = scale * (stored - zero_point); one for each channel where there are several, None where there is none.
        zero_point: See scale.
        layout: `nhwc` or `nchw`; empty where nothing tells.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str
    scale: float | tuple[float, ...] | None = None
    zero_point: int | tuple[int, ...] | None = None
    layout: str = ""


@dataclass(frozen=True)
class Precision:
    """Weights stored in one type.

    Args:
        parameters: How many numbers.
        size_bytes: What they take in the file.
    """

    parameters: int
    size_bytes: int


@dataclass(frozen=True)
class Uncounted:
    """Operators whose MACs are not in the sum.

    Args:
        operator: Their kind.
        count: How many there are.
        reason: Why.
    """

    operator: str
    count: int
    reason: str


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of one inference.

    Args:
        count: Of convolutions and of products with constant weights.
        unknown: What could not be counted: then `count` is a lower bound.
        left_out: What by definition is not counted: products of two activations.
    """

    count: int
    unknown: tuple[Uncounted, ...] = ()
    left_out: tuple[Uncounted, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What reading a file says of it; nothing was run.

    Args:
        format: `tflite`, `onnx`, `keras` or `h5`.
        inputs: What it takes.
        outputs: What it gives.
        operators: How many of each kind, in all subgraphs.
        macs: See `Macs`; None where nothing could be counted.
        parameters: Numbers that operators read as weights.
        weight_precision: Those by the type in which they are stored.
        quantization: In a few words.
        custom_operators: Kinds that the format does not define; for Keras, own classes and code.
        select_tf_operators: TensorFlow's own kinds in a TFLite file, which need the Flex delegate.
        vendor_operators: Kinds that one ONNX runtime defines (com.microsoft).
        subgraphs: How many graphs the file holds.
        signatures: TFLite: name, subgraph, MACs, inputs and outputs of each.
        opset: ONNX: the version of each domain.
        ir_version: ONNX's.
        metadata: What its authors and converters wrote into it.
        external_data: Files beside it that hold its weights.
        holds_code: Whether loading it would have to run code of its author.
        notes: What a person must know, a sentence each.
    """

    format: str
    inputs: tuple[End, ...] = ()
    outputs: tuple[End, ...] = ()
    operators: dict[str, int] = field(default_factory=dict)
    macs: Macs | None = None
    parameters: int | None = None
    weight_precision: dict[str, Precision] = field(default_factory=dict)
    quantization: str = ""
    custom_operators: tuple[str, ...] = ()
    select_tf_operators: tuple[str, ...] = ()
    vendor_operators: tuple[str, ...] = ()
    subgraphs: int = 1
    signatures: tuple[dict[str, Any], ...] = ()
    opset: dict[str, int] | None = None
    ir_version: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    external_data: tuple[str, ...] = ()
    holds_code: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Facts:
        """Reads what `dataclasses.asdict` wrote.

        Raises:
            KeyError, TypeError: A field is missing or of another type.
        """
        macs = document["macs"]
        tuples = ("custom_operators", "select_tf_operators", "vendor_operators", "signatures", "external_data", "notes")
        return cls(
            **{
                **document,
                **{key: tuple(document[key]) for key in tuples},
                **{key: tuple(_end(end) for end in document[key]) for key in ("inputs", "outputs")},
                "macs": macs and Macs(macs["count"], *(tuple(Uncounted(**entry) for entry in macs[key]) for key in ("unknown", "left_out"))),
                "weight_precision": {dtype: Precision(**entry) for dtype, entry in document["weight_precision"].items()},
            }
        )


def _end(document: dict[str, Any]) -> End:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
    return End(**values)


@dataclass(frozen=True)
class Trial:
    """A runtime of this machine, given the file.

    Args:
        runtime: `litert`, `onnxruntime` or `keras`.
        version: Its version.
        takes: Whether it opened the file, and ran it where it was asked to.
        ran: Whether one inference on zeros ended; False where a size that is not fixed leaves the shape open.
        reason: In a sentence.
    """

    runtime: str
    version: str
    takes: bool
    ran: bool
    reason: str


@dataclass(frozen=True)
class Inspection:
    """A model file, looked at.

    Args:
        path: The file, absolute.
        size_bytes: Its size.
        sha256: Its hash.
        facts: What reading it says.
        manifest: What dsmobile wrote beside it when it exported it; None for a stranger's file.
        runtimes: Who takes it here.
        notes: What a person must know besides the facts' own notes.
    """

    path: str
    size_bytes: int
    sha256: str
    facts: Facts
    manifest: dict[str, Any] | None
    runtimes: tuple[Trial, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document of `dsmobile inspect --json`.

        `macs` is null where none could be counted, and a lower bound where `macs_unknown` names operators.
        """
        document = asdict(self.facts)
        macs = self.facts.macs
        unknown, left_out = (macs.unknown, macs.left_out) if macs else ((), ())
        numbers = max(1, sum(entry.parameters for entry in self.facts.weight_precision.values()))
        return {
            "schema": SCHEMA,
            "path": self.path,
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            **document,
            "macs": None if macs is None or (unknown and not macs.count) else macs.count,
            "macs_is_lower_bound": bool(unknown),
            "macs_unknown": [asdict(entry) for entry in unknown],
            "macs_left_out": [asdict(entry) for entry in left_out],
            "weight_precision": {
                dtype: {**asdict(entry), "share": entry.parameters / numbers} for dtype, entry in self.facts.weight_precision.items()
            },
            "manifest": self.manifest,
            "runtimes": [asdict(trial) for trial in self.runtimes],
            "notes": [*self.facts.notes, *self.notes],
        }
