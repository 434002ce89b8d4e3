"""`dsmobile quickstart`: everything once, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def quickstart(
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("dsmobile-quickstart"),
    force: Annotated[bool, typer.Option("--force", help="Replace files of an earlier quickstart by other versions.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Build MobileNetV1 and its standard-convolution twin, export both, measure both here, and show what came out."""
    from dsmobile.cli import output

    kept: dict[str, Any] = {}

    def action() -> tuple[dict[str, Any], int]:
        from dsmobile import pipeline
        from dsmobile.benchmark.run import exit_code, to_document

        with output.progress(as_json=as_json) as advance:
            made = pipeline.quickstart(out, advance, force=force)
        kept["made"] = made
        document = {**made.exported.to_json(), "bench": to_document(made.result, made.result_path), "report": str(made.report)}
        return document, exit_code(made.result)

    def show(document: dict[str, Any]) -> None:
        from dsmobile.reporting.terminal import show_result

        console = output.console(stderr=False)
        show_result(kept["made"].result, console)
        for note in document["notes"]:
            console.print(f"Note: {note}", style="yellow", markup=False)
        console.print(f"Files:  {out.resolve()}", markup=False, soft_wrap=True)
        console.print(f"Report: {document['report']}  (open it in a browser)", markup=False, soft_wrap=True)

    output.run(action, as_json=as_json, show=show)
