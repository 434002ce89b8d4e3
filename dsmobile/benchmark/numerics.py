"""Whether what was measured computes what it should: the answers to a seeded input, among processes and against the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from device_bench.records import Deviation, Probe
from dsmobile.benchmark.subjects import Subject

FLOAT_TOLERANCE = 1e-3
QUANTIZED_STEPS, QUANTIZED_SHARE = 3, 0.02
SENSITIVITY, HARMLESS_SHARE, UNMOVED_SHARE = 1.5, 0.03, 0.1


def same_answer(one: Probe, other: Probe) -> bool:
    """Whether two processes on one machine answered alike.

    Args:
        one: An answer.
        other: Another process's.
    """
    reference = [value for value in one.values if value is not None]
    tolerance = FLOAT_TOLERANCE * max([1.0, *map(abs, reference)]) + 1e-6 * one.step
    return close(one.values, other.values, tolerance)


def as_exported(subject: Subject, probe: Probe) -> bool:
    """Whether a device answers as the exporting machine did; true where the manifest does not say.

    float32: to a thousandth of the largest value, or of 1. Otherwise: three quantization steps or 2% of the largest value, for kernels may
    round differently. Where an ONNX file's float output hides its step, the smallest gap between two of the values stands for it.

    Args:
        subject: The file.
        probe: The device's answer.
    """
    if subject.manifest is None or not subject.manifest.probe.get("values"):
        return True
    expected = [float(value) for value in subject.manifest.probe["values"]]
    largest = max(map(abs, expected))
    if subject.manifest.recipe == "float32":
        return close(expected, probe.values, FLOAT_TOLERANCE * max(1.0, largest))
    distinct = sorted(set(expected))
    gaps = [high - low for low, high in pairwise(distinct)]
    step = probe.step or min(gaps, default=0.0)
    return close(expected, probe.values, max(QUANTIZED_STEPS * step * 1.0001, QUANTIZED_SHARE * largest))


def same_optimised(deviation: Deviation) -> bool:
    """Whether an optimised int8 graph computes what the unoptimised one does.

    Fused integer kernels round some values the other way, and every layer after them carries that on; how far, depends on the network. So the
    network is its own measure: the difference may be 1.5 times what moving each byte of the picture by one level does to the answer. Measured
    with ONNX Runtime 1.31 on eight files, 3 to 8 pictures each: exact kernels 0 to 0.8 times, kernels that saturate 2.4 to 8.4 times. What is
    under 3% of the answer (30 dB, less than quantizing costs) is harmless in any case; where the input does not move the answer at all, 10%
    (20 dB) stand in for the measure. Where the unoptimised answer itself changes its shape with one level, nothing can be said.

    Args:
        deviation: Of one output.
    """
    if deviation.difference is None:
        return deviation.sensitivity is None
    measure = SENSITIVITY * deviation.sensitivity if deviation.sensitivity else UNMOVED_SHARE * deviation.magnitude
    return deviation.difference <= max(measure, HARMLESS_SHARE * deviation.magnitude)


def finite(probe: Probe) -> bool:
    """Whether the whole output is made of numbers."""
    return probe.total is not None and None not in probe.values


def close(one: Sequence[float | None], other: Sequence[float | None], tolerance: float) -> bool:
    """Whether two lists agree: no two numbers further apart than the tolerance, nothing that is not finite facing a number."""
    return len(one) == len(other) and all(
        (a is None) == (b is None) and (a is None or b is None or abs(a - b) <= tolerance) for a, b in zip(one, other, strict=True)
    )
