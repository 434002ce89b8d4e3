"""Every layer, folded: the network computes what Keras computes, in float and in both formats, and keeps it in integers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dsmobile.exporters import onnx, planning, tflite
from dsmobile.exporters.execution import execute
from dsmobile.exporters.fold import fold
from dsmobile.exporters.folded import FoldedModel
from dsmobile.exporters.lowering import lower
from dsmobile.exporters.operators import ScaleShift
from dsmobile.exporters.parity import sqnr_db
from dsmobile.exporters.plan import Plan
from dsmobile.exporters.quantization import observe
from dsmobile.exporters.readback import check_weights

from .layer_networks import gates, rare_layers, sequence, transposed, two_inputs
from .networks import residual, squeeze_excite

Arrays = list[npt.NDArray[np.float32]]
NETWORKS = [sequence, two_inputs, rare_layers, gates, residual, squeeze_excite]
NETWORKS += [
    transposed(padding, kernel, strides) for padding in ("same", "valid") for kernel, strides in ((3, 2), (2, 3), (4, 2), (5, 1), (3, (2, 1)))
]
COUNT = 8


def _case(network: Callable[[], Any]) -> tuple[FoldedModel, list[Arrays], Arrays]:
    """The folded network, samples, and what Keras gives for them in one batch."""
    import keras

    model = network()
    random = np.random.default_rng(3)
    batches = [random.normal(size=(COUNT, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]
    outputs = keras.tree.flatten(model(batches if len(batches) > 1 else batches[0], training=False))
    samples = [[batch[place : place + 1] for batch in batches] for place in range(COUNT)]
    return fold(model), samples, [np.asarray(output) for output in outputs]


def _run_tflite(plan: Plan, samples: list[Arrays]) -> Arrays:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=tflite.write(plan))
    runner = interpreter.get_signature_runner()
    answers = [runner(**{value.name: array for value, array in zip(plan.model.inputs, sample, strict=True)}) for sample in samples]
    return [np.concatenate([answer[name] for answer in answers]) for name in plan.model.output_names]


def _run_onnx(plan: Plan, samples: list[Arrays], *, optimized: bool = True) -> Arrays:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(onnx.write(plan), options, providers=["CPUExecutionProvider"])
    feeds = [{v.name: a.transpose(0, 3, 1, 2) if a.ndim == 4 else a for v, a in zip(plan.model.inputs, sample, strict=True)} for sample in samples]
    answers = [session.run(list(plan.model.output_names), feed) for feed in feeds]
    joined = [np.concatenate([answer[place] for answer in answers]) for place in range(len(plan.model.outputs))]
    return [array.transpose(0, 2, 3, 1) if array.ndim == 4 else array for array in joined]


@pytest.mark.parametrize("network", NETWORKS)
def test_folded_and_written_it_computes_the_same(network: Callable[[], Any]) -> None:
    import tensorflow as tf

    folded, samples, expected = _case(network)
    batches = [np.concatenate(parts) for parts in zip(*samples, strict=True)]
    values = execute(folded, [tf.constant(batch) for batch in batches])
    plan = planning.float_plan(folded)
    for ours in ([values[name].numpy() for name in folded.outputs], _run_tflite(plan, samples), _run_onnx(plan, samples)):
        for output, reference in zip(ours, expected, strict=True):
            assert output.shape == reference.shape
            assert np.abs(output - reference).max() <= 1e-5 * np.abs(reference).max()
            assert reference.std() > 1e-3


@pytest.mark.parametrize("network", NETWORKS)
def test_integers_keep_it_and_are_the_same_in_both_formats(network: Callable[[], Any]) -> None:
    """Lowering changes nothing in float; int8 stays within 25 dB; both files hold the same integers and answer within rounding."""
    import tensorflow as tf

    folded, samples, expected = _case(network)
    lowered = lower(folded)
    batches = [np.concatenate(parts) for parts in zip(*samples, strict=True)]
    values = execute(lowered, [tf.constant(batch) for batch in batches])
    for name, reference in zip(lowered.outputs, expected, strict=True):
        assert np.abs(values[name].numpy() - reference).max() <= 1e-5 * np.abs(reference).max()
    plan = planning.integer_plan(lowered, observe(lowered, samples))
    lite, ort, plain = _run_tflite(plan, samples), _run_onnx(plan, samples), _run_onnx(plan, samples, optimized=False)
    for a, b, c, reference in zip(lite, ort, plain, expected, strict=True):
        assert sqnr_db(reference, a) > 20
        assert sqnr_db(reference, b) > 20
        assert sqnr_db(a, b) > 25  # a step of a kernel here or there
        assert sqnr_db(c, b) > 25
    assert check_weights(tflite.write(plan), "tflite", plan) == check_weights(onnx.write(plan), "onnx", plan)


@pytest.mark.parametrize("network", [sequence, two_inputs, rare_layers, gates, transposed("same", 3, 2)])
def test_other_precisions_of_tflite(network: Callable[[], Any]) -> None:
    folded, samples, expected = _case(network)
    for plan, least_db in (
        (planning.float_plan(folded, half=True), 55),
        (planning.weights_plan(folded), 30),
        (planning.integer_plan(folded, observe(folded, samples), dtype="int16"), 30),
    ):
        for output, reference in zip(_run_tflite(plan, samples), expected, strict=True):
            assert sqnr_db(reference, output) > least_db
        check_weights(tflite.write(plan), "tflite", plan)
    half = planning.float_plan(folded, half=True)
    for output, reference in zip(_run_onnx(half, samples), expected, strict=True):
        assert sqnr_db(reference, output) > 55


def test_a_rescaling_goes_into_the_convolution_behind_it() -> None:
    first = fold(rare_layers()).nodes[0]
    assert not isinstance(first.operator, ScaleShift)
    assert first.inputs == ("image",)


def test_no_transpose_where_a_map_is_flattened() -> None:
    import onnx as onnx_package

    nodes = onnx_package.load_from_string(onnx.write(planning.float_plan(fold(gates())))).graph.node
    assert "Transpose" not in {node.op_type for node in nodes}


@pytest.mark.parametrize(("name", "value"), [("kernel", np.nan), ("bias", np.inf)])
def test_weights_that_are_not_finite_are_refused(name: str, value: float) -> None:
    from dsmobile.errors import ConversionError

    model = residual()
    layer = next(layer for layer in model.layers if type(layer).__name__ == "Conv2D")
    weight = np.array(getattr(layer, name))
    weight.flat[1] = value
    getattr(layer, name).assign(weight)
    with pytest.raises(ConversionError, match=f"1 of the .* numbers in {name} of the layer '{layer.name}' are NaN or infinite"):
        fold(model)
