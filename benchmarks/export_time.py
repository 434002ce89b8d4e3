"""How long an export takes, beside one bare int8 conversion of the same network by TensorFlow's converter, in turn in one run.

    python benchmarks/export_time.py MODEL.h5 --calibration DIR --preprocess P [--repeats N]

An export writes four files (float32 and int8, TFLite and ONNX), reads their weights back and compares each with the network. Both take the same
calibration inputs; imports are excluded; decoding the images is part of both.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any


def converter(model: Any, inputs: Any) -> float:
    """Seconds that TFLiteConverter takes for int8."""
    import tensorflow as tf

    started = time.perf_counter()
    conversion = tf.lite.TFLiteConverter.from_keras_model(model)
    conversion.optimizations = [tf.lite.Optimize.DEFAULT]
    conversion.representative_dataset = lambda: (list(sample) for sample in inputs.samples())
    conversion.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    conversion.convert()
    return time.perf_counter() - started


def main() -> None:
    """Prints both times and their ratio."""
    from dsmobile import pipeline
    from dsmobile.exporters.calibration import calibration_inputs
    from dsmobile.keras_files import load_keras_file
    from dsmobile.preprocessing import parse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a .keras or .h5 file, or an architecture's name")
    parser.add_argument("--calibration", required=True)
    parser.add_argument("--preprocess", required=True)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as warm:  # imports, and what libraries build once
        pipeline.export(pipeline.ExportRequest("mobilenet_v1", alpha=0.25, resolution=32, out=Path(warm)))
    ratios = []
    for number in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as out:
            started = time.perf_counter()
            pipeline.export(
                pipeline.ExportRequest(arguments.model, calibration=arguments.calibration, preprocess=arguments.preprocess, out=Path(out))
            )
            ours = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        model = load_keras_file(Path(arguments.model)) if Path(arguments.model).is_file() else _architecture(arguments.model)
        preprocessing = parse(arguments.preprocess)
        shapes = {"image": tuple(model.inputs[0].shape[1:])}
        inputs = calibration_inputs(
            arguments.calibration, named_shapes=shapes, preprocessing=preprocessing, random_weights=False, quantized=True, count=100
        )
        theirs = converter(model, inputs)
        ratios.append(ours / theirs)
        print(
            f"run {number + 1}: four files {ours:.1f} s, bare conversion {theirs:.1f} s, ratio {ratios[-1]:.2f}; peak so far {peak:.0f} MB",
            flush=True,
        )
    print(f"median ratio {statistics.median(ratios):.2f}")


def _architecture(name: str) -> Any:
    from dsmobile.sources import SourceOptions, load

    return load(name, SourceOptions()).model


if __name__ == "__main__":
    main()
