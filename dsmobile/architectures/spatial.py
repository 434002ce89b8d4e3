"""The other separable convolution: a K x K kernel that is a K x 1 times a 1 x K, and pairs of such convolutions in a network.

Worked: Sobel's 3 x 3 = [1 2 1]' x [-1 0 1]: 6 multiplications for each place instead of 9. With as many channels between the two as before and
after, K^2 becomes 2 K: K = 3: 2/3, K = 5: 2/5, K = 7: 2/7. Only kernels of rank 1 factor; a twin does not replace these, it only shows them.

Source: Rigamonti et al., "Learning Separable Filters", CVPR 2013, section 3; in networks Inception-v3, arXiv:1512.00567, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.architectures.convolutions import channel_axis, inputs_of, outputs_of, positions_of
from dsmobile.architectures.cost import call_macs
from dsmobile.architectures.graph import Call, Graph
from dsmobile.architectures.passages import PADDING, follow
from dsmobile.errors import ModelError

Vector = npt.NDArray[Any]


@dataclass(frozen=True)
class SpatialPair:
    """A K x 1 and a 1 x K convolution, one after the other, in either order.

    Args:
        name: The first layer's name.
        first: Its call.
        second: The other call.
        between: The calls between the two: batch normalization, activations.
        separable_macs: Of the two.
        standard_macs: Of one convolution with the whole kernel in their place.
        formula: The ratio in letters and numbers.
        formula_ratio: The ratio by the formula.
    """

    name: str
    first: Call
    second: Call
    between: tuple[Call, ...]
    separable_macs: int
    standard_macs: int
    formula: str
    formula_ratio: float

    @property
    def ratio(self) -> float:
        """Separable over standard MACs, by count."""
        return self.separable_macs / self.standard_macs


def factor(kernel: npt.ArrayLike) -> tuple[Vector, Vector]:
    """A column and a row whose outer product is a kernel.

    Integers factor exactly; the row has no common divisor, and the sign is the one with which the smoothing of the two is positive.

    Args:
        kernel: Shape (height, width), integers or floats.

    Returns:
        The column, shape (height,), and the row, shape (width,): int64 where the kernel is of integers, float64 otherwise.

    Raises:
        ModelError: It does not factor; names its rank. Or it is no matrix of finite numbers.
    """
    matrix = np.asarray(kernel)
    if matrix.ndim != 2 or not matrix.size or matrix.dtype.kind not in "iuf":
        raise ModelError(f"a kernel of shape {matrix.shape} and type {matrix.dtype} cannot be factored", "give a matrix of integers or floats")
    if not np.isfinite(matrix).all():
        raise ModelError("the kernel holds numbers that are not finite", "give a matrix of finite numbers")
    if matrix.dtype.kind == "u" and matrix.max() > np.iinfo(np.int64).max:
        raise ModelError(f"the kernel's {matrix.max()} is above 2^63", "give smaller numbers, or floats")
    column, row = _of_integers(matrix) if matrix.dtype.kind in "iu" else _of_floats(matrix)
    smooth = row.sum() if abs(row.sum()) > 1e-9 * np.abs(row).sum() else column.sum()
    return (-column, -row) if smooth < 0 else (column, row)


def _of_integers(matrix: Vector) -> tuple[Vector, Vector]:
    rows = [[int(value) for value in line] for line in matrix]
    first = next((line for line in rows if any(line)), rows[0])
    divisor = gcd(*first) or 1
    row = [value // divisor for value in first]
    place = next((place for place, value in enumerate(row) if value), 0)
    column = [line[place] // row[place] if row[place] else 0 for line in rows]
    if any(left * right != value for left, line in zip(column, rows, strict=True) for right, value in zip(row, line, strict=True)):
        raise _of_rank(int(np.linalg.matrix_rank(matrix.astype(np.float64))))
    return np.array(column, np.int64), np.array(row, np.int64)


def _of_floats(matrix: Vector) -> tuple[Vector, Vector]:
    left, values, right = np.linalg.svd(matrix.astype(np.float64))
    rank = int((values > values[0] * max(matrix.shape) * np.finfo(matrix.dtype).eps).sum()) if values[0] else 0
    if rank > 1:
        raise _of_rank(rank)
    root = np.sqrt(values[0])
    return left[:, 0] * root, right[0] * root


def _of_rank(rank: int) -> ModelError:
    return ModelError(f"the kernel has rank {rank}, so it is no column times a row", f"a sum of {rank} such products would give it")


def macs_ratio(kernel: int, inputs: int, middle: int, outputs: int) -> float:
    """MACs of a K x 1 and a 1 x K convolution over those of one K x K convolution: (I M + M O) / (K I O); 2/K where all three are equal.

    Args:
        kernel: The side K.
        inputs: Channels I before the two.
        middle: Channels M between them.
        outputs: Channels O after them.

    Raises:
        ModelError: One of them is below 1.
    """
    if min(kernel, inputs, middle, outputs) < 1:
        raise ModelError(f"a kernel of {kernel} with {inputs}, {middle} and {outputs} channels is none", "give numbers of at least 1")
    return middle * (inputs + outputs) / (kernel * inputs * outputs)


def find_spatial_pairs(graph: Graph) -> list[SpatialPair]:
    """All pairs of a graph, in its order; each convolution is in one pair at most."""
    used: set[int] = set()
    pairs: list[SpatialPair] = []
    for call in graph.calls:
        if not _is_line(call) or id(call) in used:
            continue
        after = follow(graph, call.outputs[0], _is_line)
        if after is None or after.excited or any(inner.kind in PADDING for inner in after.calls) or not _crossed(call, after.end):
            continue
        used |= {id(call), id(after.end)}
        pairs.append(_pair(call, after.end, after.calls))
    return pairs


def _is_line(call: Call) -> bool:
    return call.kind == "Conv2D" and call.layer.groups == 1 and 1 in call.layer.kernel_size and max(call.layer.kernel_size) > 1


def _crossed(first: Call, second: Call) -> bool:
    across = first.layer.kernel_size.index(1) != second.layer.kernel_size.index(1)
    return across and channel_axis(first) == channel_axis(second)


def _pair(first: Call, second: Call, between: tuple[Call, ...]) -> SpatialPair:
    height, width = (max(sides) for sides in zip(first.layer.kernel_size, second.layer.kernel_size, strict=True))
    inputs, middle, outputs = inputs_of(first), outputs_of(first), outputs_of(second)
    area = height * width
    one, two = prod(first.layer.kernel_size), prod(second.layer.kernel_size)
    if height == width:
        formula, ratio = (
            f"M (I + O) / (K I O) = {middle} ({inputs} + {outputs}) / ({height}*{inputs}*{outputs})",
            macs_ratio(height, inputs, middle, outputs),
        )
    else:
        formula = f"M (A I + B O) / (A B I O) = {middle} ({one}*{inputs} + {two}*{outputs}) / ({area}*{inputs}*{outputs})"
        ratio = middle * (one * inputs + two * outputs) / (area * inputs * outputs)
    separable = (call_macs(first) or 0) + (call_macs(second) or 0)
    return SpatialPair(first.layer.name, first, second, between, separable, area * inputs * outputs * positions_of(second), formula, ratio)
