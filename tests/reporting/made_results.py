"""Results written by hand from seeded noise, with a ratio that is known beforehand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import stats

from dsmobile.benchmark.result import ArtifactResult, PairResult, Replicate, Result, Validity, Verdict
from dsmobile.benchmark.result import Warning as ResultWarning

MACS = {"separable": 568_740_352, "twin": 4_866_244_608}
RATIO = MACS["twin"] / MACS["separable"]


def made_artifact(
    path: str, base_ns: float, *, blocks: int = 12, position: int = 0, seed: int = 0, noise: float = 0.03, role: str | None = "separable",
    **changes: Any,
) -> ArtifactResult:  # fmt: skip
    """An artifact whose processes scatter log-normally about `base_ns`; the first two inferences of each are slow."""
    generator = np.random.default_rng(seed)
    replicates = tuple(_process(generator, base_ns, block, position, noise) for block in range(blocks))
    medians = sorted(replicate.median_ns for replicate in replicates)
    values: dict[str, Any] = {
        "path": path, "name": path.rsplit("/", 1)[-1].rsplit(".", 1)[0], "sha256": "ab" * 32, "format": "tflite", "recipe": "float32",
        "role": role, "pair_id": "p", "runtime": "litert", "runtime_version": "2.3.0", "threads": 1,
        "size_bytes": 16_900_000 if role == "separable" else 117_000_000, "macs": MACS.get(role or ""), "parameters": 4_253_864,
        "median_latency_ns": float(np.median(medians)) if medians else math.nan,
        "interval_ns": (medians[len(medians) // 5], medians[-1 - len(medians) // 5]) if medians else (math.nan, math.nan),
        "load_ns": base_ns * 0.9, "first_inference_ns": base_ns * 1.7, "peak_memory_bytes": 61_000_000, "exact_kernels": "native",
        "replicates": replicates,
    }  # fmt: skip
    return ArtifactResult(**{**values, **changes})


def _process(generator: np.random.Generator, base_ns: float, block: int, position: int, noise: float) -> Replicate:
    centre = base_ns * math.exp(generator.normal(0.0, noise))
    latency = (centre * np.exp(generator.normal(0.0, noise / 2, size=30) + np.r_[0.5, 0.2, np.zeros(28)])).astype(int)
    return Replicate(
        block=block,
        position=position,
        latency_ns=tuple(int(value) for value in latency),
        warmup_count=2,
        load_ns=int(base_ns * 0.9),
        first_inference_ns=int(base_ns * 1.7),
        peak_memory_bytes=61_000_000 + 1000 * block,
        median_ns=float(np.median(latency[2:])),
    )


def made_pair(first: ArtifactResult, second: ArtifactResult, **changes: Any) -> PairResult:
    """A pair, by the textbook: scipy's own paired t interval of the log-ratios."""
    logs = np.log([b.median_ns / a.median_ns for a, b in zip(first.replicates, second.replicates, strict=True)])
    interval = stats.ttest_1samp(logs, 0.0).confidence_interval(0.95)
    values: dict[str, Any] = {
        "separable": first.path, "twin": second.path, "runtime": first.runtime, "recipe": first.recipe,
        "speedup": float(np.exp(logs.mean())), "speedup_interval": (float(np.exp(interval.low)), float(np.exp(interval.high))),
        "macs_ratio": RATIO, "verdict": Verdict.FASTER, "minimum_detectable": 0.021, "blocks": len(logs),
    }  # fmt: skip
    return PairResult(**{**values, **changes})


NAMES = ("mobilenet_v1_1.0_224-separable-float32.tflite", "mobilenet_v1_1.0_224-twin-float32.tflite")


def made_result(
    *, folder: str = "/home/alice/work/dsmobile-out", names: tuple[str, str] = NAMES, validity: Validity = Validity.VALID,
    warnings: tuple[ResultWarning, ...] = (), seed: int = 7, noise: float = 0.03, **changes: Any,
) -> Result:  # fmt: skip
    """A separable network that is really `RATIO` times as fast as its twin."""
    first = made_artifact(f"{folder}/{names[0]}", 13.7e6, seed=seed, noise=noise)
    second = made_artifact(f"{folder}/{names[1]}", 13.7e6 * RATIO, seed=seed + 1, noise=noise, role="twin", position=1)
    features = [f"feature{number}" for number in range(40)]
    values: dict[str, Any] = {
        "dsmobile_version": "0.1.0", "started_utc": "2026-11-21T11:00:00Z", "device": "local", "metric": "latency", "validity": validity,
        "warnings": warnings, "settings": {"budget_s": 60, "threads": 1, "seed": 0, "blocks": 12},
        "facts": {"system": "Linux", "machine": "x86_64", "cpu": {"model": "AMD EPYC 7543", "features": features}, "cores": 2},
        "conditions": (
            {"when": "before", "load_1min": 0.31, "governor": None}, {"when": "between", "load_1min": 1.4},
            {"when": "after", "load_1min": 1.02},
        ),
        "artifacts": (first, second), "pairs": (made_pair(first, second),),
    }  # fmt: skip
    return Result(**{**values, **changes})


DEGRADED = ResultWarning("busy machine", "the load was 1.4 on 2 cores; close other programs and measure again")
INVALID = ResultWarning("throttled", "the processor was throttled at 81 °C; let it cool, or fit a heat sink, and measure again")
HOSTILE = (
    "<script>alert(1)<!--.tflite",
    "[red]x[/red] \x1b[31mred\x1b[0m \x07 | a,b \"q\" 'r'\nline two <img src=x onerror=alert(1)> \u202egnp.tflite",
)
