"""Two results side by side, for a person at a terminal; fits 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsmobile.benchmark.compare import CAVEAT, Compared, Comparison
from dsmobile.benchmark.result import Validity
from dsmobile.reporting.figures import cost_units, percent, quantity, ratio
from dsmobile.reporting.terminal import COLOURS
from dsmobile.reporting.text import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console


def show_comparison(comparison: Comparison, console: Console) -> None:
    """Prints a comparison.

    Args:
        comparison: Names in it may hold anything: markup and terminal codes are shown, not obeyed.
        console: Where to.
    """
    from rich.text import Text

    for label, path, validity in zip(("First", "Second"), (comparison.before, comparison.after), comparison.validities, strict=True):
        console.print(Text.assemble(f"{label:<7} ", (f" {validity} ", COLOURS[validity]), f" {plain(path)}"), soft_wrap=True)
    if comparison.forced:
        console.print(Text("Forced: these runs were not measured alike, and their figures do not belong side by side.", style="bold red"))
    for difference in comparison.differences:
        mark = ("  ! ", COLOURS[Validity.INVALID]) if difference.forbids else ("  · ", "dim")
        console.print(Text.assemble(mark, plain(str(difference))))
    console.print()
    _table(console, "Model", "Second is", comparison.artifacts, lambda value: quantity(value, cost_units(comparison.metric)))
    if comparison.pairs:
        _table(console, "Speed-up of", "Speed-up changed by", comparison.pairs, lambda value: f"{value:.3g}×")
    if comparison.alone:
        console.print(Text(f"In one of the two only: {', '.join(map(plain, comparison.alone))}."))
    console.print(Text(CAVEAT, style="dim"))


def _table(console: Console, first: str, change: str, rows: Sequence[Compared], figure: Callable[[float], str]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), leading=1)
    table.add_column(first, overflow="fold", min_width=20)
    for heading in ("First", "Second", f"{change}\n95% interval", "Verdict\ndetectable"):
        table.add_column(heading, justify="right", overflow="fold")
    for row in rows:
        found, interval = ratio(row.ratio, row.ratio_interval)
        table.add_row(
            Text(plain(row.name), style="bold", overflow="fold"),
            figure(row.before),
            figure(row.after),
            Text(f"{found}\n{interval}"),
            Text(f"{row.verdict}\n{percent(row.minimum_detectable)}"),
        )
    console.print(table)
    console.print()
