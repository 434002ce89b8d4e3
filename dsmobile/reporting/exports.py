"""What an export wrote, for people."""

from __future__ import annotations

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
    for column in ("role", "recipe", "format", "size", "largest error", "SQNR", "same top-1 of"):
        table.add_column(column, justify="left" if column in ("role", "recipe", "format") else "right")
    for artifact in document["artifacts"]:
        parity = artifact["parity"]
        table.add_row(
            artifact["role"],
            Text(artifact["recipe"]),
            artifact["format"],
            f"{artifact['size_bytes'] / 1e6:.2f} MB",
            f"{parity['max_abs_error']:.1e}",
            "equal" if parity["sqnr_db"] is None else f"{parity['sqnr_db']:.1f} dB",
            f"{parity['top1_agreement']:.0%} {parity['count']}",
        )
    console.print(table)
    console.print("Compared with the network itself, before the softmax.")
    for line in dict.fromkeys(filter(None, map(_correction, document["artifacts"]))):
        console.print(Text(line))
    for note in document["notes"]:
        console.print(Text(f"Note: {note}", style="yellow"))
    for artifact in document["artifacts"]:
        console.print(Text(artifact["path"]), soft_wrap=True)


def _correction(artifact: dict[str, Any]) -> str:
    """What correcting the integers gained on inputs kept aside; empty where nothing was corrected."""
    correction = artifact.get("correction") or {}
    figures = correction.get("candidates")
    if not figures:
        return ""
    shipped = correction["shipped"]
    plain, best = (figures[name]["sqnr_db"] for name in ("plain", shipped))
    who = f"{artifact['role']} {artifact['recipe']}, {correction['held_out']} inputs kept aside:"
    if shipped == "plain" or plain is None or best is None:
        return f"{who} correcting gains nothing; plain integers are shipped."
    return f"{who} {plain:.1f} dB plain, {best:.1f} dB corrected ({shipped}), which is shipped."
