"""`dsmobile inspect`: what is inside anybody's model file, and which runtime here takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .tflite, .onnx, .keras, .h5 or .hdf5 file, anybody's.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """What is inside anybody's model file: inputs, operators, MACs, weights, quantization, and which runtime here takes it."""
    from dsmobile.cli.output import run

    def action() -> tuple[dict[str, Any], int]:
        from dsmobile.inspection.inspect import inspect as inspect_file

        return inspect_file(file).to_json(), 0

    def show(document: dict[str, Any]) -> None:
        from dsmobile.inspection.terminal import show_inspection

        show_inspection(document)

    run(action, as_json=as_json, show=show)
