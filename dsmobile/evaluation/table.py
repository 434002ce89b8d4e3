"""Evaluations as a table in a terminal."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any


def show_evaluations(document: dict[str, Any]) -> None:
    """Prints one line for each artifact, then the notes.

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
        low, high = result["top1_interval"]
        cells = [percent(result["top1"]), f"{percent(low)} to {percent(high)}", percent(result["top5"]), str(result["count"])]
        if compared:
            cells += [percent(result["agreement"]), "equal" if result["sqnr_db"] is None else f"{result['sqnr_db']:.1f} dB"]
        table.add_row(Text(f"[{number}]"), *cells, f"{result['seconds']:.1f} s")
    console = Console(highlight=False, emoji=False)
    for number, result in enumerate(results, 1):
        console.print(Text(f"[{number}] {printable(Path(result['path']).name)}"), soft_wrap=True)
    console.print()
    console.print(table)
    for note in dict.fromkeys(note for result in results for note in result["notes"]):
        console.print(Text.assemble(("Note: ", "yellow"), printable(note)), soft_wrap=True)


def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal, rounded half up: 0.8025 is 80.3%."""
    return f"{(Decimal(str(round(fraction, 9))) * 100).quantize(Decimal('0.1'), ROUND_HALF_UP)}%"


def printable(text: str) -> str:
    """Text without control codes, which a stranger's file name may hold."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
