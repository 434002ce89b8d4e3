"""Does a written file compute what the network computes? Measured on every export, before the final softmax."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dsmobile.errors import ParityError
from dsmobile.exporters.artifact import Parity
from dsmobile.exporters.calibration import Sample
from dsmobile.exporters.recipe import Recipe
from dsmobile.exporters.runners import Runner

Floats = npt.NDArray[np.float32]


def sqnr_db(reference: npt.NDArray[np.floating], measured: npt.NDArray[np.floating]) -> float:
    """Signal to quantization noise ratio in dB: 10 log10(sum ref^2 / sum (ref - measured)^2)."""
    signal = float(np.square(reference, dtype=np.float64).sum())
    noise = float(np.square(reference.astype(np.float64) - measured).sum())
    if noise == 0.0:
        return float("inf")
    return 10.0 * float(np.log10(signal / noise)) if signal else float("-inf")


def compare(reference: Floats, measured: Floats, classes: int | None = None) -> Parity:
    """Two batches of logits, shape (count, numbers); `classes` are as many of the first numbers as the first output has.

    Raises:
        ParityError: They differ in shape or a value is not finite.
    """
    if reference.shape != measured.shape:
        raise ParityError(f"the file gives the shape {measured.shape}, the network {reference.shape}", "this is a fault in dsmobile: report it")
    if not np.isfinite(reference).all():
        raise ParityError("the network itself gives values that are not finite", "check its weights and --preprocess")
    first_reference, first = reference[:, :classes], measured[:, :classes]
    return Parity(
        max_abs_error=float(np.abs(reference.astype(np.float64) - measured).max()),
        max_abs_reference=float(np.abs(reference).max()),
        sqnr_db=None if np.array_equal(reference, measured) else round(sqnr_db(reference, measured), 3),
        top1_agreement=float((first_reference.argmax(1) == first.argmax(1)).mean()),
        count=len(reference),
    )


def run_file(runner: Runner, samples: list[Sample]) -> Floats:
    """What a file gives for real-valued samples, one by one: its outputs one after another in the network's order of axes, shape (count, numbers)."""
    found = []
    for sample in samples:
        outputs = zip(runner.run_sample(sample), runner.outputs, strict=True)
        turned = [values.transpose(0, 2, 3, 1) if info.layout == "nchw" else values for values, info in outputs]
        found.append(np.concatenate([values.reshape(1, -1) for values in turned], axis=1))
    return np.concatenate(found)


def require(parity: Parity, recipe: Recipe, name: str) -> None:
    """Raises where a file does not meet its recipe.

    Raises:
        ParityError: With the figure, the bound and what to do.
    """
    bound = recipe.max_error * max(1.0, parity.max_abs_reference)
    if recipe.max_error and not parity.max_abs_error <= bound:
        raise ParityError(
            f"{name} differs from the network by {parity.max_abs_error:.3g}, more than {bound:.3g}",
            "look at it with --keep-failed; a layer may be written wrongly: report it with the model",
        )
    if recipe.min_sqnr_db is not None and parity.sqnr_db is not None and not parity.sqnr_db >= recipe.min_sqnr_db:
        raise ParityError(
            f"{name} keeps {parity.sqnr_db:.1f} dB of the network's logits, less than the {recipe.min_sqnr_db:g} dB that the recipe asks for",
            "calibrate with images like those of the task and check --preprocess; --keep-failed keeps the file to look at",
        )
