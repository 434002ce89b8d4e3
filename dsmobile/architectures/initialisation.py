"""Random weights under which a network computes something: He-normal kernels and batch normalization set by one pass over real inputs.

Keras's own default leaves logits near 1e-19 at inference, on which no parity check can fail. And a deep random network whose normalized values
are centred at 0 is chaotic: each ReLU tells near inputs further apart, until int8's rounding alone decides the logits (1 to 9 dB of MobileNetV1
are left). Centred one standard deviation above 0, as in trained networks, ReLU is nearly linear and 18 to 33 dB are left.

Source: He et al., arXiv:1502.01852, section 2.2; the data-dependent pass follows Krähenbühl et al., arXiv:1511.06856, section 3; on the chaos of
batch normalization at initialisation, Yang et al., arXiv:1902.08129.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.architectures.graph import Call, read_graph, run
from dsmobile.errors import ModelError

SMALLEST_LOGIT_DEVIATION = 0.1
CENTRE = 1.0


def he_normal(model: Any, seed: int, names: Iterable[str] | None = None) -> None:
    """Sets kernels to seeded He-normal numbers, biases to zero and the centres of batch normalizations to one.

    Args:
        model: A `keras.Model`.
        seed: Of the numbers; each layer's follow from its place alone.
        names: The layers to set; None sets all.
    """
    chosen = None if names is None else set(names)
    seen: set[int] = set()
    for place, call in enumerate(read_graph(model).calls):
        layer = call.layer
        if id(layer) in seen or not getattr(layer, "weights", None) or (chosen is not None and layer.name not in chosen):
            continue
        seen.add(id(layer))
        if call.kind == "BatchNormalization" and layer.center:
            layer.beta.assign(np.full(layer.beta.shape, CENTRE, np.float32))
        if call.kind in ("BatchNormalization", "Normalization"):
            continue
        random = np.random.default_rng([seed, place])
        layer.set_weights([_numbers(random, layer, weight) for weight in layer.weights])


def _numbers(random: np.random.Generator, layer: Any, weight: Any) -> npt.NDArray[np.float32]:
    shape = tuple(weight.shape)
    name = weight.name.rsplit("/", 1)[-1]
    if name == "gamma":  # of a layer normalization, or a scale of its own
        return np.ones(shape, np.float32)
    if "kernel" not in name or len(shape) < 2:
        return np.zeros(shape, np.float32)
    depthwise = "depthwise" in weight.name or type(layer).__name__.startswith("Depthwise")
    fan_in = prod(shape[:-2]) if depthwise else prod(shape[:-1])
    numbers: npt.NDArray[np.float64] = random.standard_normal(shape) * np.sqrt(2.0 / fan_in)
    return numbers.astype(np.float32)


def settle(model: Any, *batches: npt.NDArray[np.float32]) -> float:
    """Sets every batch normalization's statistics to those of one batch, in order, and widens the logits where they are too narrow.

    Args:
        model: A functional `keras.Model`.
        *batches: For each input, shape (count, height, width, channels).

    Returns:
        The logits' standard deviation.

    Raises:
        ModelError: The logits stay without variation, so that nothing could be checked on them.
    """
    graph = read_graph(model)
    last: list[tuple[Any, float]] = []

    def visit(call: Call, inputs: list[Any]) -> None:
        if call.kind == "BatchNormalization":
            values = np.asarray(inputs[0], np.float64)
            axes = tuple(range(values.ndim - 1))
            call.layer.moving_mean.assign(values.mean(axes))
            call.layer.moving_variance.assign(values.var(axes))
        if call.kind in ("Dense", "Conv2D"):
            last[:] = [(call.layer, _deviation(call, inputs[0]))]

    run(graph, batches, visit)
    if not last:
        return 1.0
    layer, deviation = last[0]
    if not np.isfinite(deviation) or deviation == 0.0:
        raise ModelError(f"the logits of {model.name} do not vary with random weights", "check its shapes: a layer may have nothing left to see")
    if deviation < SMALLEST_LOGIT_DEVIATION:
        layer.kernel.assign(layer.kernel * (SMALLEST_LOGIT_DEVIATION / deviation) * 2.0)
        return SMALLEST_LOGIT_DEVIATION * 2.0
    return deviation


def _deviation(call: Call, inputs: Any) -> float:
    """Standard deviation of a layer's output before its activation."""
    import keras

    activation, call.layer.activation = call.layer.activation, keras.activations.linear
    try:
        return float(np.std(np.asarray(call.layer(inputs))))
    finally:
        call.layer.activation = activation
