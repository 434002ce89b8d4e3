"""The twin: the same network with standard convolutions in place of depthwise separable ones, by the rules of `pairs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.architectures.builder import build
from dsmobile.architectures.cost import cost
from dsmobile.architectures.graph import Call, free_name, read_graph, rebuild
from dsmobile.architectures.pairs import SEPARABLE, Pair, find_pairs
from dsmobile.architectures.spec import ArchitectureSpec
from dsmobile.errors import ModelError, SpecError

FARTHEST = 0.05
KINDS = ("standard", "same-macs", "same-parameters")
Kernel = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Twin:
    """A twin and how it was made.

    Args:
        model: The Keras model.
        pairs: What was replaced, in the separable network.
        composed: Layers whose weights were composed from the pair's: the same function.
        fresh: Layers that have no weights from the source yet.
    """

    model: Any
    pairs: tuple[Pair, ...]
    composed: tuple[str, ...]
    fresh: tuple[str, ...]

    @property
    def same_function(self) -> bool:
        """Whether the twin computes what its source computes."""
        return not self.fresh


def standard_twin(model: Any) -> Twin:
    """Replaces every depthwise convolution by a standard one, with composed weights where the pair is linear.

    W[k, l, c, n] = sum over m of D[k, l, c, m] P[c, m, n], with a batch normalization in between taken into D and the bias.

    Args:
        model: A functional `keras.Model`.

    Raises:
        ModelError: It has no depthwise convolution, or shares one between several places.
    """
    graph = read_graph(model)
    pairs = find_pairs(graph)
    if not pairs:
        raise ModelError(f"{model.name} has no depthwise or separable convolution", "there is nothing to replace: leave --twin away")
    layers = [id(layer) for pair in pairs for layer in (pair.depthwise.layer, *([pair.pointwise.layer] if pair.pointwise else []))]
    if len(set(layers)) != len(layers):
        raise ModelError(f"{model.name} shares a depthwise or pointwise layer between several places", "give each place a layer of its own")
    plan = {call: (pair, standard) for pair in pairs for call, standard in _changes(pair).items()}
    added: dict[str, tuple[Pair, Any]] = {}

    def replace(call: Call, inputs: list[Any]) -> tuple[Any, ...] | None:
        found = next(((pair, standard) for planned, (pair, standard) in plan.items() if planned.outputs == call.outputs), None)
        if found is None:
            return None
        pair, standard = found
        if not standard:
            return tuple(inputs)
        layer = _standard_layer(pair, set(added))
        added[layer.name] = (pair, layer)
        return (layer(inputs[0]),)

    twin = rebuild(model, replace, f"{model.name}_twin")
    composed = [name for name, (pair, _) in added.items() if pair.linear]
    for name in composed:
        pair, layer = added[name]
        kernel, bias = compose(pair)
        layer.set_weights([kernel, bias] if layer.use_bias else [kernel])
    return Twin(twin, tuple(pairs), tuple(composed), tuple(name for name in added if name not in composed))


def _changes(pair: Pair) -> dict[Call, bool]:
    """Which calls vanish (False) and which one becomes the standard convolution (True)."""
    between = {call: False for call in pair.between if not call.kind.startswith("ZeroPadding")}
    if pair.rule == "fused" and pair.pointwise:
        return {pair.pointwise: False, **between, pair.depthwise: True}
    if pair.rule == "merged" and pair.pointwise:
        return {pair.depthwise: False, **between, pair.pointwise: True}
    return {pair.depthwise: True}


def _standard_layer(pair: Pair, taken: set[str]) -> Any:
    from keras import layers

    depthwise = pair.depthwise.layer
    merged = pair.rule == "merged"
    last = pair.pointwise.layer if merged and pair.pointwise else depthwise
    width = int(pair.depthwise.input_shape[-1] or 0) * depthwise.depth_multiplier
    one_dimensional = len(depthwise.kernel_size) == 1
    return (layers.Conv1D if one_dimensional else layers.Conv2D)(
        last.filters if merged else width,
        depthwise.kernel_size,
        strides=depthwise.strides,
        padding=depthwise.padding,
        dilation_rate=depthwise.dilation_rate,
        activation=last.activation,
        use_bias=last.use_bias or (pair.linear and _adds_a_constant(pair)),
        name=free_name(f"{last.name}_standard", taken),
    )


def _adds_a_constant(pair: Pair) -> bool:
    inner = pair.depthwise.kind not in SEPARABLE and pair.depthwise.layer.use_bias
    return bool(inner or any(call.kind == "BatchNormalization" for call in pair.between))


def compose(pair: Pair) -> tuple[Kernel, Kernel]:
    """One kernel and bias that compute what a linear pair computes.

    Returns:
        Kernel, shape (K, K, inputs, outputs), and bias, shape (outputs,), in float64.
    """
    depthwise = pair.depthwise.layer
    if pair.depthwise.kind in SEPARABLE:
        spatial, mixing = _array(depthwise.depthwise_kernel), _array(depthwise.pointwise_kernel)
        bias = _array(depthwise.bias) if depthwise.use_bias else np.zeros(mixing.shape[-1])
        inner_bias = np.zeros(spatial.shape[-2] * spatial.shape[-1])
    else:
        if pair.pointwise is None:
            raise ModelError(f"{pair.name} has no pointwise convolution to compose with", "this is a fault in dsmobile")
        pointwise = pair.pointwise.layer
        spatial, mixing = _array(depthwise.kernel), _array(pointwise.kernel)
        bias = _array(pointwise.bias) if pointwise.use_bias else np.zeros(mixing.shape[-1])
        inner_bias = _array(depthwise.bias) if depthwise.use_bias else np.zeros(spatial.shape[-2] * spatial.shape[-1])
    channels, multiplier = spatial.shape[-2:]
    spatial = spatial.reshape(*spatial.shape[:-2], channels * multiplier)
    for call in pair.between:
        if call.kind == "BatchNormalization":
            scale, shift = normalization(call.layer)
            spatial, inner_bias = spatial * scale, inner_bias * scale + shift
    mixing = mixing.reshape(channels * multiplier, -1)
    kernel = np.einsum("...cm,cmn->...cn", spatial.reshape(*spatial.shape[:-1], channels, multiplier), mixing.reshape(channels, multiplier, -1))
    return kernel, bias + inner_bias @ mixing


def normalization(layer: Any) -> tuple[Kernel, Kernel]:
    """Scale and shift per channel of a batch normalization at inference, in float64."""
    variance, mean = _array(layer.moving_variance), _array(layer.moving_mean)
    with np.errstate(invalid="ignore"):  # a variance below 0 is named when its layer is folded
        scale = (_array(layer.gamma) if layer.scale else 1.0) / np.sqrt(variance + layer.epsilon)
    return scale, (_array(layer.beta) if layer.center else 0.0) - mean * scale


def _array(variable: Any) -> Kernel:
    return np.asarray(variable, np.float64)


def matching_alpha(spec: ArchitectureSpec, kind: str, *, alpha: float | None, resolution: int | None, classes: int | None) -> float:
    """The width multiplier at which the standard twin costs what the separable network costs, by bisection.

    Args:
        spec: The architecture.
        kind: `same-macs` or `same-parameters`.
        alpha: The separable network's width multiplier.
        resolution: As in `build`.
        classes: As in `build`.

    Raises:
        SpecError: The architecture has no rule for alpha.
    """
    if spec.alpha is None:
        raise SpecError(f"{spec.name} has no rule for alpha, so its twin's width cannot be matched", "take --twin standard")
    figure = "macs" if kind == "same-macs" else "parameters"
    wanted = getattr(cost(build(spec, alpha=alpha, resolution=resolution, classes=classes)), figure)
    narrowest = spec.alpha.minimum / min(int(dict(row.arguments)["filters"]) for row in spec.body if "filters" in dict(row.arguments))
    low, high = narrowest, 1.0 if alpha is None else alpha
    for _ in range(12):
        middle = (low + high) / 2
        twin = standard_twin(build(spec, alpha=middle, resolution=resolution, classes=classes)).model
        low, high = (middle, high) if getattr(cost(twin), figure) < wanted else (low, middle)
    found = getattr(cost(standard_twin(build(spec, alpha=high, resolution=resolution, classes=classes)).model), figure)
    if abs(found - wanted) > FARTHEST * wanted:
        raise SpecError(f"no width of the twin has {wanted:,} {figure}: the nearest has {found:,}", "take a wider network, or --twin standard")
    return high
