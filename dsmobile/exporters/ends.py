"""A planned network's ends: the softmax, the type of inputs and outputs, and what is known of a file's tensors that the file does not say."""

from __future__ import annotations

from dataclasses import replace

from dsmobile.exporters.artifact import TensorInfo
from dsmobile.exporters.onnx import Layout
from dsmobile.exporters.onnx_operators import file_shape
from dsmobile.exporters.plan import Plan, Storage
from dsmobile.exporters.tflite_kernels import FIXED_STORAGE


def with_ends(plan: Plan, *, softmax: bool, io: str) -> Plan:
    """A plan of a network up to its logits, with a softmax or without one, and its inputs and outputs in a type.

    Args:
        plan: With float inputs and outputs.
        softmax: Whether the file ends in one; it computes in float unless the file's outputs are integers.
        io: float32, uint8 or int8.
    """
    if io != "float32":  # what gave float32 to an output gives integers
        plan = replace(plan, integer_nodes=plan.integer_nodes | plan.widened, widened=frozenset())
    plan = replace(plan, io=io)
    if not softmax:
        return plan
    model = plan.model.with_softmax()
    if io == "float32":
        return replace(plan, model=model)
    return replace(
        plan, model=model, integer_nodes=plan.integer_nodes | {model.output}, storage={**plan.storage, model.output: FIXED_STORAGE["softmax"]["int8"]}
    )


def file_tensors(plan: Plan, file_format: str, layout: Layout) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """The file's inputs and outputs as the plan knows them, with the scales and layouts that ONNX itself does not hold."""
    model = plan.model
    inputs = tuple(_tensor(plan, value.name, value.name, value.shape, file_format, layout) for value in model.inputs)
    named = zip(model.outputs, model.output_names, strict=True)
    return inputs, tuple(_tensor(plan, name, file_name, model.shape_of(name), file_format, layout) for name, file_name in named)


def _tensor(plan: Plan, name: str, file_name: str, shape: tuple[int, ...], file_format: str, layout: Layout) -> TensorInfo:
    channels = "" if len(shape) != 3 else "nhwc" if file_format == "tflite" else layout.channels
    sizes = tuple(file_shape(shape)) if channels == "nchw" else shape
    storage: Storage | None = plan.storage[name].at_end(plan.io) if plan.io != "float32" else None
    return TensorInfo(
        file_name,
        (1, *sizes),
        plan.io,
        storage.scale if storage else None,
        storage.zero_point if storage else None,
        channels,
    )
