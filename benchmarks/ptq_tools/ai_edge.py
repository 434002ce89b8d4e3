"""ai-edge-quantizer: float TFLite to TFLite, recipe static_wi8_ai8."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import job
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
from ai_edge_quantizer.utils import qsv_utils


def quantize(network: Path, x: job.Inputs, out: Path, *, algorithm: str, ranges: str) -> None:
    """Quantizes.

    Args:
        network: A float TFLite file.
        x: The calibration inputs.
        out: The file.
        algorithm: How the scales of weights are found: a name in its `AlgorithmName`.
        ranges: Of activations: `moving_average`, its own way, or `min_max`, its other update function.
    """
    rules = recipe.static_wi8_ai8(algorithm_key=recipe.AlgorithmName[algorithm])
    interpreter = Interpreter(str(network))
    ((signature, ends),) = interpreter.get_signature_list().items()
    data = {signature: [{ends["inputs"][0]: image[None]} for image in x]}
    tool = quantizer.Quantizer(str(network), rules)
    if ranges == "moving_average":
        seen = tool.calibrate(data)
    else:
        manager = recipe_manager.RecipeManager()
        manager.load_quantization_recipe(rules)
        watcher = calibrator.Calibrator(network.read_bytes(), qsv_update_func=getattr(qsv_utils, f"{ranges}_update"))
        watcher.calibrate(data, manager)
        seen = watcher.get_model_qsvs()
    tool.quantize(seen, enable_progress_report=False).export_model(str(out))


if __name__ == "__main__":
    job.run(quantize, version("ai-edge-quantizer"))
