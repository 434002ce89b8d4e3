"""`dsmobile report`: results as an HTML page with charts, Markdown, CSV or JSON."""

from typing import Annotated, Any

import typer


def report(
    results: Annotated[list[str], typer.Argument(metavar="RESULT...", help="Result files from OUT/results, as `dsmobile bench` wrote them.")],
    format: Annotated[str, typer.Option("--format", metavar="html|md|csv|json", help="What to write.")] = "html",  # noqa: A002
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="The file to write. Default: dsmobile-report.html for html; the terminal for the others."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show results to others: one HTML page with charts (needs no network), Markdown, CSV or JSON, without names of machines or people."""
    from pathlib import Path

    from dsmobile.cli.output import run
    from dsmobile.reporting.write import write_report

    def action() -> tuple[dict[str, Any], int]:
        return write_report([Path(result) for result in results], format, None if out is None else Path(out), force).to_json(), 0

    def show(document: dict[str, Any]) -> None:
        import sys

        if document["report"] is None:
            sys.stdout.write(document["content"])
        else:
            sys.stdout.write(f"{document['report']}\n")

    run(action, as_json=as_json, show=show)
