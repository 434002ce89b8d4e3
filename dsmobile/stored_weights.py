"""The weights in a Keras file, layer by layer in the model's order, whichever Keras wrote it and in whichever of its three layouts.

- `.h5` and `.hdf5` of Keras 2, and of Keras 3's legacy writer, list their layers and each layer's arrays in attributes.
- `.weights.h5` of Keras 3 knows a layer by its class and its number among the layers of that class; how layers of different classes follow each
  other stands nowhere in it.
- `.keras` holds the model, which tells the order.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.errors import ModelError
from dsmobile.exporters.sniff import check_model_file
from dsmobile.keras_files import load_keras_file, open_hdf5
from dsmobile.layer_facts import LayerFacts, facts_of, inner_layers, leaf_layers, weights_of

_LAYERS = ("layers", "_layer_checkpoint_dependencies")  # Keras 3's name, and that of TensorFlow 2.12 and 2.13
_LARGEST_BYTES = 4 << 30
_LARGEST_EMPTY_BYTES, _MOST_EXPANSION = 64 << 20, 1000
_FLOATS = ("float16", "float32", "float64", "bfloat16")


@dataclass(frozen=True)
class NamedArray:
    """One array of a file.

    Args:
        name: As the file names it.
        array: Its numbers, float32.
        layer: The layer it belongs to, as a number that grows with the layers' order.
        queue: Among which layers that order holds: empty where it is the whole model's, else a group of the file and a class of layers.
        facts: What the model knows of the layer, where the file holds a model that can be opened; its numbers are those of `layer`.
    """

    name: str
    array: npt.NDArray[np.float32]
    layer: int
    queue: str = ""
    facts: LayerFacts | None = None


def read_arrays(path: Path) -> list[NamedArray]:
    """Reads the weights of a `.h5`, `.hdf5`, `.weights.h5` or `.keras` file in the model's order; an optimizer's are left alone.

    Args:
        path: The file. Nothing in it is run or followed.

    Returns:
        Its arrays as float32; states of random generators and counters are no weights and left out.

    Raises:
        ModelError: It is missing, damaged, no Keras file, or its weights are not finite, not stored as floats, or in no known order.
    """
    if path.name.endswith(".weights.json"):
        raise ModelError(f"{path} keeps its weights in several files", "save them in one: model.save_weights('NAME.weights.h5')")
    kind = check_model_file(path)
    if kind not in ("keras", "h5"):
        raise ModelError(f"{path} is a {kind} file, not Keras weights", "give a .weights.h5, .h5, .hdf5 or .keras file")
    if kind == "keras":
        arrays = list(arrays_of(load_keras_file(path), str(path)))
    else:
        try:
            with open_hdf5(path) as file:
                _check_sizes(file, path)
                arrays = list(_legacy(file, path) if _is_legacy(file) else _by_class(file, path))
                holds_model = _is_legacy(file) and "model_config" in file.attrs
        except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise ModelError(f"{path} is damaged: {str(error)[:300]}", "fetch or save it again") from error
        arrays = _with_facts(arrays, path) if holds_model else arrays
    if not arrays:
        raise ModelError(f"{path} holds no weights", "give the file of a trained model")
    return arrays


def arrays_of(model: Any, origin: str) -> Iterator[NamedArray]:
    """The weights of a Keras model, layer by layer, those of a model inside it in their place.

    Args:
        model: A `keras.Model`.
        origin: Where it came from, for errors.

    Raises:
        ModelError: One is not finite or no float.
    """
    layers = list(leaf_layers(model))
    for number, (layer, facts) in enumerate(zip(layers, facts_of(model, layers), strict=True)):
        for weight in weights_of(layer):
            yield NamedArray(weight.path, _checked(np.asarray(weight), weight.path, origin), number, facts=facts)


def _with_facts(arrays: list[NamedArray], path: Path) -> list[NamedArray]:
    """The arrays of a legacy file with what its model knows of their layers; as they are where the model cannot be opened or lists other layers."""
    try:
        model = load_keras_file(path)
    except ModelError:  # code in it hinders no one from reading its weights, whose order the file tells by itself
        return arrays
    layers = [layer for layer in leaf_layers(model) if weights_of(layer)]
    groups: dict[int, list[NamedArray]] = defaultdict(list)
    for array in arrays:
        groups[array.layer].append(array)
    if list(groups) != list(range(len(layers))) or not all(_is_of(groups[number], layer) for number, layer in enumerate(layers)):
        return arrays
    facts = facts_of(model, layers)
    return [replace(array, facts=facts[array.layer]) for array in arrays]


def _is_of(arrays: list[NamedArray], layer: Any) -> bool:
    """Whether a legacy file's arrays are this layer's, by shape and name."""
    same = sorted(array.array.shape for array in arrays) == sorted(tuple(weight.shape) for weight in weights_of(layer))
    return same and all(array.name.rpartition("/")[0].replace("/", "_").endswith(layer.name) for array in arrays)


def _checked(raw: npt.NDArray[Any], name: str, origin: str) -> npt.NDArray[np.float32]:
    """An array as float32."""
    if raw.dtype == np.dtype("V2"):  # how h5py keeps bfloat16: the upper half of a float32
        raw = (np.ascontiguousarray(raw).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    if raw.dtype.name not in _FLOATS:
        raise ModelError(
            f"{origin} stores {shortened(name)} as {raw.dtype}", f"give a file of floats ({', '.join(_FLOATS)}): a model before quantization"
        )
    finite = np.isfinite(raw.astype(np.float64))
    if not finite.all():
        bad = int(raw.size - finite.sum())
        raise ModelError(f"{bad} of the {raw.size} numbers in {shortened(name)} of {origin} are NaN or infinite", "load an earlier checkpoint")
    with np.errstate(over="ignore"):
        array = raw.astype(np.float32)
    if not np.isfinite(array).all():
        raise ModelError(f"{origin} stores numbers in {shortened(name)} that are too large for float32", "load an earlier checkpoint")
    return array


def shortened(name: str) -> str:
    """A stranger's name, at most 120 characters of it."""
    return name if len(name) <= 120 else f"{name[:117]}..."


