"""Model files made for one question each: ONNX by its helpers, TFLite by LiteRT's schema, Keras files as bytes that Keras never saw."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np


def onnx_file(
    path: Path,
    nodes: Sequence[Any],
    inputs: dict[str, Sequence[int | str]],
    outputs: dict[str, Any],
    constants: dict[str, Any] | None = None,
    **model: Any,
) -> Path:
    """An ONNX file; constants are arrays by name, a tuple stands for float32 zeros of that shape."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def array(value: Any) -> Any:
        return np.zeros(value, np.float32) if isinstance(value, tuple) else value

    graph = helper.make_graph(
        list(nodes),
        "made",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array(value), name) for name, value in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", model.pop("opset", 17)), helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("acme", 1)]
    made = helper.make_model(graph, opset_imports=opsets, **model)
    made.ir_version = 8
    onnx.save(made, str(path))
    return path


def tflite_file(path: Path, graphs: Sequence[dict[str, Any]]) -> Path:
    """A TFLite file.

    Args:
        path: Where to write it.
        graphs: For each subgraph `tensors` (name: shape, or an array for a constant), `inputs`, `outputs`, and `operators`: kind, inputs, outputs and
            options (the class's name and its fields). A kind that is no builtin one is a custom operator.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as tfl

    model = tfl.ModelT()
    model.version, model.subgraphs, model.operatorCodes, model.buffers = 3, [], [], [tfl.BufferT()]
    for graph in graphs:
        made = tfl.SubGraphT()
        places = {name: number for number, name in enumerate(graph["tensors"])}
        made.tensors, made.operators = [], []
        for name, value in graph["tensors"].items():
            tensor = tfl.TensorT()
            integers = isinstance(value, np.ndarray) and value.dtype == np.int32
            tensor.name, tensor.type, tensor.buffer = name.encode(), tfl.TensorType.INT32 if integers else tfl.TensorType.FLOAT32, 0
            tensor.shape = list(value.shape if isinstance(value, np.ndarray) else value)
            if isinstance(value, np.ndarray):
                buffer = tfl.BufferT()
                buffer.data = np.frombuffer(value.tobytes(), np.uint8)
                model.buffers.append(buffer)
                tensor.buffer = len(model.buffers) - 1
            made.tensors.append(tensor)
        made.inputs, made.outputs = ([places[name] for name in graph[key]] for key in ("inputs", "outputs"))
        for kind, inputs, outputs, *options in graph["operators"]:
            code, operator = tfl.OperatorCodeT(), tfl.OperatorT()
            number = getattr(tfl.BuiltinOperator, kind, tfl.BuiltinOperator.CUSTOM)
            code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
            code.customCode = kind.encode() if number == tfl.BuiltinOperator.CUSTOM else None
            operator.opcodeIndex = len(model.operatorCodes)
            operator.inputs, operator.outputs = ([places[name] for name in names] for names in (inputs, outputs))
            for name, fields in options:
                operator.builtinOptionsType, operator.builtinOptions = getattr(tfl.BuiltinOptions, name), getattr(tfl, f"{name}T")()
                for key, value in fields.items():
                    setattr(operator.builtinOptions, key, value)
            model.operatorCodes.append(code)
            made.operators.append(operator)
        model.subgraphs.append(made)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def keras_config(layers: Sequence[dict[str, Any]], **values: Any) -> dict[str, Any]:
    """A functional model's configuration: an input of 8 numbers, then the layers."""
    first = {"class_name": "InputLayer", "module": "keras.layers", "config": {"name": "x", "batch_shape": [None, 8], "dtype": "float32"}}
    config = {"name": "made", "layers": [first, *layers], "input_layers": [["x", 0, 0]], "output_layers": [["last", 0, 0]]}
    return {"class_name": "Functional", "module": "keras", "config": config, **values}


def layer(kind: str, module: str = "keras.layers", **config: Any) -> dict[str, Any]:
    """One layer's entry in a configuration."""
    return {"class_name": kind, "module": module, "registered_name": None, "config": config}


def keras_h5(path: Path, config: Any, weights: dict[str, np.ndarray]) -> Path:
    """An HDF5 file as Keras lays it out; without a configuration it holds weights only."""
    import h5py

    with h5py.File(path, "w") as file:
        group = file
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
            file.attrs["keras_version"] = "2.4.0"
            group = file.create_group("model_weights")
        for name, values in weights.items():
            group[name] = values
    return path


def keras_archive(path: Path, config: Any, weights: dict[str, np.ndarray]) -> Path:
    """A .keras archive as Keras lays it out."""
    import h5py

    stored = BytesIO()
    with h5py.File(stored, "w") as file:
        for name, values in weights.items():
            file[name] = values
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("model.weights.h5", stored.getvalue())
    return path
