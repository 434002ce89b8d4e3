"""Weights loaded into an architecture compute what the network they come from computes; what does not fit is said, and nothing is half loaded."""

import io
import json
import pickle
import socket
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile import imagenet
from dsmobile.errors import ModelError
from dsmobile.weights import NamedArray, fit, imagenet_arrays, read_arrays

pytestmark = pytest.mark.long

SUFFIXES = (".h5", ".weights.h5", ".keras")


def network(
    classes: int = 3,
    *,
    channels: int = 3,
    width: int = 4,
    scale: bool = True,
    head: str = "dense",
    prefix: str = "",
    blocks: int = 2,
    top: bool = True,
) -> Any:
    """A small network of separable blocks; its layers are called `PREFIXconv`, `PREFIXdw_0` and so on, the classifier `PREFIXhead`."""
    import keras
    from keras import layers

    def called(name: str) -> str:
        return f"{prefix}{name}"

    x = image = keras.Input((8, 8, channels))
    x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=called("conv"))(x)
    x = layers.BatchNormalization(name=called("conv_bn"))(x)
    for number in range(blocks):
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=called(f"dw_{number}"))(x)
        x = layers.BatchNormalization(scale=scale, name=called(f"dw_bn_{number}"))(x)
        x = layers.ReLU(6.0, name=called(f"relu_{number}"))(x)
        x = layers.Conv2D(2 * width if number == 0 else width, 1, use_bias=False, name=called(f"pw_{number}"))(x)
        x = layers.BatchNormalization(name=called(f"pw_bn_{number}"))(x)
    x = layers.Dropout(0.1, seed=1, name=called("dropout"))(x)
    if not top:
        return keras.Model(image, x, name=f"{prefix}body")
    x = layers.GlobalAveragePooling2D(keepdims=head == "conv", name=called("pool"))(x)
    if head == "conv":
        x = layers.Flatten(name=called("flat"))(layers.Conv2D(classes, 1, name=called("head"))(x))
    else:
        x = layers.Dense(classes, name=called("head"))(x)
    return keras.Model(image, x, name=f"{prefix}network")


def trained(model: Any, seed: int = 1) -> Any:
    """Gives every weight a number of its own, so that no two arrays could be taken for each other."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        positive = "variance" in weight.path or "gamma" in weight.path
        values = random.uniform(0.5, 2.0, weight.shape) if positive else random.normal(0.0, 0.5, weight.shape)
        weight.assign(values.astype(np.float32))
    return model


def outputs(model: Any) -> Any:
    shape = tuple(model.input_shape[1:])
    return model.predict(np.random.default_rng(5).normal(size=(4, *shape)).astype(np.float32), verbose=0).reshape(4, -1)


def saved(model: Any, path: Path) -> Path:
    model.save_weights(path) if path.name.endswith(".weights.h5") else model.save(path)
    return path


def legacy_weights(model: Any, path: Path) -> Path:
    """What Keras 2's `save_weights` wrote: no model, no `model_weights` group."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return path


def test_a_whole_file_of_every_kind_computes_the_same(tmp_path: Path) -> None:
    theirs = trained(network(prefix="z", head="conv"))  # other names, a convolution for a head
    files = [saved(theirs, tmp_path / f"net{suffix}") for suffix in (*SUFFIXES, ".hdf5")] + [legacy_weights(theirs, tmp_path / "old.h5")]
    for path in files:
        ours = trained(network(), seed=9)
        loaded = fit(ours, read_arrays(path), path.name, head=["head"], stem="conv")
        assert (loaded.loaded, loaded.new, loaded.unused, loaded.notes()) == (len(ours.weights), (), (), ())
        np.testing.assert_allclose(outputs(ours), outputs(theirs), atol=1e-6)


def test_an_optimizers_numbers_are_left_alone(tmp_path: Path) -> None:
    theirs = trained(network())
    theirs.compile("adam", "mse")
    theirs.fit(np.ones((2, 8, 8, 3), np.float32), np.ones((2, 3), np.float32), verbose=0)
    for suffix in SUFFIXES:
        ours = network()
        assert fit(ours, read_arrays(saved(theirs, tmp_path / f"net{suffix}")), suffix, head=["head"]).unused == ()
        np.testing.assert_array_equal(outputs(ours), outputs(theirs))


def test_more_than_ten_layers_of_a_class_keep_their_order(tmp_path: Path) -> None:
    """HDF5 lists `conv2d_10` before `conv2d_2`."""
    theirs = trained(network(blocks=14))
    ours = network(blocks=14)
    fit(ours, read_arrays(saved(theirs, tmp_path / "net.weights.h5")), "file", head=["head"])
    np.testing.assert_array_equal(outputs(ours), outputs(theirs))


def test_files_of_tensorflow_2_12(tmp_path: Path) -> None:
    import h5py

    theirs, ours = trained(network()), network()
    path = saved(theirs, tmp_path / "net.weights.h5")
    with h5py.File(path, "r+") as file:
        file.move("layers", "_layer_checkpoint_dependencies")
    fit(ours, read_arrays(path), "file", head=["head"])
    np.testing.assert_array_equal(outputs(ours), outputs(theirs))