def _check_sizes(file: Any, path: Path) -> None:
    """Refuses a file whose arrays are larger than what it holds."""
    import h5py

    total = 0

    def visit(name: str, entry: Any) -> None:
        nonlocal total
        if not isinstance(entry, h5py.Dataset) or entry.shape is None:
            return
        size = int(entry.dtype.itemsize) * int(np.prod(entry.shape, dtype=object))
        total += size
        if total > _LARGEST_BYTES:
            raise ModelError(f"{path} holds arrays of more than 4 GiB", "give a smaller model")
        if size > _LARGEST_EMPTY_BYTES and size > _MOST_EXPANSION * entry.id.get_storage_size():
            raise ModelError(f"{path} declares {size:,} bytes of {shortened(name)} and holds almost none of them", "do not trust this file")

    file.visititems(visit)


def _is_legacy(file: Any) -> bool:
    group = file.get("model_weights", file)
    return any(name in group.attrs for name in ("layer_names", "layer_names0"))


def _legacy(file: Any, path: Path) -> Iterator[NamedArray]:
    """What `save` and `save_weights` of Keras 2 write."""
    group = file.get("model_weights", file)
    inner = inner_layers(file.attrs.get("model_config"))
    number = 0
    for layer in _attribute(group, "layer_names"):
        entry = group[layer]
        names = [name for name in _attribute(entry, "weight_names") if _is_weight(name, entry[name])]
        groups = _in_order(names, inner.get(layer, ()), layer, path)
        normalizes = ["moving_mean" in " ".join(parts) for parts in groups]
        last = normalizes == sorted(normalizes) and normalizes.count(True) > 1  # they were frozen, and stand behind all that was trained
        for parts, normalization in zip(groups, normalizes, strict=True):
            for name in parts:
                queue = f"{layer}/batch_normalization" if last and normalization else ""
                yield NamedArray(name, _checked(entry[name][()], name, str(path)), number, queue)
            number += 1


def _attribute(group: Any, name: str) -> list[str]:
    """A list of names; a long one stands in several attributes."""
    whole = group.attrs.get(name)
    parts = [whole] if whole is not None else []
    while whole is None and f"{name}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [entry.decode() if isinstance(entry, bytes) else str(entry) for part in parts for entry in part]


