"""Who will accept which file, before any of them is computed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dsmobile.exporters import tflite
from dsmobile.exporters.consumers import Acceptance, acceptances
from dsmobile.exporters.export import Order
from dsmobile.exporters.file_facts import facts_of, sketch
from dsmobile.exporters.fold import fold
from dsmobile.exporters.head import with_head
from dsmobile.exporters.recipe import Recipe
from dsmobile.exporters.stamp import obstacles


def foresee(model: Any, order: Order, jobs: Iterable[tuple[str, Recipe]]) -> dict[str, tuple[Acceptance, ...]]:
    """Who will accept each file.

    Args:
        model: The `keras.Model`, with any weights.
        order: How the files are wanted.
        jobs: Format and recipe of each file.

    Returns:
        By `RECIPE FORMAT`.
    """
    headed = with_head(model, order.head)
    logits = fold(headed.logits)
    found = {}
    for file_format, recipe in jobs:
        plan = sketch(logits, recipe, ends_in_softmax=headed.ends_in_softmax, io=order.io, given=order.given)
        data = tflite.write(plan) if file_format == "tflite" else b""
        found[f"{recipe.name} {file_format}"] = acceptances(
            facts_of(plan, file_format, order.layout, data, obstacles(plan, order.labels, order.preprocessing))
        )
    return found
