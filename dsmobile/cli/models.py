"""`dsmobile models`: what there is, and what it costs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """List the architectures that come with dsmobile."""
    from dsmobile.cli.output import run

    def action() -> tuple[dict[str, Any], int]:
        from dsmobile import pipeline

        return {"models": pipeline.list_models()}, 0

    def show(document: dict[str, Any]) -> None:
        from dsmobile.reporting.models import show_list

        show_list(document["models"])

    run(action, as_json=as_json, show=show)


@app.command("show")
def show_model(
    source: Annotated[str, typer.Argument(help="An architecture's name, a .toml, .keras, .h5 or .hdf5 file, or keras:NAME.")],
    alpha: Annotated[float | None, typer.Option(help="Width multiplier.")] = None,
    resolution: Annotated[int | None, typer.Option(help="Height and width of the input in pixels.")] = None,
    channels: Annotated[int | None, typer.Option(help="Channels of the input.")] = None,
    classes: Annotated[int | None, typer.Option(help="Classes of the head.")] = None,
    no_top: Annotated[bool, typer.Option("--no-top", help="Leave the head away: the output is the body's last map.")] = False,
    twin: Annotated[str, typer.Option(help="none, standard, same-macs or same-parameters.")] = "standard",
    per_layer: Annotated[bool, typer.Option("--per-layer", help="Layer by layer, and pair by pair with the rule and the ratio.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show what a network costs, and what its twin of standard convolutions costs."""
    from dsmobile.cli.output import run

    def action() -> tuple[dict[str, Any], int]:
        from dsmobile import pipeline

        return (
            pipeline.show_model(source, alpha=alpha, resolution=resolution, channels=channels, classes=classes, top=not no_top, twin=twin),
            0,
        )

    def show(document: dict[str, Any]) -> None:
        from dsmobile.reporting.models import show_cost

        show_cost(document, per_layer=per_layer)

    run(action, as_json=as_json, show=show)