def test_many_layers_are_listed_in_several_attributes(tmp_path: Path) -> None:
    import h5py

    theirs, ours = trained(network()), network()
    path = saved(theirs, tmp_path / "net.h5")
    with h5py.File(path, "r+") as file:
        attributes = file["model_weights"].attrs
        names = [str(name) for name in attributes["layer_names"]]
        del attributes["layer_names"]
        attributes["layer_names0"], attributes["layer_names1"] = names[:4], names[4:]
    fit(ours, read_arrays(path), "file", head=["head"])
    np.testing.assert_array_equal(outputs(ours), outputs(theirs))


def test_code_in_a_file_does_not_hinder_reading_its_weights(tmp_path: Path) -> None:
    """Keras 2 wrote functions as layers of code, as in its own MobileNetV3; the arrays are read without it."""
    import h5py

    theirs, ours = trained(network()), network()
    path = saved(theirs, tmp_path / "net.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = file.attrs["model_config"].replace('"ReLU"', '"TFOpLambda"')
    fit(ours, read_arrays(path), "file", head=["head"])
    np.testing.assert_array_equal(outputs(ours), outputs(theirs))


def transfer(*, freeze: Callable[[Any], bool]) -> Any:
    """A body taken as one layer of another model, as transfer learning does; part of it frozen."""
    import keras
    from keras import layers

    body = network(prefix="body_", top=False, blocks=4)
    for layer in body.layers:
        layer.trainable = not freeze(layer)
    image = keras.Input((8, 8, 3))
    return trained(keras.Model(image, layers.Dense(3, name="new_head")(layers.GlobalAveragePooling2D()(body(image)))))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "freeze", [lambda layer: False, lambda layer: True, lambda layer: not layer.name.endswith(("_2", "_3"))], ids=["trained", "frozen", "half frozen"]
)
def test_a_model_inside_a_model(tmp_path: Path, suffix: str, freeze: Callable[[Any], bool]) -> None:
    """Keras writes what is trained before what is frozen: the order comes from the model in the file."""
    theirs, ours = transfer(freeze=freeze), network(blocks=4)
    loaded = fit(ours, read_arrays(saved(theirs, tmp_path / f"net{suffix}")), suffix, head=["head"], stem="conv")
    assert loaded.notes() == ()
    np.testing.assert_allclose(outputs(ours), outputs(theirs), atol=1e-6)


def test_an_inner_order_that_is_lost_is_refused(tmp_path: Path) -> None:
    whole = legacy_weights(transfer(freeze=lambda layer: False), tmp_path / "trained.h5")
    assert fit(network(blocks=4), read_arrays(whole), "file", head=["head"]).new == ()
    path = legacy_weights(transfer(freeze=lambda layer: not layer.name.endswith(("_2", "_3"))), tmp_path / "half.h5")
    with pytest.raises(ModelError, match=r"body_body inside it in no order"):
        read_arrays(path)


def test_frozen_normalizations_of_an_inner_model(tmp_path: Path) -> None:
    """They stand behind all convolutions in the file, in their own order, as fine-tuning usually leaves them."""
    theirs, ours = transfer(freeze=lambda layer: "_bn" in layer.name), network(blocks=4)
    fit(ours, read_arrays(legacy_weights(theirs, tmp_path / "net.h5")), "net", head=["head"])
    np.testing.assert_allclose(outputs(ours), outputs(theirs), atol=1e-6)


