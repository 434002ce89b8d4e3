"""Small classifiers as dsmobile writes them, in every precision, and what LiteRT's interpreter says of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsmobile.exporters import tflite
from dsmobile.exporters.ends import with_ends
from dsmobile.exporters.folded import FoldedModel, Input, Node
from dsmobile.exporters.lowering import in_pairs, lower
from dsmobile.exporters.operators import Activation, Convolution, Dense, DepthwiseConvolution, GlobalPool, same_pads
from dsmobile.exporters.plan import Plan
from dsmobile.exporters.planning import float_plan, integer_plan, weights_plan
from dsmobile.exporters.quantization import Range

SIDE = 24
CLASSES = 5
PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")


def network(channels: int = 3, classes: int = CLASSES, input_range: tuple[float, float] = (-1.0, 1.0), side: int = SIDE) -> FoldedModel:
    """A convolution, a depthwise separable one and a dense layer; its scores tell images apart for any range of the input."""
    random = np.random.default_rng(7)
    half = ((side + 1) // 2, (side + 1) // 2)
    pads = same_pads((side, side, channels), (3, 3), (2, 2))
    widest = max(map(abs, input_range))
    first = Convolution(_draw(random, 3, 3, channels, 8) * np.float32(4 / widest), _draw(random, 8) * 0.1, strides=(2, 2), pads=pads)
    second = DepthwiseConvolution(_draw(random, 3, 3, 8, 1), _draw(random, 8) * 0.1, pads=((1, 1), (1, 1)))
    third = Convolution(_draw(random, 1, 1, 8, 16), _draw(random, 16) * 0.1)
    dense = Dense(_draw(random, 16, classes) * np.geomspace(0.2, 3, classes).astype(np.float32), _draw(random, classes))
    nodes = (
        Node("first", first, ("image",), (*half, 8)),
        Node("first_relu", Activation("relu6"), ("first",), (*half, 8)),
        Node("second", second, ("first_relu",), (*half, 8)),
        Node("second_relu", Activation("relu6"), ("second",), (*half, 8)),
        Node("third", third, ("second_relu",), (*half, 16)),
        Node("third_relu", Activation("relu6"), ("third",), (*half, 16)),
        Node("mean", GlobalPool("average", False), ("third_relu",), (16,)),
        Node("logits", dense, ("mean",), (classes,)),
    )
    return FoldedModel("small", (Input("image", (side, side, channels)),), nodes, ("logits",))


def plan(
    precision: str, model: FoldedModel, *, io: str = "float32", wide_logits: bool = True, input_range: tuple[float, float] = (-1.0, 1.0)
) -> Plan:
    """The plan of a network up to its logits: `int8` as the recipe of that name, its last layer in float unless the ends are integers."""
    if precision == "dynamic":
        return weights_plan(model)
    if precision in ("float32", "float16"):
        return float_plan(model, half=precision == "float16")
    dtype = "int16" if precision == "int16x8" else "int8"
    model = lower(model) if dtype == "int8" else in_pairs(model)
    ranges = dict.fromkeys((*(value.name for value in model.inputs), *(node.name for node in model)), Range(-8.0, 8.0))
    ranges |= {value.name: Range(*input_range) for value in model.inputs}
    ranges |= {node.name: Range(0.0, 6.0) for node in model if isinstance(node.operator, Activation)}
    return integer_plan(model, ranges, dtype=dtype, everywhere=io != "float32", wide_logits=wide_logits and dtype == "int8")


def written(precision: str, *, softmax: bool = True, io: str = "float32", **options: Any) -> bytes:
    """A file.

    Args:
        precision: One of `PRECISIONS`.
        softmax: Whether it ends in one.
        io: Of its ends.
        options: `wide_logits`, and of `network`.
    """
    wide_logits = options.pop("wide_logits", True)
    model = network(**options)
    planned = plan(precision, model, io=io, wide_logits=wide_logits, input_range=options.get("input_range", (-1.0, 1.0)))
    return tflite.write(with_ends(planned, softmax=softmax, io=io))


def litert(model: bytes, inputs: list[Any], *, xnnpack: bool = True) -> list[Any]:
    """What LiteRT's interpreter says, input by input; without XNNPACK its own kernels compute."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    given, scores = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for value in inputs:
        interpreter.set_tensor(given["index"], value)
        interpreter.invoke()
        found.append(interpreter.get_tensor(scores["index"]).copy())
    return found


def real(values: Any, model: bytes) -> Any:
    """An integer file's scores as numbers."""
    from ai_edge_litert.interpreter import Interpreter

    scale, zero_point = Interpreter(model_content=model).get_output_details()[0]["quantization"]
    return values if values.dtype == np.float32 else (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def edited(model: bytes, change: Any) -> bytes:
    """A file whose tables were changed by LiteRT's own accessors.

    Args:
        model: A TFLite file.
        change: A function of its `ModelT`.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    tables = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    change(tables)
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tables.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def with_sizes(model: bytes, place: str, sizes: list[int], signature: list[int] | None = None) -> bytes:
    """A file whose first input or last output has other sizes.

    Args:
        model: A TFLite file.
        place: `inputs` or `outputs`.
        sizes: Batch included.
        signature: With -1 for what is left open.
    """

    def change(tables: Any) -> None:
        graph = tables.subgraphs[0]
        tensor = graph.tensors[getattr(graph, place)[0]]
        tensor.shape = np.asarray(sizes, np.int32)
        tensor.shapeSignature = None if signature is None else np.asarray(signature, np.int32)

    return edited(model, change)


def _draw(random: np.random.Generator, *shape: int) -> Any:
    fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 1
    return (random.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)
