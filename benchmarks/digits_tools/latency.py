"""What the trained networks cost at run time: written and measured by dsmobile itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digits_tools.networks import NETWORKS, SAME_MACS, SEPARABLE, STANDARD
from dsmobile import pipeline

RECIPES = ("float32", "int8")
CALIBRATION_COUNT = 100


@dataclass(frozen=True)
class Latency:
    """One recipe's files, measured in one run.

    Args:
        recipe: `float32` or `int8`.
        median_ns: Of each network.
        interval_ns: Its 95% interval.
        size_bytes: Of each file.
        speedup: The other network's latency over the separable one's, by the other's name.
        speedup_interval: Its 95% interval.
        verdict: In words: faster, slower, no difference shown.
        validity: VALID, DEGRADED or INVALID.
        warnings: Why.
    """

    recipe: str
    median_ns: dict[str, float]
    interval_ns: dict[str, tuple[float, float]]
    size_bytes: dict[str, int]
    speedup: dict[str, float]
    speedup_interval: dict[str, tuple[float, float]]
    verdict: dict[str, str]
    validity: str
    warnings: tuple[str, ...]


def measure(models: dict[str, Any], calibration: Any, out: Path, budget_s: float, say: Callable[[str], None]) -> list[Latency]:
    """Exports the networks as TFLite and measures them on this machine, on one thread.

    Args:
        models: A `keras.Model` for each of `NETWORKS`.
        calibration: Training pictures, shape (count, 8, 8, 1).
        out: The folder for files and results.
        budget_s: Seconds for each recipe.
        say: Told what is being done.
    """
    data = out / "calibration.npz"
    np.savez(data, x=calibration[:CALIBRATION_COUNT])
    files: dict[tuple[str, str], Path] = {}
    for name in NETWORKS:
        say(f"exporting the {name} network")
        saved = out / f"digits-{name}.keras"
        models[name].save(saved)
        request = pipeline.ExportRequest(
            str(saved), formats=("tflite",), recipes=RECIPES, head="logits", calibration=str(data), out=out / "artifacts", force=True
        )
        files.update({(name, recipe): path for recipe, path in zip(RECIPES, pipeline.export(request).paths, strict=True)})
    return [_measured(recipe, {name: files[name, recipe] for name in NETWORKS}, out, budget_s, say) for recipe in RECIPES]


def _measured(recipe: str, files: dict[str, Path], out: Path, budget_s: float, say: Callable[[str], None]) -> Latency:
    say(f"measuring {recipe} for up to {budget_s:g} s")
    others = (STANDARD, SAME_MACS)
    pairs = [(files[SEPARABLE], files[other]) for other in others]
    result, _ = pipeline.bench(list(files.values()), pairs=pairs, budget_s=budget_s, out=out, keep_invalid=True)
    artifacts = {name: next(each for each in result.artifacts if Path(each.path) == path) for name, path in files.items()}
    compared = {other: next(each for each in result.pairs if Path(each.twin) == files[other]) for other in others}
    return Latency(
        recipe,
        {name: each.median_latency_ns for name, each in artifacts.items()},
        {name: each.interval_ns for name, each in artifacts.items()},
        {name: each.size_bytes for name, each in artifacts.items()},
        {other: each.speedup for other, each in compared.items()},
        {other: each.speedup_interval for other, each in compared.items()},
        {other: str(each.verdict) for other, each in compared.items()},
        str(result.validity),
        tuple(f"{warning.kind}: {warning.advice}" for warning in result.warnings),
    )
