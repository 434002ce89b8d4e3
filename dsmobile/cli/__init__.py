"""The command line: one verb, one file. A verb's file is imported only when that verb is asked for, so that help costs no more than typer."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

VERBS = {
    "quickstart": "Build MobileNetV1 and its standard-convolution twin, export both, measure both here, and show what came out.",
    "models": "List the architectures, or show what one costs, pair by pair, against its twin.",
    "export": "Write a network, and its twin, as TFLite and ONNX, float32 and int8, each checked against the network.",
    "evaluate": "Top-1 and top-5 of files on images or arrays, with an interval; what they lose against a reference.",
    "inspect": "What is inside anybody's model file: inputs, operators, MACs, weights, quantization, and which runtime here takes it.",
    "doctor": "Where and why quantization lost accuracy, layer by layer on real data, and what to do.",
    "bench": "Measure files here, over SSH or on a phone: latency, and the speed-up of each pair, with intervals.",
    "compare": "Two results side by side, where they were measured alike.",
    "report": "Turn results into one HTML page, Markdown, CSV or JSON.",
    "ship": "Hand a network to an app: an Android module, golden vectors, TFLite metadata; check the app's package.",
    "devices": "What can be measured on, and how to address it.",
}
_GROUPS = ("models", "ship", "devices")


def _version(wanted: bool) -> None:
    if wanted:
        from dsmobile import __version__

        typer.echo(f"dsmobile {__version__}")
        raise typer.Exit


def build_app(verb: str | None) -> typer.Typer:
    """The program with one verb's own options, or with every verb's line of help.

    Args:
        verb: The verb asked for; None for the overview.
    """
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Depthwise separable networks on phones and Raspberry Pis: build, export, measure against the standard-convolution twin, ship.",
        epilog="Begin with: dsmobile quickstart",
    )

    @app.callback()
    def root(
        version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)] = False,
    ) -> None:
        """Takes the options that belong to no verb."""

    for name, text in VERBS.items():
        if name != verb:
            app.command(name, help=text)(_elsewhere)
        elif name in _GROUPS:
            app.add_typer(_module(name).app, name=name, help=text)
        else:
            module = _module(name)
            app.command(name, help=text, cls=getattr(module, "Command", None))(getattr(module, name))
    return app


def _elsewhere() -> None:
    """Stands for a verb that was not asked for."""


def _module(name: str) -> Any:
    from importlib import import_module

    return import_module(f"dsmobile.cli.{name}")


def main() -> None:
    """Runs the command line and ends the process."""
    arguments = sys.argv[1:]
    verb = next((argument for argument in arguments if not argument.startswith("-")), None)
    try:
        code = build_app(verb if verb in VERBS else None)(standalone_mode=False)
    except typer.Exit as ended:
        code = ended.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except _UsageError as error:
        code = 2
        if "--json" in arguments:
            document = {"error": {"kind": "UsageError", "message": error.format_message(), "advice": f"see dsmobile {verb or ''} --help"}}
            sys.stdout.write(json.dumps(document) + "\n")
        else:
            from typer.rich_utils import rich_format_error

            rich_format_error(error)
    sys.exit(code if isinstance(code, int) else 0)


_UsageError: Any = typer.BadParameter.__mro__[1]  # click's own, which typer carries without naming it
