"""dsmobile: from a Keras file to a checked TFLite or ONNX file; the time includes reading the network and holding the file against it."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

import job
import keras  # noqa: F401  imported before the clock starts, as the libraries of the others are
import numpy as np
import onnxruntime  # noqa: F401
import tensorflow  # noqa: F401

from dsmobile import pipeline


def quantize(network: Path, x: job.Inputs, out: Path, *, recipe: str) -> None:
    """Exports one file."""
    with tempfile.TemporaryDirectory(dir=out.parent) as name:
        folder = Path(name)
        np.savez(folder / "calibration.npz", x=x)
        order = pipeline.ExportRequest(
            str(network),
            formats=(out.suffix[1:],),
            recipes=(recipe,),
            head="logits",
            calibration=str(folder / "calibration.npz"),
            out=folder,
        )
        pipeline.export(order).paths[0].replace(out)


if __name__ == "__main__":
    job.run(quantize, version("dsmobile"))
