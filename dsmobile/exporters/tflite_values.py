"""The values of a network in a TFLite file: each as its plan stores it, and converted once where a reader wants another type."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.errors import ConversionError
from dsmobile.exporters.folded import Node
from dsmobile.exporters.plan import Plan, Storage
from dsmobile.exporters.tflite_graph import OURS, Graph
from dsmobile.exporters.tflite_tensor import Tensor


class Values:
    """What the operators of a plan take and give.

    Args:
        plan: What the file holds.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.model, self.graph = plan, plan.model, Graph()
        self.inputs: dict[str, int] = {}
        self._at: dict[tuple[str, Storage | None], int] = {}  # every form of every value
        self._first: dict[str, tuple[int, Storage | None]] = {}  # as its own operator gives it
        self._final = {} if plan.io == "uint8" else {(name, self._edge(name)): key for name, key in self._outputs()}
        self._kept = {*self.model.output_names, *(entry.name for entry in self.model.inputs)}

    # what a node takes and gives

    def storage(self, name: str) -> Storage:
        """How a value is stored as integers.

        Raises:
            ConversionError: The plan does not say.
        """
        found = self.plan.storage.get(name)
        if found is None:
            raise ConversionError(f"no integers are planned for {name!r}, which one of the file's integer operators takes or gives", OURS)
        return found

    def stores(self, node: Node) -> Storage | None:
        """How a node's result is stored: None where it computes in float32."""
        return self.storage(self.plan.result(node)) if node.name in self.plan.integer_nodes else None

    def takes(self, node: Node, storage: Storage | None = None) -> list[int]:
        """The tensors that a node takes.

        Args:
            node: The node.
            storage: Of integers, where every input has to be stored alike; otherwise each as the plan says.
        """
        if node.name not in self.plan.integer_nodes:
            return [self.value(name, None) for name in node.inputs]
        return [self.value(name, storage or self.storage(name)) for name in node.inputs]

    def gives(self, node: Node) -> int:
        """A new tensor for the result of a node."""
        return self.new(self.plan.result(node), node.shape, self.stores(node))

    # tensors

    def new(self, name: str, shape: tuple[int, ...], storage: Storage | None) -> int:
        """A new tensor that holds a value of the network.

        Args:
            name: The value's.
            shape: Without the batch.
            storage: None for float32.
        """
        return self._keep(name, storage, self._tensor(self._file_name(name, storage), shape, storage))

    def between(self, node: Node, part: str, storage: Storage | None, shape: tuple[int, ...] | None = None) -> int:
        """A new tensor between the operators that one node becomes."""
        return self._tensor(f"{node.name}/{part}", node.shape if shape is None else shape, storage)

    def held(self, place: int) -> Storage:
        """How a tensor of integers is stored."""
        tensor = self.graph.tensors[place]
        assert tensor.scales is not None  # noqa: S101
        return Storage(tensor.dtype, float(tensor.scales[0]), tensor.zero_point)

    def constant(self, name: str, array: npt.NDArray[Any]) -> int:
        """A constant without quantization."""
        return self.graph.constant(name, array)

    def scalar(self, name: str, value: float, storage: Storage | None) -> int:
        """A constant of one element.

        Args:
            name: Of the constant.
            value: Real.
            storage: Of the integer; None for float32.
        """
        if storage is None:
            return self.graph.constant(name, np.asarray([value], np.float32))
        integer = np.asarray([round(value / storage.scale) + storage.zero_point], storage.dtype)
        return self.graph.constant(name, integer, np.asarray([storage.scale], np.float32), storage.zero_point)

    def unpacked(self, constant: int, name: str) -> int:
        """The float32 form of a constant: runtimes compute it once."""
        return self.graph.add("DEQUANTIZE", [constant], self.graph.add_tensor(Tensor(name, self.graph.tensors[constant].shape, "float32")))

    def value(self, name: str, storage: Storage | None) -> int:
        """A value as it is wanted: converted where it is stored in another way.

        Args:
            name: The value's.
            storage: None for float32.
        """
        if (name, storage) in self._at:
            return self._at[name, storage]
        source, held = self._first[name]
        if held and storage and (held.dtype, storage.dtype) == ("int8", "int16"):
            source = self.value(name, None)  # no kernel widens integers
        code = "QUANTIZE" if storage else "DEQUANTIZE"
        return self.graph.add(code, [source], self.new(name, self.model.shape_of(name), storage))

    def _keep(self, name: str, storage: Storage | None, place: int) -> int:
        self._at[name, storage] = place
        self._first.setdefault(name, (place, storage))
        return place

    def _tensor(self, name: str, shape: tuple[int, ...], storage: Storage | None) -> int:
        if storage is None:
            return self.graph.add_tensor(Tensor(name, (1, *shape), "float32"))
        scales = np.asarray([storage.scale], np.float32)
        return self.graph.add_tensor(Tensor(name, (1, *shape), storage.dtype, scales, storage.zero_point))

    def _file_name(self, name: str, storage: Storage | None) -> str:
        if (name, storage) in self._final:
            return self._final[name, storage]
        own = name not in self._kept and name not in self._first
        return name if own else f"{name}_{storage.dtype if storage else 'float32'}"

    # the network's own inputs and outputs

    def open(self) -> None:
        """Adds the network's inputs.

        Raises:
            ConversionError: Integers are wanted of an input for which none are planned.
        """
        for entry in self.model.inputs:
            stored = self._edge(entry.name)
            outside = stored.at_end(self.plan.io) if stored else None
            self.inputs[entry.name] = place = self._tensor(entry.name, entry.shape, outside)
            if outside == stored:
                self._keep(entry.name, stored, place)
            else:
                self.graph.add("QUANTIZE", [place], self.new(entry.name, entry.shape, stored))

    def close(self) -> bytes:
        """Gives the network's outputs their type and packs the file.

        Raises:
            ConversionError: Integers are wanted of an output for which none are planned, or two outputs have one name.
        """
        outputs: dict[str, int] = {}
        for name, key in self._outputs():
            if key in outputs:
                raise ConversionError(f"two outputs of {self.model.name} are called {key!r}", "give every output another layer")
            outputs[key] = self._output(name, key)
        return self.graph.pack(self.model.name, self.inputs, outputs)

    def _outputs(self) -> list[tuple[str, str]]:
        return list(zip(self.model.outputs, self.model.output_names, strict=True))

    def _output(self, name: str, key: str) -> int:
        shape, stored = self.model.shape_of(name), self._edge(name)
        value = self.value(name, stored)
        if self.plan.io == "uint8" and stored:
            return self.graph.add("QUANTIZE", [value], self._tensor(key, shape, stored.at_end(self.plan.io)))
        if value not in self.inputs.values():
            return value
        target = self.constant(f"{key}/shape", np.asarray((1, *shape), np.int32))  # a tensor is no input and output at once
        return self.graph.add("RESHAPE", [value, target], self._tensor(key, shape, stored), newShape=[1, *shape])

    def _edge(self, name: str) -> Storage | None:
        """How an input or output is stored as seen from inside the file."""
        if self.plan.io == "float32":
            return None
        stored = self.plan.storage.get(name)
        if stored is None or stored.dtype != "int8":
            held = "no integers" if stored is None else "16-bit integers"
            raise ConversionError(
                f"{name!r} cannot be {self.plan.io}: this recipe keeps {held} there", "use --io float32, or a recipe with int8 activations"
            )
        return stored
