"""A TFLite file as a flatbuffer: tensors, constants, operators with their versions, one signature.

Source: TensorFlow Lite's schema, version 3 (`tensorflow/compiler/mlir/lite/schema/schema.fbs`), with LiteRT's own bindings.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dsmobile.errors import ConversionError
from dsmobile.exporters.tflite_tensor import Tensor
from dsmobile.exporters.tflite_versions import version

OURS = "this is a fault in dsmobile: report it with the model"
SCHEMA_VERSION = 3
LARGEST_BYTES = 2_000_000_000  # offsets in a flatbuffer end at 2 GiB; what is left holds names and shapes
_ALIGNMENT = 16
_SIGNATURE = "serving_default"
_OPTIONS = {
    "ADD": "AddOptions", "AVERAGE_POOL_2D": "Pool2DOptions", "CONCATENATION": "ConcatenationOptions", "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions", "DEQUANTIZE": "DequantizeOptions", "FULLY_CONNECTED": "FullyConnectedOptions",
    "GELU": "GeluOptions", "HARD_SWISH": "HardSwishOptions", "LEAKY_RELU": "LeakyReluOptions", "MAXIMUM": "MaximumMinimumOptions",
    "MAX_POOL_2D": "Pool2DOptions", "MEAN": "ReducerOptions", "MINIMUM": "MaximumMinimumOptions", "MUL": "MulOptions", "PAD": "PadOptions",
    "QUANTIZE": "QuantizeOptions", "REDUCE_MAX": "ReducerOptions", "RESHAPE": "ReshapeOptions", "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions", "SOFTMAX": "SoftmaxOptions", "STRIDED_SLICE": "StridedSliceOptions",
    "SUB": "SubOptions", "TRANSPOSE_CONV": "TransposeConvOptions",
}  # fmt: skip


class _Operator(NamedTuple):
    code: tuple[str, int]  # its name in the schema and its version
    inputs: list[int]
    output: int
    options: dict[str, Any]


class Graph:
    """Collects tensors and operators in the order in which they run, then packs them."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self._names: set[str] = set()
        self._buffers: dict[bytes, int] = {}
        self._data: list[npt.NDArray[np.uint8] | None] = [None]  # the first buffer is empty: the format says so
        self._operators: list[_Operator] = []

    def add_tensor(self, tensor: Tensor) -> int:
        """Adds a tensor, under a name with a number behind it where its own is taken, and returns its index."""
        name, number = tensor.name, 1
        while name in self._names:
            name, number = f"{tensor.name}_{number}", number + 1
        self._names.add(name)
        self.tensors.append(Tensor(name, tensor.shape, tensor.dtype, tensor.scales, tensor.zero_point, tensor.axis, tensor.buffer))
        return len(self.tensors) - 1

    def constant(self, name: str, array: npt.NDArray[Any], scales: npt.NDArray[np.float32] | None = None, zero_point: int = 0, axis: int = 0) -> int:
        """Adds a constant; equal bytes are stored once."""
        array = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        data = array.reshape(-1).view(np.uint8)
        digest = hashlib.sha256(data.data).digest()
        if digest not in self._buffers:
            self._buffers[digest] = len(self._data)
            self._data.append(data)
        return self.add_tensor(Tensor(name, array.shape, array.dtype.name, scales, zero_point, axis, self._buffers[digest]))

    def add(self, code: str, inputs: list[int], output: int, **options: Any) -> int:
        """Adds an operator, with the schema's names for its options, and returns its output."""
        number = version(code, [self.tensors[place] for place in inputs], self.tensors[output], options)
        self._operators.append(_Operator((code, number), inputs, output, options))
        return output

    def pack(self, name: str, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        """The file's bytes.

        Args:
            name: Of the network.
            inputs: Indices by the names in the signature, in order.
            outputs: As `inputs`.

        Raises:
            ConversionError: The constants do not fit a flatbuffer.
        """
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema

        size = sum(data.nbytes for data in self._data if data is not None)
        if size > LARGEST_BYTES:
            raise ConversionError(
                f"the weights of {name} take {size / 1e9:.2f} GB, and a TFLite file ends at {LARGEST_BYTES / 1e9:.0f} GB",
                "export float16 or int8 with --recipe, or another format with --format onnx",
            )
        codes = list(dict.fromkeys(operator.code for operator in self._operators))
        model = schema.ModelT(version=SCHEMA_VERSION, description=f"{name}, written by dsmobile")
        model.operatorCodes = [_operator_code(schema, code, number) for code, number in codes]
        model.subgraphs = [
            schema.SubGraphT(
                tensors=[_tensor(schema, tensor) for tensor in self.tensors],
                inputs=list(inputs.values()),
                outputs=list(outputs.values()),
                operators=[_operator(schema, codes.index(operator.code), operator) for operator in self._operators],
                name="main",
            )
        ]
        maps = [[schema.TensorMapT(name=key, tensorIndex=place) for key, place in side.items()] for side in (inputs, outputs)]
        model.signatureDefs = [schema.SignatureDefT(inputs=maps[0], outputs=maps[1], signatureKey=_SIGNATURE, subgraphIndex=0)]
        model.buffers = [_Buffer(data) for data in self._data]
        builder = flatbuffers.Builder(size + 1024 * (len(self.tensors) + len(self._operators)) + 4096)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(memoryview(builder.Bytes)[builder.Head() :])


class _Buffer:
    """A buffer whose data begins at a multiple of 16 bytes, as runtimes that map the file into memory want it."""

    def __init__(self, data: npt.NDArray[np.uint8] | None) -> None:
        self.data = data

    def Pack(self, builder: Any) -> Any:  # noqa: N802 - the name that the schema's bindings call
        from ai_edge_litert import schema_py_generated as schema

        vector = None
        if self.data is not None:
            builder.StartVector(1, self.data.size, _ALIGNMENT)
            builder.head -= self.data.size
            builder.Bytes[builder.head : builder.head + self.data.size] = self.data.data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def _tensor(schema: Any, tensor: Tensor) -> Any:
    quantization = None
    if tensor.scales is not None:
        quantization = schema.QuantizationParametersT(
            scale=tensor.scales.astype("<f4").reshape(-1),
            zeroPoint=np.full(tensor.scales.size, tensor.zero_point, "<i8"),
            quantizedDimension=tensor.axis,
        )
    return schema.TensorT(
        shape=list(tensor.shape),
        type=getattr(schema.TensorType, tensor.dtype.upper()),
        buffer=tensor.buffer,
        name=tensor.name,
        quantization=quantization,
        hasRank=True,
    )


def _operator_code(schema: Any, code: str, number: int) -> Any:
    value = getattr(schema.BuiltinOperator, code)
    return schema.OperatorCodeT(deprecatedBuiltinCode=min(value, 127), builtinCode=value, version=number)


def _operator(schema: Any, place: int, operator: _Operator) -> Any:
    entry = schema.OperatorT(opcodeIndex=place, inputs=operator.inputs, outputs=[operator.output])
    options = _OPTIONS.get(operator.code[0])
    if options:
        entry.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        entry.builtinOptions = getattr(schema, f"{options}T")(**operator.options)
    return entry