def test_layers_that_classes_alone_cannot_order_are_refused(tmp_path: Path) -> None:
    """Two convolutions of one shape, one of them in a model inside: `.weights.h5` does not say which comes first."""
    import keras
    from keras import layers

    inner = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(4, 1)])
    image = keras.Input((8, 8, 4))
    path = saved(trained(keras.Model(image, layers.Conv2D(4, 1)(inner(image)))), tmp_path / "net.weights.h5")
    ours = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(4, 1), layers.Conv2D(4, 1)])
    with pytest.raises(ModelError, match="in which order 2 layers") as raised:
        fit(ours, read_arrays(path), "file", head=[])
    assert ".keras" in raised.value.advice


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_classes_keep_the_body(tmp_path: Path, suffix: str) -> None:
    theirs = trained(network(7, head="conv"))
    ours = trained(network(3), seed=9)
    before = [np.array(weight) for weight in ours.get_layer("head").weights]
    loaded = fit(ours, read_arrays(saved(theirs, tmp_path / f"net{suffix}")), "net", head=["head"], stem="conv")
    assert loaded.new == ("head: kernel (4, 3)", "head: bias (3,)")
    assert len(loaded.unused) == 2 and loaded.unused[0].endswith("(1, 1, 4, 7)")
    assert loaded.loaded == len(ours.weights) - 2
    assert "head is new (3 classes)" in loaded.notes()[0]
    assert pickle.loads(pickle.dumps(loaded)) == loaded
    for array, weight in zip(before, ours.get_layer("head").weights, strict=True):
        np.testing.assert_array_equal(array, weight)
    import keras

    bodies = [keras.Model(model.input, model.get_layer("pool").output) for model in (ours, theirs)]
    np.testing.assert_allclose(outputs(bodies[0]), outputs(bodies[1]), atol=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_without_a_top_and_a_model_without_one(tmp_path: Path, suffix: str) -> None:
    path = saved(trained(network(top=False)), tmp_path / f"body{suffix}")
    loaded = fit(network(), read_arrays(path), "body", head=["head"])
    assert loaded.new == ("head: kernel (4, 3)", "head: bias (3,)") and loaded.unused == ()
    theirs, ours = trained(network()), network(top=False)
    loaded = fit(ours, read_arrays(saved(theirs, tmp_path / f"net{suffix}")), "net", head=["head"])
    assert loaded.new == () and len(loaded.unused) == 2 and "Not used of net" in loaded.notes()[0]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("channels", [1, 4])
def test_other_input_channels_leave_the_first_convolution_new(tmp_path: Path, suffix: str, channels: int) -> None:
    """With one channel its kernel's sizes are those of a depthwise convolution: it must not take that one's numbers."""
    theirs, ours = trained(network()), trained(network(channels=channels), seed=9)
    kernel = np.array(ours.get_layer("conv").kernel)
    loaded = fit(ours, read_arrays(saved(theirs, tmp_path / f"net{suffix}")), "net", head=["head"], stem="conv")
    assert loaded.new == (f"conv: kernel (3, 3, {channels}, 4)",) and loaded.classes is None
    assert len(loaded.unused) == 1 and loaded.unused[0].endswith("(3, 3, 3, 4)")
    assert "first convolution is new" in loaded.notes()[0]
    np.testing.assert_array_equal(ours.get_layer("conv").kernel, kernel)
    np.testing.assert_array_equal(ours.get_layer("dw_0").kernel, theirs.get_layer("dw_0").kernel)
    with pytest.raises(ModelError, match="conv: kernel"):
        fit(ours, read_arrays(saved(theirs, tmp_path / f"net{suffix}")), "net", head=["head"])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        ({"width": 8}, ["conv: kernel (3, 3, 3, 4) <- ", "(3, 3, 3, 8)"]),
        ({"blocks": 3}, ["nothing <- ", "(3, 3, 4, 1)"]),
        ({"blocks": 1}, ["dw_1: kernel (3, 3, 8, 1) <- nothing"]),
        ({"scale": False}, ["dw_bn_0: gamma (4,), dw_bn_0: beta (4,)", "<- "]),
        ({"width": 8, "classes": 9}, ["conv_bn: gamma (4,) <- "]),
    ],
    ids=["wider", "a block more", "a block less", "no scale", "wider and other classes"],
)
def test_what_does_not_fit_is_listed_and_nothing_is_loaded(tmp_path: Path, suffix: str, theirs: dict[str, Any], words: list[str]) -> None:
    path = saved(trained(network(prefix="their_", **theirs)), tmp_path / f"net{suffix}")
    ours = trained(network(), seed=9)
    before = ours.get_weights()
    with pytest.raises(ModelError) as raised:
        fit(ours, read_arrays(path), path.name, head=["head"], stem="conv")
    for word in words:
        assert word in raised.value.message
    assert "--alpha" in raised.value.advice and len(raised.value.message.split("; ")) <= 13
    for array, now in zip(before, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(array, now)


def test_only_the_layer_without_scale_is_named(tmp_path: Path) -> None:
    """One array less does not shift all that follow it."""
    path = saved(trained(network(scale=False, blocks=1)), tmp_path / "net.h5")
    with pytest.raises(ModelError) as raised:
        fit(network(blocks=1), read_arrays(path), "net.h5", head=["head"])
    assert "1 of 6 layers differ" in raised.value.message and "pw_0" not in raised.value.message


def test_the_list_ends_after_ten_places(tmp_path: Path) -> None:
    path = saved(trained(network(width=8, blocks=5)), tmp_path / "net.h5")
    with pytest.raises(ModelError) as raised:
        fit(network(blocks=5), read_arrays(path), "net.h5", head=["head"])
    assert raised.value.message.count(" <- ") == 11  # the heading's and ten
    assert raised.value.message.endswith("; and 12 more")
    assert "same, in another width" in raised.value.advice


def test_normalizations_without_scale_and_without_centre_are_not_mistaken(tmp_path: Path) -> None:
    import keras
    from keras import layers

    def net(**arguments: bool) -> Any:
        return keras.Sequential([keras.Input((4, 4, 3)), layers.Conv2D(2, 1), layers.BatchNormalization(**arguments)])

    path = saved(net(center=False), tmp_path / "net.h5")
    with pytest.raises(ModelError, match="beta"):
        fit(net(scale=False), read_arrays(path), "net.h5", head=[])


def test_parallel_branches_may_stand_in_another_order(tmp_path: Path) -> None:
    import keras
    from keras import layers

    def net(*, shortcut_first: bool) -> Any:
        image = keras.Input((8, 8, 4))
        if shortcut_first:
            shortcut = layers.Conv2D(6, 1, name="shortcut")(image)
        x = layers.SeparableConv2D(6, 3, padding="same", name="separable")(image)
        if not shortcut_first:
            shortcut = layers.Conv2D(6, 1, name="shortcut")(image)
        return keras.Model(image, layers.Add()([shortcut, x]))

    theirs, ours = trained(net(shortcut_first=False)), net(shortcut_first=True)
    fit(ours, read_arrays(saved(theirs, tmp_path / "net.h5")), "net.h5", head=[])
    np.testing.assert_array_equal(outputs(ours), outputs(theirs))


def residual(*, long_shortcut: bool) -> Any:
    """A separable convolution beside a shortcut, of equal widths; activations that do nothing more can move the shortcut in Keras's order."""
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3))
    x = layers.ReLU()(layers.Conv2D(4, 3, name="stem")(image))
    shortcut = layers.BatchNormalization(name="shortcut_bn")(layers.Conv2D(4, 1, use_bias=False, name="shortcut")(x))
    for _ in range(3 if long_shortcut else 0):
        shortcut = layers.Activation("linear")(shortcut)
    y = layers.BatchNormalization(name="body_bn")(layers.SeparableConv2D(4, 3, padding="same", use_bias=False, name="body")(x))
    return keras.Model(image, layers.Add()([layers.MaxPooling2D(1)(y), shortcut]))


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_the_graph_in_a_file_tells_branches_apart(tmp_path: Path, suffix: str) -> None:
    """Both branches end in a normalization of four channels: only the model tells whose is whose."""
    theirs, ours = trained(residual(long_shortcut=True)), residual(long_shortcut=False)
    assert [layer.name for layer in theirs.layers if layer.name.endswith("bn")] != [layer.name for layer in ours.layers if layer.name.endswith("bn")]
    assert fit(ours, read_arrays(saved(theirs, tmp_path / f"net{suffix}")), "net", head=[]).notes() == ()
    np.testing.assert_array_equal(outputs(ours), outputs(theirs))


