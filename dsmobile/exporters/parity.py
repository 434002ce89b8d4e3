"""Does a written file compute what the network computes? Measured on every export, before the final softmax."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dsmobile.errors import ParityError
from dsmobile.exporters.artifact import Parity
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


def compare(reference: Floats, measured: Floats) -> Parity:
    """Two batches of logits, shape (count, ...).

    Raises:
        ParityError: They differ in shape or a value is not finite.
    """
    if reference.shape != measured.shape:
        raise ParityError(f"the file gives the shape {measured.shape}, the network {reference.shape}", "this is a fault in dsmobile: report it")
    if not np.isfinite(reference).all():
        raise ParityError("the network itself gives values that are not finite", "check its weights and --preprocess")
    flat_reference, flat = reference.reshape(len(reference), -1), measured.reshape(len(measured), -1)
    return Parity(
        max_abs_error=float(np.abs(reference.astype(np.float64) - measured).max()),
        max_abs_reference=float(np.abs(reference).max()),
        sqnr_db=None if np.array_equal(reference, measured) else round(sqnr_db(reference, measured), 3),
        top1_agreement=float((flat_reference.argmax(1) == flat.argmax(1)).mean()),
        count=len(reference),
    )


def run_file(runner: Runner, inputs: Floats) -> Floats:
    """What a file gives for a batch of real-valued NHWC inputs, one by one."""
    return np.concatenate([runner.run(inputs[place : place + 1])[0] for place in range(len(inputs))])


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
