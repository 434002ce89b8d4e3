"""A diagnosis: what every layer and the whole network lost, why, and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from dsmobile.exporters.familiarity import Familiarity

SCHEMA = "dsmobile.diagnosis/1"
KERNELS = "LiteRT's built-in kernels, without XNNPACK or another delegate"


@dataclass(frozen=True)
class Layer:
    """A layer on the data: its result in the float stream against that in the quantized stream.

    Args:
        name: What people call it.
        kind: The file's operator.
        precision: The type of its result in the quantized file.
        sqnr_db: Signal to quantization noise ratio of its result; None where both streams are equal.
        own_sqnr_db: The same where it alone computes in integers and takes what the float stream gives; the rest is inherited. None where there
            is no error, or the layer could not be looked at alone.
        share: Of the noise power at the logits that each layer alone makes there, the part that is this one's; None where it is not known.
        mean_shift: The largest mean difference of a channel, in standard deviations of the layer's values.
        mean_share: The part of the noise power that is such shifts of the channels' means.
        range_use: The part of the stored range, and so of the levels, that the data reach; None where it is float.
        saturation: The share of values beyond the stored range; None where it is float.
        activation_spread: The widest channel's range over the median channel's.
        weight_spread: The largest weights of the widest channel over the median channel's; None without a kernel.
        one_weight_scale: Whether all channels' weights share one scale.
        weights: How many weights its kernel has; None without one.
    """

    name: str
    kind: str
    precision: str
    sqnr_db: float | None
    own_sqnr_db: float | None
    share: float | None
    mean_shift: float
    mean_share: float
    range_use: float | None
    saturation: float | None
    activation_spread: float
    weight_spread: float | None
    one_weight_scale: bool
    weights: int | None


@dataclass(frozen=True)
class Input:
    """An input on the data.

    Args:
        name: In the file.
        low: Lowest value.
        high: Highest value.
        stored_low: Lowest value that its integers hold; None where it is float throughout.
        stored_high: Highest value.
        range_use: The part of the stored range that the data reach.
        saturation: The share of values beyond the stored range.
    """

    name: str
    low: float
    high: float
    stored_low: float | None
    stored_high: float | None
    range_use: float | None
    saturation: float | None


@dataclass(frozen=True)
class Final:
    """The logits of both files.

    Args:
        sqnr_db: Signal to quantization noise ratio; None where they are equal.
        top1_agreement: Share of inputs with the same largest logit; None where there is one number only.
        expected_drop_points: The loss of top-1 to expect, in points, if the float probabilities are right; see
            `dsmobile.exporters.sensitivity.expected_drop`.
        expected_drop_error: Its standard error over the inputs, in points; None where there is one input only.
        mean_share: The part of the noise power that is a shift of the means.
        count: Inputs.
    """

    sqnr_db: float | None
    top1_agreement: float | None
    expected_drop_points: float | None
    expected_drop_error: float | None
    mean_share: float
    count: int


@dataclass(frozen=True)
class Softmax:
    """The softmax at the end.

    Args:
        precision: The type of what it gives.
        ties: Share of inputs on which several classes have the highest probability.
    """

    precision: str
    ties: float


@dataclass(frozen=True)
class Cause:
    """Why accuracy was lost.

    Args:
        kind: One of `dsmobile.diagnosis.causes.KINDS`.
        message: In a sentence, with the figure.
        advice: What to do.
        layers: Those that it concerns; empty where it concerns all.
    """

    kind: str
    message: str
    advice: str
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Price:
    """What it costs to leave one layer in float32.

    Args:
        layer: Its name.
        extra_bytes: Of the file.
        latency_ratio: Latency over that of the file with all layers in integers, here in LiteRT; None where it was not measured.
        pairs: On how many pairs of inferences it rests.
    """

    layer: str
    extra_bytes: int
    latency_ratio: float | None
    pairs: int


@dataclass(frozen=True)
class Measured:
    """What two files do on data.

    Args:
        inputs: Of the network.
        layers: In the order in which they run.
        final: The logits.
        softmax: The softmax at the end; None where there is none.
        alone: On how many inputs each layer was looked at alone.
        notes: What a person must know.
    """

    inputs: tuple[Input, ...]
    layers: tuple[Layer, ...]
    final: Final
    softmax: Softmax | None
    alone: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """How the quantized file came about, as far as it is known.

    Args:
        recipe: The recipe; None for a stranger's file.
        correction: What its manifest says of the correction; empty where none was tried, or nothing is known of it.
        same_inputs: Whether it was calibrated with the very data that it is looked at with.
        data: How near the data are to what the network was trained on; None where that cannot be told.
        calibration: The same of what it was calibrated with.
    """

    recipe: str | None = None
    correction: dict[str, Any] = field(default_factory=dict)
    same_inputs: bool = False
    data: Familiarity | None = None
    calibration: Familiarity | None = None


@dataclass(frozen=True)
class Diagnosis:
    """What `dsmobile doctor` found.

    Args:
        artifact: The quantized file; None where a source was given.
        source: The SOURCE as given; None where an artifact was given.
        origin: How the quantized file came about.
        reference: The float file; None where a source was given.
        data: What it was looked at with.
        measured: What both do on it.
        causes: Why accuracy was lost, what to put right first at the top; empty where nothing is wrong.
        prices: What it costs to leave the worst layers in float32; empty where that was not asked for.
        notes: What a person must know.
    """

    artifact: str | None
    source: str | None
    origin: Origin
    reference: str | None
    data: str
    measured: Measured
    causes: tuple[Cause, ...]
    prices: tuple[Price, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        """The document of `dsmobile doctor --json`."""
        measured = asdict(self.measured)
        return {
            "schema": SCHEMA,
            "artifact": self.artifact,
            "source": self.source,
            "recipe": self.origin.recipe,
            "reference": self.reference,
            "data": self.data,
            "kernels": KERNELS,
            "familiarity": {
                name: found.to_json() if found else None for name, found in (("data", self.origin.data), ("calibration", self.origin.calibration))
            },
            "final": measured["final"],
            "inputs": list(measured["inputs"]),
            "softmax": measured["softmax"],
            "layers": list(measured["layers"]),
            "alone": measured["alone"],
            "causes": [{**asdict(cause), "layers": list(cause.layers)} for cause in self.causes],
            "prices": [asdict(price) for price in self.prices],
            "notes": [*self.measured.notes, *self.notes],
        }


def read_measured(found: dict[str, Any]) -> Measured:
    """What the process that compares files said.

    Args:
        found: Of `dsmobile.diagnosis.measure.Comparison.measure`.
    """
    total = sum(layer["final_noise"] or 0.0 for layer in found["layers"])
    layers = []
    for values in found["layers"]:
        noise = values["final_noise"]
        share = None if noise is None else noise / total if total else 0.0
        layers.append(Layer(**{key: values[key] for key in Layer.__dataclass_fields__ if key != "share"}, share=share))
    return Measured(
        inputs=tuple(Input(**{key: values[key] for key in Input.__dataclass_fields__}) for values in found["inputs"]),
        layers=tuple(layers),
        final=Final(**{key: found["final"][key] for key in Final.__dataclass_fields__}),
        softmax=Softmax(found["softmax"]["stored"], found["softmax"]["ties"]) if found["softmax"] else None,
        alone=found["alone"],
        notes=tuple(found["notes"]),
    )
