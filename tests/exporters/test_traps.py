"""What runtimes' optimizers and name clashes once made wrong, and what must be refused rather than guessed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile import pipeline
from dsmobile.errors import ConversionError
from dsmobile.exporters.fold import fold
from dsmobile.exporters.runners import open_runner
from dsmobile.pipeline import ExportRequest

from .layer_networks import shaken


def _exported(model: Any, folder: Path, **options: Any) -> pipeline.Exported:
    """Exported with random calibration inputs."""
    random = np.random.default_rng(2)
    arrays = {tensor.name: random.normal(size=(12, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs}
    np.savez(folder / "x.npz", **(arrays if len(arrays) > 1 else {"x": next(iter(arrays.values()))}))
    model.save(folder / "net.keras")
    return pipeline.export(ExportRequest(str(folder / "net.keras"), calibration=str(folder / "x.npz"), out=folder / "out", **options))


@pytest.mark.parametrize("pool", ["MaxPooling2D", "AveragePooling2D"])
@pytest.mark.parametrize("edge", [1, 3])
def test_zeros_before_a_pool_stay_zeros(pool: str, edge: int, tmp_path: Path) -> None:
    """ONNX Runtime fuses padding into the pool, where what is around a map takes no part; with negative maps that is another network."""
    import keras
    from keras import layers

    image = keras.Input((9, 9, 3))
    x = getattr(layers, pool)(3, 2)(layers.ZeroPadding2D(edge)(layers.Conv2D(4, 1)(image)))
    done = _exported(shaken(keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))), tmp_path)
    assert all(manifest.parity.max_abs_error < 1e-5 for manifest in done.manifests if manifest.recipe == "float32")
    assert all(manifest.parity.sqnr_db > 25 for manifest in done.manifests if manifest.recipe == "int8")


@pytest.mark.parametrize(("io", "layout"), [("uint8", "nchw"), ("int8", "nhwc"), ("float32", "nhwc"), ("float32", "nchw")])
def test_several_outputs_at_any_end(io: str, layout: str, tmp_path: Path) -> None:
    """Maps and vectors as outputs, one of which other layers read and one that a rescaling gives."""
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3))
    first = layers.Conv2D(4, 3, activation="relu", name="first")(image)
    vector = layers.Rescaling(0.5, name="scaled")(layers.GlobalAveragePooling2D()(first))
    done = _exported(
        shaken(keras.Model(image, [first, layers.Conv2D(2, 1, name="second")(first), vector])), tmp_path, recipes=("int8",), io=io, layout=layout
    )
    assert done.manifests[0].weights_sha256 == done.manifests[1].weights_sha256
    sample = np.random.default_rng(5).normal(size=(1, 8, 8, 3)).astype(np.float32)
    answers = []
    for path, manifest in zip(done.paths, done.manifests, strict=True):
        assert [info.name for info in manifest.outputs][1].endswith("second") or path.suffix == ".tflite"
        outputs = open_runner(path, inputs=manifest.inputs, outputs=manifest.outputs).run_sample([sample])
        answers.append(
            [array.transpose(0, 2, 3, 1) if info.layout == "nchw" else array for array, info in zip(outputs, manifest.outputs, strict=True)]
        )
    for a, b in zip(*answers, strict=True):
        np.testing.assert_allclose(a, b, atol=0.05 * np.abs(a).max())


def test_products_of_three_in_int16(tmp_path: Path) -> None:
    import keras
    from keras import layers

    image = keras.Input((6, 6, 3))
    model = keras.Model(image, layers.Multiply()([layers.Conv2D(3, 1)(image), image, layers.ReLU()(image)]))
    assert _exported(shaken(model), tmp_path, recipes=("int16x8",)).manifests[0].parity.sqnr_db > 25


def test_a_layer_that_never_fires(tmp_path: Path) -> None:
    """Its values have no range; the scale that stands for it must not make a ratio that XNNPACK refuses."""
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1, activation="relu", name="dead")(image))
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1, name="alive")(image))
    model = shaken(keras.Model(image, layers.Add()([layers.Dense(5, name="small")(x), layers.Dense(5)(y)])))
    model.get_layer("dead").set_weights([np.zeros((1, 1, 3, 4), np.float32), np.full(4, -1.0, np.float32)])
    kernel, bias = model.get_layer("small").get_weights()
    model.get_layer("small").set_weights([kernel, bias * 1e-4])
    assert all(manifest.parity.sqnr_db > 15 for manifest in _exported(model, tmp_path, recipes=("int8", "int8-plain")).manifests)


def _times_columns() -> Any:
    import keras
    from keras import layers

    image = keras.Input((9, 9, 3))
    return keras.Model(image, layers.Conv2D(9, 1)(image) * np.arange(9, dtype=np.float32).reshape(9, 1, 1))


def _widening() -> Any:
    import keras
    from keras import layers

    image = keras.Input((9, 9, 3))
    return keras.Model(image, layers.Conv2D(1, 3)(image) * np.arange(3, dtype=np.float32))


def _largest_with_a_floor() -> Any:
    import keras

    image = keras.Input((9, 9, 3))
    return keras.Model(image, keras.ops.max(image, axis=(1, 2), initial=5.0))


def _flattened_channels_first() -> Any:
    import keras
    from keras import layers

    image = keras.Input((4, 5, 3))
    return keras.Model(image, layers.Flatten(data_format="channels_first")(layers.Conv2D(2, 1)(image)))


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (_times_columns, "for every pixel"),
        (_widening, "change the shape"),
        (_largest_with_a_floor, "initial 5"),
        (_flattened_channels_first, "channels_first"),
    ],
)
def test_what_would_be_guessed_is_refused(network: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConversionError, match=words):
        fold(network())


def test_a_variance_below_zero_is_named() -> None:
    import keras
    from keras import layers

    image = keras.Input((4, 4, 3))
    model = keras.Model(image, layers.BatchNormalization(name="broken")(layers.Conv2D(2, 1, name="before")(image)))
    model.get_layer("broken").moving_variance.assign([-1.0, 1.0])
    with pytest.raises(ConversionError, match=r"folded, the .* of the layer 'before' is not finite"):
        fold(model)


@pytest.mark.parametrize("activation", ["leaky_relu", "gelu"])
def test_activations_by_name(activation: str) -> None:
    import keras
    import tensorflow as tf
    from keras import layers

    from dsmobile.exporters.execution import execute

    image = keras.Input((4, 4, 3))
    model = shaken(keras.Model(image, layers.Conv2D(2, 1, activation=activation)(image)))
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    folded = fold(model)
    np.testing.assert_allclose(execute(folded, [tf.constant(x)])[folded.output], model(x), atol=1e-6)
