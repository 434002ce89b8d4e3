"""The logits of a file that ends in a softmax: the same file with what goes into the softmax as one output more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dsmobile.errors import DsmobileError, ModelError
from dsmobile.evaluation.wire import Array
from dsmobile.exporters.runners import Runner, dequantize, first_line

_ONNX_BEHIND = frozenset({"Cast", "DequantizeLinear", "Dropout", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze", "Unsqueeze"})
_TFLITE_BEHIND = ("CAST", "DEQUANTIZE", "EXPAND_DIMS", "QUANTIZE", "RESHAPE", "SQUEEZE")


class LogitReader:
    """Runs a file for its own outputs, and for its logits where these can be had.

    The file's own outputs are what counts. For its logits it is opened a second time with one output more; where that gives the same
    outputs for the first input, bit for bit, it runs alone from then on, else both run.

    Args:
        runner: The file as it is.
        open_with_logits: Opens it with its logits as one output more, after its own; gives None where it does not end in a softmax.
    """

    def __init__(self, runner: Runner, open_with_logits: Callable[[], Runner | None]) -> None:
        """Opens the file with its logits; `problem` says why they cannot be had, and is empty where nothing stands in the way."""
        self.ends = {"inputs": runner.inputs, "outputs": runner.outputs}
        self._runner: Runner | None = runner
        self._with_logits: Runner | None = None
        self._compared, self.problem = False, ""
        try:
            self._with_logits = open_with_logits()
        except DsmobileError as error:
            self.problem = error.message
        except Exception as error:  # noqa: BLE001  a parser may raise anything on a stranger's file, which the runtime itself has taken
            self.problem = first_line(error)

    def run(self, x: Array, *, raw: bool = False) -> tuple[list[Array], Array | None]:
        """One inference.

        Args:
            x: As for `Runner.run`.
            raw: Whether the outputs are wanted as the file stores them.

        Returns:
            The file's own outputs, and its logits in real numbers; None where they cannot be had.
        """
        if self._with_logits is None:
            return _run(self._runner, x, raw=raw), None
        *outputs, logits = _run(self._with_logits, x, raw=raw)
        if raw:
            logits = dequantize(logits, self._with_logits.outputs[-1])
        if self._runner is None:
            return outputs, logits
        own = _run(self._runner, x, raw=raw)
        if not self._compared and len(own) == len(outputs) and all(map(np.array_equal, own, outputs)):
            self._runner = None
        self._compared = True
        return own, logits


def tflite_with_logits(data: bytes) -> bytes | None:
    """A TFLite file with what goes into its final softmax as one output more.

    Args:
        data: A TFLite file.

    Returns:
        The same operators and integers; None where the first output is no softmax's.

    Raises:
        ModelError: There is a final softmax, but not one whose input is the logits.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
    graph = model.subgraphs[0]
    softmax = _final_tflite_softmax(schema, model, graph)
    if softmax is None:
        return None
    if softmax.builtinOptions is not None and softmax.builtinOptions.beta != 1.0:
        raise _unreadable("its softmax multiplies the logits")
    if any(buffer.offset for buffer in model.buffers):
        raise _unreadable("its weights lie outside its graph")
    graph.outputs = [*graph.outputs, softmax.inputs[0]]
    model.signatureDefs = []
    builder = flatbuffers.Builder(len(data) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _final_tflite_softmax(schema: Any, model: Any, graph: Any) -> Any:
    behind = {getattr(schema.BuiltinOperator, name) for name in _TFLITE_BEHIND}
    producers = {output: operator for operator in graph.operators for output in operator.outputs}
    operator = producers.get(graph.outputs[0])
    while operator is not None:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)  # files of old know only the latter
        if kind == schema.BuiltinOperator.SOFTMAX:
            return operator
        operator = producers.pop(operator.inputs[0], None) if kind in behind else None
    return None


def onnx_with_logits(path: Path) -> bytes | None:
    """An ONNX file with what goes into its final softmax as one output more; see `tflite_with_logits`.

    Raises:
        ImportError: The library `onnx` is missing.
        ModelError: There is a final softmax, but the file cannot be written anew.
    """
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    graph = model.graph
    producers = {output: node for node in graph.node for output in node.output}
    node = producers.get(graph.output[0].name)
    while node is not None and node.op_type in _ONNX_BEHIND:
        node = producers.pop(node.input[0], None)
    if node is None or node.op_type != "Softmax":
        return None
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in graph.initializer):
        raise _unreadable("its weights lie in another file")
    graph.output.append(onnx.ValueInfoProto(name=node.input[0]))
    written: bytes = model.SerializeToString()
    return written


def keras_with_logits(model: Any) -> Any:
    """A Keras model of two outputs, the probabilities and the logits; None where it does not end in a softmax."""
    import keras

    from dsmobile.exporters.head import with_head

    headed = with_head(model, "as-is")
    if not headed.split:
        return None
    (logits,) = headed.logits.outputs
    return keras.Model(headed.logits.inputs, [keras.layers.Softmax()(logits), logits])


def _unreadable(why: str) -> ModelError:
    return ModelError(why, "export it with its logits as outputs: dsmobile export --head logits")


def _run(runner: Runner | None, x: Array, *, raw: bool) -> list[Any]:
    assert runner is not None  # noqa: S101
    return list(runner.run_raw(x) if raw else runner.run(x))
