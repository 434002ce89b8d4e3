"""Reads a `.keras` or `.h5` file's configuration and the sizes of its weights as data: Keras is not imported, nothing in the file is run."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsmobile.errors import ModelError
from dsmobile.inspection.facts import End, Facts, Macs, Precision, Uncounted

_CODE = frozenset({"Lambda", "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "function", "__lambda__"})
_WHOLE_MODELS = frozenset({"Functional", "Sequential", "Model"})
_LARGEST_CONFIG_BYTES = 64 << 20
_LARGEST_WEIGHTS_BYTES = 8 << 30
_TRAINING = frozenset({"optimizer", "optimizer_weights"})
_AGAIN = "fetch or save it again"


@dataclass
class _Read:
    """What stands in the file, before it is understood."""

    config: Any
    origin: dict[str, str]
    weights: dict[str, Precision] = field(default_factory=dict)
    trained: bool = False


def read_keras(path: Path, kind: str) -> Facts:
    """What a Keras file holds, by its configuration.

    Args:
        path: The file.
        kind: `keras` for the zip archive, `h5` for HDF5.

    Raises:
        ModelError: It is damaged, or holds weights without a model.
    """
    read = _read_archive(path) if kind == "keras" else _read_hdf5(path)
    config = read.config
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise ModelError(f"{path} has a configuration that describes no model", _AGAIN)
    layers = list(_layers(config))
    code, own = _code_and_own_classes(config)
    notes = []
    described = config["class_name"] in _WHOLE_MODELS
    if not described:
        notes.append(f"It is an object of the class {config['class_name']}, whose layers stand in Python code, not in the file.")
    if code:
        notes.append(f"It holds code or operations that only its author's program can rebuild ({', '.join(code)}): that is never run here.")
    if read.trained:
        notes.append("It holds an optimizer's state too: for training on, of no use on a device.")
    return Facts(
        format=kind,
        inputs=tuple(_inputs(config)),
        outputs=tuple(End(name, None, "") for name in _ends_named(config, "output_layers")),
        operators=dict(Counter(layers).most_common()),
        macs=Macs(0, (Uncounted("Keras layers", len(layers), "sizes are known only to Keras, once it has loaded the file"),)),
        parameters=sum(entry.parameters for entry in read.weights.values()),
        weight_precision=read.weights,
        quantization=_precision(read.weights, config),
        custom_operators=tuple(dict.fromkeys([*code, *own])),
        metadata={"class_name": config["class_name"], **_named(config), **read.origin},
        holds_code=bool(code),
        notes=tuple(notes),
    )


def _read_hdf5(path: Path) -> _Read:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            config = file.attrs.get("model_config")
            weights = _stored(file["model_weights"] if config is not None and "model_weights" in file else file)
            if config is None:
                count = sum(entry.parameters for entry in weights.values())
                raise ModelError(
                    f"{path} holds weights without a model: {count:,} numbers of {len(file)} layers, not the network that uses them",
                    "save the whole model with model.save(), or give the file as --weights with its architecture",
                )
            origin = {key: _plain(file.attrs[key]) for key in ("keras_version", "backend") if key in file.attrs}
            return _Read(_parsed(config, path), origin, weights, "optimizer_weights" in file)
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path} is an HDF5 file whose contents are damaged", _AGAIN) from error
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{path} is no whole HDF5 file: {error}", _AGAIN) from error


def _read_archive(path: Path) -> _Read:
    import h5py

    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > _LARGEST_CONFIG_BYTES:
                raise ModelError(f"{path} has a configuration of more than 64 MiB", "do not trust this file")
            if archive.getinfo("model.weights.h5").file_size > _LARGEST_WEIGHTS_BYTES:
                raise ModelError(f"{path} unpacks to more than 8 GiB", "give a smaller model")
            config = _parsed(archive.read("config.json"), path)
            names = archive.namelist()
            origin = _parsed(archive.read("metadata.json"), path) if "metadata.json" in names else {}
            with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file:
                weights, trained = _stored(file), "optimizer" in file
    except (zipfile.BadZipFile, NotImplementedError, OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path} is no whole .keras file: {error}", _AGAIN) from error
    return _Read(config, {key: _plain(value) for key, value in origin.items()} if isinstance(origin, dict) else {}, weights, trained)


def _parsed(raw: Any, path: Path) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{path} has a broken configuration: {error}", _AGAIN) from error


def _plain(value: Any) -> str:
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))[:200]


def _stored(group: Any) -> dict[str, Precision]:
    """Numbers in the datasets of a group, by type; links are not followed, the optimizer's and the random seeds' numbers are left out."""
    import h5py

    found: dict[str, Precision] = {}
    waiting, seen = [group], set()
    while waiting:
        group = waiting.pop()
        place = h5py.h5o.get_info(group.id).addr
        if place in seen:
            continue
        seen.add(place)
        for name in group:
            if name in _TRAINING or "seed_generator" in name or not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            entry = group[name]
            if isinstance(entry, h5py.Group):
                waiting.append(entry)
            elif entry.shape is not None and entry.dtype.kind in "fiu":
                before = found.get(entry.dtype.name, Precision(0, 0))
                found[entry.dtype.name] = Precision(before.parameters + int(entry.size), before.size_bytes + int(entry.nbytes))
    return dict(sorted(found.items(), key=lambda entry: -entry[1].parameters))


def _layers(config: Any) -> Iterator[str]:
    """Kinds of the layers, those of nested models in the nested model's place."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        inside = part.get("config") if isinstance(part, dict) else None
        layers = inside.get("layers") if isinstance(inside, dict) else inside if isinstance(inside, list) else None
        if isinstance(layers, list):
            waiting.extend(reversed(layers))
        elif isinstance(part, dict) and isinstance(part.get("class_name"), str) and part["class_name"] != "InputLayer":
            yield part["class_name"][:200]


