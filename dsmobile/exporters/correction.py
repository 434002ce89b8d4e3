"""Takes back what integers do to a network, layer by layer: rounding chosen by the data, and the shift of the means put right in the biases.

Two streams run beside each other over the calibration inputs: x through the network in float, xq through the network as it is planned, with
integer weights and stored values. Each layer's weights are rounded for the xq that it will really see, and its bias gains the mean, over inputs
and pixels, of conv(x, W) - conv(xq, Wq).

Source: empirical bias correction, Nagel et al., arXiv:1906.04721, section 4.2 and appendix D.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.exporters.execution import run_node
from dsmobile.exporters.folded import FoldedModel, Node
from dsmobile.exporters.operators import Weighted
from dsmobile.exporters.plan import Plan, QuantizedWeights
from dsmobile.exporters.planning import with_weights
from dsmobile.exporters.quantization import LARGEST, Sample, real_kernel
from dsmobile.exporters.rounding import can_round, rounded

FEWEST_INPUTS = 4  # with fewer, a bias would learn the inputs rather than the shift
MOST_INPUTS = 64
BUDGET_BYTES = 384 << 20
CHUNK = 4
Stream = list[npt.NDArray[np.float32]]


def correct(model: FoldedModel, plan: Plan, inputs: Iterable[Sample], *, rounding: bool, bound: int = LARGEST) -> Plan:
    """Corrects a plan whose weights are rounded to the nearest.

    Args:
        model: The network in float, lowered as the plan's.
        plan: What is to be written.
        inputs: Real-valued, each an array for each input of the network, shape (1, ...). As many are taken as keep both streams' live values
            within `BUDGET_BYTES`, `MOST_INPUTS` at most.
        rounding: Whether weights are rounded by the data, or stay as they are.
        bound: The largest integer of a weight.

    Returns:
        The plan with corrected weights and biases; unchanged where there are fewer than `FEWEST_INPUTS` inputs.
    """
    most = max(FEWEST_INPUTS, min(MOST_INPUTS, BUDGET_BYTES // max(2 * live_bytes(model), 1)))
    samples = [sample for _, sample in zip(range(most), inputs, strict=False)]
    if len(samples) < FEWEST_INPUTS:
        return plan
    x: dict[str, Stream] = {value.name: [sample[place] for sample in samples] for place, value in enumerate(model.inputs)}
    xq: dict[str, Stream] = {name: [_stored(array, plan, name) for array in arrays] for name, arrays in x.items()}
    weights: dict[str, QuantizedWeights] = dict(plan.weights)
    biases: dict[str, npt.NDArray[np.float32]] = {}
    readers = {name: len(model.consumers(name)) for name in (*x, *(node.name for node in model))}
    for node, planned in zip(model, plan.model, strict=True):
        if rounding and node.name in weights and can_round(node.operator):
            assert isinstance(node.operator, Weighted)  # noqa: S101
            weights[node.name] = rounded(node.operator, weights[node.name], xq[node.inputs[0]], bound)
            planned = replace(planned, operator=replace(node.operator, kernel=real_kernel(node.operator, weights[node.name])))
        y, yq = _run(model, node, x), _run(model, planned, xq)
        if node.name in weights and isinstance(planned.operator, Weighted):
            shift = _mean_shift(y, yq)
            biases[node.name] = (planned.operator.bias + shift).astype(np.float32)
            yq = [array + shift for array in yq]
        x[node.name], xq[node.name] = y, [_stored(array, plan, node.name) for array in yq]
        for name in set(node.inputs):
            readers[name] -= 1
            if not readers[name]:
                del x[name], xq[name]
    return _with_biases(with_weights(plan, weights), biases)


def live_bytes(model: FoldedModel) -> int:
    """The most that the values of one inference take at once, in float32."""
    readers = {name: len(model.consumers(name)) for name in (*(value.name for value in model.inputs), *(node.name for node in model))}
    live = {value.name: int(np.prod(value.shape)) for value in model.inputs}
    most = sum(live.values())
    for node in model:
        live[node.name] = int(np.prod(node.shape))
        most = max(most, sum(live.values()))
        for name in set(node.inputs):
            readers[name] -= 1
            if not readers[name]:
                del live[name]
    return 4 * most


def _run(model: FoldedModel, node: Node, stream: dict[str, Stream]) -> Stream:
    """One node over all inputs, a few at a time."""
    import tensorflow as tf

    found: Stream = []
    for place in range(0, len(stream[node.inputs[0]]), CHUNK):
        batch: list[Any] = [tf.constant(np.concatenate(stream[name][place : place + CHUNK])) for name in node.inputs]
        found += np.split(run_node(model, node, batch).numpy(), len(batch[0]))
    return found


def _mean_shift(y: Stream, yq: Stream) -> npt.NDArray[np.float32]:
    """The mean of y - yq over inputs and pixels, per channel, shape (channels,)."""
    axes = tuple(range(y[0].ndim - 1))
    sums = [(a.astype(np.float64) - b).mean(axis=axes) for a, b in zip(y, yq, strict=True)]
    return np.asarray(np.mean(sums, axis=0), np.float32)


def _stored(array: npt.NDArray[np.float32], plan: Plan, name: str) -> npt.NDArray[np.float32]:
    """A value as the next integer node sees it; one that no integer node gives or takes, or that an activation takes in, stays as it is."""
    storage = plan.storage.get(name)
    if storage is None or name in plan.widened:
        return array
    low, high = storage.limits
    integers = np.clip(np.rint(array / np.float32(storage.scale)) + np.float32(storage.zero_point), low, high)
    return np.asarray((integers - np.float32(storage.zero_point)) * np.float32(storage.scale), np.float32)


def _with_biases(plan: Plan, biases: dict[str, npt.NDArray[np.float32]]) -> Plan:
    nodes = [
        replace(node, operator=replace(node.operator, bias=biases[node.name]))
        if node.name in biases and isinstance(node.operator, Weighted)
        else node
        for node in plan.model
    ]
    return replace(plan, model=replace(plan.model, nodes=tuple(nodes)))
