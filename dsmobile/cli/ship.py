"""`dsmobile ship`: hand an artifact to a mobile developer."""

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
