"""A network's end: its logits, and whether a softmax follows, wherever that hides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsmobile.architectures.graph import Call, read_graph, rebuild
from dsmobile.errors import UsageError

HEADS = ("as-is", "logits", "softmax")


@dataclass(frozen=True)
class Headed:
    """A network split before its final softmax.

    Args:
        logits: The `keras.Model` up to the softmax: what parity is measured on.
        ends_in_softmax: Whether the written file ends in a softmax.
    """

    logits: Any
    ends_in_softmax: bool


def with_head(model: Any, head: str) -> Headed:
    """Splits a network before its final softmax, a layer of its own or the activation of the last one.

    Args:
        model: A functional `keras.Model` with one output.
        head: `as-is`, `logits` (no softmax in the file) or `softmax` (one in any case).

    Raises:
        UsageError: The head is not known.
    """
    if head not in HEADS:
        raise UsageError(f"--head {head} is not known", f"take {', '.join(HEADS)}")
    graph = read_graph(model)
    last = graph.producer(graph.outputs[0]) if len(graph.outputs) == 1 else None
    if last is None or not _is_softmax(last):
        return Headed(model, ends_in_softmax=head == "softmax")
    return Headed(_without_softmax(model, last), ends_in_softmax=head != "logits")


def _is_softmax(call: Call) -> bool:
    import keras

    return call.kind == "Softmax" or getattr(call.layer, "activation", None) is keras.activations.softmax


def _without_softmax(model: Any, last: Call) -> Any:
    bare: list[Any] = []

    def replace(call: Call, inputs: list[Any]) -> tuple[Any, ...] | None:
        if call.outputs != last.outputs:
            return None
        if last.kind in ("Softmax", "Activation"):
            return tuple(inputs)
        layer = type(last.layer).from_config({**last.layer.get_config(), "activation": "linear"})
        bare.append(layer)
        return call.apply(layer, inputs)

    logits = rebuild(model, replace, model.name)
    for layer in bare:
        layer.set_weights(last.layer.get_weights())
    return logits