def _code_and_own_classes(config: Any) -> tuple[list[str], list[str]]:
    """Names of what holds code, and of classes that Keras does not bring, wherever they stand."""
    code: dict[str, None] = {}
    own: dict[str, None] = {}
    waiting = [config]
    while waiting:
        part = waiting.pop()
        waiting.extend(part if isinstance(part, list) else part.values() if isinstance(part, dict) else ())
        name = part.get("class_name") if isinstance(part, dict) else None
        if not isinstance(name, str):
            continue
        module = part.get("module")
        name = name.rpartition(">")[2][:200]  # `keras.layers>Lambda` names a Lambda too
        if name in _CODE:
            code[{"__lambda__": "Lambda", "function": "a Python function"}.get(name, name)] = None
        elif str(module).partition(".")[0] not in ("keras", "builtins") if module else bool(part.get("registered_name")):
            own[name] = None
    return list(code), list(own)


def _named(config: dict[str, Any]) -> dict[str, str]:
    inside = config.get("config")
    name = inside.get("name") if isinstance(inside, dict) else None
    return {"name": name[:200]} if isinstance(name, str) else {}


def _inputs(config: dict[str, Any]) -> Iterator[End]:
    """The inputs by the configuration: of its input layers, or of a Sequential's first layer."""
    inside = config.get("config")
    layers = inside.get("layers") if isinstance(inside, dict) else inside
    if not isinstance(layers, list):
        return
    wanted = set(_ends_named(config, "input_layers"))
    for place, layer in enumerate(layers):
        values = layer.get("config") if isinstance(layer, dict) else None
        if not isinstance(values, dict):
            continue
        shape = values.get("batch_shape") or values.get("batch_input_shape")
        name = str(values.get("name", ""))[:200]
        if isinstance(shape, list) and (name in wanted or (not wanted and place == 0)):
            dtype = values.get("dtype")
            sizes = tuple(size if isinstance(size, int) else None for size in shape)
            yield End(name, sizes, dtype if isinstance(dtype, str) else "float32")


def _ends_named(config: dict[str, Any], key: str) -> list[str]:
    """Names of a functional model's input or output layers; they stand as [name, 0, 0], or lists or dicts of such."""
    inside = config.get("config")
    waiting = [inside.get(key)] if isinstance(inside, dict) else []
    names: list[str] = []
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, list) and len(part) == 3 and isinstance(part[0], str):
            names.append(part[0][:200])
        elif isinstance(part, list):
            waiting.extend(part)
    return names


def _precision(weights: dict[str, Precision], config: Any) -> str:
    """float32, or what else most weights are stored in; Keras's own kinds of quantization by their name."""
    found = {"mixed_float16", "mixed_bfloat16", "QuantizedDTypePolicy", "QuantizeWrapperV2", "QuantizeLayer"} & _strings(config)
    if "QuantizeWrapperV2" in found or "QuantizeLayer" in found:
        return "float32, trained for int8 (fake quantization of tensorflow-model-optimization)"
    stored = next(iter(weights), "no weights")
    return f"{stored}, {min(found)}" if found else stored


def _strings(part: Any) -> set[str]:
    found: set[str] = set()
    waiting = [part]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            found.add(part)
        waiting.extend(part if isinstance(part, list) else part.values() if isinstance(part, dict) else ())
    return found
