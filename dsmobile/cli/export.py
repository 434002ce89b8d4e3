"""`dsmobile export`: a network to files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

_RECIPES = "float32, float16, dynamic, int8, int8-plain, int16x8, mixed or a TOML file; may be repeated. float32 and int8 by default."

_FOR = "mediapipe, litert-kotlin, litert-js, onnxruntime or microcontrollers: refuse at once if it would accept none of the files; may be repeated."


def export(
    source: Annotated[str, typer.Argument(help="An architecture's name, a .toml, .keras, .h5 or .hdf5 file, or keras:NAME.")],
    alpha: Annotated[float | None, typer.Option(help="Width multiplier.")] = None,
    resolution: Annotated[int | None, typer.Option(help="Height and width of the input in pixels.")] = None,
    channels: Annotated[int | None, typer.Option(help="Channels of the input.")] = None,
    classes: Annotated[int | None, typer.Option(help="Classes of the head.")] = None,
    no_top: Annotated[bool, typer.Option("--no-top", help="Leave the head away: the output is the body's last map.")] = False,
    weights: Annotated[str | None, typer.Option(help="random, imagenet, or a .keras or .h5 file.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of random weights; 0 by default.")] = None,
    twin: Annotated[str, typer.Option(help="none, standard, same-macs or same-parameters: the network of standard convolutions beside it.")] = "none",
    formats: Annotated[list[str] | None, typer.Option("--format", help="tflite or onnx; may be repeated. Both by default.")] = None,
    recipes: Annotated[list[str] | None, typer.Option("--recipe", help=_RECIPES)] = None,
    head: Annotated[str, typer.Option(help="as-is, logits or softmax.")] = "as-is",
    io: Annotated[str, typer.Option(help="Type of an int8 file's input and output: float32, uint8 or int8.")] = "float32",
    target: Annotated[str, typer.Option(help="arm, or x86: 7-bit weights in int8 ONNX, for x86 without VNNI.")] = "arm",
    calibration: Annotated[str | None, typer.Option(help="Folder of images, .npz, or synthetic: what sets the ranges of int8.")] = None,
    preprocess: Annotated[str | None, typer.Option(help='From RGB bytes to the input: "resize=256,crop=224,scale=-1..1".')] = None,
    labels: Annotated[Path | None, typer.Option(help="One class a line.")] = None,
    max_drop: Annotated[float | None, typer.Option(help="Points of top-1 that --recipe mixed may lose; 0.5 by default.")] = None,
    layout: Annotated[str, typer.Option(help="nchw or nhwc: of the images that an ONNX file takes.")] = "nchw",
    dynamic_batch: Annotated[bool, typer.Option("--dynamic-batch", help="Let an ONNX file take any batch.")] = False,
    rescaling: Annotated[str, typer.Option(help="outside or inside: inside: the file takes 0 to 255 and scales them itself.")] = "outside",
    consumers: Annotated[list[str] | None, typer.Option("--for", metavar="CONSUMER", help=_FOR)] = None,
    author: Annotated[str, typer.Option(help="Of the network, for the TFLite metadata that --labels brings.")] = "",
    licence: Annotated[str, typer.Option("--license", help="Of the network, for the TFLite metadata that --labels brings.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say who would accept which file; nothing is computed or written.")] = False,
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("dsmobile-out"),
    force: Annotated[bool, typer.Option("--force", help="Replace files that are already there.")] = False,
    keep_failed: Annotated[bool, typer.Option("--keep-failed", help="Keep a file that fails its check, as .failed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write a network, and its twin, as TFLite and ONNX, float32 and int8, each checked against the network."""
    from dsmobile.cli.output import progress, run

    def action() -> tuple[dict[str, Any], int]:
        from dsmobile import pipeline

        request = pipeline.ExportRequest(
            source=source, alpha=alpha, resolution=resolution, channels=channels, classes=classes, top=not no_top, weights=weights,
            seed=seed, twin=twin, formats=tuple(formats or ("tflite", "onnx")), recipes=tuple(recipes or ("float32", "int8")), head=head,
            io=io, target=target, calibration=calibration, preprocess=preprocess, labels=labels, out=out, force=force,
            keep_failed=keep_failed, max_drop=max_drop, layout=layout, dynamic_batch=dynamic_batch,
            rescaling=rescaling, consumers=tuple(consumers or ()), author=author, license=licence,
        )  # fmt: skip
        if dry_run:
            return pipeline.foresee(request), 0
        with progress(as_json=as_json) as advance:
            return pipeline.export(request, advance).to_json(), 0

    def show(document: dict[str, Any]) -> None:
        from dsmobile.reporting.exports import show_exports, show_foresight

        (show_foresight if dry_run else show_exports)(document)

    run(action, as_json=as_json, show=show)
