"""`dsmobile compare`: two results side by side, where they were measured alike."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def compare(
    first: Annotated[str, typer.Argument(metavar="RESULT", help="A result: OUT/results/*.json.")],
    second: Annotated[str, typer.Argument(metavar="RESULT", help="Another one.")],
    force: Annotated[bool, typer.Option("--force", help="Compare runs that were not measured alike; what differs is listed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Compare two results; refused where runtime, version, threads, device or delegate differ."""
    from dsmobile.cli import output

    kept: dict[str, Any] = {}

    def action() -> tuple[dict[str, Any], int]:
        from pathlib import Path

        from dsmobile import pipeline

        kept["comparison"] = pipeline.compare(Path(first), Path(second), force=force)
        return kept["comparison"].to_json(), 0

    def show(_: dict[str, Any]) -> None:
        from dsmobile.reporting.comparison import show_comparison

        show_comparison(kept["comparison"], output.console(stderr=False))

    output.run(action, as_json=as_json, show=show)
