"""`dsmobile evaluate`: how often artifacts are right, and how near they are to a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def evaluate(
    artifacts: Annotated[list[Path], typer.Argument(metavar="ARTIFACT...", help=".tflite, .onnx, .keras, .h5 or .hdf5 files.")],
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR|FILE.npz", help="A folder of images, one folder a class, or an .npz with x and y; beside a --reference unlabelled too."
        ),
    ],
    labels: Annotated[Path | None, typer.Option(metavar="FILE", help="One class a line; by default the manifest's.")] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(metavar="P", help='From RGB bytes to the input: "resize=256,crop=224,scale=-1..1".'),
    ] = None,
    reference: Annotated[Path | None, typer.Option(metavar="ARTIFACT", help="The file to compare with: agreement, SQNR, lost top-1.")] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Take N inputs, spread evenly over the classes.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Top-1 and top-5 of files on images or arrays, with an interval; and what they lose against a reference, with a bound."""
    from dsmobile.cli.output import progress, run

    def action() -> tuple[dict[str, Any], int]:
        from dsmobile.evaluation.evaluate import evaluate as evaluate_artifacts

        with progress(as_json=as_json) as advance:
            results = evaluate_artifacts(
                artifacts, data=data, labels=labels, preprocess=preprocess, reference=reference, limit=limit, progress=advance
            )
        return {"results": [result.to_json() for result in results]}, 0

    def show(document: dict[str, Any]) -> None:
        from dsmobile.evaluation.table import show_evaluations

        show_evaluations(document)

    run(action, as_json=as_json, show=show)
