"""A planned network written straight to ONNX: NCHW, opset 17, static shapes, no Transpose in the body.

Integers are written as QDQ: int8 weights and int32 biases behind DequantizeLinear, and QuantizeLinear, DequantizeLinear after every integer node,
which ONNX Runtime turns into integer kernels. A ReLU or ReLU6 is left to the quantizer behind it where that clips at the same place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.errors import ConversionError
from dsmobile.exporters.folded import FoldedModel, Node
from dsmobile.exporters.onnx_operators import file_shape, needs_turning, write_operator
from dsmobile.exporters.operators import (
    Activation,
    Concatenate,
    Crop,
    Dense,
    Pad,
    ParametricRelu,
    Pool,
    Reshape,
    ScaleShift,
    Upsample,
    Weighted,
)
from dsmobile.exporters.plan import Plan, Storage

OPSET = 17
IR_VERSION = 8
LARGEST_BYTES = 2**31 - 2**20  # protobuf's limit, less what is no weight
_PASSES_ON = (Activation, Concatenate, Crop, Pad, Pool, Reshape, Upsample)  # a conversion may move past these
Arrange = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


@dataclass(frozen=True)
class Layout:
    """How the file's ends look.

    Args:
        channels: Of image inputs and outputs: `nchw`, or `nhwc`, with one Transpose at each end.
        dynamic_batch: Whether the batch is free; it is 1 otherwise.
    """

    channels: str = "nchw"
    dynamic_batch: bool = False


def write(plan: Plan, layout: Layout | None = None) -> bytes:
    """Writes a planned network.

    Raises:
        ConversionError: Over 2 GB, or the file is not valid.
    """
    return _Writer(plan, layout or Layout()).write()


class _Writer:
    """Collects nodes and initializers."""

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self.plan, self.model, self.layout = plan, plan.model, layout
        self.batch = 0 if layout.dynamic_batch else 1
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.real: dict[str, str] = {}  # by value: its name in the file as float numbers that an operator gave or that were dequantized
        self.stored: dict[str, str] = {}  # by value: its name as numbers that went through its integers
        self.orders = dense_orders(self.model)

    def write(self) -> bytes:
        import onnx
        from onnx import helper

        size = sum(node.operator.kernel.size for node in self.model if isinstance(node.operator, Weighted))
        if size * (2 if self.plan.half else 4) > LARGEST_BYTES and not self.plan.weights:
            raise ConversionError(
                f"{self.model.name} has {size / 1e9:.2f} thousand million weights: more than the 2 GB that an ONNX file holds",
                "take --recipe int8 or float16, or --format tflite with one of them",
            )
        inputs = [self._read_input(value.name, value.shape) for value in self.model.inputs]
        for node in self.model:
            self._write(node)
        outputs = [self._write_output(name, file_name) for name, file_name in zip(self.model.outputs, self.model.output_names, strict=True)]
        graph = helper.make_graph(self.nodes, self.model.name, inputs, outputs, list(self.initializers.values()))
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="dsmobile")
        try:
            onnx.checker.check_model(proto, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise ConversionError(f"the ONNX file of {self.model.name} is not valid: {error}", "this is a fault in dsmobile: report it") from error
        return bytes(proto.SerializeToString(deterministic=True))

    # what `onnx_operators` writes to

    def add(self, operation: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operation, inputs, [output], name=f"{output}.{operation.lower()}", **attributes))
        return output

    def constant(self, name: str, array: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper

        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def kernel_and_bias(self, node: Node, arrange: Arrange, axis: int) -> list[str]:
        operator, name = node.operator, node.name
        assert isinstance(operator, Weighted)  # noqa: S101
        if node.name not in self.plan.weights:
            return [self._float_weight(f"{name}.kernel", arrange(operator.kernel)), self._float_weight(f"{name}.bias", operator.bias)]
        weights = self.plan.weights[name]
        bias, steps = self.plan.integer_bias(node)
        kernel = self.constant(f"{name}.kernel", arrange(weights.integers))
        zeros = np.zeros(steps.size, np.int8)
        real = self.add(
            "DequantizeLinear", [kernel, *self._scale_and_zero(f"{name}.kernel", weights.scales, zeros)], f"{name}.kernel_real", axis=axis
        )
        stored = self.constant(f"{name}.bias", bias.astype(np.int32))
        constants = self._scale_and_zero(f"{name}.bias", steps, zeros, np.int32)
        return [real, self.add("DequantizeLinear", [stored, *constants], f"{name}.bias_real", axis=0)]

    def shape_before(self, node: Node) -> tuple[int, ...]:
        return self.model.shape_of(node.inputs[0])

    def order_of(self, name: str) -> npt.NDArray[np.int64] | None:
        return self.orders.get(name)

    # values

    def _float_weight(self, name: str, array: npt.NDArray[Any]) -> str:
        from onnx import TensorProto

        if not self.plan.half:
            return self.constant(name, array.astype(np.float32))
        return self.add("Cast", [self.constant(name, array.astype(np.float16))], f"{name}_real", to=TensorProto.FLOAT)

    def _scale_and_zero(self, name: str, scale: Any, zero_point: Any, dtype: Any = np.int8) -> list[str]:
        return [
            self.constant(f"{name}.scale", np.asarray(scale, np.float32)),
            self.constant(f"{name}.zero_point", np.asarray(zero_point, dtype)),
        ]

    def _store(self, name: str, real: str) -> str:
        """Sends a value through its integers, once, and gives its name then."""
        if name not in self.stored:
            storage = self.plan.storage[name]
            constants = self._scale_and_zero(name, storage.scale, storage.zero_point)
            integers = self.add("QuantizeLinear", [real, *constants], f"{name}.int8")
            self.stored[name] = self.add("DequantizeLinear", [integers, *constants], f"{name}.real")
        return self.stored[name]

    def _input_of(self, node: Node, name: str) -> str:
        return self._store(name, self.real[name]) if node.name in self.plan.integer_nodes | self.plan.widened else self.real[name]

    def _value_info(self, name: str, dtype: str, shape: list[int]) -> Any:
        from onnx import TensorProto, helper

        types = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int8": TensorProto.INT8}
        return helper.make_tensor_value_info(name, types[dtype], ["batch" if self.layout.dynamic_batch else 1, *shape])

    def _turned(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 3 and self.layout.channels == "nhwc"

    def _read_input(self, name: str, shape: tuple[int, ...]) -> Any:
        turned = self._turned(shape)
        info = self._value_info(name, self.plan.io, list(shape) if turned else file_shape(shape))
        x = self.add("Transpose", [name], f"{name}.nchw", perm=[0, 3, 1, 2]) if turned else name
        if self.plan.io != "float32":
            storage = self.plan.storage[name].at_end(self.plan.io)
            constants = self._scale_and_zero(name, storage.scale, storage.zero_point, np.dtype(self.plan.io))
            x = self.add("DequantizeLinear", [x, *constants], f"{name}.real")
            self.stored[name] = x
        self.real[name] = x
        return info

    def _write_output(self, name: str, file_name: str) -> Any:
        shape = self.model.shape_of(name)
        last = self.real[name]
        if self.plan.io != "float32":
            storage = self.plan.storage[name].at_end(self.plan.io)
            constants = self._scale_and_zero(f"{file_name}.end", storage.scale, storage.zero_point, np.dtype(self.plan.io))
            last = self.add("QuantizeLinear", [last, *constants], f"{file_name}.stored")
        if self._turned(shape):
            last = self.add("Transpose", [last], f"{file_name}.nhwc", perm=[0, 2, 3, 1])
        self._rename(last, file_name)
        self.real[name] = file_name if self.real[name] == last else self.real[name]
        return self._value_info(file_name, self.plan.io, list(shape) if self._turned(shape) else file_shape(shape))

    def _rename(self, name: str, wanted: str) -> None:
        for node in self.nodes:
            if node.output[0] == name:
                node.output[0], node.name = wanted, f"{wanted}.{node.op_type.lower()}"
            for place, given in enumerate(node.input):
                if given == name:
                    node.input[place] = wanted

    # nodes

    def _would_be_changed(self, node: Node) -> bool:
        """Whether ONNX Runtime's optimizers would make a node compute something else than is written.

        - PadFusion takes zeros around a map into a pool, where what is around a map takes no part, and opens no file where they are wider than it.
        - WeightBiasQuantization makes the float weights of a layer between a DequantizeLinear and a QuantizeLinear int8, with one scale for all.
        """
        before = self.model.node(node.inputs[0])
        if isinstance(node.operator, Pool):
            return before is not None and isinstance(before.operator, Pad) and node.name not in self.plan.integer_nodes
        return isinstance(node.operator, Weighted) and node.name not in self.plan.weights and self._comes_from_integers(node.inputs[0])

    def _comes_from_integers(self, name: str) -> bool:
        """Whether a value was integers, but for a change of its shape."""
        while self.real[name] not in self.stored.values():
            node = self.model.node(name)
            if node is None or not isinstance(node.operator, _PASSES_ON):
                return False
            name = node.inputs[0]
        return True

    def _write(self, node: Node) -> None:
        integer = node.name in self.plan.integer_nodes
        if integer and node.name in self.plan.fused:
            return  # the node before it has given its value
        inputs = [self._input_of(node, name) for name in node.inputs]
        if self._would_be_changed(node):  # a Max of one input computes nothing, stays, and keeps ONNX Runtime's optimizers off
            inputs[0] = self.add("Max", [inputs[0]], f"{node.name}.held")
        if not integer:
            self.real[node.name] = f"{node.name}.value" if node.name in self.model.output_names else node.name
            write_operator(self, node, inputs, self.real[node.name])
            return
        result, activation = self.plan.result(node), self.plan.fused_activation(node)
        clips = activation is not None and not _clipped(activation, self.plan.storage[result])
        write_operator(self, node, inputs, f"{result}.sum" if clips else f"{result}.float")
        if activation is not None and clips:
            write_operator(self, activation, [f"{result}.sum"], f"{result}.float")
        self.real[result] = self._store(result, f"{result}.float")


def _clipped(activation: Node, storage: Storage) -> bool:
    """Whether storing ends at the activation's own ends: at 0, and for ReLU6 at 6 or below."""
    operator = activation.operator
    assert isinstance(operator, Activation)  # noqa: S101
    assert operator.highest is not None  # noqa: S101
    return storage.starts_at_zero and storage.ends_at(operator.highest)


def dense_orders(model: FoldedModel) -> dict[str, npt.NDArray[np.int64]]:
    """Vectors that are kept as flattened maps in the order C, H, W, since only dense layers read them, whose weights can stand in that order."""
    found: dict[str, npt.NDArray[np.int64]] = {}
    for node in model:
        before = model.shape_of(node.inputs[0])
        if not isinstance(node.operator, Reshape) or len(node.shape) != 1 or not needs_turning(before):
            continue
        order = np.arange(int(np.prod(before))).reshape(before).transpose(2, 0, 1).ravel()
        reached = _until_dense(model, node)
        found.update(dict.fromkeys(reached, order))
    return found


def _until_dense(model: FoldedModel, node: Node) -> list[str]:
    """A value and what is computed from it number by number, if all of that ends in dense layers; nothing otherwise."""
    reached, waiting = [node.name], [node.name]
    while waiting:
        name = waiting.pop()
        if name in model.outputs:
            return []
        for reader in model.consumers(name):
            if isinstance(reader.operator, Dense):
                continue
            if not isinstance(reader.operator, (Activation, ScaleShift, ParametricRelu)):
                return []
            reached.append(reader.name)
            waiting.append(reader.name)
    return reached
