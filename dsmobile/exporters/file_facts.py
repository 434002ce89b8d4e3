"""What the programs that open a file look at: its ends, its operators, what it says of itself. Known of a planned file as of a written one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dsmobile.exporters.artifact import TensorInfo
from dsmobile.exporters.ends import file_tensors, with_ends
from dsmobile.exporters.folded import FoldedModel
from dsmobile.exporters.lowering import in_pairs, lower
from dsmobile.exporters.onnx import Layout
from dsmobile.exporters.plan import Plan
from dsmobile.exporters.planning import float_plan, integer_plan, weights_plan
from dsmobile.exporters.quantization import LARGEST, Range
from dsmobile.exporters.recipe import Recipe
from dsmobile.tflite_metadata.values import Obstacle

_ANY_RANGE = Range(-1.0, 1.0)


@dataclass(frozen=True, order=True)
class Operation:
    """One kind of operator in a TFLite file.

    Args:
        code: Its name: `CONV_2D`.
        takes: The type of its first input.
        gives: The type of its first output.
        weights: The type of its second input, where that is a constant; empty where it is not.
        of_constant: Whether its first input is a constant.
    """

    code: str
    takes: str
    gives: str
    weights: str = ""
    of_constant: bool = False


@dataclass(frozen=True)
class FileFacts:
    """A file as a program that opens it sees it.

    Args:
        format: `tflite` or `onnx`.
        inputs: Its inputs.
        outputs: Its outputs.
        operations: What a TFLite file computes with, each once; empty for ONNX.
        any_batch: Whether the batch is left open.
        without_metadata: Why it carries no TFLite metadata, and what to do; empty where it does, and for ONNX.
    """

    format: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    operations: tuple[Operation, ...] = ()
    any_batch: bool = False
    without_metadata: tuple[Obstacle, ...] = ()


def facts_of(plan: Plan, file_format: str, layout: Layout, data: bytes, without_metadata: tuple[Obstacle, ...]) -> FileFacts:
    """The facts of a file that was written from a plan.

    Args:
        plan: The plan, its ends included.
        file_format: `tflite` or `onnx`.
        layout: How an ONNX file's ends look.
        data: The file.
        without_metadata: Why it carries no TFLite metadata.
    """
    inputs, outputs = file_tensors(plan, file_format, layout)
    if file_format == "onnx":
        return FileFacts(file_format, inputs, outputs, any_batch=layout.dynamic_batch)
    return tflite_facts(inputs, outputs, data, without_metadata)


def tflite_facts(
    inputs: tuple[TensorInfo, ...], outputs: tuple[TensorInfo, ...], data: bytes, without_metadata: tuple[Obstacle, ...] = ()
) -> FileFacts:
    """The facts of a TFLite file of ours.

    Args:
        inputs: Its inputs.
        outputs: Its outputs.
        data: The file.
        without_metadata: Why it carries no TFLite metadata; empty where it does.
    """
    return FileFacts("tflite", inputs, outputs, tuple(sorted(set(_operations(data)))), without_metadata=without_metadata)


def sketch(logits: FoldedModel, recipe: Recipe, *, ends_in_softmax: bool, io: str, given: Range | None = None) -> Plan:
    """A plan that computes nothing, but whose file has the ends and operators of the one that will be written: no calibration took part.

    Args:
        logits: The folded network up to its logits.
        recipe: At what precision.
        ends_in_softmax: Whether the file will.
        io: Of the file's ends.
        given: All that the input can hold, where that is known.
    """
    io = io if recipe.integer_ends else "float32"
    if recipe.quantized:
        model = lower(logits) if recipe.activations == "int8" else in_pairs(logits)
        ranges = dict.fromkeys((*(value.name for value in model.inputs), *(node.name for node in model)), _ANY_RANGE)
        if given:
            ranges[model.input.name] = given
        plan = integer_plan(model, ranges, dtype=recipe.activations, bound=LARGEST, everywhere=io != "float32", wide_logits=recipe.wide_logits)
    else:
        plan = weights_plan(logits) if recipe.weights == "int8" else float_plan(logits, half=recipe.weights == "float16")
    return with_ends(plan, softmax=ends_in_softmax, io=io)


def _operations(data: bytes) -> Iterator[Operation]:
    from ai_edge_litert import schema_py_generated as schema

    types = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    codes = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    model: Any = schema.Model.GetRootAs(data, 0)
    graph = model.Subgraphs(0)
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        name = codes[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]

        def type_of(index: int) -> str:
            return str(types[graph.Tensors(index).Type()])

        def constant(index: int) -> bool:
            return index >= 0 and not model.Buffers(graph.Tensors(index).Buffer()).DataIsNone()

        first, second = operator.Inputs(0), operator.Inputs(1) if operator.InputsLength() > 1 else -1
        yield Operation(name, type_of(first), type_of(operator.Outputs(0)), type_of(second) if constant(second) else "", constant(first))
