"""A diagnosis in a terminal of 80 columns: the verdict in a sentence, the worst layers, then the causes and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsmobile.diagnosis.causes import LOSES_DB, LOSES_POINTS
from dsmobile.evaluation.table import printable

WORST = 8
ONLY_THE_DIFFERENCE = (
    "Only the difference to the float network was looked at: what is wrong in both, a scale in --preprocess for one, shows in `dsmobile evaluate` "
    "with labels."
)
_LONGEST_NAME = 28


def show_diagnosis(document: dict[str, Any], *, every: bool = False) -> None:
    """Prints what `dsmobile doctor` found.

    Args:
        document: Of `Diagnosis.to_json`.
        every: Whether all layers are shown, in the order in which they run, and not only the worst.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, emoji=False)
    console.print(Text(printable(verdict(document)), "bold"))
    console.print()
    layers = document["layers"] if every else worst_layers(document["layers"])
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("layer", "SQNR", "own", "share", "shift", "range", "spread", "clipped"):
        table.add_column(column, justify="left" if column == "layer" else "right", no_wrap=True)
    for layer in layers:
        table.add_row(
            Text(_short(printable(layer["name"]))),
            _decibels(layer["sqnr_db"]),
            _decibels(layer["own_sqnr_db"]),
            _share(layer["share"]),
            f"{layer['mean_shift']:.2f}",
            _share(layer["range_use"]),
            f"{layer['activation_spread']:.1f}",
            _clipped(layer["saturation"]),
        )
    console.print(table)
    hidden = len(document["layers"]) - len(layers)
    rest = f" {hidden} more with --all." if hidden else ""
    order = "All layers" if every or not hidden else f"The {len(layers)} layers with the largest shares"
    console.print(
        Text(
            f"{order}, in the order in which they run. SQNR: of what a layer gives, in dB; own: with it alone in integers; "
            f"share: of the error at the logits that the layers alone make, on {document['alone']} inputs; "
            "shift: largest mean error of a channel, in standard deviations; range: levels in use; "
            "spread: widest channel over the median one; clipped: values beyond the range. "
            f"Run by {document['kernels']}.{rest}",
            "dim",
        )
    )
    for price in document["prices"]:
        ratio = "" if price["latency_ratio"] is None else f", {price['latency_ratio']:.2f} times the latency here ({price['pairs']} pairs)"
        console.print(Text(f"{printable(price['layer'])} in float32: {price['extra_bytes']:+,} bytes{ratio}"), soft_wrap=True)
    for number, cause in enumerate(document["causes"], 1):
        console.print()
        console.print(Text.assemble((f"{number}. {cause['kind'].replace('_', ' ')}: ", "bold red"), printable(cause["message"])))
        console.print(Text.assemble(("   What to do: ", "bold"), printable(cause["advice"])))
    if not document["causes"]:
        console.print()
        console.print(Text(nothing_found(document)))
    for note in document["notes"]:
        console.print(Text.assemble(("Note: ", "yellow"), printable(note)))


def verdict(document: dict[str, Any]) -> str:
    """What was lost, in a sentence."""
    final = document["final"]
    name = Path(document["artifact"]).name if document["artifact"] else f"{document['recipe']} of {Path(document['source']).name}"
    if final["sqnr_db"] is None:
        return f"{name} gives on {_inputs(final['count'])} exactly what the float network gives."
    kept = f"{name} keeps {final['sqnr_db']:.1f} dB of the float network's logits"
    if final["top1_agreement"] is None:
        return f"{kept} on {_inputs(final['count'])}."
    drop, error = final["expected_drop_points"], final["expected_drop_error"]
    return (
        f"{kept} and its top-1 on {final['top1_agreement']:.1%} of {_inputs(final['count'])}: expect to lose {drop:.2f} points of top-1 "
        f"({'one input says nothing of the error' if error is None else f'standard error {error:.2f}'}), if the float network's probabilities are "
        "right."
    )


def nothing_found(document: dict[str, Any]) -> str:
    """What to say where no cause is named."""
    drop, sqnr = document["final"]["expected_drop_points"], document["final"]["sqnr_db"]
    if sqnr is None or (drop < LOSES_POINTS if drop is not None else sqnr >= LOSES_DB):
        return f"Nothing to put right between the two: what is lost is too little to look for a cause. {ONLY_THE_DIFFERENCE}"
    return (
        "No single cause: the error is spread over the layers. Take --recipe mixed --max-drop 0.5, which leaves the fewest layers in float32, or "
        f"--recipe int16x8. {ONLY_THE_DIFFERENCE}"
    )


def worst_layers(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those with the largest shares of the error, in the order in which they run."""
    chosen = sorted(range(len(layers)), key=lambda place: -(layers[place]["share"] or 0.0))[:WORST]
    return [layers[place] for place in sorted(chosen)]


def _inputs(count: int) -> str:
    return f"{count} input{'s' * (count != 1)}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else "…" + name[1 - _LONGEST_NAME :]


def _decibels(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _clipped(value: float | None) -> str:
    if value is None:
        return "–"
    return "0" if value == 0 else "<0.1%" if value < 0.001 else f"{value:.1%}"
