"""A person's `.keras`, `.h5` or `.hdf5` file, Keras 2 too, opened without running or following anything that is in it."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from dsmobile.architectures.backend import require_keras
from dsmobile.errors import ModelError
from dsmobile.exporters.sniff import check_model_file

KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
_REFUSED = frozenset({"Lambda", "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"})
_GROUPS = ("groups",)
_SEPARABLE = ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint")
# What Keras 2 wrote into these layers' configurations, without a meaning there, and Keras 3 refuses.
_REFUSED_KEYS = {
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _GROUPS),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _SEPARABLE),
}
_POLICIES = ("Policy", "PolicyV1")  # Keras 2's; Keras 3 writes DTypePolicy
_LARGEST_CONFIG_BYTES = 64 << 20
_LARGEST_ARCHIVE_BYTES = 8 << 30


def load_keras_file(path: Path) -> Any:
    """Loads a `.keras`, `.h5` or `.hdf5` file of a whole model, without running anything that is in it.

    Keras-2 files load too: their depthwise layers carry a `groups` that Keras 3 refuses, their layer names may hold a `/`.

    Raises:
        ModelError: It is missing, cut short, holds only weights, holds code, or links to other files.
    """
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
        saved = "was saved with model.save()" if kind == "keras" else "save it as .keras, which keeps what .h5 loses, with the Keras that made it"
        raise ModelError(
            f"{path} cannot be loaded by Keras: {first[:300]}",
            f"check that it is whole and {saved}; a model with own classes is not supported",
        ) from error


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Opens an HDF5 file for reading, once nothing in it points elsewhere.

    Yields:
        The `h5py.File`.

    Raises:
        ModelError: It is cut short, or holds links, virtual data or data kept in other files.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ModelError(f"{path} is no whole HDF5 file: {error}", "it may be cut short: fetch or save it again") from error
    with file:
        _refuse_links(file, path)
        yield file


def _load_hdf5(path: Path) -> Any:
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with open_hdf5(path) as file:
        config = file.attrs.get("model_config")
        if config is None:
            raise ModelError(
                f"{path} holds weights without a model",
                "save the whole model with model.save(), or give the file as --weights with its architecture",
            )
        document = _checked_config(config, path)
        if str(file.attrs.get("keras_version", "")).startswith("2.") and "hard_sigmoid" in str(config):
            raise ModelError(
                f"{path} uses Keras 2's hard_sigmoid, which is another function in Keras 3",
                "convert the model with Keras 2, or replace that activation",
            )
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
            damaged = archive.testzip()
            if damaged is not None:
                raise ModelError(f"{path} is damaged: {damaged}", "fetch or save it again")
            if archive.getinfo("config.json").file_size > _LARGEST_CONFIG_BYTES:
                raise ModelError(f"{path} has a config of more than 64 MiB", "do not trust this file")
            config = archive.read("config.json")
            document = _checked_config(config, path)
            with archive.open("model.weights.h5") as stream, h5py.File(io.BytesIO(stream.read()), "r") as weights:
                _refuse_links(weights, path)
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} is no whole .keras file: {error}", "it may be cut short: fetch or save it again") from error
    if document == json.loads(config):
        return keras.models.load_model(path, compile=False, safe_mode=True)
    with tempfile.TemporaryDirectory() as folder:
        mended = Path(folder) / "model.keras"
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(mended, "w") as copy:
            for entry in archive.infolist():
                copy.writestr(entry, json.dumps(document) if entry.filename == "config.json" else archive.read(entry))
        return keras.models.load_model(mended, compile=False, safe_mode=True)


def _refuse_links(file: Any, path: Path) -> None:
    """Refuses HDF5 that points elsewhere: external, soft and virtual links, and data kept in other files."""
    import h5py

    waiting, seen = [file], set()
    while waiting:
        group = waiting.pop()
        place = h5py.h5o.get_info(group.id).addr
        if place in seen:
            raise ModelError(f"{path} holds a group that contains itself: {group.name}", "do not trust this file")
        seen.add(place)
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
    waiting, unnamed = [document], count(1)
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting.extend(part)
        if not isinstance(part, dict):
            continue
        waiting.extend(part.values())
        name = part.get("class_name")
        if name in _REFUSED or name == "function" or name == "__lambda__":
            raise ModelError(f"{path} holds code or a custom operation ({name})", "write it as Keras layers: code in a model file is never run")
        module = part.get("module")
        custom = str(module).partition(".")[0] not in ("keras", "builtins") if module else bool(part.get("registered_name"))
        if custom and name:
            raise ModelError(f"{path} needs the custom class {name}", "write it as Keras layers: code in a model file is never run")
        _mend(part, unnamed)
    return _without_slashes(document)


def _mend(part: dict[str, Any], unnamed: Iterator[int]) -> None:
    """Puts right, in place, what Keras 2 wrote of one layer and Keras 3 refuses or misreads.

    Args:
        part: A layer's entry in the configuration, or any other dictionary of it.
        unnamed: Numbers for networks that have no name.
    """
    name, config = part.get("class_name"), part.get("config")
    if name == "Sequential" and isinstance(config, list):  # before Keras 2.2.3
        given = part.get("name")
        config = part["config"] = {"name": given if isinstance(given, str) else f"sequential_{next(unnamed)}", "layers": config}
    if not isinstance(config, dict):
        return
    if name == "Sequential":
        _give_input_layer(config.get("layers"))
    elif name != "InputLayer":
        config.pop("batch_input_shape", None)  # Keras 3 takes its batch for one more dimension
    policy = config.get("dtype")
    if isinstance(policy, dict) and policy.get("class_name") in _POLICIES and isinstance(policy.get("config"), dict):
        config["dtype"] = policy["config"].get("name", "float32")
    for key in _REFUSED_KEYS.get(str(name), ()):
        if key != "groups" or config.get(key) == 1:
            config.pop(key, None)


def _give_input_layer(layers: Any) -> None:
    """Turns the shape in the first layer of a Sequential, as Keras 2 could write it, into an input layer."""
    first = layers[0] if isinstance(layers, list) and layers else None
    config = first.get("config") if isinstance(first, dict) and first.get("class_name") != "InputLayer" else None
    if isinstance(config, dict) and isinstance(config.get("batch_input_shape"), list):
        shape, name = config["batch_input_shape"], f"{config.get('name', 'first')}_input"
        layers.insert(0, {"class_name": "InputLayer", "config": {"batch_shape": shape, "name": name}})


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