def _is_weight(name: str, dataset: Any) -> bool:
    """Whether an array is a weight: neither a counter nor a random generator's state."""
    return bool(dataset.shape) and "seed_generator" not in name


def _in_order(names: list[str], inner: tuple[str, ...], layer: str, path: Path) -> list[list[str]]:
    """The arrays of one entry of the file by layer: one layer's, or those of the layers of a model inside.

    Keras writes what is trained of an inner model first, then what is not; each layer's arrays are brought together again.

    Args:
        names: The arrays' names, as `LAYER/ROLE`.
        inner: The names of the inner model's layers in order, where the file holds the model.
        layer: The entry's name.
        path: The file.

    Raises:
        ModelError: Some layers of the inner model were frozen, and nothing tells the order.
    """
    groups: dict[str, list[str]] = {}
    split: set[str] = set()  # the trained layers that also have numbers that are not trained
    late, previous = False, ""
    for name in names:
        owner = name.rpartition("/")[0]
        if owner in groups and owner != previous:
            split.add(owner)
        late = late or (bool(split) and owner not in groups)
        groups.setdefault(owner, []).append(name)
        previous = owner
    normalizations = {owner for owner, parts in groups.items() if any("moving_mean" in part for part in parts)}
    late = late or bool(normalizations & split and normalizations - split)
    known = {owner: max((name for name in inner if f"/{owner}".endswith(f"/{name}")), key=len, default="") for owner in groups}
    if len(groups) > 1 and all(known.values()):
        return [groups[owner] for owner in sorted(groups, key=lambda owner: inner.index(known[owner]))]
    if late:
        raise ModelError(
            f"{path} keeps the weights of the model {shortened(layer)} inside it in no order: some of its layers were frozen",
            "save the whole model as .keras",
        )
    return list(groups.values())


def _by_class(file: Any, path: Path) -> Iterator[NamedArray]:
    """What `save_weights` of Keras 3 writes: `layers/conv2d_3/vars/0`, in HDF5's order of the alphabet."""
    if not any(name in file for name in _LAYERS):
        raise ModelError(
            f"{path} is an HDF5 file without the weights of a Keras model of layers",
            "give what model.save() or model.save_weights() wrote of a functional or Sequential model",
        )
    waiting = [(file[name], name) for name in _LAYERS if name in file]
    number = 0
    while waiting:
        group, place = waiting.pop(0)
        if place.rpartition("/")[2] in _LAYERS:
            children = sorted(group, key=_number)
            _check_numbers(group, place, children, path)
        else:
            children = [name for name in group if name != "vars" and name != "seed_generator"]
            kind = re.sub(r"_\d+$", "", place)
            arrays: Any = group.get("vars")
            label = "" if arrays is None else str(arrays.attrs.get("name", ""))
            for name in sorted(arrays or (), key=_number):
                if _is_weight(name, arrays[name]):
                    full = f"{place}/vars/{name}" + (f" ({label})" if label else "")
                    yield NamedArray(full, _checked(_raw(arrays[name]), full, str(path)), number, kind)
            number += 1
        waiting.extend((group[name], f"{place}/{name}") for name in children if hasattr(group[name], "keys"))


def _check_numbers(group: Any, place: str, children: list[str], path: Path) -> None:
    """Refuses a class of layers with a gap in its numbers: what is behind the gap would be taken for what is missing."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for name in children:
        numbers[_number(name)[0]].append(_number(name)[1])
    for kind in {_number(name)[0] for name in children if len(getattr(group[name], "keys", tuple)()) and len(group[name].get("vars", ()))}:
        missing = next((number for number, given in enumerate(numbers[kind]) if number != given), None)
        if missing is not None:
            lost = f"{shortened(kind)}_{missing}" if missing else shortened(kind)
            raise ModelError(
                f"{path} lacks a layer: {shortened(place)} holds no {lost}, but one with a higher number",
                "save the weights again, or the whole model as .keras",
            )


def _raw(dataset: Any) -> npt.NDArray[Any]:
    return np.asarray(dataset[()])


def _number(name: str) -> tuple[str, int]:
    """`conv2d`, `conv2d_1`, `conv2d_10` and `0`, `1`, `10` in the order of their numbers."""
    found = re.fullmatch(r"(?:(.*)_)?(\d+)", name)
    return (found[1] or "", int(found[2])) if found else (name, 0)
