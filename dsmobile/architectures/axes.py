"""Which channels lie along which axis of every tensor of a graph, layer by layer: what `width` needs to widen a network.

An axis that holds channels has a `Size`, every other one (height, width, time, and the channels of an input) has None.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import numpy as np

from dsmobile.architectures.convolutions import CONVOLUTIONS, DEPTHWISE, SEPARABLE, channel_axis, multiplier_of
from dsmobile.architectures.graph import Call, Graph
from dsmobile.architectures.layer_kinds import is_kerass
from dsmobile.architectures.sizes import Size, Sizes
from dsmobile.errors import ModelError

ADVICE = "take --twin standard"
Axes = tuple[Size | None, ...]
TRANSPOSED = frozenset({"Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"})
RESHAPED = frozenset({"Reshape", "Flatten", "Squeeze", "ExpandDims"})
REDUCED = frozenset({"Mean", "Max", "Amax", "Min", "Amin", "Sum"})
NORMALIZED = frozenset({"BatchNormalization", "LayerNormalization", "GroupNormalization", "PReLU", "LayerScale"})
WIDENED = CONVOLUTIONS | TRANSPOSED | DEPTHWISE | SEPARABLE | NORMALIZED | {"Dense"}
KEPT = frozenset(
    """Activation ReLU LeakyReLU ELU Softmax Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianDropout GaussianNoise AlphaDropout
    ActivityRegularization Identity StochasticDepth UnitNormalization ZeroPadding1D ZeroPadding2D ZeroPadding3D Cropping1D Cropping2D Cropping3D
    UpSampling1D UpSampling2D UpSampling3D AveragePooling1D AveragePooling2D AveragePooling3D MaxPooling1D MaxPooling2D MaxPooling3D Resizing
    RandomFlip RandomRotation RandomZoom RandomCrop RandomTranslation RandomContrast CenterCrop Rescaling Normalization Pad Flip Roll Resize
    MaxPool AveragePool Relu Relu6 LeakyRelu Elu Selu Celu Gelu Silu HardSilu HardSigmoid Sigmoid LogSigmoid Tanh HardTanh TanhShrink SoftShrink
    HardShrink Softplus Softsign Squareplus SparsePlus SparseSigmoid Threshold LogSoftmax""".split()
)
COMBINED = frozenset(
    """Add Subtract Multiply Divide TrueDivide Maximum Minimum Average Clip Power Negative Absolute Abs Square Sqrt Rsqrt Reciprocal Exp Expm1
    Log Log1p Erf Cast CustomScaleLayer""".split()
)


def is_widened(call: Call) -> bool:
    """Whether a call has weights whose shapes follow the channels."""
    return call.kind in WIDENED and is_kerass(call.layer)


def follow_channels(graph: Graph) -> tuple[Sizes, dict[int, Axes]]:
    """The channels of every value of a graph, by its key, and what they are made of.

    Raises:
        ModelError: A layer with weights that we do not know, or something that needs its channels as they are.
    """
    follower = _Follower()
    axes: dict[int, Axes] = {value.key: (None,) * len(value.shape) for value in graph.inputs}
    for call in graph.calls:
        outputs = follower.after(call, [axes[value.key] for value in call.inputs])
        axes.update((value.key, after) for value, after in zip(call.outputs, outputs, strict=True))
    for value in graph.outputs:
        for size in axes[value.key]:
            if size is not None:
                follower.sizes.fix(size)
    follower.sizes.fix_what_is_tied()
    reason = follower.sizes.reason_to_refuse()
    if reason:
        raise ModelError(reason, ADVICE)
    return follower.sizes, axes


class _Follower:
    def __init__(self) -> None:
        self.sizes = Sizes()
        self.known: dict[int, tuple[Size, Size]] = {}  # what a layer takes and gives, by its id

    def after(self, call: Call, inputs: list[Axes]) -> list[Axes]:
        """The axes of what a call gives."""
        kind = call.kind if is_kerass(call.layer) else ""
        if is_widened(call):
            return [self._weighted(call, inputs[0])]
        if kind in RESHAPED:
            return [self._reshaped(call, inputs[0])]
        if kind in COMBINED:
            return [self._combined(call, inputs)]
        if kind in KEPT:
            return [self._kept(call, inputs[0])]
        if kind == "Concatenate":
            return [self._concatenated(call, inputs)]
        if kind == "Split" and isinstance(call.layer.indices_or_sections, int):
            return self._split(call, inputs[0])
        if kind.startswith("Global") or kind in REDUCED:
            return [self._reduced(call, inputs[0])]
        if kind in ("Permute", "Transpose", "RepeatVector"):
            return [_moved(call, inputs[0])]
        if getattr(call.layer, "weights", ()):
            raise ModelError(f"the width of the {call.kind} {call.layer.name!r} cannot be changed", ADVICE)
        self._hold(call, [size for axes in inputs for size in axes])
        return [(None,) * len(value.shape) for value in call.outputs]

    def _hold(self, call: Call, sizes: Iterable[Size | None]) -> None:
        for size in sizes:
            if size is not None:
                self.sizes.hold(size, f"the {call.kind} {call.layer.name!r} needs its {self.sizes.total(size)} channels as they are")

    def _equal(self, one: Size | None, other: Size | None) -> None:
        if one is not None and other is not None:
            self.sizes.unify(one, other)
        for size in (one, other):
            if size is not None and None in (one, other):
                self.sizes.fix(size)

    def _weighted(self, call: Call, axes: Axes) -> Axes:
        """A layer with weights of its own: one that makes channels, or one that needs as many as come."""
        place = channel_axis(call) - 1
        if call.kind in NORMALIZED:
            place = next((at for at, size in enumerate(axes) if size is not None), len(axes) - 1)
        taken = axes[place] or self.sizes.new(call.input_shape[place] or 0, fixed=True)
        if id(call.layer) in self.known:
            self.sizes.unify(self.known[id(call.layer)][0], taken)
        else:
            self.known[id(call.layer)] = taken, self._given(call, taken)
        if call.kind in NORMALIZED:
            return axes
        if call.kind == "Dense":
            return (*axes[:-1], self.known[id(call.layer)][1])
        self._hold(call, (*axes[:place], *axes[place + 1 :]))
        return tuple(self.known[id(call.layer)][1] if at == place else None for at in range(len(call.output_shape)))

    def _given(self, call: Call, taken: Size) -> Size:
        layer, channels = call.layer, self.sizes.total(taken)
        groups = getattr(layer, "groups", 1)
        grouped = 1 < groups < channels
        if grouped:
            self.sizes.unify(taken, Size(self.sizes.new(channels // groups).pieces, groups))
        if call.kind in NORMALIZED:
            return taken
        if call.kind in DEPTHWISE or 1 < groups == channels:
            return Size(taken.pieces, taken.times * multiplier_of(call))
        made = layer.units if call.kind == "Dense" else layer.filters
        return Size(self.sizes.new(made // groups).pieces, groups) if grouped else self.sizes.new(made)

    def _kept(self, call: Call, axes: Axes) -> Axes:
        """A layer that leaves the channels alone."""
        changed = [size for size, before, after in zip(axes, call.input_shape, call.output_shape, strict=True) if after != before]
        one_number = call.kind != "Rescaling" or not (np.ndim(call.layer.scale) or np.ndim(call.layer.offset))
        self._hold(call, changed if one_number and call.kind != "Normalization" else axes)
        return axes

    def _combined(self, call: Call, inputs: list[Axes]) -> Axes:
        """Operators and merging layers, entry by entry: axes are equal, but one of length 1 meets every entry of the other."""
        rank = len(call.output_shape)
        constants = () if hasattr(call.layer, "weights") else [np.shape(value) for value in call.operands if value is not None]
        result: list[Size | None] = [None] * rank
        for place, side in enumerate(call.output_shape):
            met = [
                (axes[place - rank], value.shape[place - rank]) for axes, value in zip(inputs, call.inputs, strict=True) if rank - place <= len(axes)
            ]
            for size, _ in (one for one in met if one[1] != side):
                self._equal(size, None)
            alike = [size for size, length in met if length == side]
            for size in alike[1:]:
                self._equal(alike[0], size)
            result[place] = alike[0] if alike else None
            for constant in constants:
                if rank - place <= len(constant) and constant[place - rank] != 1:
                    self._hold(call, [result[place]])
        return tuple(result)

    def _concatenated(self, call: Call, inputs: list[Axes]) -> Axes:
        rank = len(call.output_shape) + 1
        place = call.layer.axis % rank - 1
        for axes in inputs[1:]:
            for at, (one, other) in enumerate(zip(inputs[0], axes, strict=True)):
                if at != place:
                    self._equal(one, other)
        if all(axes[place] is None for axes in inputs):
            return inputs[0]
        pieces = [axes[place] or self.sizes.new(value.shape[place] or 0, fixed=True) for axes, value in zip(inputs, call.inputs, strict=True)]
        return (*inputs[0][:place], self.sizes.join(pieces), *inputs[0][place + 1 :])

    def _split(self, call: Call, axes: Axes) -> list[Axes]:
        place = call.layer.axis % (len(axes) + 1) - 1
        size, count = axes[place], len(call.outputs)
        if size is None:
            return [axes] * count
        share = self.sizes.new(self.sizes.total(size) // count)
        self.sizes.unify(size, Size(share.pieces, count))
        return [(*axes[:place], share, *axes[place + 1 :])] * count

    def _reduced(self, call: Call, axes: Axes) -> Axes:
        """Pooling over some axes, which go or stay with length 1."""
        if call.kind in REDUCED:
            given = call.layer.axis
            listed = given if isinstance(given, (list, tuple)) else range(1, len(axes) + 1) if given is None else [given]
            gone = {axis % (len(axes) + 1) - 1 for axis in listed}
        else:
            gone = set(range(len(axes))) - {channel_axis(call) - 1}
        return tuple(None if place in gone else size for place, size in enumerate(axes) if call.layer.keepdims or place not in gone)

    def _reshaped(self, call: Call, axes: Axes) -> Axes:
        """Row-major order: sides that multiply to the same number hold the same entries."""
        before, after = [side or 0 for side in call.input_shape], [side or 0 for side in call.output_shape]
        result: list[Size | None] = [None] * len(after)
        if None in call.input_shape + call.output_shape:
            self._hold(call, axes)
            return tuple(result)
        here = there = 0
        while here < len(before) or there < len(after):
            ends = here + 1, there + 1
            while (one := prod(before[here : ends[0]])) != (other := prod(after[there : ends[1]])):
                ends = (ends[0] + 1, ends[1]) if one < other else (ends[0], ends[1] + 1)
            self._regrouped(call, axes, result, range(here, min(ends[0], len(before))), range(there, min(ends[1], len(after))))
            here, there = ends
        return tuple(result)

    def _regrouped(self, call: Call, axes: Axes, result: list[Size | None], old: range, new: range) -> None:
        """Sides `old` become sides `new`; the channels among them come to lie on the last one that is longer than 1."""
        sized = [(place, size) for place in old if (size := axes[place]) is not None]
        long = [place for place in new if call.output_shape[place] != 1] or list(new)
        if not sized or not long:
            self._hold(call, [size for _, size in sized])
            return
        place, size = sized[0]
        times = prod(call.input_shape[other] or 0 for other in old if other != place)
        around = prod(call.output_shape[other] or 0 for other in long[:-1])
        if len(sized) > 1 or (times > 1 and around > 1):
            mixed = self.sizes.new(call.output_shape[long[-1]] or 0)  # no channels any more: they, and what they came from, may only stay
            self._hold(call, [*(size for _, size in sized), mixed])
            self.sizes.tie(mixed, [size for _, size in sized])
            result[long[-1]] = mixed
        elif around == 1:
            result[long[-1]] = Size(size.pieces, size.times * times)
        else:
            result[long[-1]] = self.sizes.new(self.sizes.total(size) // around)
            self.sizes.unify(size, Size((result[long[-1]] or size).pieces, around))


def _moved(call: Call, axes: Axes) -> Axes:
    if call.kind == "RepeatVector":
        return (None, *axes)
    order = call.layer.dims if call.kind == "Permute" else (call.layer.axes or range(len(axes), -1, -1))
    return tuple(axes[axis - 1] for axis in order if call.kind == "Permute" or axis != 0)
