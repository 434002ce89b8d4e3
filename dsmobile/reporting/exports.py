"""What an export wrote, for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def show_exports(document: dict[str, Any]) -> None:
    """Prints the files of an export.

    Args:
        document: Of `pipeline.Exported.to_json`.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE, header_style="bold")
    for column in ("file", "size", "largest error", "SQNR", "top-1 agreement"):
        table.add_column(column, justify="left" if column == "file" else "right", overflow="fold")
    for artifact in document["artifacts"]:
        parity = artifact["parity"]
        table.add_row(
            Text(Path(artifact["path"]).name), f"{artifact['size_bytes'] / 1e6:.2f} MB", f"{parity['max_abs_error']:.1e}",
            "equal" if parity["sqnr_db"] is None else f"{parity['sqnr_db']:.1f} dB", f"{parity['top1_agreement']:.0%}",
        )  # fmt: skip
    console.print(table)
    console.print("Errors are against the network itself, before the softmax.")
    for note in document["notes"]:
        console.print(Text(f"Note: {note}", style="yellow"))
    if document["artifacts"]:
        console.print(Text(f"Written to {Path(document['artifacts'][0]['path']).parent}"))
