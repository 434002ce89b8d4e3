"""Are the calibration inputs what the network was trained on? Its own batch normalizations remember.

A batch normalization keeps the mean and variance that each channel had in training. Inputs of another scale, of another distribution, or without
any variation give its first layers values far from these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.architectures.graph import Call, read_graph
from dsmobile.exporters.calibration import Inputs, batch, spread_over

SAMPLES = 8
LAYERS = 3  # the first ones see the input; later ones, what the first made of it
LARGEST_SHIFT = 1.0  # in standard deviations; right inputs of three trained networks gave up to 0.22
LARGEST_RATIO = 3.0  # of variances, up or down; right inputs gave 0.88 to 1.36, half the scale a quarter
FEW = 10


@dataclass(frozen=True)
class Familiarity:
    """How near inputs are to what a network was trained on, by its first batch normalizations.

    Args:
        layer: The one that differs most.
        shift: The median over channels of |mean - remembered mean|, in remembered standard deviations.
        ratio: The median over channels of variance over remembered variance.
    """

    layer: str
    shift: float
    ratio: float

    @property
    def unlike(self) -> bool:
        """Whether the inputs are not what the network was trained on."""
        return self.shift > LARGEST_SHIFT or not 1 / LARGEST_RATIO <= self.ratio <= LARGEST_RATIO

    @property
    def _distance(self) -> float:
        return max(self.shift / LARGEST_SHIFT, abs(float(np.log(max(self.ratio, 1e-12)))) / float(np.log(LARGEST_RATIO)))


def familiarity(model: Any, inputs: Inputs) -> Familiarity | None:
    """Holds inputs against what a network's first batch normalizations remember.

    Args:
        model: A functional `keras.Model`.
        inputs: The calibration inputs.

    Returns:
        The worst of the first batch normalizations; None where there is none that was trained.
    """
    import keras

    graph = read_graph(model)
    last = [place for place, call in enumerate(graph.calls) if _remembers(call)][:LAYERS]
    if not last:
        return None
    arrays = batch(spread_over(inputs, SAMPLES))
    tensors = {value.key: keras.ops.convert_to_tensor(array) for value, array in zip(graph.inputs, arrays, strict=True)}
    found = []
    for place, call in enumerate(graph.calls[: last[-1] + 1]):
        given = [tensors[value.key] for value in call.inputs]
        if place in last:
            found.append(_compare(call, np.asarray(given[0], np.float64)))
        tensors.update((value.key, tensor) for value, tensor in zip(call.outputs, call.apply(call.layer, given, training=False), strict=True))
    return max(found, key=lambda one: one._distance)


def _remembers(call: Call) -> bool:
    """Whether a call is a batch normalization with statistics of its own."""
    if call.kind != "BatchNormalization":
        return False
    mean, variance = np.asarray(call.layer.moving_mean), np.asarray(call.layer.moving_variance)
    return bool(np.any(mean != 0.0) or np.any(variance != 1.0))


def _compare(call: Call, values: npt.NDArray[np.float64]) -> Familiarity:
    axes = tuple(range(values.ndim - 1))
    mean, variance = np.asarray(call.layer.moving_mean, np.float64), np.asarray(call.layer.moving_variance, np.float64) + call.layer.epsilon
    shift = np.abs(values.mean(axes) - mean) / np.sqrt(variance)
    ratio = (values.var(axes) + call.layer.epsilon) / variance
    return Familiarity(call.layer.name, float(np.median(shift)), float(np.median(ratio)))


def calibration_notes(model: Any, inputs: Inputs, *, random_weights: bool) -> list[str]:
    """What a person must know of the calibration inputs, with the figures.

    Args:
        model: The `keras.Model` that they are for.
        inputs: The calibration inputs.
        random_weights: Whether the network's weights are random, so that any input serves.
    """
    notes: list[str] = []
    if random_weights:
        return notes
    if inputs.count < FEW:
        notes.append(f"Calibrated with {inputs.count} input{'s' * (inputs.count != 1)}: ranges and corrections rest on little; give about 100.")
    deviation = min(float(np.std(np.concatenate([array.ravel() for array in sample]))) for sample in spread_over(inputs, SAMPLES))
    if deviation < 1e-6:
        notes.append("Calibration inputs are constant (standard deviation 0): the ranges they give are wrong for real ones. Give typical inputs.")
    found = familiarity(model, inputs)
    if found is not None and found.unlike:
        notes.append(
            f"The calibration inputs are unlike what the network was trained on: at {found.layer} their mean lies {found.shift:.1f} standard "
            f"deviations off, their variance is {found.ratio:.2g} times the remembered one (usual are at most {LARGEST_SHIFT:g}, and between "
            f"{1 / LARGEST_RATIO:.2g} and {LARGEST_RATIO:g}). Check scale and colour in --preprocess, and what the images show."
        )
    return notes
