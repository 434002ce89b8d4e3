"""NNCF: float ONNX to ONNX, int8 weights and activations."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["NNCF_CI"] = "1"  # it reports its use to its makers otherwise

import job
import nncf
import onnx
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix
from nncf.quantization.range_estimator import RangeEstimatorParametersSet


def quantize(
    network: Path,
    x: job.Inputs,
    out: Path,
    *,
    fast_bias_correction: bool = True,
    preset: str = "",
    ranges: str = "",
    overflow_fix: bool = True,
    subset_size: int = 300,
    channel_alignment: bool = False,
) -> None:
    """Quantizes; defaults are its own.

    Args:
        network: A float ONNX file.
        x: The calibration inputs.
        out: The file.
        fast_bias_correction: False is slower and more accurate.
        preset: `performance` (symmetric activations) or `mixed` (asymmetric); empty takes its default.
        ranges: Of activations, a name in its `RangeEstimatorParametersSet`; empty takes its default.
        overflow_fix: Whether weights may get 7 bits where int8 kernels could saturate.
        subset_size: How many inputs set ranges, at most; the slow bias correction takes a fifth of the number.
        channel_alignment: Whether it aligns channels of neighbouring layers first.
    """
    model = onnx.load(network)
    value = model.graph.input[0]
    x = job.as_onnx_takes(x, tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim))
    advanced = AdvancedQuantizationParameters(disable_channel_alignment=not channel_alignment)
    if not overflow_fix:
        advanced.overflow_fix = OverflowFix.DISABLE
    if ranges:
        advanced.activations_range_estimator_params = getattr(RangeEstimatorParametersSet, ranges)
    quantized = nncf.quantize(
        model,
        nncf.Dataset([{value.name: image[None]} for image in x]),
        preset=nncf.QuantizationPreset(preset) if preset else None,
        subset_size=subset_size,
        fast_bias_correction=fast_bias_correction,
        advanced_parameters=advanced,
    )
    onnx.save(quantized, out)


if __name__ == "__main__":
    job.run(quantize, nncf.__version__)
