"""What each layer's integers cost the network, and what a loss of top-1 is to be expected; neither needs labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from dsmobile.exporters.folded import FoldedModel, Node
from dsmobile.exporters.operators import Weighted
from dsmobile.exporters.plan import Plan

Floats = npt.NDArray[np.float32]


def expected_drop(reference: npt.NDArray[np.floating], measured: npt.NDArray[np.floating]) -> float:
    """The loss of top-1 to expect, in points: the mean of `expected_drops`."""
    return float(expected_drops(reference, measured).mean())


def expected_drops(reference: npt.NDArray[np.floating], measured: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The loss of top-1 to expect on each input, in points, if the reference's probabilities are right, shape (count,).

    The probability of the class that the reference chooses, less that of the class that is chosen instead. The reference chooses the
    most probable class, so it is never below 0, and 0 where both choose alike.

    Args:
        reference: Logits of the network in float, shape (count, classes).
        measured: Those of the network with integers.
    """
    logits = reference.astype(np.float64)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    rows = np.arange(len(logits))
    lost: npt.NDArray[np.float64] = probabilities[rows, logits.argmax(axis=1)] - probabilities[rows, measured.argmax(axis=1)]
    return 100.0 * lost


def integer_layers(plan: Plan) -> list[str]:
    """The layers with a kernel that take integers and have integer weights, in the order in which they run."""
    integer = plan.integer_nodes | plan.widened
    return [node.name for node in plan.model if isinstance(node.operator, Weighted) and node.name in integer]


def left_in_float(model: FoldedModel, layers: Iterable[str]) -> frozenset[str]:
    """The nodes that compute in float32 where these layers do: they, and what lies between them.

    A node without a kernel follows where all that it takes comes from such nodes, or all that read it are such nodes: integers there would
    cost two conversions and save nothing.

    Args:
        model: The network, lowered.
        layers: Names of nodes with a kernel.
    """
    wide = set(layers)
    for nodes, neighbours in ((model.nodes, _givers), (tuple(reversed(model.nodes)), _readers)):
        for node in nodes:
            if isinstance(node.operator, Weighted):
                continue
            beside = neighbours(model, node)
            if beside and beside <= wide:
                wide.add(node.name)
    return frozenset(wide)


def _givers(_: FoldedModel, node: Node) -> set[str]:
    return set(node.inputs)


def _readers(model: FoldedModel, node: Node) -> set[str]:
    return set() if node.name in model.outputs else {reader.name for reader in model.consumers(node.name)}


def noise_of_each(
    plan: Plan, layers: list[str], plan_of: Callable[[frozenset[str]], Plan], run: Callable[[Plan], Floats], reference: Floats
) -> dict[str, float]:
    """The noise that each layer's integers alone bring to the logits: mean over inputs of the squared difference.

    Args:
        plan: With all layers in integers.
        layers: The layers to look at.
        plan_of: The plan with these nodes left in float32.
        run: What a plan's file gives, shape (count, numbers).
        reference: What the network gives in float.
    """
    nodes = {node.name: node for node in plan.model}
    found = {}
    for layer in layers:
        activation = plan.fused_activation(nodes[layer])
        kept = {layer, activation.name} if activation is not None else {layer}
        giver = nodes.get(nodes[layer].inputs[0])
        if layer in plan.widened and giver is not None and not isinstance(giver.operator, Weighted):
            kept.add(giver.name)  # it gives float32 only where it takes integers
        noise = run(plan_of(frozenset(nodes.keys() - kept))).astype(np.float64) - reference
        found[layer] = float(np.square(noise).sum() / len(reference))
    return found
