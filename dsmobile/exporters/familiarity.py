"""Are the calibration inputs what the network was trained on? Its own batch normalizations remember.

A batch normalization keeps the mean and variance that each channel had in training. Inputs of another scale, of another distribution, or without
any variation give its first layers values far from these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.architectures.graph import Call, read_graph, run
from dsmobile.exporters.calibration import Inputs, batch, spread_over

SAMPLES = 8
FIRST, LAST = 3, 2  # the first ones tell another scale, the last ones images of nothing: noise, for one
LARGEST_SHIFT = 1.0  # in standard deviations; right inputs of three trained networks gave up to 0.22
LARGEST_RATIO = 3.0  # of variances, up or down; right inputs gave 0.57 to 1.36, half the scale a quarter, noise 0.06 to 0.38
FEW = 10


@dataclass(frozen=True)
class Familiarity:
    """How near inputs are to what a network was trained on, by its first and last batch normalizations.

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

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {**asdict(self), "unlike": self.unlike}

    @property
    def _distance(self) -> float:
        return max(self.shift / LARGEST_SHIFT, abs(float(np.log(max(self.ratio, 1e-12)))) / float(np.log(LARGEST_RATIO)))


def familiarity(model: Any, inputs: Inputs) -> Familiarity | None:
    """Holds inputs against what a network's first and last batch normalizations remember.

    Args:
        model: A functional `keras.Model`.
        inputs: The calibration inputs.

    Returns:
        The worst of them; None where there is none that was trained.
    """
    graph = read_graph(model)
    remembering = [call for call in graph.calls if _remembers(call)]
    looked_at = {call.outputs[0].key for call in (*remembering[:FIRST], *remembering[-LAST:])}
    if not looked_at:
        return None
    found = []

    def visit(call: Call, given: list[Any]) -> None:
        if call.outputs[0].key in looked_at:
            found.append(_compare(call, np.asarray(given[0], np.float64)))

    run(graph, batch(spread_over(inputs, SAMPLES)), visit)
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


def _constant(arrays: Sequence[npt.NDArray[np.float32]]) -> bool:
    """Whether samples of one input have nothing in them: no two numbers differ in any sample, or, of single numbers, between samples."""
    alone = arrays[0].size == 1
    return all(float(np.ptp(values)) <= 1e-6 * float(np.abs(values).max()) for values in ([np.concatenate(arrays)] if alone else arrays))


def calibration_notes(inputs: Inputs, found: Familiarity | None) -> list[str]:
    """What a person must know of the calibration inputs, with the figures.

    Args:
        inputs: The calibration inputs.
        found: How near they are to what the network was trained on, where that can be told.
    """
    notes: list[str] = []
    if inputs.count < FEW:
        notes.append(f"Calibrated with {inputs.count} input{'s' * (inputs.count != 1)}: ranges and corrections rest on little; give about 100.")
    if any(_constant(arrays) for arrays in zip(*spread_over(inputs, SAMPLES), strict=True)):
        notes.append("Calibration inputs are constant (standard deviation 0): the ranges they give are wrong for real ones. Give typical inputs.")
    if found is not None and found.unlike:
        notes.append(
            f"The calibration inputs are unlike what the network was trained on: at {found.layer} their mean lies {found.shift:.1f} standard "
            f"deviations off, their variance is {found.ratio:.2g} times the remembered one (usual are at most {LARGEST_SHIFT:g}, and between "
            f"{1 / LARGEST_RATIO:.2g} and {LARGEST_RATIO:g}). Check scale and colour in --preprocess, and what the images show."
        )
    return notes
