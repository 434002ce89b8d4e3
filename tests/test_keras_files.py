"""Strangers' Keras files: Keras 2's load, code and links are refused, cut files are named."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile.errors import ModelError
from dsmobile.keras_files import load_keras_file


def _network() -> Any:
    import keras
    from keras import layers

    image = keras.Input((12, 12, 3))
    x = layers.DepthwiseConv2D(3, name="depth")(layers.Conv2D(4, 1, name="first")(image))
    return keras.Model(image, layers.Dense(2, activation="softmax", name="last")(layers.GlobalAveragePooling2D()(x)))


def _as_keras_2(path: Path, rename: dict[str, str] | None = None) -> None:
    """Makes of a saved `.h5` what Keras 2 wrote: `groups` in the depthwise layer, names with a slash."""
    import h5py

    with h5py.File(path, "r+") as file:
        document = json.loads(file.attrs["model_config"])
        for layer in document["config"]["layers"]:
            if layer["class_name"] == "DepthwiseConv2D":
                layer["config"]["groups"] = 1
        text = json.dumps(document)
        for old, new in (rename or {}).items():
            text = text.replace(f'"{old}"', f'"{new}"')
        file.attrs["model_config"] = text


@pytest.mark.parametrize("rename", [{}, {"depth": "block_1/depth", "last": "head/last/dense"}])
def test_keras_2_files_load_with_their_weights(tmp_path: Path, rename: dict[str, str]) -> None:
    model = _network()
    path = tmp_path / "old.h5"
    model.save(path)
    _as_keras_2(path, rename)
    before = path.read_bytes()
    loaded = load_keras_file(path)
    batch = np.random.default_rng(0).normal(size=(3, 12, 12, 3)).astype(np.float32)
    np.testing.assert_allclose(loaded.predict(batch, verbose=0), model.predict(batch, verbose=0), atol=1e-6)
    assert path.read_bytes() == before


def _shape_in_first_layer(config: dict[str, Any]) -> None:
    shape = config["layers"].pop(0)["config"]["batch_shape"]
    config["layers"][0]["config"]["batch_input_shape"] = shape
    config["layers"][2]["config"]["batch_input_shape"] = [None, 9, 9, 9]  # a layer taken from another model kept its shape there


def _policies(config: dict[str, Any]) -> None:
    for layer, policy in zip(config["layers"][1:], ("Policy", "PolicyV1", "Policy", "Policy"), strict=True):
        layer["config"]["dtype"] = {"class_name": policy, "config": {"name": "float32"}}


def _nested(config: dict[str, Any]) -> None:
    """The first two layers in a Sequential inside the other, a list without a name; the weights lie in the file as before."""
    _shape_in_first_layer(config)
    config["layers"][:2] = [{"class_name": "Sequential", "config": config["layers"][:2]}]


@pytest.mark.parametrize("edit", [_shape_in_first_layer, _policies, _nested])
@pytest.mark.parametrize("as_list", [False, True])
def test_a_sequential_as_older_keras_wrote_it(tmp_path: Path, edit: Callable[[dict[str, Any]], None], as_list: bool) -> None:
    """The shape in the first layer, the layers as a plain list, the precision as a policy: the numbers are those of the network saved."""
    import h5py
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.ReLU(), layers.Flatten(), layers.Dense(2)])
    path = tmp_path / "old.h5"
    model.save(path)
    with h5py.File(path, "r+") as file:
        document = json.loads(file.attrs["model_config"])
        for layer in document["config"]["layers"]:
            layer["config"]["dtype"] = "float32"
        edit(document["config"])
        if as_list:
            document["config"] = document["config"]["layers"]
        file.attrs["model_config"] = json.dumps(document)
    loaded = load_keras_file(path)
    batch = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype(np.float32)
    assert loaded.input_shape == (None, 8, 8, 3)
    np.testing.assert_allclose(loaded.predict(batch, verbose=0), model.predict(batch, verbose=0), atol=1e-6)


def test_an_h5_that_keras_cannot_reload_says_to_save_it_as_keras(tmp_path: Path) -> None:
    """An operator on tensors with a constant in front is lost in an .h5; the .keras of the same network loads."""
    import keras

    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.ops.add(3.0, image))
    model.save(tmp_path / "net.h5")
    model.save(tmp_path / "net.keras")
    with pytest.raises(ModelError, match="cannot be loaded") as raised:
        load_keras_file(tmp_path / "net.h5")
    assert "save it as .keras" in raised.value.advice
    assert load_keras_file(tmp_path / "net.keras").output_shape == (None, 4, 4, 3)


@pytest.mark.parametrize("name", ["mini_xception_gender.hdf5", "mobilenet_v1_0.25_224_imagenet.h5", "vww_96.h5"])
def test_given_files_load(shared_data: Path, name: str) -> None:
    model = load_keras_file(shared_data / "models" / name)
    assert model.count_params() > 50_000


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_is_refused(tmp_path: Path, suffix: str) -> None:
    import keras
    from keras import layers

    image = keras.Input((4, 4, 3))
    path = tmp_path / f"net{suffix}"
    keras.Model(image, layers.Lambda(lambda x: x * 2)(image)).save(path)
    with pytest.raises(ModelError, match="Lambda"):
        load_keras_file(path)


def test_a_custom_class_is_named(tmp_path: Path) -> None:
    import keras

    class Mine(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    image = keras.Input((4, 4, 3))
    path = tmp_path / "net.keras"
    keras.Model(image, Mine()(image)).save(path)
    with pytest.raises(ModelError, match="custom class Mine"):
        load_keras_file(path)


@pytest.mark.parametrize("kind", ["soft", "external", "external data", "virtual"])
def test_links_are_refused(tmp_path: Path, kind: str) -> None:
    import h5py

    path = tmp_path / "net.h5"
    _network().save(path)
    (tmp_path / "secret").write_bytes(b"\0" * 64)
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        if kind == "soft":
            group["more"] = h5py.SoftLink("/model_weights/first")
        elif kind == "external":
            group["more"] = h5py.ExternalLink("secret", "/")
        elif kind == "external data":
            group.create_dataset("more", (4,), "f4", external=[(str(tmp_path / "secret"), 0, 16)])
        else:
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource(str(tmp_path / "secret"), "x", (4,))
            group.create_virtual_dataset("more", layout)
    with pytest.raises(ModelError, match=r"link|another file"):
        load_keras_file(path)


def test_weights_alone_are_named(tmp_path: Path) -> None:
    path = tmp_path / "net.weights.h5"
    _network().save_weights(path)
    with pytest.raises(ModelError, match="weights without a model"):
        load_keras_file(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_cut_files(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"net{suffix}"
    _network().save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError):
        load_keras_file(path)


def test_paths_that_lead_out_of_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    _network().save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../evil", "x")
    with pytest.raises(ModelError, match="lead out"):
        load_keras_file(path)


def test_a_subclassed_model_says_what_to_do(tmp_path: Path) -> None:
    import keras

    from dsmobile.architectures.graph import read_graph

    class Mine(keras.Model):
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(ModelError, match="subclassed"):
        read_graph(Mine())
