"""`dsmobile ship`: hand an artifact to whoever builds an app, and look into what was built."""

from __future__ import annotations

from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Hand an artifact to a mobile developer.")


@app.callback()
def ship() -> None:
    """Hand an artifact to a mobile developer."""


@app.command("android")
def android(
    artifact: Annotated[str, typer.Argument(metavar="ARTIFACT", help="A .tflite classifier that `dsmobile export` wrote, its manifest beside it.")],
    labels: Annotated[str, typer.Option("--labels", metavar="FILE", help="One class a line, in the network's order.")],
    package: Annotated[str, typer.Option("--package", metavar="NAME", help="The Kotlin package and namespace: com.acme.vision.")],
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="The module's folder; by default dsmobile-out/android/NAME.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace files that you changed, and write into a folder that is no module.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write a Gradle library module: the network, Kotlin that runs it on LiteRT, and golden vectors that check it."""
    from dsmobile.cli import output

    def action() -> tuple[dict[str, Any], int]:
        from pathlib import Path

        from dsmobile.shipping.android import ship_android

        return ship_android(Path(artifact), Path(labels), package, Path(out) if out else None, force=force).to_json(), 0

    output.run(action, as_json=as_json, show=_show)


@app.command("goldens")
def goldens(
    artifact: Annotated[str, typer.Argument(metavar="ARTIFACT", help="A .tflite classifier that `dsmobile export` wrote, its manifest beside it.")],
    labels: Annotated[str, typer.Option("--labels", metavar="FILE", help="One class a line, in the network's order.")],
    images: Annotated[str, typer.Option("--images", metavar="DIR", help="Photographs of yours to add to the synthetic images.")] = "",
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="The folder; by default dsmobile-out/goldens/NAME.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace files that are already there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write golden vectors: images, the tensors they become, what the network answers, for tests in any language."""
    from dsmobile.cli import output

    def action() -> tuple[dict[str, Any], int]:
        from pathlib import Path

        from dsmobile import pipeline

        written = pipeline.ship_goldens(Path(artifact), Path(labels), Path(out) if out else None, Path(images) if images else None, force=force)
        return written.to_json(), 0

    output.run(action, as_json=as_json, show=_show_goldens)


@app.command("metadata")
def metadata(
    model: Annotated[str, typer.Argument(metavar="FILE", help="A .tflite classifier: yours or a stranger's.")],
    labels: Annotated[str, typer.Option("--labels", metavar="FILE", help="One class a line, in the network's order.")],
    preprocess: Annotated[str, typer.Option("--preprocess", help="From RGB bytes to the input; needed for a file that dsmobile did not write.")] = "",
    name: Annotated[str, typer.Option("--name", help="Of the network; by default what the file has.")] = "",
    description: Annotated[str, typer.Option("--description", help="Of the network; by default what the file has.")] = "",
    version: Annotated[str, typer.Option("--version", help="Of the network; by default what the file has.")] = "",
    author: Annotated[str, typer.Option("--author", help="Of the network; by default what the file has.")] = "",
    licence: Annotated[str, typer.Option("--license", help="Of the network; by default what the file has.")] = "",
    score_calibration: Annotated[
        str, typer.Option("--score-calibration", metavar="FILE", help="A line for each class: scale,slope,offset or scale,slope,offset,min_score.")
    ] = "",
    score_transformation: Annotated[
        str, typer.Option("--score-transformation", help="Before the calibration: identity, log or inverse_logistic.")
    ] = "identity",
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="The file to write; by default dsmobile-out/NAME.tflite.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is already there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write TFLite metadata into a copy of a file: labels, normalization, author, licence, score calibration."""
    from dsmobile.cli import output

    def action() -> tuple[dict[str, Any], int]:
        from pathlib import Path

        from dsmobile import pipeline

        stamped = pipeline.ship_metadata(
            Path(model), Path(labels), Path(out) if out else None, preprocess=preprocess, name=name, description=description, version=version,
            author=author, license=licence, score_calibration=Path(score_calibration) if score_calibration else None,
            score_transformation=score_transformation, force=force,
        )  # fmt: skip
        return stamped.to_json(), 0

    output.run(action, as_json=as_json, show=_show_metadata)


@app.command("check")
def check(
    apk: Annotated[str, typer.Argument(metavar="APK", help="An app's package.")],
    artifact: Annotated[str, typer.Option("--artifact", metavar="FILE", help="The exported .tflite that should be inside.")] = "",
    module: Annotated[str, typer.Option("--module", metavar="DIR", help="The generated module that should be inside.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Look into an APK: which network is inside, whether it is the exported one, whether the package is fit to ship; exit 7 if not."""
    from dsmobile.cli import output
    from dsmobile.errors import ExitCode

    def action() -> tuple[dict[str, Any], int]:
        from pathlib import Path

        from dsmobile import pipeline

        report = pipeline.ship_check(Path(apk), Path(artifact) if artifact else None, Path(module) if module else None)
        return report.to_json(), ExitCode.CHECK_FAILED if report.failed else 0

    def show(document: dict[str, Any]) -> None:
        from dsmobile.shipping.apk.terminal import show_apk_report

        show_apk_report(document)

    output.run(action, as_json=as_json, show=show)


def _show_goldens(document: dict[str, Any]) -> None:
    from rich.text import Text

    from dsmobile.cli import output

    console = output.console(stderr=False)
    console.print(Text.assemble(("Goldens: ", "bold"), document["folder"]), soft_wrap=True)
    console.print(Text(f"{', '.join(document['goldens'])}; model SHA-256 {document['model_sha256'][:12]}"))
    console.print("index.json describes every file: shapes, types, byte order, outputs and tolerance.")


def _show_metadata(document: dict[str, Any]) -> None:
    from rich.text import Text

    from dsmobile.cli import output

    console = output.console(stderr=False)
    console.print(Text.assemble(("Written: ", "bold"), document["path"]), soft_wrap=True)
    console.print(f"{document['labels']} labels; the network's bytes are those of the file given; SHA-256 {document['sha256'][:12]}")
    for note in document["notes"]:
        console.print(Text.assemble(("Note: ", "yellow"), note), soft_wrap=True)


def _show(document: dict[str, Any]) -> None:
    from rich.text import Text

    from dsmobile.cli import output

    console = output.console(stderr=False)
    console.print(Text.assemble(("Module: ", "bold"), document["module"]), soft_wrap=True)
    console.print(f"{len(document['files'])} files generated, package {document['package']}, model SHA-256 {document['model_sha256'][:12]}")
    for key, what in (("kept", "kept, since you changed it"), ("removed", "removed, since it is generated no more")):
        for path in document[key]:
            console.print(Text(f"{what}: {path}"), soft_wrap=True)
    for warning in document["warnings"]:
        console.print(Text.assemble(("Warning: ", "yellow"), warning), soft_wrap=True)
    console.print("Next: README.md in the module; it was generated, not built.")
