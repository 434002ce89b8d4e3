"""What SOURCE names: an architecture, a TOML file, a Keras file (Keras 2 too) or a network of `keras.applications`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsmobile.architectures import spec as specs
from dsmobile.architectures.backend import require_keras
from dsmobile.architectures.builder import build, display_name
from dsmobile.architectures.graph import require_functional
from dsmobile.architectures.spec import ArchitectureSpec
from dsmobile.errors import ModelError, SpecError, UsageError, nearest
from dsmobile.files import sha256
from dsmobile.keras_files import KERAS_SUFFIXES, load_keras_file
from dsmobile.preprocessing import Preprocessing, parse


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
    """

    name: str
    model: Any
    spec: ArchitectureSpec | None
    preprocessing: Preprocessing | None
    random: bool
    record: dict[str, Any]


@dataclass(frozen=True)
class SourceOptions:
    """How a person wants the source; None where not said.

    Args:
        alpha: Width multiplier.
        resolution: Height and width of the input in pixels.
        classes: Classes of the head.
        weights: `random`, `imagenet` or a file.
        seed: Of random weights.
    """

    alpha: float | None = None
    resolution: int | None = None
    classes: int | None = None
    weights: str | None = None
    seed: int = 0


def is_architecture(source: str) -> bool:
    """Whether SOURCE names an architecture or a TOML file rather than a finished network."""
    return not source.startswith("keras:") and Path(source).suffix.lower() not in KERAS_SUFFIXES


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
        _refuse_options(source, options, "alpha", "resolution", "classes", "weights")
        path = Path(source)
        model = load_keras_file(path)
        return Source(path.stem, model, None, None, random=False, record={"source": path.name, "kind": "keras-file", "sha256": sha256(path)})
    spec = read_spec(source)
    model = build(spec, alpha=options.alpha, resolution=options.resolution, classes=options.classes, seed=options.seed)
    random = (options.weights or "random") == "random"
    if not random:
        load_weights(model, spec, options)
    record = {
        "source": source if not source.endswith(".toml") else Path(source).name,
        "kind": "architecture",
        "architecture": spec.to_json(),
        "alpha": 1.0 if options.alpha is None else options.alpha,
        "resolution": options.resolution or spec.resolution,
        "classes": options.classes or spec.classes,
        "weights": Path(options.weights).name if options.weights else "random",
        "weights_sha256": sha256(Path(options.weights)) if options.weights and Path(options.weights).is_file() else None,
        "seed": options.seed,
    }
    return Source(display_name(spec, options.alpha, options.resolution), model, spec, spec_preprocessing(spec, options.resolution), random, record)


def read_spec(source: str) -> ArchitectureSpec:
    """The architecture that SOURCE names, by its name or by a path to a TOML file."""
    return specs.read(Path(source) if source.endswith(".toml") else specs.find(source))


def spec_preprocessing(spec: ArchitectureSpec, resolution: int | None) -> Preprocessing | None:
    """From RGB bytes to an architecture's input: the shorter side to 8/7 of the resolution, as is usual, then the centre."""
    colour = {1: "grey", 3: "rgb"}.get(spec.channels)
    if colour is None:
        return None
    side = resolution or spec.resolution
    return parse(f"resize={round(side * 8 / 7)},crop={side},scale={spec.scale},colour={colour}")


def _refuse_options(source: str, options: SourceOptions, *names: str) -> None:
    for name in names:
        if getattr(options, name) is not None:
            raise UsageError(
                f"--{name} does not apply to {source}: the file holds a finished network", f"leave --{name} away, or name an architecture"
            )


def _application(source: str, options: SourceOptions) -> Source:
    _refuse_options(source, options, "alpha")
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
    arguments: dict[str, Any] = {"weights": weights}
    if options.resolution is not None:
        arguments["input_shape"] = (options.resolution, options.resolution, 3)
    elif "MobileNetV3" in name or "ConvNeXt" in name:  # these leave the size open unless told
        arguments["input_shape"] = (224, 224, 3)
    if options.classes is not None:
        arguments["classes"] = options.classes
    try:
        model = getattr(keras.applications, name)(**arguments)
    except ValueError as error:
        raise SpecError(f"{source}: {str(error).splitlines()[0]}", "change --resolution, --classes or --weights") from error
    except Exception as error:
        raise _no_download(error, f"the ImageNet weights of {name}") from error
    record = {
        "source": source,
        "kind": "keras-application",
        "weights": weights or "random",
        "seed": options.seed,
        "arguments": repr(arguments),
    }
    return Source(name.lower(), model, None, None, random=weights is None, record=record)


def _no_download(error: Exception, what: str) -> ModelError:
    return ModelError(f"{what} could not be fetched: {str(error).splitlines()[0]}", "connect to the network once, or give a file with --weights")


def load_weights(model: Any, spec: ArchitectureSpec, options: SourceOptions) -> None:
    """Loads `--weights` into an architecture, by order and shape.

    Raises:
        ModelError: The file cannot be read, or its weights do not fit.
    """
    given = options.weights or ""
    if given == "imagenet":
        arrays = _imagenet_weights(spec, options)
        origin = f"the ImageNet weights of keras.applications.{spec.imagenet}"
    else:
        path = Path(given)
        if path.name.endswith(".weights.h5") or path.suffix.lower() not in KERAS_SUFFIXES:
            raise ModelError(f"--weights {given} is no whole Keras model", "give imagenet, random, or a .keras or .h5 file that holds the model too")
        arrays = load_keras_file(path).get_weights()
        origin = given
    wanted = model.get_weights()
    squeezed = [tuple(side for side in array.shape if side != 1) for array in arrays]
    fits = len(arrays) == len(wanted) and all(
        ours.size == array.size and tuple(side for side in ours.shape if side != 1) == shape
        for ours, array, shape in zip(wanted, arrays, squeezed, strict=False)
    )
    if not fits:
        place = next((i for i, (a, b) in enumerate(zip(wanted, arrays, strict=False)) if a.size != b.size), min(len(wanted), len(arrays)))
        detail = (
            f"{len(arrays)} arrays for {len(wanted)}"
            if len(arrays) != len(wanted)
            else f"array {place} is {arrays[place].shape}, not {wanted[place].shape}"
        )
        raise ModelError(f"{origin} do not fit {spec.name}: {detail}", "check --alpha and --classes")
    model.set_weights([array.reshape(ours.shape) for ours, array in zip(wanted, arrays, strict=True)])


def _imagenet_weights(spec: ArchitectureSpec, options: SourceOptions) -> list[Any]:
    import keras

    alpha, resolution = 1.0 if options.alpha is None else options.alpha, options.resolution or spec.resolution
    if not spec.imagenet:
        raise UsageError(f"there are no ImageNet weights for {spec.name}", "give a file with --weights, or take --weights random")
    classes = options.classes or spec.classes
    if alpha not in spec.imagenet_alphas or resolution not in spec.imagenet_resolutions or classes != spec.classes:
        alphas, sides = (", ".join(map(str, values)) for values in (spec.imagenet_alphas, spec.imagenet_resolutions))
        raise SpecError(
            f"there are no ImageNet weights for {spec.name} at alpha {alpha:g}, resolution {resolution} and {classes} classes",
            f"alphas: {alphas}; resolutions: {sides}; {spec.classes} classes",
        )
    try:
        network = getattr(keras.applications, spec.imagenet)(input_shape=(resolution, resolution, 3), alpha=alpha, weights="imagenet")
    except Exception as error:
        raise _no_download(error, "the ImageNet weights") from error
    weights: list[Any] = network.get_weights()
    return weights


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