def test_branches_that_a_file_cannot_tell_apart_are_said(tmp_path: Path) -> None:
    import keras

    theirs = trained(residual(long_shortcut=True))
    other = keras.models.clone_model(theirs, clone_function=lambda layer: type(layer).from_config({**layer.get_config(), "name": f"z_{layer.name}"}))
    (note,) = fit(residual(long_shortcut=False), read_arrays(saved(other, tmp_path / "net.weights.h5")), "net", head=[]).notes()
    assert "shortcut_bn" in note and "body_bn" in note and ".keras" in note
    ours = residual(long_shortcut=False)
    assert fit(ours, read_arrays(saved(trained(residual(long_shortcut=False)), tmp_path / "own.weights.h5")), "own", head=[]).notes() == ()


def chain(kernels: list[Any], *, depthwise: bool = False, epsilon: float = 1e-3, activation: str = "relu", before: Any = None) -> Any:
    """Convolutions of the same width one after another, each with its normalization and activation."""
    import keras
    from keras import layers

    x = image = keras.Input((8, 8, 3))
    if before is not None:
        x = before(x)
    x = layers.Conv2D(4, 1, name="conv_first")(x)
    for number, kernel in enumerate(kernels):
        made = layers.DepthwiseConv2D(kernel, padding="same") if depthwise else layers.Conv2D(4, kernel, padding="same")
        x = layers.BatchNormalization(epsilon=epsilon)(made(x))
        x = layers.Activation(activation, name=f"{activation}_{number}")(x)
    return keras.Model(image, layers.Dense(2, name="head")(layers.GlobalAveragePooling2D()(x)))


