"""The sizes of every tensor of an ONNX graph at batch 1, by ONNX's own shape inference, helped over ONNX Runtime's quantized operators."""

from __future__ import annotations

from typing import Any

from dsmobile.exporters.runners import first_line
from dsmobile.inspection.onnx_graph import SMALL

_FIELDS = ("raw_data", "float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
# Operators of ONNX Runtime that ONNX does not know: the standard one whose output has the same sizes, and which of the inputs it takes.
_ALIKE: dict[str, tuple[str, tuple[int, ...]]] = {
    "FusedConv": ("Conv", (0, 1)),
    "FusedGemm": ("Gemm", (0, 1)),
    "FusedMatMul": ("MatMul", (0, 1)),
    "QGemm": ("Gemm", (0, 3)),
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearMul": ("Add", (0, 3)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "DynamicQuantizeMatMul": ("MatMul", (0, 1)),
    "MatMulIntegerToFloat": ("MatMul", (0, 1)),
    "BiasGelu": ("Identity", (0,)),
    **dict.fromkeys(("QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "Gelu", "FastGelu", "QuickGelu"), ("Identity", (0,))),
    **dict.fromkeys(("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "QuantizeLinear", "DequantizeLinear"), ("Identity", (0,))),
}
_KEPT_ATTRIBUTES = ("kernel_shape", "strides", "pads", "auto_pad", "dilations", "group", "ceil_mode", "transA", "transB", "axis")


def infer_shapes(model: Any, notes: list[str]) -> Any:
    """The model with the sizes of its tensors written into it; an open first axis of an input is taken as one.

    Args:
        model: An ONNX ModelProto; its large weights are taken out of it, only their sizes stay.
        notes: Gets a sentence where inference fails.
    """
    import onnx

    _fix_batch(model.graph)
    _drop_numbers(model.graph)
    guide = onnx.ModelProto()
    guide.CopyFrom(model)
    _replace_vendors(guide.graph)
    for options in ({"data_prop": True}, {}):
        try:
            inferred = onnx.shape_inference.infer_shapes(guide, check_type=False, strict_mode=False, **options)
        except Exception as error:  # noqa: BLE001  # it is C++ over a stranger's file: anything may come
            problem = first_line(error)
            continue
        _copy_values(inferred.graph, model.graph)
        return model
    notes.append(f"ONNX cannot infer the sizes of its tensors: {problem}")
    return model


def _fix_batch(graph: Any) -> None:
    """Writes 1 for every size that has the name of an input's open first axis, and for one without a name."""
    names = set()
    for value in graph.input:
        sizes = value.type.tensor_type.shape.dim
        if sizes and not sizes[0].HasField("dim_value"):
            names.add(sizes[0].dim_param)
            if not sizes[0].dim_param:
                sizes[0].dim_value = 1
        elif sizes and sizes[0].dim_value < 1:
            sizes[0].dim_value = 1
    names.discard("")
    for value in (*graph.input, *graph.value_info, *graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param in names and size.HasField("dim_param"):
                size.dim_value = 1


def _drop_numbers(graph: Any) -> None:
    """Removes the numbers of large weights: sizes are all that is needed, and copies of the model stay small."""
    for tensor in graph.initializer:
        count = 1
        for size in tensor.dims:
            count *= size
        if count > SMALL:
            for field in _FIELDS:
                tensor.ClearField(field)


def _replace_vendors(graph: Any) -> None:
    for node in graph.node:
        if not node.domain.startswith("com.microsoft") or node.op_type not in _ALIKE:
            continue
        kind, places = _ALIKE[node.op_type]
        if max(places) >= len(node.input) or any(entry.name == "channels_last" and entry.i for entry in node.attribute):
            continue
        inputs = [node.input[place] for place in places]
        attributes = [entry for entry in node.attribute if entry.name in _KEPT_ATTRIBUTES] if kind != "Identity" else []
        outputs = list(node.output[:1])
        node.Clear()
        node.op_type = kind
        node.input.extend(inputs)
        node.output.extend(outputs)
        node.attribute.extend(attributes)


def _copy_values(source: Any, target: Any) -> None:
    """Takes over what was inferred, in the graphs within operators too."""
    for field in ("value_info", "output"):
        target.ClearField(field)
        getattr(target, field).extend(getattr(source, field))
    for ours, theirs in zip(target.node, source.node, strict=True):
        for mine, inferred in zip(ours.attribute, theirs.attribute, strict=False):
            if mine.name == inferred.name and mine.HasField("g") and inferred.HasField("g"):
                _copy_values(inferred.g, mine.g)
