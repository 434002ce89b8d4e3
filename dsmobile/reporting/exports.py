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
    _show_acceptance(console, document["artifacts"])
    for note in document["notes"]:
        console.print(Text(f"Note: {note}", style="yellow"))
    for artifact in document["artifacts"]:
        console.print(Text(artifact["path"]), soft_wrap=True)


def show_foresight(document: dict[str, Any]) -> None:
    """Prints who would accept which file.

    Args:
        document: Of `pipeline.foresee`.
    """
    from rich.console import Console

    console = Console(highlight=False)
    _show_acceptance(console, document["artifacts"])
    console.print("Nothing was computed or written.")


def _show_acceptance(console: Any, artifacts: list[dict[str, Any]]) -> None:
    """A row for each kind of file and a column for each program, then the reasons."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    files = {f"{artifact['recipe']} {artifact['format']}": artifact["accepted_by"] for artifact in artifacts if artifact["accepted_by"]}
    if not files:
        return
    titles = {name: one["title"] for accepted in files.values() for name, one in accepted.items()}
    table = Table(box=box.SIMPLE, header_style="bold", title="Who accepts the file", title_justify="left", title_style="")
    table.add_column("", no_wrap=True)
    for title in titles.values():
        table.add_column(_without_version(title))
    for file, accepted in files.items():
        table.add_row(Text(file), *(_answer(accepted[name]) for name in titles))
    console.print(table)
    for name, title in titles.items():
        for why, instead, told in _reasons(name, files):
            console.print(Text(f"{title}, {told}: {why}; {instead}."))


def _without_version(title: str) -> str:
    name, _, version = title.rpartition(" ")
    return name if version[:1].isdigit() else title


def _answer(one: dict[str, Any]) -> str:
    return "no" if not one["accepted"] else "yes, but" if one["why"] else "yes"


def _reasons(name: str, files: dict[str, dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Each reason once, with the files that it is of; that a program reads another format needs no words."""
    found: dict[tuple[str, str], list[str]] = {}
    for file, accepted in files.items():
        for why, instead in zip(accepted[name]["why"], accepted[name]["instead"], strict=True):
            if not instead.startswith("give --format"):
                found.setdefault((why, instead), []).append(file)
    return [(why, instead, ", ".join(those) if len(those) < len(files) else "all") for (why, instead), those in found.items()]


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
