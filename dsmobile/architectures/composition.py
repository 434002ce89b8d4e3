"""One kernel for two convolutions: the weights with which a twin computes what its source computes.

W[k, l, c, n] = sum over m of D[k, l, c, m] P[c, m, n], with a batch normalization in between taken into the first of the two; the other way
round, W[k, l, c, (i, m)] = P[c, i] D[k, l, i, m]. A depthwise convolution alone is a standard one whose kernel is zero between channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dsmobile.architectures.convolutions import SEPARABLE, Kernel, array, inputs_of, mixing_matrix, multiplier_of, outputs_of, spatial_kernel
from dsmobile.architectures.graph import Call
from dsmobile.architectures.pairs import Pair
from dsmobile.architectures.passages import scaling
from dsmobile.errors import ModelError


def compose(pair: Pair) -> tuple[Kernel, Kernel]:
    """One kernel and bias that compute what a linear pair computes.

    Returns:
        Kernel, shape (K, ..., inputs, outputs), and bias, shape (outputs,), in float64.

    Raises:
        ModelError: The pair is not linear.
    """
    if not pair.linear:
        raise ModelError(f"{pair.name} cannot be composed: an activation stands between the two", "this is a fault in dsmobile")
    if pair.rule == "fused" and pair.pointwise:
        return _pointwise_first(pair, pair.pointwise)
    if pair.pointwise:
        return _depthwise_first(pair, pair.pointwise)
    return _separable(pair.depthwise) if pair.depthwise.kind in SEPARABLE else _alone(pair.depthwise)


def _depthwise_first(pair: Pair, pointwise: Call) -> tuple[Kernel, Kernel]:
    spatial, mixing = spatial_kernel(pair.depthwise), mixing_matrix(pointwise)
    sides, (channels, multiplier) = spatial.shape[:-2], spatial.shape[-2:]
    scale, shift = _between(pair, _bias(pair.depthwise))
    spatial = spatial * scale.reshape(channels, multiplier)
    kernel = np.einsum("...cm,cmn->...cn", spatial, mixing.reshape(channels, multiplier, -1))
    return kernel.reshape(*sides, channels, -1), _bias(pointwise) + shift @ mixing


def _pointwise_first(pair: Pair, pointwise: Call) -> tuple[Kernel, Kernel]:
    spatial, mixing = spatial_kernel(pair.depthwise), mixing_matrix(pointwise)
    scale, shift = _between(pair, _bias(pointwise))
    kernel = np.einsum("ci,...im->...cim", mixing * scale, spatial)
    constant = (spatial.reshape(-1, *spatial.shape[-2:]).sum(0) * shift[:, None]).reshape(-1)
    return kernel.reshape(*spatial.shape[:-2], mixing.shape[0], -1), _bias(pair.depthwise) + constant


def _separable(call: Call) -> tuple[Kernel, Kernel]:
    spatial, mixing = spatial_kernel(call), mixing_matrix(call)
    channels, multiplier = spatial.shape[-2:]
    return np.einsum("...cm,cmn->...cn", spatial, mixing.reshape(channels, multiplier, -1)), _bias(call)


def _alone(call: Call) -> tuple[Kernel, Kernel]:
    spatial = spatial_kernel(call)
    channels, multiplier = inputs_of(call), multiplier_of(call)
    kernel = np.zeros((*spatial.shape[:-2], channels, channels, multiplier))
    every = np.arange(channels)
    kernel[..., every, every, :] = spatial
    return kernel.reshape(*spatial.shape[:-2], channels, channels * multiplier), _bias(call)


def _bias(call: Call) -> Kernel:
    return array(call.layer.bias) if call.layer.use_bias else np.zeros(outputs_of(call))


def _between(pair: Pair, constant: Kernel) -> tuple[Kernel, Kernel]:
    """Scale and shift of what reaches the second of the two, per channel between them, where `constant` is added before."""
    scale, shift = np.ones_like(constant), constant
    for call in pair.between:
        if call.kind == "BatchNormalization":
            factor, centre = normalization(call.layer)
            scale, shift = scale * factor, shift * factor + centre
        elif by_one_number := scaling(call):
            scale, shift = scale * by_one_number[0], shift * by_one_number[0] + by_one_number[1]
    return scale, shift


def normalization(layer: Any) -> tuple[Kernel, Kernel]:
    """Scale and shift per channel of a batch normalization at inference, in float64."""
    variance, mean = array(layer.moving_variance), array(layer.moving_mean)
    with np.errstate(invalid="ignore"):  # a variance below 0 is named when its layer is folded
        scale = (array(layer.gamma) if layer.scale else 1.0) / np.sqrt(variance + layer.epsilon)
    return scale, (array(layer.beta) if layer.center else 0.0) - mean * scale
