"""TensorFlow's converter: a SavedModel of batch 1 to TFLite, full integers inside, float input and output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import job
import tensorflow as tf


def quantize(network: Path, x: job.Inputs, out: Path, **options: bool) -> None:
    """Converts; `options` are attributes of the converter."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(network))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    for name, value in options.items():
        setattr(converter, name, value)

    def representative() -> Iterator[list[job.Inputs]]:
        for image in x:
            yield [image[None]]

    converter.representative_dataset = representative
    out.write_bytes(converter.convert())


if __name__ == "__main__":
    job.run(quantize, tf.__version__)
