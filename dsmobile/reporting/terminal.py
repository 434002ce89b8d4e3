"""The table that people see after a benchmark: what was measured, against what, and whether it can be believed; fits 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsmobile.benchmark.result import Result, Validity
from dsmobile.reporting.figures import NONE
from dsmobile.reporting.over_time import METHOD, over_time_row
from dsmobile.reporting.rows import DETECTABLE_METHOD, MEANINGS, SPEEDUP_METHOD, ArtifactRow, PairRow, artifact_row, pair_row, warning_text
from dsmobile.reporting.text import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDE = 110
"""Columns from which every figure gets a column of its own; below, two share a cell, one above the other."""
COLOURS = {Validity.VALID: "bold green", Validity.DEGRADED: "bold yellow", Validity.INVALID: "bold white on red"}


def show_result(result: Result, console: Console) -> None:
    """Prints a result for a person.

    Args:
        result: The measurement. Names in it may hold anything: markup and terminal codes are shown, not obeyed.
        console: Where to; its width decides the layout.
    """
    from rich.text import Text

    console.print(_validity(result))
    for warning in result.warnings:
        console.print(Text.assemble(("  ! ", COLOURS[Validity.DEGRADED]), (f"{plain(warning.kind)}: ", "bold"), plain(warning_text(warning.advice))))
    if result.metric == "instructions":
        console.print(Text("Counted in instructions per inference on an emulated device: a cost, not a latency."))
    console.print()
    console.print(_artifacts(result, console.width))
    for artifact in result.artifacts:
        if artifact.outliers:
            console.print(Text(f"{plain(artifact_row(artifact, result.metric).outliers)}.", style="dim"))
    console.print()
    if result.sustained:
        console.print(_over_time(result))
        console.print()
        for found in result.sustained:
            console.print(Text(plain(over_time_row(found, result).sentence), style="bold"))
        console.print(Text(METHOD, style="dim"))
        return
    if not result.pairs:
        console.print(Text("No pair: nothing was compared. `--pair A B` names two files to compare.", style="dim"))
        return
    console.print(_pairs(result, console.width))
    console.print()
    for pair in result.pairs:
        console.print(Text(plain(pair_row(pair, result).sentence), style="bold"))
    console.print(Text(f"Interval: 95%. {DETECTABLE_METHOD} {SPEEDUP_METHOD}", style="dim"))


def _validity(result: Result) -> Text:
    from rich.text import Text

    style = COLOURS[result.validity]
    return Text.assemble((f" {result.validity} ", style), " ", (MEANINGS[result.validity], "" if result.validity is Validity.VALID else "bold"))


def _artifacts(result: Result, width: int) -> Table:
    rows = [artifact_row(artifact, result.metric) for artifact in result.artifacts]
    cost = "median" if result.metric == "latency" else "instructions"
    if width >= WIDE:
        table = _table("Artifact\nruntime", "Size", "Load", "First inference", f"{cost.capitalize()}\n95% interval", "Peak memory")
        for row in rows:
            table.add_row(_named(row), row.size, row.load, row.first_inference, _stacked(row.median, row.interval), row.peak_memory)
        return table
    table = _table("Artifact\nruntime", "Size\npeak memory", "Load\nfirst run", f"{cost.capitalize()}\n95% interval")
    for row in rows:
        table.add_row(_named(row), f"{row.size}\n{row.peak_memory}", f"{row.load}\n{row.first_inference}", _stacked(row.median, row.interval))
    return table


def _pairs(result: Result, width: int) -> Table:
    rows = [pair_row(pair, result) for pair in result.pairs]
    if width >= WIDE:
        table = _table("Pair", "Speed-up\n95% interval", "Theory\n(ratio of MACs)", "% of theory", "Verdict", "Smallest detectable\ndifference")
        for row in rows:
            table.add_row(_pair(row), _stacked(row.speedup, row.interval), row.theory, row.share, _verdict(row.verdict), row.minimum_detectable)
        return table
    table = _table("Pair", "Speed-up\n95% interval", "MACs ratio\n% of theory", "Verdict\ndetectable")
    for row in rows:
        share = f"{row.share} of it" if row.share != NONE else NONE
        verdict = _verdict(row.verdict).append(f"\n{row.minimum_detectable}", style="not bold default")
        table.add_row(_pair(row), _stacked(row.speedup, row.interval), f"{row.theory}\n{share}", verdict)
    return table


def _over_time(result: Result) -> Table:
    table = _table("Without a pause", "First\nlast", "Takes as long\n95% interval", "Temperature\nclock")
    for found in result.sustained:
        row = over_time_row(found, result)
        table.add_row(_name(row.name), f"{row.first}\n{row.last}", _stacked(row.slowdown, row.interval), f"{row.temperature}\n{row.frequency}")
    return table


def _table(first: str, *others: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), leading=1)
    table.add_column(first, overflow="fold", min_width=20)
    for other in others:
        table.add_column(other, justify="right", overflow="fold", max_width=19)
    return table


def _name(name: str) -> Text:
    from rich.text import Text

    return Text(plain(name), style="bold", overflow="fold")


def _named(row: ArtifactRow) -> Text:
    return _name(row.name).append(f"\n{plain(row.runtime)}", style="not bold dim")


def _pair(row: PairRow) -> Text:
    recipe = f", {plain(row.recipe)}" if row.recipe != NONE else ""
    return (
        _name(row.separable)
        .append("\nagainst ", style="not bold")
        .append(plain(row.twin))
        .append(f"\n{plain(row.runtime)}{recipe}", style="not bold dim")
    )


def _stacked(figure: str, interval: str) -> Text:
    from rich.text import Text

    return Text.assemble((figure, "bold"), "\n", interval)


def _verdict(verdict: str) -> Text:
    from rich.text import Text

    style = {"faster": "bold green", "slower": "bold red", "INVALID": COLOURS[Validity.INVALID]}.get(verdict, "bold")
    return Text(verdict, style=style)