def refused(ours: Any, path: Path, words: str) -> ModelError:
    """What `fit` says, having changed nothing."""
    before = ours.get_weights()
    with pytest.raises(ModelError, match=words) as raised:
        fit(ours, read_arrays(path), path.name, head=["head"])
    for array, now in zip(before, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(array, now)
    return raised.value


@pytest.mark.parametrize("suffix", [*SUFFIXES, "_old.h5"])
@pytest.mark.parametrize(
    ("theirs", "ours", "depthwise"),
    [([3, 5, 3], [3, 3, 5], False), ([5, 3, 5], [5, 5, 3], True), ([(1, 3), (3, 1)], [(3, 1), (1, 3)], False)],
    ids=["convolutions", "depthwise", "row and column"],
)
def test_layers_in_another_order_are_refused(tmp_path: Path, suffix: str, theirs: list[Any], ours: list[Any], depthwise: bool) -> None:
    """Every shape is there as often as it must be; one after the other they compute something else."""
    model, path = trained(chain(theirs, depthwise=depthwise)), tmp_path / f"net{suffix}"
    legacy_weights(model, path) if suffix == "_old.h5" else saved(model, path)
    refused(chain(ours, depthwise=depthwise), path, "stand in another order")
    same = chain(theirs, depthwise=depthwise)
    assert fit(same, read_arrays(path), "net", head=["head"]).notes() == ()
    np.testing.assert_array_equal(outputs(same), outputs(model))


@pytest.mark.parametrize("whole", [True, False])
def test_a_file_that_lists_its_layers_backwards_is_refused(tmp_path: Path, whole: bool) -> None:
    import h5py

    theirs = trained(chain([3, 5, 3]))
    path = saved(theirs, tmp_path / "net.h5") if whole else legacy_weights(theirs, tmp_path / "net.h5")
    with h5py.File(path, "r+") as file:
        group = file["model_weights"] if whole else file
        group.attrs["layer_names"] = list(group.attrs["layer_names"])[::-1]
    refused(chain([3, 5, 3]), path, "stand in another order")


@pytest.mark.parametrize(("name", "other"), [("conv2d_1", "conv2d_9"), ("conv2d", "conv2d_4"), ("batch_normalization_2", "batch_normalization_3")])
def test_a_gap_in_the_numbers_is_refused(tmp_path: Path, name: str, other: str) -> None:
    """What follows the gap would be taken for what is missing."""
    import h5py

    path = saved(trained(chain([3, 3, 3])), tmp_path / "net.weights.h5")
    with h5py.File(path, "r+") as file:
        file["layers"].move(name, other)
    refused(chain([3, 3, 3]), path, f"holds no {name}, but one with a higher number")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("depthwise", [False, True])
def test_a_row_is_no_column(tmp_path: Path, suffix: str, depthwise: bool) -> None:
    path = saved(trained(chain([(1, 3)], depthwise=depthwise)), tmp_path / f"net{suffix}")
    error = refused(chain([(3, 1)], depthwise=depthwise), path, r"kernel \(3, 1, 4, .*kernel|vars/0")
    assert "width" not in error.advice


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_channel_is_no_group(tmp_path: Path, suffix: str) -> None:
    """(3, 3, 1, 4) is a convolution of one channel, (3, 3, 4, 1) one in four groups of depth one: the same count of numbers."""
    import keras
    from keras import layers

    def net(channels: int, made: Any) -> Any:
        return keras.Sequential([keras.Input((8, 8, channels)), made])

    path = saved(trained(net(4, layers.DepthwiseConv2D(3))), tmp_path / f"net{suffix}")
    refused(net(1, layers.Conv2D(4, 3)), path, "cannot be loaded")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_the_model_computes_otherwise_is_said(tmp_path: Path, suffix: str) -> None:
    path = saved(trained(chain([3, 3], epsilon=1e-5, activation="relu6")), tmp_path / f"net{suffix}")
    notes = fit(chain([3, 3]), read_arrays(path), "net", head=["head"]).notes()
    if suffix == ".weights.h5":  # which knows neither
        assert notes == ()
    else:
        assert len(notes) == 2 and "add 1e-05" in notes[0] and "ours 0.001" in notes[0] and "relu6 where ours has relu:" in notes[1]


@pytest.mark.parametrize("suffix", [*SUFFIXES, "_old.h5"])
def test_a_file_that_normalizes_its_input(tmp_path: Path, suffix: str) -> None:
    """A `Normalization` holds a mean, a variance and a counter; none of them is a weight of ours."""
    from keras import layers

    normalization = layers.Normalization()
    theirs, path = trained(chain([3], before=normalization)), tmp_path / f"net{suffix}"
    normalization.set_weights([np.array([10.0, 20.0, 30.0]), np.array([4.0, 9.0, 16.0]), np.array(7)])
    normalization.finalize_state()
    legacy_weights(theirs, path) if suffix == "_old.h5" else saved(theirs, path)
    ours = chain([3])
    loaded = fit(ours, read_arrays(path), "net", head=["head"], stem="conv_first")
    (note,) = loaded.notes()
    assert "normalizes its input" in note and "--preprocess mean=10/20/30,std=2/3/4" in note and loaded.unused == ()
    images = np.random.default_rng(2).uniform(0, 60, (2, 8, 8, 3)).astype(np.float32)
    given = (images - np.float32([10, 20, 30])) / np.float32([2, 3, 4])
    np.testing.assert_allclose(np.asarray(ours(given)), np.asarray(theirs(images)), atol=1e-5)


def test_a_separable_layer_is_a_depthwise_and_a_pointwise_one(tmp_path: Path) -> None:
    import keras
    from keras import layers

    image = keras.Input((8, 8, 4))
    theirs = trained(keras.Model(image, layers.SeparableConv2D(6, 3)(image)))
    image = keras.Input((8, 8, 4))
    ours = keras.Model(image, layers.Conv2D(6, 1)(layers.DepthwiseConv2D(3, use_bias=False)(image)))
    for suffix in SUFFIXES:
        fit(ours, read_arrays(saved(theirs, tmp_path / f"net{suffix}")), "net", head=[])
        np.testing.assert_allclose(outputs(ours), outputs(theirs), atol=1e-5)


def test_a_grouped_convolution_is_a_depthwise_one(tmp_path: Path) -> None:
    import keras
    from keras import layers

    image = keras.Input((8, 8, 4))
    theirs = trained(keras.Model(image, layers.Conv2D(4, 3, groups=4)(image)))
    image = keras.Input((8, 8, 4))
    ours = keras.Model(image, layers.DepthwiseConv2D(3)(image))
    fit(ours, read_arrays(saved(theirs, tmp_path / "net.h5")), "net", head=[])
    np.testing.assert_allclose(outputs(ours), outputs(theirs), atol=1e-5)


def test_a_layer_used_twice_is_loaded_once(tmp_path: Path) -> None:
    import keras
    from keras import layers

    def net() -> Any:
        image = keras.Input((8, 8, 4))
        shared = layers.Conv2D(4, 3, padding="same")
        return keras.Model(image, shared(layers.ReLU()(shared(image))))

    theirs, ours = trained(net()), net()
    for suffix in SUFFIXES:
        assert fit(ours, read_arrays(saved(theirs, tmp_path / f"net{suffix}")), "net", head=[]).loaded == 2
        np.testing.assert_array_equal(outputs(ours), outputs(theirs))


def restored(path: Path, change: Callable[[Any], Any]) -> Path:
    """Stores every array of a legacy file anew, as `change` makes it."""
    import h5py

    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file["model_weights"].visititems(lambda name, entry: names.append(name) if isinstance(entry, h5py.Dataset) else None)
        for name in names:
            array = change(file["model_weights"][name][()])
            del file["model_weights"][name]
            file["model_weights"][name] = array
    return path


@pytest.mark.parametrize(("kind", "relative"), [("float16", 2**-11), ("float64", 0.0), (">f4", 0.0)])
def test_other_floats_become_float32(tmp_path: Path, kind: str, relative: float) -> None:
    theirs = trained(network())
    path = restored(saved(theirs, tmp_path / "net.h5"), lambda array: array.astype(kind))
    for read, weight in zip(read_arrays(path), theirs.get_weights(), strict=True):
        assert read.array.dtype == np.float32
        np.testing.assert_allclose(read.array, weight, rtol=relative)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bfloat16_becomes_float32(tmp_path: Path, suffix: str) -> None:
    import keras
    from keras import layers

    model = trained(keras.Sequential([keras.Input((5,)), layers.Dense(3, dtype="bfloat16")]))
    path = saved(model, tmp_path / f"net{suffix}")
    for read, weight in zip(read_arrays(path), model.get_weights(), strict=True):
        np.testing.assert_array_equal(read.array, weight.astype(np.float32))


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "S4", "complex64"])
def test_what_is_no_float_is_refused(tmp_path: Path, kind: str) -> None:
    path = restored(saved(network(), tmp_path / "net.h5"), lambda array: array.astype(kind))
    with pytest.raises(ModelError, match=r"stores .*conv.*kernel as"):
        read_arrays(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_counted(tmp_path: Path, suffix: str, value: float) -> None:
    model = trained(network())
    kernel = np.array(model.get_layer("pw_0").kernel)
    kernel.flat[:3] = value
    model.get_layer("pw_0").kernel.assign(kernel)
    with pytest.raises(ModelError, match=r"3 of the 32 numbers in .*(pw_0|conv2d_1).* are NaN or infinite"):
        read_arrays(saved(model, tmp_path / f"net{suffix}"))


def test_numbers_beyond_float32_are_refused(tmp_path: Path) -> None:
    path = restored(saved(network(), tmp_path / "net.h5"), lambda array: array.astype(np.float64) + 1e300)
    with pytest.raises(ModelError, match="too large for float32"):
        read_arrays(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_cut_files(tmp_path: Path, suffix: str, share: float) -> None:
    path = saved(network(), tmp_path / f"net{suffix}")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ModelError):
        read_arrays(path)


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5"])
def test_overwritten_bytes_never_end_in_a_traceback(tmp_path: Path, suffix: str) -> None:
    data = saved(network(), tmp_path / f"net{suffix}").read_bytes()
    random = np.random.default_rng(3)
    path, ours = tmp_path / f"bad{suffix}", network()
    for _ in range(60):
        bad = bytearray(data)
        at = int(random.integers(8, min(len(bad), 60_000)))
        bad[at : at + 16] = random.bytes(len(bad[at : at + 16]))
        path.write_bytes(bad)
        try:
            fit(ours, read_arrays(path), path.name, head=["head"])
        except ModelError:
            continue


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5"])
@pytest.mark.parametrize("kind", ["soft", "external", "external data", "huge"])
def test_what_points_elsewhere_or_holds_nothing_is_refused(tmp_path: Path, suffix: str, kind: str) -> None:
    import h5py

    path = saved(network(), tmp_path / f"net{suffix}")
    (tmp_path / "secret").write_bytes(b"\0" * 64)
    with h5py.File(path, "r+") as file:
        group = file["model_weights" if suffix == ".h5" else "layers"]
        if kind == "soft":
            group["more"] = h5py.SoftLink("/")
        elif kind == "external":
            group["more"] = h5py.ExternalLink("secret", "/")
        elif kind == "external data":
            group.create_dataset("more", (4,), "f4", external=[(str(tmp_path / "secret"), 0, 16)])
        else:
            group.create_dataset("more", (1 << 14, 1 << 15), "f4", chunks=(1 << 10, 1 << 10))
    with pytest.raises(ModelError, match=r"link|another file|holds almost none"):
        read_arrays(path)


def test_a_file_larger_than_any_model_is_refused(tmp_path: Path) -> None:
    import h5py

    path = saved(network(), tmp_path / "net.weights.h5")
    with h5py.File(path, "r+") as file:
        file["layers"].create_dataset("more", (1 << 20, 1 << 20), "f4", chunks=(1 << 10, 1 << 10))
    with pytest.raises(ModelError, match="4 GiB"):
        read_arrays(path)


def test_other_files_are_named(tmp_path: Path) -> None:
    import h5py

    (tmp_path / "net.weights.json").write_text("{}")
    with pytest.raises(ModelError, match="several files"):
        read_arrays(tmp_path / "net.weights.json")
    with pytest.raises(ModelError, match="does not exist"):
        read_arrays(tmp_path / "absent.h5")
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["x"] = np.ones(3)
    with pytest.raises(ModelError, match="without the weights of a Keras model"):
        read_arrays(tmp_path / "table.h5")
    saved(network(), tmp_path / "net.keras").rename(tmp_path / "net.weights.h5")
    with pytest.raises(ModelError, match="is a Keras archive"):
        read_arrays(tmp_path / "net.weights.h5")
    with pytest.raises(ModelError, match="holds no weights"):
        import keras

        image = keras.Input((4, 4, 3))
        read_arrays(saved(keras.Model(image, keras.layers.ReLU()(image)), tmp_path / "empty.h5"))


def test_a_keras_file_with_code_is_refused(tmp_path: Path) -> None:
    path = saved(network(), tmp_path / "net.keras")
    image = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(image, "w") as copy:
        for entry in archive.infolist():
            data = archive.read(entry)
            copy.writestr(entry, json.dumps(json.loads(data)).replace('"ReLU"', '"Lambda"') if entry.filename == "config.json" else data)
    path.write_bytes(image.getvalue())
    with pytest.raises(ModelError, match="Lambda"):
        read_arrays(path)


def test_long_names_are_shortened_in_messages() -> None:
    arrays = [NamedArray("x" * 5000, np.zeros((2, 2), np.float32), 0)]
    with pytest.raises(ModelError) as raised:
        fit(network(), arrays, "file", head=["head"])
    assert len(raised.value.message) < 2000


# --- keras.applications


@pytest.fixture
def keras_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Keras cache, and no way to fetch anything."""
    import keras  # noqa: F401

    def offline(*_arguments: Any) -> None:
        raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", offline)
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def built(name: str, **arguments: Any) -> Any:
    from dsmobile.architectures.builder import build
    from dsmobile.architectures.finding import spec_of

    return build(spec_of(name), **arguments)


APPLICATIONS = [
    ("mobilenet_v1", "MobileNet", {"alpha": 0.25}, "mobilenet_2_5_128_tf{}.h5"),
    ("mobilenet_v2", "MobileNetV2", {"alpha": 0.35}, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_128{}.h5"),
]


@pytest.mark.parametrize(("name", "function", "arguments", "file"), APPLICATIONS)
def test_imagenet_weights_from_a_prepared_cache(
    keras_cache: Path, capfd: pytest.CaptureFixture[str], name: str, function: str, arguments: dict[str, Any], file: str
) -> None:
    import keras

    arguments = {"input_shape": (128, 128, 3), **arguments}
    theirs = trained(getattr(keras.applications, function)(weights=None, **arguments))
    legacy_weights(theirs, keras_cache / file.format(""))
    ours = built(name, alpha=arguments["alpha"], resolution=128)
    loaded = fit(ours, imagenet_arrays(function, arguments, top=True), function, head=["classifier"], stem=ours.layers[1].name)
    assert loaded.notes() == ()
    assert float(np.std(outputs(theirs))) > 1e-4
    np.testing.assert_allclose(outputs(ours), outputs(theirs), atol=1e-5)

    body = trained(getattr(keras.applications, function)(weights=None, include_top=False, **arguments))
    legacy_weights(body, keras_cache / file.format("_no_top"))
    ours = built(name, alpha=arguments["alpha"], resolution=128, classes=5)
    loaded = fit(ours, imagenet_arrays(function, arguments, top=False), function, head=["classifier"], stem=ours.layers[1].name)
    assert "head is new (5 classes)" in loaded.notes()[0] and loaded.loaded == len(body.weights)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "function", "arguments", "resolution"),
    [
        ("mobilenet_v3_small", "MobileNetV3Small", {"alpha": 0.75, "include_preprocessing": False}, 64),
        pytest.param("mobilenet_v3_large", "MobileNetV3Large", {"alpha": 0.75, "include_preprocessing": False}, 64, marks=pytest.mark.slow),
        pytest.param("xception", "Xception", {}, 96, marks=pytest.mark.slow),
    ],
)
def test_a_network_of_keras_applications_in_our_build(tmp_path: Path, name: str, function: str, arguments: dict[str, Any], resolution: int) -> None:
    """From a `.weights.h5`, which knows classes alone: residual branches and squeeze-excites find their places."""
    import keras

    theirs = trained(getattr(keras.applications, function)(weights=None, input_shape=(resolution, resolution, 3), **arguments))
    scale_down(theirs)
    ours = built(name, alpha=arguments.get("alpha"), resolution=resolution)
    notes = fit(ours, read_arrays(saved(theirs, tmp_path / "net.weights.h5")), function, head=["classifier"]).notes()
    assert ["parallel branches" in note for note in notes] == ([True] if name == "xception" else [])
    assert float(np.std(outputs(theirs))) > 1e-4
    np.testing.assert_allclose(outputs(ours), outputs(theirs), atol=1e-5)


def scale_down(model: Any) -> None:
    """Keeps the numbers of a deep network within reach: kernels by the root of what they add up."""
    for weight in model.weights:
        if len(weight.shape) > 1:
            weight.assign(weight * 2.0 / np.sqrt(np.prod(weight.shape[:-1])))


@pytest.mark.parametrize("own_head", [False, True])
def test_all_layers_of_a_head_may_be_new(tmp_path: Path, own_head: bool) -> None:
    """MobileNetV4's head has a dense layer with a normalization; a body from elsewhere has neither."""
    import keras

    from dsmobile.architectures.builder import head_layers
    from dsmobile.architectures.finding import spec_of

    body = trained(built("mobilenet_v4_conv_small", resolution=32, top=False))
    theirs = keras.Model(body.input, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(body.output))) if own_head else body
    ours = built("mobilenet_v4_conv_small", resolution=32, classes=5)
    head = head_layers(spec_of("mobilenet_v4_conv_small"))
    loaded = fit(ours, read_arrays(saved(theirs, tmp_path / "net.keras")), "net", head=head)
    assert "head is new (5 classes)" in loaded.notes()[0] and loaded.loaded == len(body.weights)
    assert {name.partition(":")[0] for name in loaded.new} == {"dense", "dense_bn", "classifier"}
    for got, wanted in zip(ours.weights, body.weights, strict=False):
        np.testing.assert_array_equal(got, wanted)


