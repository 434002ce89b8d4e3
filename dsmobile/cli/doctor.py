"""`dsmobile doctor`: where and why quantization lost accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def doctor(
    subject: Annotated[
        str,
        typer.Argument(metavar="ARTIFACT|SOURCE", help="A quantized .tflite file, anybody's; or an architecture's name, .keras, .h5, keras:NAME."),
    ],
    data: Annotated[Path, typer.Option(metavar="DIR|FILE.npz", help="Inputs like those of the task; labels are not needed.")],
    reference: Annotated[
        Path | None, typer.Option(metavar="ARTIFACT", help="The float .tflite of the same network; by default the one beside.")
    ] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(metavar="P", help='From RGB bytes to the input: "resize=256,crop=224,scale=-1..1".'),
    ] = None,
    calibration: Annotated[
        str | None, typer.Option(metavar="DIR|FILE.npz", help="Of a SOURCE: what sets the ranges; by default the data themselves.")
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Take N inputs, evenly spread; 100 by default.")] = None,
    recipe: Annotated[str | None, typer.Option(metavar="NAME", help="Of a SOURCE: the recipe to look at; int8 by default.")] = None,
    prices: Annotated[bool, typer.Option("--prices", help="Of a SOURCE: what each of the worst layers would cost in float32.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Show all layers, not only the worst.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Where and why quantization lost accuracy, layer by layer on real data, and what to do."""
    from dsmobile.cli.output import progress, run

    def action() -> tuple[dict[str, Any], int]:
        from dsmobile import pipeline

        with progress(as_json=as_json) as advance:
            found = pipeline.doctor(
                subject,
                data=data,
                reference=reference,
                preprocess=preprocess,
                calibration=calibration,
                limit=limit,
                recipe=recipe,
                prices=prices,
                progress=advance,
            )
        return found.to_json(), 0

    def show(document: dict[str, Any]) -> None:
        from dsmobile.diagnosis.terminal import show_diagnosis

        show_diagnosis(document, every=every)

    run(action, as_json=as_json, show=show)
