"""What SOURCE names: an architecture, a TOML file, a Keras file (Keras 2 too) or a network of `keras.applications`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsmobile.architectures.backend import require_keras
from dsmobile.architectures.builder import build, display_name, head_layers
from dsmobile.architectures.finding import spec_of
from dsmobile.architectures.graph import require_functional
from dsmobile.architectures.spec import ArchitectureSpec
from dsmobile.errors import ModelError, SpecError, UsageError, nearest
from dsmobile.files import sha256
from dsmobile.imagenet import imagenet_arrays, imagenet_network
from dsmobile.keras_files import KERAS_SUFFIXES, load_keras_file
from dsmobile.preprocessing import Preprocessing, parse
from dsmobile.weights import Loaded, fit, read_arrays


@dataclass(frozen=True)
class Source:
    """A network ready to be exported.

    Args:
        name: What artifacts are called.
        model: The `keras.Model`.
        spec: The architecture, where it is one.
        preprocessing: From RGB bytes to its input, where the source says so.
        random: Whether the weights are random.
        record: What a manifest keeps: the SOURCE as given, its kind and hash, alpha, resolution, classes, weights, seed.
        notes: What a person must know of its weights.
    """

    name: str
    model: Any
    spec: ArchitectureSpec | None
    preprocessing: Preprocessing | None
    random: bool
    record: dict[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceOptions:
    """How a person wants the source; None where not said.

    Args:
        alpha: Width multiplier.
        resolution: Height and width of the input in pixels.
        channels: Channels of the input.
        classes: Classes of the head.
        top: Whether the head follows the body.
        weights: `random`, `imagenet` or a file.
        seed: Of random weights.
    """

    alpha: float | None = None
    resolution: int | None = None
    channels: int | None = None
    classes: int | None = None
    top: bool = True
    weights: str | None = None
    seed: int = 0


def is_architecture(source: str) -> bool:
    """Whether SOURCE names an architecture or a TOML file rather than a finished network."""
    return not source.startswith("keras:") and Path(source).suffix.lower() not in KERAS_SUFFIXES


def _no_options(source: str, options: SourceOptions, *names: str) -> None:
    """Refuses options that do not act on a finished network."""
    for name in names:
        given = getattr(options, name)
        if given is not None and given is not True:
            raise UsageError(
                f"--{'no-top' if name == 'top' else name} does not apply to {source}: it is a finished network",
                "leave it away, or name an architecture",
            )


def load(source: str, options: SourceOptions) -> Source:
    """Loads what SOURCE names.

    Raises:
        SpecError: An unknown or broken architecture, or a value out of range.
        ModelError: A file that cannot be read or is not trusted.
        UsageError: An option that does not apply.
    """
    if source.startswith("keras:"):
        return _application(source, options)
    if Path(source).suffix.lower() in (".tflite", ".lite", ".onnx"):
        raise ModelError(f"{source} is exported already", "give the Keras file it came from; bench, evaluate and ship take it as it is")
    if not is_architecture(source):
        _no_options(source, options, "alpha", "resolution", "channels", "classes", "top", "weights")
        path = Path(source)
        model = load_keras_file(path)
        return Source(path.stem, model, None, None, random=False, record={"source": path.name, "kind": "keras-file", "sha256": sha256(path)})
    if options.weights == "":
        raise UsageError("--weights is empty", "give random, imagenet or a file; is a variable of the shell not set?")
    spec = spec_of(source)
    model = build(
        spec, alpha=options.alpha, resolution=options.resolution, channels=options.channels, classes=options.classes, top=options.top,
        seed=options.seed,
    )  # fmt: skip
    random = (options.weights or "random") == "random"
    loaded = None if random else _loaded(model, spec, options)
    record = {
        "source": Path(source).name,
        "kind": "architecture",
        "architecture": spec.to_json(),
        "alpha": spec.alpha_at(options.alpha),
        "resolution": options.resolution or spec.resolution,
        "channels": options.channels or spec.channels,
        "classes": options.classes or spec.classes,
        "top": options.top,
        "weights": Path(options.weights).name if options.weights else "random",
        "weights_sha256": sha256(Path(options.weights)) if options.weights and Path(options.weights).is_file() else None,
        "seed": options.seed,
        "new": list(loaded.new) if loaded else [],
    }
    name = display_name(spec, alpha=options.alpha, resolution=options.resolution, channels=options.channels, top=options.top)
    return Source(name, model, spec, spec_preprocessing(spec, options), random, record, loaded.notes() if loaded else ())


def spec_preprocessing(spec: ArchitectureSpec, options: SourceOptions) -> Preprocessing | None:
    """From RGB bytes to an architecture's input: the shorter side to 8/7 of the resolution, as is usual, then the centre; None for no image."""
    colour = {1: "grey", 3: "rgb"}.get(options.channels or spec.channels)
    side, width = spec.sides_at(options.resolution)
    if colour is None or not spec.scale or side != width:
        return None
    return parse(f"resize={round(side * 8 / 7)},crop={side},scale={spec.scale},colour={colour}")


