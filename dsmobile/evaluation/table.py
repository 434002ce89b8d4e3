"""Evaluations as a table in a terminal."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from dsmobile.evaluation.names import distinguishing


def show_evaluations(document: dict[str, Any]) -> None:
    """Prints one line for each artifact, what each loses against the reference, then the notes.

    Args:
        document: `{"results": [Evaluation.to_json(), ...]}`.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    results = document["results"]
    compared = any(result["agreement"] is not None for result in results)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    columns = ["", "top-1", "95% interval", "top-5", "inputs", *(["agrees", "SQNR"] if compared else []), "time"]
    for column in columns:
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for number, result in enumerate(results, 1):
        interval = result["top1_interval"]
        cells = [percent(result["top1"]), " to ".join(map(percent, interval)) if interval else "–", percent(result["top5"]), str(result["count"])]
        if compared:
            cells += [percent(result["agreement"]), "equal" if result["sqnr_db"] is None else f"{result['sqnr_db']:.1f} dB"]
        table.add_row(Text(f"[{number}]"), *cells, f"{result['seconds']:.1f} s")
    console = Console(highlight=False, emoji=False)
    names = distinguishing(Path(result["path"]) for result in results)
    for number, result in enumerate(results, 1):
        console.print(Text(f"[{number}] {printable(names[Path(result['path'])])}"), soft_wrap=True)
    console.print()
    console.print(table)
    losses = [f"[{number}] {loss(result)}" for number, result in enumerate(results, 1) if result["drop"] is not None]
    if losses:
        console.print(Text("\nAgainst the reference, on the same inputs:", "bold"))
    for line in losses:
        console.print(Text(line), soft_wrap=True)
    for note in dict.fromkeys(note for result in results for note in result["notes"]):
        console.print(Text.assemble(("Note: ", "yellow"), printable(note)), soft_wrap=True)


def loss(result: dict[str, Any]) -> str:
    """What an artifact loses of the reference's top-1, in a sentence.

    Args:
        result: `Evaluation.to_json()` of labelled inputs and a reference.
    """
    upper = result["drop_upper"]
    bound = f"loses at most {_points(upper, ROUND_CEILING)}" if upper > 0 else f"gains at least {_points(-upper, ROUND_FLOOR)}"
    return f"{bound} points of top-1 (95%): {result['lost']} right answers lost, {result['gained']} gained"


def _points(share: float, rounding: str) -> Decimal:
    """Percentage points with one decimal, rounded so that what is said of them stays true."""
    return (Decimal(str(round(share, 9))) * 100).quantize(Decimal("0.1"), rounding)


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with one decimal, rounded half up: 0.8025 is 80.3%; a dash where it is not known."""
    if fraction is None:
        return "–"
    return f"{(Decimal(str(round(fraction, 9))) * 100).quantize(Decimal('0.1'), ROUND_HALF_UP)}%"


def printable(text: str) -> str:
    """Text without control codes, which a stranger's file name may hold."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
