"""What `dsmobile export` is asked for, checked before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dsmobile.architectures.twin import KINDS
from dsmobile.errors import DataError, UsageError
from dsmobile.exporters.artifact import FORMATS
from dsmobile.exporters.calibration import arrays_how, takes_images
from dsmobile.exporters.head import HEADS
from dsmobile.exporters.recipe import TFLITE_ONLY, Recipe, read_recipe
from dsmobile.exporters.rescaling import PLACES
from dsmobile.preprocessing import Preprocessing


@dataclass(frozen=True)
class ExportRequest:
    """What `dsmobile export` is asked for; see `dsmobile export --help`.

    Args:
        source: An architecture's name, a `.toml`, `.keras`, `.h5` or `.hdf5` file, or `keras:NAME`.
        alpha: Width multiplier.
        resolution: Height and width of the input in pixels.
        channels: Channels of the input.
        classes: Classes of the head.
        top: Whether the head follows the body.
        weights: `random`, `imagenet` or a file.
        seed: Of random weights; None is 0.
        twin: `none`, `standard`, `same-macs` or `same-parameters`.
        formats: `tflite`, `onnx`.
        recipes: Names or TOML files.
        head: `as-is`, `logits` or `softmax`.
        io: float32, uint8 or int8.
        target: `arm` or `x86`.
        calibration: A folder of images, a `.npz`, or `synthetic`.
        preprocess: From RGB bytes to the input.
        labels: A labels file.
        out: The folder.
        force: Whether files may be overwritten.
        keep_failed: Whether a file that fails its check is kept as `.failed`.
        max_drop: Points of top-1 that the recipe `mixed` may lose; None takes the recipe's.
        layout: `nchw` or `nhwc`: of an ONNX file's images.
        dynamic_batch: Whether an ONNX file takes any batch.
        consumers: Who must accept a file, as `consumers.CONSUMERS` names them; where nobody's file would be, nothing is written.
        author: Of the network, for TFLite metadata.
        license: Of the network, for TFLite metadata.
        rescaling: `outside`, or `inside`: the file takes bytes as numbers, 0 to 255, and scales them itself.
    """

    source: str
    alpha: float | None = None
    resolution: int | None = None
    channels: int | None = None
    classes: int | None = None
    top: bool = True
    weights: str | None = None
    seed: int | None = None
    twin: str = "none"
    formats: tuple[str, ...] = ("tflite", "onnx")
    recipes: tuple[str, ...] = ("float32", "int8")
    head: str = "as-is"
    io: str = "float32"
    target: str = "arm"
    calibration: str | None = None
    preprocess: str | None = None
    labels: Path | None = None
    out: Path = Path("dsmobile-out")
    force: bool = False
    keep_failed: bool = False
    max_drop: float | None = None
    layout: str = "nchw"
    dynamic_batch: bool = False
    rescaling: str = "outside"
    consumers: tuple[str, ...] = ()
    author: str = ""
    license: str = ""


def checked_recipes(request: ExportRequest) -> list[Recipe]:
    """The recipes asked for, if the options fit together.

    Raises:
        UsageError: They do not.
        SpecError: A recipe is not known.
    """
    for name, value, allowed in (
        ("twin", request.twin, ("none", *KINDS)),
        ("head", request.head, HEADS),
        ("io", request.io, ("float32", "uint8", "int8")),
        ("target", request.target, ("arm", "x86")),
        ("layout", request.layout, ("nchw", "nhwc")),
        ("rescaling", request.rescaling, PLACES),
        *(("format", value, FORMATS) for value in request.formats),
    ):
        if value not in allowed:
            raise UsageError(f"--{name} {value} is not known", f"take {', '.join(allowed)}")
    recipes = [read_recipe(name) for name in dict.fromkeys(request.recipes)]
    stems = [recipe.name for recipe in recipes]
    if len(set(stems)) != len(stems):
        raise UsageError(f"two recipes are called {max(stems, key=stems.count)}, and their files would be too", "give each recipe a name of its own")
    for recipe in recipes:
        if not formats_of(request, recipe):
            why = TFLITE_ONLY.get((recipe.weights, recipe.activations), "it is written for the other format only")
            raise UsageError(
                f"the recipe {recipe.name} cannot be written as {', '.join(request.formats)}: {why}", f"take --format {recipe.formats[0]}"
            )
    quantized = [recipe for recipe in recipes if recipe.integer_ends]
    if request.io != "float32" and not quantized:
        raise UsageError(f"--io {request.io} goes with an int8 recipe", "add --recipe int8, or leave --io away")
    for name, given in (("layout nhwc", request.layout == "nhwc"), ("dynamic-batch", request.dynamic_batch)):
        if given and "onnx" not in [file_format for recipe in recipes for file_format in formats_of(request, recipe)]:
            raise UsageError(f"--{name} acts on ONNX files, and none is asked for", "add --format onnx, or leave it away")
    for name, text in (("author", request.author), ("license", request.license)):
        if text and not (request.labels and "tflite" in request.formats):
            raise UsageError(
                f"--{name} goes into the metadata of a .tflite file with labels", "give --labels FILE and --format tflite, or leave it away"
            )
    if request.io != "float32" and any(recipe.max_drop for recipe in recipes):
        raise UsageError(
            f"--io {request.io} does not go with the recipe mixed, which keeps layers in float32", "leave --io away, or take --recipe int8"
        )
    if request.max_drop is not None and not any(recipe.max_drop for recipe in recipes):
        raise UsageError("--max-drop acts on the recipe mixed", "add --recipe mixed, or leave --max-drop away")
    if request.max_drop is not None:
        if not 0 < request.max_drop <= 100:
            raise UsageError(f"--max-drop {request.max_drop:g} is not above 0 and up to 100", "give points of top-1, 0.5 for one")
        recipes = [replace(recipe, max_drop=request.max_drop) if recipe.max_drop else recipe for recipe in recipes]
    if request.target == "x86" and not (quantized and "onnx" in request.formats):
        raise UsageError("--target x86 acts on int8 ONNX files, and none is asked for", "add --recipe int8 --format onnx, or leave --target away")
    return recipes


def formats_of(request: ExportRequest, recipe: Recipe) -> list[str]:
    """The formats in which a recipe is written."""
    return [name for name in dict.fromkeys(request.formats) if name in recipe.formats]


def check_fit(preprocessing: Preprocessing | None, shapes: dict[str, tuple[int, ...]], name: str) -> None:
    """Raises where what preprocessing gives is not what the network takes."""
    if preprocessing is None:
        return
    if not takes_images(tuple(shapes.values())):
        taken = " and ".join(" x ".join(map(str, shape)) for shape in shapes.values())
        what = f"has {len(shapes)} inputs, {taken}" if len(shapes) > 1 else f"takes {taken}"
        raise UsageError(f"--preprocess makes one image of one or three channels, but {name} {what}", f"leave it away, and {arrays_how(shapes)}")
    if preprocessing.layout != "nhwc":
        raise UsageError(
            f"--preprocess says layout={preprocessing.layout}, but {name} takes its images as NHWC, as every Keras network here",
            "leave it away; --layout says how an ONNX file takes them",
        )
    (shape,) = shapes.values()
    given = (*(preprocessing.crop or shape[:2]), preprocessing.channels)
    if given != shape:
        raise DataError(
            f"--preprocess gives an input of {' x '.join(map(str, given))}, but {name} takes {' x '.join(map(str, shape))}",
            "set crop (HEIGHTxWIDTH) and colour (rgb, bgr, grey) to what the network takes",
        )
