"""A network's end: its logits, and whether a softmax follows, wherever that hides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsmobile.architectures.graph import Call, Graph, read_graph, rebuild
from dsmobile.errors import UsageError

HEADS = ("as-is", "logits", "softmax")
_BEHIND = frozenset({"Dropout", "Identity", "Flatten", "Reshape"})  # may stand behind the softmax


@dataclass(frozen=True)
class Headed:
    """A network split before its final softmax.

    Args:
        logits: The `keras.Model` without the softmax: what parity is measured on.
        ends_in_softmax: Whether the written file ends in a softmax.
        split: Whether the source itself ends in a softmax, which was taken off.
    """

    logits: Any
    ends_in_softmax: bool
    split: bool


def with_head(model: Any, head: str) -> Headed:
    """Splits a network before its final softmax: a layer of its own or the activation of another one, dropout and reshaping behind it or not.

    Args:
        model: A functional `keras.Model`.
        head: `as-is`, `logits` (no softmax in the file) or `softmax` (one in any case).

    Raises:
        UsageError: The head is not known, or cannot be had of this network.
    """
    if head not in HEADS:
        raise UsageError(f"--head {head} is not known", f"take {', '.join(HEADS)}")
    graph = read_graph(model)
    softmax = _final_softmax(graph)
    if softmax is not None:
        return Headed(_without_softmax(model, softmax), ends_in_softmax=head != "logits", split=True)
    if head == "logits" and any(_is_softmax(call) for call in graph.calls):
        raise UsageError(f"{graph.name} has a softmax, but other layers follow it", "take --head as-is, or end the network in its softmax")
    if head == "softmax" and graph.outputs[0].shape[-1] == 1:
        raise UsageError(f"{graph.name} has one output, of which a softmax is always 1", "take --head as-is")
    return Headed(model, ends_in_softmax=head == "softmax", split=False)


def _final_softmax(graph: Graph) -> Call | None:
    """The call whose softmax over the last axis is the network's answer; None where there is none."""
    if len(graph.outputs) != 1:
        return None
    classes = graph.outputs[0].shape[-1]
    call = graph.producer(graph.outputs[0])
    while call is not None and call.kind in _BEHIND:
        call = graph.producer(call.inputs[0])
    if call is None or not _is_softmax(call) or call.output_shape[-1] != classes or len(graph.consumers(call.outputs[0])) > 1:
        return None
    return call


def _is_softmax(call: Call) -> bool:
    """Whether a call ends in a softmax over its last axis."""
    import keras

    if call.kind == "Softmax":
        return call.layer.axis in (-1, len(call.output_shape))
    return getattr(call.layer, "activation", None) is keras.activations.softmax


def _without_softmax(model: Any, softmax: Call) -> Any:
    bare: list[Any] = []

    def replace(call: Call, inputs: list[Any]) -> tuple[Any, ...] | None:
        if call.outputs != softmax.outputs:
            return None
        if softmax.kind in ("Softmax", "Activation"):
            return tuple(inputs)
        layer = type(softmax.layer).from_config({**softmax.layer.get_config(), "activation": "linear"})
        bare.append(layer)
        return call.apply(layer, inputs)

    logits = rebuild(model, replace, model.name)
    for layer in bare:
        layer.set_weights(softmax.layer.get_weights())
    return logits
