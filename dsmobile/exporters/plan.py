"""What a file holds: for every value and every weight its type, its scale and its zero point. Both formats are written from it.

A plan is decided once (`planning.py`), so that TFLite and ONNX carry the same integers. Integer nodes take and give integers; the others
compute in float32, and conversions stand where the two meet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dsmobile.errors import ConversionError
from dsmobile.exporters.folded import FoldedModel, Node
from dsmobile.exporters.operators import Weighted


@dataclass(frozen=True, eq=False)
class QuantizedWeights:
    """The integers of one layer.

    Args:
        integers: int8, in the operator's own layout.
        scales: float32, shape (outputs,): weight = scale * integer; shape (1,) for the slopes of a parametric ReLU.
    """

    integers: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Storage:
    """How a value is stored as integers: real = scale * (integer - zero_point).

    Args:
        dtype: `int8` or `int16`; int16 is symmetric, with the zero point 0.
        scale: Of one step.
        zero_point: The integer that stands for 0.
    """

    dtype: str
    scale: float
    zero_point: int

    @property
    def limits(self) -> tuple[int, int]:
        """The lowest and highest integer."""
        return (-128, 127) if self.dtype == "int8" else (-32768, 32767)

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and highest real value that can be held."""
        low, high = self.limits
        return self.scale * (low - self.zero_point), self.scale * (high - self.zero_point)

    @property
    def starts_at_zero(self) -> bool:
        """Whether nothing below zero can be held, to half a step."""
        return self.bounds[0] >= -self.scale / 2

    def ends_at(self, limit: float) -> bool:
        """Whether nothing above a limit can be held, to half a step."""
        return self.bounds[1] <= limit + self.scale / 2

    def at_end(self, io: str) -> Storage:
        """The same numbers at a file's end: as they are, or as uint8."""
        return Storage("uint8", self.scale, self.zero_point + 128) if io == "uint8" else self


@dataclass(frozen=True, eq=False)
class Plan:
    """What a file holds.

    Args:
        model: The network that is written. Kernels of layers in `weights` are scale * integer, float32.
        weights: The integers of the layers that store them, by node: integer nodes, and others whose weights alone are integers.
        storage: How values are stored as integers, by name: of everything that an integer node takes or gives.
        integer_nodes: The nodes that take and give integers; all others compute in float32.
        fused: Activations that the node before them takes in: that node's own value never exists. A `unit` and a
            `relu_limit` are left to the storage behind it, whose integers end where they clip.
        widened: Dense layers with integer weights that take integers and give float32: a network's logits, which 256 levels would make tie.
        half: Whether the kernels and biases of the other layers are kept in float16.
        io: Type of the inputs and outputs: float32, uint8 or int8.
    """

    model: FoldedModel
    weights: dict[str, QuantizedWeights] = field(default_factory=dict)
    storage: dict[str, Storage] = field(default_factory=dict)
    integer_nodes: frozenset[str] = frozenset()
    fused: frozenset[str] = frozenset()
    widened: frozenset[str] = frozenset()
    half: bool = False
    io: str = "float32"

    def fused_activation(self, node: Node) -> Node | None:
        """The activation that a node takes in."""
        reader = self.model.sole_reader(node.name)
        return reader if reader is not None and reader.name in self.fused else None

    def result(self, node: Node) -> str:
        """The name of the value that a node gives: its own, or that of the activation it takes in."""
        activation = self.fused_activation(node)
        return activation.name if activation else node.name

    def integer_bias(self, node: Node) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The bias of an integer or widened node in steps of input scale * weight scale, and these steps, shape (outputs,).

        Raises:
            ConversionError: It does not fit 32 bits, or 48 beside int16 values.
        """
        operator = node.operator
        assert isinstance(operator, Weighted)  # noqa: S101
        stored = self.storage[node.inputs[0]]
        steps = (np.float32(stored.scale) * self.weights[node.name].scales).astype(np.float32)
        bias = np.rint(operator.bias.astype(np.float64) / steps)
        if np.abs(bias).max(initial=0) >= 2.0 ** (31 if stored.dtype == "int8" else 47):
            raise ConversionError(
                f"a bias of the layer {node.name!r} does not fit its integers", "this is a fault in dsmobile: report it with the model"
            )
        return bias.astype(np.int64), steps

    def real_bias(self, node: Node) -> npt.NDArray[np.float32]:
        """The bias of a widened node in float32: what its integers stand for."""
        bias, steps = self.integer_bias(node)
        return (bias * steps).astype(np.float32)
