"""A folded network as a TFLite file, through TensorFlow's converter: batch 1, weights as constants, a named signature."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.architectures.backend import captured_stderr
from dsmobile.errors import ConversionError
from dsmobile.exporters.artifact import OUTPUT_NAME
from dsmobile.exporters.execution import execute
from dsmobile.exporters.operators import FoldedModel

_IO_TYPES = ("float32", "uint8", "int8")


def write_float32(model: FoldedModel) -> bytes:
    """Writes a network in float32.

    Raises:
        ConversionError: The converter fails, or the file lacks weights.
    """
    return _convert(model, lambda converter, _: converter, bytes_per_weight=4)


def write_int8(model: FoldedModel, calibration: Callable[[], Iterable[npt.NDArray[np.float32]]], io: str = "float32") -> bytes:
    """Writes a network with int8 weights per channel and int8 activations.

    Args:
        model: A network whose weights are scale * integer.
        calibration: Gives real-valued inputs anew at each call, each of shape (1, *input_shape).
        io: Type of input and output: float32, uint8 or int8.

    Raises:
        ConversionError: The converter fails, or the file lacks weights.
    """

    def configure(converter: Any, tf: Any) -> Any:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image] for image in calibration())
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, io)
        return converter

    return _convert(model, configure, bytes_per_weight=1)


def _convert(model: FoldedModel, configure: Any, *, bytes_per_weight: int) -> bytes:
    import tensorflow as tf

    module = tf.Module()
    signature = [tf.TensorSpec((1, *model.input_shape), tf.float32, name=model.input_name)]
    module.run = tf.function(lambda image: {OUTPUT_NAME: execute(model, image)[model.output]}, input_signature=signature, autograph=False)
    with captured_stderr() as log:
        try:
            converter = tf.lite.TFLiteConverter.from_concrete_functions([module.run.get_concrete_function()], module)
            data = bytes(configure(converter, tf).convert())
        except Exception as error:
            first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise ConversionError(f"TensorFlow could not convert {model.name} to TFLite: {first[:300]}", _advice(log())) from error
    weights = model.parameter_bytes(bytes_per_weight)
    if len(data) < weights:
        raise ConversionError(
            f"the TFLite file of {model.name} has {len(data)} bytes, fewer than its weights' {weights}",
            "this is a fault in dsmobile: report it",
        )
    return data


def _advice(log: str) -> str:
    last = [line for line in log.splitlines() if "error" in line.lower()][-1:]
    return f"TensorFlow says: {last[0][:300]}" if last else "export float32 alone with --recipe float32 to see whether the network itself converts"


def without_softmax(data: bytes) -> bytes:
    """The same file without its final softmax: the same integers, whose logits can be compared.

    Args:
        data: A TFLite file that ends in a softmax, perhaps with a change of type after it, which goes too.

    Raises:
        ConversionError: It does not end in a softmax.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
    graph = model.subgraphs[0]
    for operator in reversed(graph.operators):
        if model.operatorCodes[operator.opcodeIndex].builtinCode == schema.BuiltinOperator.SOFTMAX:
            logits, scores = operator.inputs[0], operator.outputs[0]
            break
    else:
        raise ConversionError("the TFLite file does not end in a softmax", "this is a fault in dsmobile: report it")
    graph.operators = [entry for entry in graph.operators if scores not in (*entry.inputs, *entry.outputs)]
    graph.outputs = [logits]
    model.signatureDefs = []
    builder = flatbuffers.Builder(len(data) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
