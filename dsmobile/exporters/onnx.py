"""A folded network written straight to ONNX: NCHW, opset 17, batch 1, static shapes, no Transpose in the body.

int8 is written as QDQ: int8 weights and int32 biases behind DequantizeLinear, and QuantizeLinear, DequantizeLinear after every activation, which
ONNX Runtime turns into integer kernels. A ReLU or ReLU6 is left to the quantizer behind it, which clips at the same place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.errors import ConversionError
from dsmobile.exporters.artifact import OUTPUT_NAME, TensorInfo
from dsmobile.exporters.operators import (
    Activation,
    Add,
    Concatenate,
    Convolution,
    Dense,
    DepthwiseConvolution,
    FoldedModel,
    GlobalPool,
    Multiply,
    Node,
    Pad,
    Pads,
    Pool,
    Reshape,
    ScaleShift,
    Softmax,
    Weighted,
)
from dsmobile.exporters.quantization import QuantizedWeights, Range

OPSET = 17
IR_VERSION = 8
_SIMPLE = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "elu": "Elu", "hard_swish": "HardSwish"}


def write_float32(model: FoldedModel) -> bytes:
    """Writes a network in float32."""
    return _Writer(model, {}, {}, "float32").write()


def write_int8(model: FoldedModel, weights: dict[str, QuantizedWeights], ranges: dict[str, Range], io: str = "float32") -> bytes:
    """Writes a network with int8 weights per channel and int8 activations.

    Args:
        model: The network.
        weights: Its integers, by node.
        ranges: The range of every value, by name.
        io: Type of input and output: float32, uint8 or int8.
    """
    return _Writer(model, weights, ranges, io).write()


def value_shape(shape: tuple[int, ...]) -> list[int]:
    """A value's shape in the file: batch 1, maps channels first."""
    return [1, shape[2], shape[0], shape[1]] if len(shape) == 3 else [1, *shape]


def stored_as(model: FoldedModel, ranges: dict[str, Range], io: str) -> tuple[TensorInfo, TensorInfo]:
    """Input and output of the int8 file with their scales, which ONNX itself does not hold."""
    shift = 128 if io == "uint8" else 0
    scale, zero_point = ranges[model.input_name].quantization()
    softmax = bool(model.nodes) and isinstance(model.nodes[-1].operator, Softmax)
    out_scale, out_zero_point = (1 / 256, -128) if softmax else ranges[model.output].quantization()
    shapes = [tuple(value_shape(shape)) for shape in (model.input_shape, model.shape_of(model.output))]
    return (
        TensorInfo(model.input_name, shapes[0], io, scale, zero_point + shift, "nchw" if len(shapes[0]) == 4 else ""),
        TensorInfo(OUTPUT_NAME, shapes[1], io, out_scale, out_zero_point + shift),
    )


