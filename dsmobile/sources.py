"""What SOURCE names: an architecture, a TOML file, a Keras file (Keras 2 too) or a network of `keras.applications`."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsmobile.architectures import spec as specs
from dsmobile.architectures.backend import require_keras
from dsmobile.architectures.builder import build, display_name
from dsmobile.architectures.spec import ArchitectureSpec
from dsmobile.errors import ModelError, SpecError, UsageError, nearest
from dsmobile.files import sha256
from dsmobile.preprocessing import Preprocessing, parse

_KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
_REFUSED = frozenset({"Lambda", "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"})
_LARGEST_CONFIG_BYTES = 64 << 20
_LARGEST_ARCHIVE_BYTES = 8 << 30


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
    return not source.startswith("keras:") and Path(source).suffix.lower() not in _KERAS_SUFFIXES


def load(source: str, options: SourceOptions) -> Source:
    """Loads what SOURCE names.

    Raises:
        SpecError: An unknown or broken architecture, or a value out of range.
        ModelError: A file that cannot be read or is not trusted.
        UsageError: An option that does not apply.
    """
    if source.startswith("keras:"):
        return _application(source, options)
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
        if path.name.endswith(".weights.h5") or path.suffix.lower() not in _KERAS_SUFFIXES:
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


def load_keras_file(path: Path) -> Any:
    """Loads a `.keras`, `.h5` or `.hdf5` file of a whole model, without running anything that is in it.

    Keras-2 files load too: their depthwise layers carry a `groups` that Keras 3 refuses, their layer names may hold a `/`.

    Raises:
        ModelError: It is missing, cut short, holds only weights, holds code, or links to other files.
    """
    from dsmobile.exporters.sniff import check_model_file

    kind = check_model_file(path)
    if kind not in ("keras", "h5"):
        raise ModelError(f"{path} is a {kind} file, not a Keras model", "give a .keras, .h5 or .hdf5 file")
    require_keras()
    try:
        return _load_archive(path) if kind == "keras" else _load_hdf5(path)
    except ModelError:
        raise
    except Exception as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ModelError(
            f"{path} cannot be loaded by Keras: {first[:300]}",
            "check that it is whole and was saved with model.save(); a model with own classes is not supported",
        ) from error


def _load_hdf5(path: Path) -> Any:
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ModelError(f"{path} is no whole HDF5 file: {error}", "it may be cut short: fetch or save it again") from error
    with file:
        _refuse_links(file, path)
        config = file.attrs.get("model_config")
        if config is None:
            raise ModelError(
                f"{path} holds weights without a model",
                "save the whole model with model.save(), or give the file as --weights with its architecture",
            )
        document = _checked_config(config, path)
    image = io.BytesIO(path.read_bytes())
    with h5py.File(image, "r+") as copy:
        copy.attrs["model_config"] = json.dumps(document)
        return legacy_h5_format.load_model_from_hdf5(copy, custom_objects={}, compile=False)


def _load_archive(path: Path) -> Any:
    import h5py
    import keras

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST_ARCHIVE_BYTES:
                raise ModelError(f"{path} unpacks to more than 8 GiB", "give a smaller model")
            if any(entry.filename.startswith("/") or ".." in Path(entry.filename).parts for entry in archive.infolist()):
                raise ModelError(f"{path} holds paths that lead out of it", "do not trust this file")
            if archive.testzip() is not None:
                raise ModelError(f"{path} is damaged: {archive.testzip()}", "fetch or save it again")
            if archive.getinfo("config.json").file_size > _LARGEST_CONFIG_BYTES:
                raise ModelError(f"{path} has a config of more than 64 MiB", "do not trust this file")
            _checked_config(archive.read("config.json"), path)
            with archive.open("model.weights.h5") as stream, h5py.File(io.BytesIO(stream.read()), "r") as weights:
                _refuse_links(weights, path)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise ModelError(f"{path} is no whole .keras file: {error}", "it may be cut short: fetch or save it again") from error
    return keras.models.load_model(path, compile=False, safe_mode=True)


def _refuse_links(file: Any, path: Path) -> None:
    """Refuses HDF5 that points elsewhere: external, soft and virtual links, and data kept in other files."""
    import h5py

    waiting = [file]
    while waiting:
        group = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ModelError(f"{path} holds a link at {group.name}/{name}", "do not trust this file: a model's weights lie in the file itself")
            entry = group[name]
            if isinstance(entry, h5py.Group):
                waiting.append(entry)
            elif entry.is_virtual or entry.external:
                raise ModelError(
                    f"{path} keeps data of {entry.name} in another file", "do not trust this file: a model's weights lie in the file itself"
                )


def _checked_config(raw: bytes | str, path: Path) -> Any:
    """The model's configuration, without code, and with what Keras 2 wrote and Keras 3 refuses put right."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} has a broken configuration: {error}", "fetch or save it again") from error
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting.extend(part)
        if not isinstance(part, dict):
            continue
        waiting.extend(part.values())
        name, config = part.get("class_name"), part.get("config")
        if name in _REFUSED or name == "function" or name == "__lambda__":
            raise ModelError(f"{path} holds code or a custom operation ({name})", "write it as Keras layers: code in a model file is never run")
        module = part.get("module")
        custom = not str(module).startswith(("keras", "builtins")) if module else bool(part.get("registered_name"))
        if custom and name:
            raise ModelError(f"{path} needs the custom class {name}", "write it as Keras layers: code in a model file is never run")
        if name == "DepthwiseConv2D" and isinstance(config, dict) and config.get("groups") == 1:
            del config["groups"]
    return _without_slashes(document)


def _without_slashes(document: Any) -> Any:
    """Replaces `/` in the names of layers, which Keras 3 refuses, wherever they are named."""
    names: set[str] = set()
    waiting = [document]
    while waiting:
        part = waiting.pop()
        waiting.extend(part if isinstance(part, list) else part.values() if isinstance(part, dict) else ())
        if isinstance(part, dict) and isinstance(part.get("config"), dict):
            name = part["config"].get("name")
            if isinstance(name, str) and "/" in name:
                names.add(name)

    def renamed(part: Any) -> Any:
        if isinstance(part, list):
            return [renamed(entry) for entry in part]
        if isinstance(part, dict):
            return {key: renamed(value) for key, value in part.items()}
        return part.replace("/", "_") if isinstance(part, str) and part in names else part

    return renamed(document) if names else document


def require_single_image(source: Source) -> tuple[int, ...]:
    """The shape of the network's one input, without the batch.

    Raises:
        ModelError: Several inputs, or a size that is not fixed.
    """
    if len(source.model.inputs) != 1:
        raise ModelError(
            f"{source.name} has {len(source.model.inputs)} inputs", "export a model with one input: split it, or bring the inputs together"
        )
    shape = tuple(source.model.inputs[0].shape[1:])
    if None in shape:
        raise ModelError(f"the input of {source.name} has no fixed size: {shape}", "save it with an input of fixed height and width")
    return shape