def test_no_layer_of_the_body_is_taken_for_the_heads(tmp_path: Path) -> None:
    from dsmobile.architectures.builder import build, head_layers
    from dsmobile.architectures.finding import spec_of

    (tmp_path / "net.toml").write_text(
        """
        input = { resolution = 32 }
        classes = 4
        body = [{ block = "conv", kernel = 3, filters = 8 }, { block = "separable_residual", kernel = 3, stride = 2, filters = 8 }]
        head = [{ block = "separable", kernel = 3, filters = 8 }, { block = "global_average_pool" }, { block = "classifier" }]
        """
    )
    spec = spec_of(str(tmp_path / "net.toml"))
    body = [layer.name for layer in build(spec, top=False).layers]
    assert not [name for name in body for head in head_layers(spec) if f"{name}_".startswith(f"{head}_")]


def test_no_network_is_one_sentence(keras_cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="not in Keras's cache and could not be fetched") as raised:
        imagenet_arrays("MobileNet", {"input_shape": (128, 128, 3), "alpha": 0.25}, top=True)
    assert "\n" not in raised.value.message and "--weights" in raised.value.advice
    assert capfd.readouterr().out == ""


def test_a_network_that_does_not_answer_ends(keras_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        monkeypatch.setattr(imagenet, "_TIMEOUT_S", 0.2)
        monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", lambda _origin, path, _report: urllib.request.urlretrieve(address, path))
        with pytest.raises(ModelError, match="could not be fetched"):
            imagenet_arrays("MobileNet", {"input_shape": (128, 128, 3), "alpha": 0.25}, top=True)
    assert socket.getdefaulttimeout() is None and list(keras_cache.iterdir()) == []


def test_a_cached_file_that_was_cut_short_says_to_remove_it(keras_cache: Path) -> None:
    (keras_cache / "mobilenet_2_5_128_tf.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(ModelError, match="cannot be loaded") as raised:
        imagenet_arrays("MobileNet", {"input_shape": (128, 128, 3), "alpha": 0.25}, top=True)
    assert "removed" in raised.value.advice


@pytest.mark.parametrize(("function", "arguments"), [("MobileNetV9", {}), ("MobileNet", {"alpha": 0.3}), ("MobileNet", {"alpah": 1.0})])
def test_networks_and_arguments_that_are_not_there(keras_cache: Path, function: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=function):
        imagenet_arrays(function, {"input_shape": (128, 128, 3), **arguments}, top=True)


# --- a real file


def test_real_imagenet_weights(shared_data: Path) -> None:
    """Keras 2's file with a convolution for a head: all of it, the body for other classes, and a list for another width."""
    from dsmobile.keras_files import load_keras_file

    path = shared_data / "models" / "mobilenet_v1_0.25_224_imagenet.h5"
    arrays, theirs = read_arrays(path), load_keras_file(path)
    ours = built("mobilenet_v1", alpha=0.25)
    assert fit(ours, arrays, path.name, head=["classifier"], stem="conv_1").notes() == ()
    np.testing.assert_allclose(outputs(ours), outputs(theirs), atol=1e-5)

    ours = built("mobilenet_v1", alpha=0.25, classes=5)
    loaded = fit(ours, arrays, path.name, head=["classifier"], stem="conv_1")
    assert loaded.new == ("classifier: kernel (256, 5)", "classifier: bias (5,)")
    assert loaded.unused == ("conv_preds/kernel:0 (1, 1, 256, 1000)", "conv_preds/bias:0 (1000,)")

    with pytest.raises(ModelError, match=r"conv_1: kernel \(3, 3, 3, 16\) <- conv1/kernel:0 \(3, 3, 3, 8\)") as raised:
        fit(built("mobilenet_v1", alpha=0.5), arrays, path.name, head=["classifier"], stem="conv_1")
    assert "check --alpha" in raised.value.advice