class _Writer:
    """Collects nodes and initializers; with ranges, every value is stored as int8 between the operators."""

    def __init__(self, model: FoldedModel, weights: dict[str, QuantizedWeights], ranges: dict[str, Range], io: str) -> None:
        self.model, self.weights, self.io = model, weights, io
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.quantized = bool(ranges)
        self.ranges = ranges
        self.stored: dict[str, tuple[float, int]] = {}  # scale and zero point of the int8 values

    def write(self) -> bytes:
        import onnx
        from onnx import TensorProto, helper

        model = self.model
        types = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int8": TensorProto.INT8}
        self._read_input()
        for node in model:
            self._write(node, [self._name(name) for name in node.inputs])
        self._write_output()
        graph = helper.make_graph(
            self.nodes,
            model.name,
            [helper.make_tensor_value_info(model.input_name, types[self.io], value_shape(model.input_shape))],
            [helper.make_tensor_value_info(OUTPUT_NAME, types[self.io], value_shape(model.shape_of(model.output)))],
            list(self.initializers.values()),
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="dsmobile")
        try:
            onnx.checker.check_model(proto, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise ConversionError(f"the ONNX file of {model.name} is not valid: {error}", "this is a fault in dsmobile: report it") from error
        return bytes(proto.SerializeToString(deterministic=True))

    # names

    def _name(self, name: str) -> str:
        """The float view of a value in the file."""
        return f"{name}.real" if name in self.stored else name

    def _constant(self, name: str, array: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper

        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def _add(self, operation: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operation, inputs, [output], name=f"{output}.{operation.lower()}", **attributes))
        return output

    # quantization of values

    def _scale_and_zero(self, name: str, scale: Any, zero_point: Any, dtype: Any = np.int8) -> list[str]:
        return [
            self._constant(f"{name}.scale", np.asarray(scale, np.float32)),
            self._constant(f"{name}.zero_point", np.asarray(zero_point, dtype)),
        ]

    def _store(self, name: str, real: str, quantization: tuple[float, int]) -> None:
        """Quantizes a float value and gives its float view."""
        constants = self._scale_and_zero(name, *quantization)
        stored = self._add("QuantizeLinear", [real, *constants], f"{name}.int8")
        self._add("DequantizeLinear", [stored, *constants], f"{name}.real")
        self.stored[name] = quantization

    def _read_input(self) -> None:
        name = self.model.input_name
        if not self.quantized:
            return
        scale, zero_point = self.ranges[name].quantization()
        if self.io == "float32":
            self._store(name, name, (scale, zero_point))
            return
        info = stored_as(self.model, self.ranges, self.io)[0]
        self._add("DequantizeLinear", [name, *self._scale_and_zero(name, info.scale, info.zero_point, np.dtype(self.io))], f"{name}.real")
        self.stored[name] = (scale, zero_point)

    def _write_output(self) -> None:
        output = self.model.output
        if self.io == "float32":
            for node in self.nodes:
                if node.output[0] == self._name(output):
                    node.output[0] = OUTPUT_NAME
                    node.name = f"{OUTPUT_NAME}.{node.op_type.lower()}"
                for place, name in enumerate(node.input):
                    if name == self._name(output):
                        node.input[place] = OUTPUT_NAME
            return
        info = stored_as(self.model, self.ranges, self.io)[1]
        constants = self._scale_and_zero(OUTPUT_NAME, info.scale, info.zero_point, np.dtype(self.io))
        self._add("QuantizeLinear", [self._name(output), *constants], OUTPUT_NAME)

    # operators

    def _write(self, node: Node, inputs: list[str]) -> None:
        operator, name = node.operator, node.name
        if self.quantized and isinstance(operator, Activation) and operator.kind in ("relu", "relu6") and self._clipped_by_quantizer(node):
            self._store(name, inputs[0], self.ranges[name].quantization())
            return
        real = f"{name}.float" if self.quantized else name
        match operator:
            case Convolution() | DepthwiseConvolution():
                self._convolution(node, operator, inputs[0], real)
            case Dense():
                kernel, bias = self._weights(node, operator, self._stored_kernel(node, operator))
                self._add("Gemm", [inputs[0], kernel, bias], real)
            case ScaleShift():
                self._scale_shift(node, operator, inputs[0], real)
            case Activation():
                self._activation(operator, inputs[0], real)
            case Softmax():
                final = name == self.model.output
                self._add("Softmax", inputs, name if final else real, axis=1 if len(node.shape) == 3 else -1)
                if final:
                    return
            case Add() | Multiply():
                self._chain("Add" if isinstance(operator, Add) else "Mul", inputs, real)
            case Concatenate():
                self._add("Concat", inputs, real, axis=1 if len(node.shape) == 3 else -1)
            case Pool():
                self._pool(operator, inputs[0], real)
            case GlobalPool():
                pooled = self._add(
                    "GlobalAveragePool" if operator.kind == "average" else "GlobalMaxPool",
                    inputs,
                    real if operator.keeps_map else f"{real}.map",
                )
                if not operator.keeps_map:
                    self._add("Flatten", [pooled], real)
            case Pad():
                self._pad(operator.pads, inputs[0], real)
            case Reshape():
                self._reshape(node, inputs[0], real)
        if self.quantized:
            self._after(node, real)

    def _after(self, node: Node, real: str) -> None:
        """Stores what an operator gave, unless the activation behind it does."""
        readers = self.model.consumers(node.name)
        if len(readers) == 1 and isinstance(readers[0].operator, Softmax) and readers[0].name != self.model.output:
            self._alias(real, node.name)  # ONNX Runtime 1.31's int8 softmax gives zeros: between float values it stays a float one
            return
        if len(readers) == 1 and node.name != self.model.output and isinstance(node.operator, Weighted | Add):
            reader = readers[0].operator
            if isinstance(reader, Activation) and reader.kind in ("relu", "relu6") and self._clipped_by_quantizer(readers[0]):
                self._alias(real, node.name)
                return
        keeps = isinstance(node.operator, (Reshape, Pad)) or (isinstance(node.operator, Pool) and node.operator.kind == "max")
        source = self.stored.get(node.inputs[0]) if keeps else None
        self._store(node.name, real, source or self.ranges[node.name].quantization())

    def _clipped_by_quantizer(self, node: Node) -> bool:
        """Whether the int8 range behind a ReLU or ReLU6 begins at 0 and ends at 6 or below, so that storing clips just as it does."""
        scale, zero_point = self.ranges[node.name].quantization()
        highest = scale * (127 - zero_point)
        return (
            zero_point == -128
            and (node.operator == Activation("relu") or highest <= 6.0 + scale / 2)
            and len(self.model.consumers(node.inputs[0])) == 1
        )

    def _alias(self, real: str, name: str) -> None:
        for node in self.nodes:
            if node.output[0] == real:
                node.output[0] = name

    def _weights(self, node: Node, operator: Weighted, kernel: npt.NDArray[Any]) -> tuple[str, str]:
        """Kernel and bias in the file's layout, through DequantizeLinear where they are integers."""
        name = node.name
        if not self.quantized:
            return self._constant(f"{name}.kernel", kernel.astype(np.float32)), self._constant(f"{name}.bias", operator.bias)
        weights = self.weights[name]
        axis = 1 if isinstance(operator, Dense) else 0
        input_scale = self._input_scale(node)
        largest_bias = np.abs(operator.bias.astype(np.float64))
        idle = ~np.any(weights.integers.reshape(-1, weights.scales.size) != 0, axis=0)
        scales = np.where(idle, np.maximum(largest_bias, 1e-6) / (input_scale * 2.0**20), weights.scales).astype(np.float32)
        bias_scales = (np.float32(input_scale) * scales).astype(np.float32)
        bias = np.rint(operator.bias.astype(np.float64) / bias_scales)
        if np.abs(bias).max(initial=0) > np.iinfo(np.int32).max:
            raise ConversionError(
                f"a bias of the layer {name!r} does not fit its integers",
                "a channel's weights are all but zero beside its bias: train or prune it",
            )
        zeros = np.zeros(scales.size, np.int8)
        stored = self._constant(f"{name}.kernel", kernel)
        real_kernel = self._add(
            "DequantizeLinear", [stored, *self._scale_and_zero(f"{name}.kernel", scales, zeros)], f"{name}.kernel_real", axis=axis
        )
        stored = self._constant(f"{name}.bias", bias.astype(np.int32))
        constants = self._scale_and_zero(f"{name}.bias", bias_scales, zeros, np.int32)
        return real_kernel, self._add("DequantizeLinear", [stored, *constants], f"{name}.bias_real", axis=0)

    def _stored_kernel(self, node: Node, operator: Weighted) -> npt.NDArray[Any]:
        return self.weights[node.name].integers if self.quantized else operator.kernel

    def _input_scale(self, node: Node) -> float:
        return self.stored[node.inputs[0]][0]

    def _convolution(self, node: Node, operator: Convolution | DepthwiseConvolution, x: str, output: str) -> None:
        kernel = self._stored_kernel(node, operator)
        if isinstance(operator, DepthwiseConvolution):
            height, width, channels, multiplier = kernel.shape
            groups, stored = channels, kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
        else:
            groups, stored = operator.groups, kernel.transpose(3, 2, 0, 1)
        names = self._weights(node, operator, stored)
        self._add(
            "Conv", [x, *names], output, kernel_shape=list(kernel.shape[:2]), strides=list(operator.strides), dilations=list(operator.dilation),
            pads=_onnx_pads(operator.pads), group=groups,
        )  # fmt: skip

    def _scale_shift(self, node: Node, operator: ScaleShift, x: str, output: str) -> None:
        shape = (-1, 1, 1) if len(node.shape) == 3 else (-1,)
        scaled = self._add("Mul", [x, self._constant(f"{node.name}.scales", operator.scale.reshape(shape))], f"{output}.scaled")
        self._add("Add", [scaled, self._constant(f"{node.name}.shifts", operator.shift.reshape(shape))], output)

    def _activation(self, operator: Activation, x: str, output: str) -> None:
        kind = operator.kind
        if kind in _SIMPLE:
            self._add(_SIMPLE[kind], [x], output)
        elif kind == "relu6":
            bounds = [self._constant(".zero", np.asarray(0, np.float32)), self._constant(".six", np.asarray(6, np.float32))]
            self._add("Clip", [x, *bounds], output)
        elif kind == "leaky_relu":
            self._add("LeakyRelu", [x], output, alpha=operator.slope)
        elif kind == "hard_sigmoid":
            self._add("HardSigmoid", [x], output, alpha=1 / 6, beta=0.5)
        else:  # swish
            self._add("Mul", [x, self._add("Sigmoid", [x], f"{output}.gate")], output)

    def _chain(self, operation: str, inputs: list[str], output: str) -> None:
        total = inputs[0]
        for place, other in enumerate(inputs[1:], 2):
            total = self._add(operation, [total, other], output if place == len(inputs) else f"{output}.{place}")

    def _pool(self, operator: Pool, x: str, output: str) -> None:
        attributes: dict[str, Any] = {
            "kernel_shape": list(operator.size),
            "strides": list(operator.strides),
            "pads": _onnx_pads(operator.pads),
        }
        if operator.kind == "average":
            attributes["count_include_pad"] = 0
        self._add("MaxPool" if operator.kind == "max" else "AveragePool", [x], output, **attributes)

    def _pad(self, pads: Pads, x: str, output: str) -> None:
        (top, bottom), (left, right) = pads
        self._add("Pad", [x, self._constant(f"{output}.pads", np.asarray([0, 0, top, left, 0, 0, bottom, right], np.int64))], output)

    def _reshape(self, node: Node, x: str, output: str) -> None:
        """Keeps the order height, width, channels; turns maps only where that order matters."""
        before = self.model.shape_of(node.inputs[0])
        if len(before) == 3 and before[0] * before[1] > 1:
            x = self._add("Transpose", [x], f"{output}.nhwc", perm=[0, 2, 3, 1])
        turns = len(node.shape) == 3 and node.shape[0] * node.shape[1] > 1
        shape = [1, *node.shape] if turns else value_shape(node.shape)
        target = self._constant(f"{output}.shape", np.asarray(shape, np.int64))
        reshaped = self._add("Reshape", [x, target], f"{output}.hwc" if turns else output)
        if turns:
            self._add("Transpose", [reshaped], output, perm=[0, 3, 1, 2])


def _onnx_pads(pads: Pads) -> list[int]:
    (top, bottom), (left, right) = pads
    return [top, left, bottom, right]
