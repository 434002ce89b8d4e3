"""ONNX Runtime's quantize_static: QDQ, int8 weights per channel, after its own preprocessing of the graph, as its documentation asks."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import job
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Reader(CalibrationDataReader):
    """Gives the inputs one at a time."""

    def __init__(self, name: str, x: job.Inputs) -> None:
        self._left = iter({name: image[None]} for image in x)

    def get_next(self) -> dict[str, job.Inputs] | None:
        """The next one; None at the end."""
        return next(self._left, None)


def quantize(network: Path, x: job.Inputs, out: Path, *, method: str, activations: str = "QInt8", **options: Any) -> None:
    """Quantizes; `options` are its `extra_options`."""
    value = onnx.load(network).graph.input[0]
    x = job.as_onnx_takes(x, tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim))
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(network, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            out,
            Reader(value.name, x),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType[activations],
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod[method],
            extra_options=options,
        )


if __name__ == "__main__":
    job.run(quantize, onnxruntime.__version__)
