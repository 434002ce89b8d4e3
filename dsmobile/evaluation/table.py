"""Evaluations as a table in a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def show_evaluations(document: dict[str, Any]) -> None:
    """Prints one line for each artifact, then the notes.

    Args:
        document: `{"results": [Evaluation.to_json(), ...]}`.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    results = document["results"]
    compared = any(result["agreement"] is not None for result in results)
    table = Table(box=box.SIMPLE, header_style="bold")
    columns = ["artifact", "top-1", "95% interval", "top-5", "inputs", *(["agreement", "SQNR"] if compared else []), "time"]
    for column in columns:
        table.add_column(column, justify="left" if column == "artifact" else "right", overflow="fold")
    for result in results:
        low, high = result["top1_interval"]
        cells = [f"{result['top1']:.1%}", f"{low:.1%} to {high:.1%}", f"{result['top5']:.1%}", str(result["count"])]
        if compared:
            cells += [f"{result['agreement']:.1%}", "equal" if result["sqnr_db"] is None else f"{result['sqnr_db']:.1f} dB"]
        table.add_row(Text(printable(Path(result["path"]).name)), *cells, f"{result['seconds']:.1f} s")
    console = Console(highlight=False, emoji=False)
    console.print(table)
    for note in dict.fromkeys(note for result in results for note in result["notes"]):
        console.print(Text.assemble(("Note: ", "yellow"), printable(note)), soft_wrap=True)


def printable(text: str) -> str:
    """Text without control codes, which a stranger's file name may hold."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
