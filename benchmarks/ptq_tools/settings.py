"""Who quantizes, and which settings of each are tried: what each tool's documentation offers for int8 weights and activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CALIBRATION_COUNT = 100


@dataclass(frozen=True)
class Setting:
    """One way of using a tool.

    Args:
        name: What the table says.
        options: Keyword arguments of `quantize` in the tool's script.
    """

    name: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Tool:
    """Who quantizes.

    Args:
        key: What `--tools` takes; several may share one.
        name: What the table says.
        script: In `ptq_tools`.
        starts_from: `source`, `saved_model`, `tflite` or `onnx`.
        file_format: What it writes.
        settings: What is tried.
        apart: Whether it lies in the virtual environment of scripts/setup-ptq.
    """

    key: str
    name: str
    script: str
    starts_from: str
    file_format: str
    settings: tuple[Setting, ...]
    apart: bool = False


INT8 = (Setting("recipe int8", {"recipe": "int8"}),)
PLAIN = (Setting("recipe int8-plain", {"recipe": "int8-plain"}),)
CONVERTER = (
    Setting("default", {}),
    Setting("old quantizer", {"experimental_new_quantizer": False}),
)
STATIC = (
    Setting("MinMax, S8S8", {"method": "MinMax"}),
    Setting("MinMax, U8S8", {"method": "MinMax", "activations": "QUInt8"}),
    Setting("Percentile 99.999, S8S8", {"method": "Percentile", "CalibTensorRangeSymmetric": False, "CalibPercentile": 99.999}),
    Setting("Percentile 99.99, S8S8", {"method": "Percentile", "CalibTensorRangeSymmetric": False, "CalibPercentile": 99.99}),
    Setting("Entropy, S8S8", {"method": "Entropy", "CalibTensorRangeSymmetric": False}),
)
AI_EDGE = (
    Setting("default (moving average)", {"algorithm": "MIN_MAX_UNIFORM_QUANT", "ranges": "moving_average"}),
    Setting("min-max", {"algorithm": "MIN_MAX_UNIFORM_QUANT", "ranges": "min_max"}),
    Setting("OCTAV, min-max", {"algorithm": "OCTAV", "ranges": "min_max"}),
    Setting("MSE, min-max", {"algorithm": "MSE", "ranges": "min_max"}),
)
ACCURATE = {"fast_bias_correction": False}
WIDE = {**ACCURATE, "preset": "mixed", "ranges": "MINMAX", "overflow_fix": False}
NNCF = (
    Setting("default", {}),
    Setting("slow bias correction", ACCURATE),
    Setting("slow bias correction, mixed", {**ACCURATE, "preset": "mixed"}),
    Setting("slow bias correction, no overflow fix", {**ACCURATE, "overflow_fix": False}),
    Setting("slow bias correction, mixed, min-max, no overflow fix", WIDE),
    Setting(
        "slow bias correction on all inputs, mixed, min-max, no overflow fix", {**WIDE, "subset_size": 5 * CALIBRATION_COUNT}
    ),  # a fifth of them correct biases
    Setting("slow bias correction, mixed, min-max, no overflow fix, channel alignment", {**WIDE, "channel_alignment": True}),
)
TOOLS = (
    Tool("dsmobile", "dsmobile", "ours.py", "source", "tflite", INT8),
    Tool("dsmobile", "dsmobile", "ours.py", "source", "onnx", INT8),
    Tool("dsmobile", "dsmobile", "ours.py", "source", "tflite", PLAIN),
    Tool("dsmobile", "dsmobile", "ours.py", "source", "onnx", PLAIN),
    Tool("tflite-converter", "TFLiteConverter", "converter.py", "saved_model", "tflite", CONVERTER),
    Tool("ai-edge-quantizer", "ai-edge-quantizer", "ai_edge.py", "tflite", "tflite", AI_EDGE, apart=True),
    Tool("onnxruntime", "ONNX Runtime quantize_static", "onnxruntime_static.py", "onnx", "onnx", STATIC),
    Tool("nncf", "NNCF", "nncf_onnx.py", "onnx", "onnx", NNCF, apart=True),
)
