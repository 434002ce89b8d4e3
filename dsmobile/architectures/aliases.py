"""What papers and Keras call by another name than architecture files do."""

from __future__ import annotations

from collections.abc import Collection

from dsmobile.errors import nearest

_ALIASES = {
    "t": "expansion", "e": "expansion", "expand_ratio": "expansion", "c": "filters", "channels": "filters", "out": "filters", "units": "filters",
    "n": "repeats", "r": "repeats", "num_repeat": "repeats", "s": "stride", "strides": "stride", "k": "kernel", "kernel_size": "kernel",
    "se_ratio": "se", "act": "activation", "dilation_rate": "dilation", "depth_multiplier": "multiplier", "use_bias": "bias", "type": "block",
    "flops": "macs", "params": "parameters", "top_1": "top1",
    "pointwise": "conv", "convbn": "conv", "conv2d": "conv", "dw": "depthwise", "dwconv": "depthwise", "depthwise_separable": "separable",
    "separable_conv": "separable", "mbconv": "inverted_residual", "bottleneck": "inverted_residual", "bneck": "inverted_residual",
    "inverted_bottleneck": "inverted_residual", "fused_mbconv": "fused_inverted_residual", "fused_ib": "fused_inverted_residual",
    "uib": "universal_inverted_bottleneck", "gap": "global_average_pool", "avgpool": "average_pool", "maxpool": "max_pool", "fc": "dense",
    "softmax": "classifier", "logits": "linear",
}  # fmt: skip


def called_here(name: str, allowed: Collection[str]) -> str:
    """The nearest allowed names, or the one that is meant by what papers and Keras say."""
    alias = _ALIASES.get(name.lower())
    return f"it is called {alias} here" if alias in allowed else nearest(name, allowed)
