"""Why accuracy was lost: a closed list, each with the figure that shows it and what to do, in the order in which to put them right.

What is fed in comes first: where the input or the calibration is wrong, the layers behind suffer from that, and what they would be blamed for
is left unsaid until it is put right. Inputs that the network does not know are worst, since the float file suffers from them too. A shift of the
means likewise comes before single layers: correction takes most of both back.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from dsmobile.diagnosis.diagnosis import Cause, Input, Layer, Measured, Origin
from dsmobile.exporters.choice import PLAIN
from dsmobile.exporters.familiarity import LARGEST_RATIO, LARGEST_SHIFT

KINDS = (
    "unlike_training",
    "wrong_input_scale",
    "calibration_unlike_data",
    "softmax_ties",
    "mean_shift",
    "layer_needs_more_bits",
    "uneven_channels",
)

LOSES_POINTS = 0.5  # of top-1: what the recipe `mixed` allows; less is not worth a person's time
LOSES_DB = 20.0  # a tenth of the signal is noise: for networks that are no classifiers, whose loss is not known in points
INPUT_BEYOND = 0.05  # share of input values outside what the integers hold: images fill their range, so a fitting one leaves next to none outside
INPUT_USE = 0.55  # images in 0..1 for a network of -1..1, the commonest mistake, use half of the range; dark ones still most of it
CLIPPED = 0.01  # share of a layer's values: photographs calibrated with other photographs leave under 0.0001, one photograph 0.004, noise 0.04
LEVELS_USED = 0.5  # of the range, in the median layer: half of the levels is one bit, 6 dB
TIES = 0.01  # share of inputs: each tie can cost the answer, so this is a point of top-1
MEAN_SHARE = 0.2  # of the noise power at the logits: 0.33 was measured for plain int8 that lost 4 points, 0.04 for the corrected one
FEWEST_FOR_MEANS = 10  # with n inputs, noise without any shift shows 1/n of its power as one
ONE_LAYER = 1 / 3  # of the noise power: it alone is worth 1.8 dB
UNEVEN = 16.0  # widest channel over the median one: the median channel has 4 bits left
UNEVEN_SHARE = 0.1  # of the noise power, for a layer to be worth naming
_SCALES = {"-1..1": (-1.0, 1.0), "0..1": (0.0, 1.0), "0..255": (0.0, 255.0)}


def loses(measured: Measured) -> bool:
    """Whether so much is lost that it is worth looking for a cause."""
    final = measured.final
    if final.expected_drop_points is not None and final.expected_drop_points >= LOSES_POINTS:
        return True
    return final.expected_drop_points is None and final.sqnr_db is not None and final.sqnr_db < LOSES_DB


def find_causes(measured: Measured, origin: Origin) -> tuple[Cause, ...]:
    """The causes that the figures show.

    Args:
        measured: What the files do on the data.
        origin: How the quantized file came about.
    """
    fed = [*_unlike_training(origin), *([*_wrong_input_scale(measured)] or [*_calibration_unlike_data(measured)])]
    found = [*fed, *_softmax_ties(measured)]
    if not fed and loses(measured):
        found += [*_mean_shift(measured, origin)] or [*_layer_needs_more_bits(measured)]
        found += _uneven_channels(measured)
    return tuple(found)


def _unlike_training(origin: Origin) -> Iterator[Cause]:
    judged = {"the data": origin.data, "what it was calibrated with": None if origin.same_inputs else origin.calibration}
    unlike = {what: found for what, found in judged.items() if found is not None and found.unlike}
    if unlike:
        figures = "; ".join(
            f"of {what}, at {found.layer!r} the mean lies {found.shift:.1f} standard deviations off and the variance is {found.ratio:.2g} times the "
            "remembered one"
            for what, found in unlike.items()
        )
        yield Cause(
            "unlike_training",
            f"Inputs are unlike those that the network was trained on, which its batch normalizations remember: {figures} (usual are at most "
            f"{LARGEST_SHIFT:g}, and {1 / LARGEST_RATIO:.2g} to {LARGEST_RATIO:g}).",
            "Check scale and colour in --preprocess, and what the inputs show"
            + (": the float network is wrong on such data too." if "the data" in unlike else "; then export again with the right --calibration."),
            tuple(dict.fromkeys(found.layer for found in unlike.values())),
        )


def _wrong_input_scale(measured: Measured) -> Iterator[Cause]:
    for entry in measured.inputs:
        if entry.range_use is None or entry.saturation is None or entry.stored_low is None or entry.stored_high is None:
            continue
        if entry.saturation <= INPUT_BEYOND and entry.range_use >= INPUT_USE:
            continue
        figure = f"{entry.saturation:.0%} of the values are beyond it" if entry.saturation > INPUT_BEYOND else f"they use {entry.range_use:.1%} of it"
        yield Cause(
            "wrong_input_scale",
            f"The data lie in {_span(entry.low, entry.high)}, but the input {entry.name!r} was calibrated for "
            f"{_span(entry.stored_low, entry.stored_high)}: {figure}.",
            f"Find out which scale the network was trained with{_looks_like(entry)}; give that one as scale= in --preprocess, to `export` and here.",
        )


def _looks_like(entry: Input) -> str:
    assert entry.stored_low is not None and entry.stored_high is not None  # noqa: S101
    data = _nearest(entry.low, entry.high)
    stored = _nearest(entry.stored_low, entry.stored_high)
    return f" (the data look like scale={data}, the calibration like scale={stored})" if data and stored and data != stored else ""


def _nearest(low: float, high: float) -> str:
    """The usual scale whose images would have about this range; empty where there is none."""
    for name, (least, most) in _SCALES.items():
        room = 0.15 * (most - least)
        if abs(low - least) <= room and abs(high - most) <= room:
            return name
    return ""


def _calibration_unlike_data(measured: Measured) -> Iterator[Cause]:
    stored = [layer for layer in measured.layers if layer.range_use is not None and layer.saturation is not None]
    if not stored:
        return
    worst = max(stored, key=lambda layer: layer.saturation or 0.0)
    clipped = worst.saturation or 0.0
    used = median([layer.range_use or 0.0 for layer in stored if layer.precision in ("int8", "uint8")] or [1.0])  # int16 has levels to spare
    if clipped >= CLIPPED:
        beyond = tuple(layer.name for layer in stored if (layer.saturation or 0.0) >= CLIPPED)
        what = f"{clipped:.1%} of the values of {worst.name!r} are beyond the range that calibration found"
        yield Cause(
            "calibration_unlike_data",
            what + (f", and {len(beyond) - 1} more layers clip" if len(beyond) > 1 else "") + ".",
            "Calibrate with about 100 inputs like these: export again with --calibration, preprocessed as the network's own.",
            beyond,
        )
    elif used < LEVELS_USED:
        yield Cause(
            "calibration_unlike_data",
            f"The data use {used:.0%} of the range that calibration found in the median layer: the rest of the levels is empty.",
            "Calibrate with about 100 inputs like these: export again with --calibration, preprocessed as the network's own.",
        )


def _softmax_ties(measured: Measured) -> Iterator[Cause]:
    softmax = measured.softmax
    if softmax is not None and softmax.precision in ("int8", "uint8") and softmax.ties >= TIES:
        yield Cause(
            "softmax_ties",
            f"The softmax gives {softmax.precision}, and on {softmax.ties:.1%} of the inputs several classes share the highest of its 256 levels.",
            "Export with --io float32, which computes the softmax in float, or with --head logits.",
        )


def _mean_shift(measured: Measured, origin: Origin) -> Iterator[Cause]:
    final = measured.final
    if final.count < FEWEST_FOR_MEANS or final.mean_share < MEAN_SHARE:
        return
    # Where a shift comes from: what a layer's own error is worth at the logits, as far as it is a shift.
    shifted = sorted((layer for layer in measured.layers if layer.weights), key=lambda layer: -(layer.share or 0.0) * layer.mean_share)[:3]
    worst = f"{shifted[0].name!r} by up to {shifted[0].mean_shift:.2f} standard deviations" if shifted else "the logits"
    yield Cause(
        "mean_shift",
        f"Rounding has shifted the means of channels, in {worst}: {final.mean_share:.0%} of the error at the logits is the same for every input.",
        _against_shift(origin),
        tuple(layer.name for layer in shifted),
    )


def _against_shift(origin: Origin) -> str:
    """What to do about a shift of the means: which depends on what the export did about it."""
    if "shipped" not in origin.correction:
        return "Export with --recipe int8 and --calibration: it takes the shift back in the biases." + (
            "" if origin.recipe else " For this, export the Keras model with dsmobile."
        )
    more = "--recipe int16x8" if "mixed" in origin.correction else "--recipe mixed or int16x8"
    if origin.same_inputs:
        return f"Take {more}: correcting the biases by these very inputs does not take it back."
    if origin.correction["shipped"] != PLAIN:
        done = "It is corrected, but for the inputs that it was calibrated with"
    elif origin.correction.get("held_out"):
        done = "Correction was tried, and gained nothing on the inputs that it was calibrated with"
    else:
        done = "It had too few calibration inputs to be corrected"
    return f"{done}: calibrate with about 100 inputs like these. Where that was done, take {more}."


def _layer_needs_more_bits(measured: Measured) -> Iterator[Cause]:
    known = [layer for layer in measured.layers if layer.share is not None and layer.weights]
    worst = max(known, key=lambda layer: layer.share or 0.0, default=None)
    if worst is not None and (worst.share or 0.0) > ONE_LAYER:
        yield Cause(
            "layer_needs_more_bits",
            f"{worst.name!r} alone makes {worst.share:.0%} of the error at the logits.",
            f"Export with --recipe mixed, which leaves layers like {worst.name!r} in float32 as far as it pays, or --recipe int16x8.",
            (worst.name,),
        )


def _uneven_channels(measured: Measured) -> Iterator[Cause]:
    uneven = [layer for layer in measured.layers if (layer.share or 0.0) >= UNEVEN_SHARE and _unevenness(layer) >= UNEVEN]
    if not uneven:
        return
    worst = max(uneven, key=lambda layer: layer.share or 0.0)
    of_weights = worst.one_weight_scale and (worst.weight_spread or 0.0) >= UNEVEN
    what = "weights, which share one scale," if of_weights else "values"
    yield Cause(
        "uneven_channels",
        f"The widest channel of {worst.name!r} has {_unevenness(worst):.0f} times the range of the median one: most of its {what} use few levels.",
        "Quantize per output channel: `dsmobile export` does."
        if of_weights
        else "Take --recipe int16x8, or --recipe mixed, which may leave it in float32.",
        tuple(layer.name for layer in uneven),
    )


def _unevenness(layer: Layer) -> float:
    """How much wider the widest channel is than the median one, where both share a scale."""
    return max(layer.activation_spread if layer.range_use is not None else 1.0, (layer.weight_spread or 1.0) if layer.one_weight_scale else 1.0)


def _span(low: float, high: float) -> str:
    return f"{low:.3g} to {high:.3g}"