def _application(source: str, options: SourceOptions) -> Source:
    _no_options(source, options, "alpha")
    require_keras()
    import keras

    name = source.removeprefix("keras:")
    known = sorted(key for key, value in vars(keras.applications).items() if key[0].isupper() and callable(value))
    if name not in known:
        raise SpecError(f"keras.applications has no network {name!r}", nearest(name, known))
    if options.weights not in (None, "random", "imagenet"):
        raise UsageError("--weights FILE does not apply to keras: networks", "take --weights random or imagenet, or load the file itself as SOURCE")
    keras.utils.set_random_seed(options.seed)
    weights = "imagenet" if options.weights == "imagenet" else None
    arguments: dict[str, Any] = {}
    if not options.top:
        arguments["include_top"] = False
    open_size = "MobileNetV3" in name or "ConvNeXt" in name or not options.top  # these leave the size open unless told
    if options.resolution is not None or options.channels is not None or open_size:
        side = options.resolution or 224
        arguments["input_shape"] = (side, side, options.channels or 3)
    if options.classes is not None:
        arguments["classes"] = options.classes
    if weights:
        model = imagenet_network(name, arguments)
    else:
        try:
            model = getattr(keras.applications, name)(weights=None, **arguments)
        except ValueError as error:
            raise SpecError(f"{source}: {str(error).splitlines()[0]}", "change --resolution, --channels or --classes") from error
    record = {
        "source": source,
        "kind": "keras-application",
        "weights": weights or "random",
        "seed": options.seed,
        "arguments": repr({"weights": weights, **arguments}),
    }
    return Source(name.lower(), model, None, None, random=weights is None, record=record)


def _loaded(model: Any, spec: ArchitectureSpec, options: SourceOptions) -> Loaded:
    """Puts `--weights` into an architecture, by order and shape."""
    given = options.weights or ""
    if given == "imagenet":
        arrays = _imagenet(spec, options)
        origin = f"the ImageNet weights of keras.applications.{spec.imagenet}"
    else:
        if not Path(given).exists() and not Path(given).suffix:
            raise UsageError(f"--weights {given} is neither a word nor a file", nearest(given, ("random", "imagenet")))
        arrays, origin = read_arrays(Path(given)), given
    stem = next(layer.name for layer in model.layers if layer.weights)
    return fit(model, arrays, origin, head=head_layers(spec) if options.top else (), stem=stem)


def _imagenet(spec: ArchitectureSpec, options: SourceOptions) -> list[Any]:
    """What `keras.applications` has of this network, head and all unless none is wanted."""
    alpha = spec.alpha_at(options.alpha)
    height, width = spec.sides_at(options.resolution)
    if not spec.imagenet:
        raise UsageError(f"there are no ImageNet weights for {spec.name}", "give a file with --weights, or take --weights random")
    any_size = not spec.imagenet_resolutions
    if alpha not in (spec.imagenet_alphas or (1.0,)) or not (any_size or (height == width and height in spec.imagenet_resolutions)):
        sides = "any" if any_size else ", ".join(map(str, spec.imagenet_resolutions))
        raise SpecError(
            f"there are no ImageNet weights for {spec.name} at alpha {alpha:g} and resolution {height}",
            f"alphas: {', '.join(map(str, spec.imagenet_alphas or (1.0,)))}; resolutions: {sides}",
        )
    side = spec.resolution[0] if any_size else height
    arguments = {"input_shape": (side, side, 3), **dict(spec.imagenet_arguments)}
    if spec.alpha:
        arguments["alpha"] = alpha
    return imagenet_arrays(spec.imagenet, arguments, top=options.top)


def input_shapes(source: Source) -> dict[str, tuple[int, ...]]:
    """The shape of each of the network's inputs, without the batch, by its name.

    Raises:
        ModelError: A size is not fixed, a Sequential has no input shape, or the model is a subclassed one.
    """
    shapes = {str(tensor.name): tuple(tensor.shape[1:]) for tensor in require_functional(source.model).inputs}
    for name, shape in shapes.items():
        if None in shape:
            raise ModelError(f"the input {name} of {source.name} has no fixed size: {shape}", "save it with an input of fixed height and width")
    return shapes
