"""Small networks and data: one that integers do no harm, and others that ail from one thing each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
SIDE, CLASSES = 12, 10


def pictures(count: int, seed: int = 0) -> Floats:
    """Soft pictures within -1..1, shape (count, SIDE, SIDE, 3)."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(-1, 1, (count, SIDE // 4, SIDE // 4, 3))
    fine = random.uniform(-1, 1, (count, SIDE, SIDE, 3))
    return np.clip(1.2 * np.kron(coarse, np.ones((1, 4, 4, 1))) + 0.3 * fine, -1, 1).astype(np.float32)


def pale(count: int, seed: int = 0) -> Floats:
    """Pictures of little contrast, but for one pixel of each that is black or white in one colour: the input's range is the same."""
    x = 0.1 * pictures(count, seed)
    x[::2, 0, 0, 0], x[1::2, 0, 0, 0] = -1.0, 1.0
    return x


def saved(path: Path, x: Floats, **others: Any) -> Path:
    """An `.npz` with x."""
    np.savez(path, x=x, **others)
    return path


def healthy(*, softmax: bool = False) -> Any:
    """A depthwise separable network with random weights, none of which is far from the others."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(image)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    x = layers.Conv2D(16, 1, activation="relu", name="pointwise")(x)
    x = layers.Flatten()(layers.AveragePooling2D(4)(x))
    return keras.Model(image, layers.Dense(CLASSES, activation="softmax" if softmax else None, name="last")(x))


def remembering() -> Any:
    """A network whose batch normalization has seen `pictures`, and ends as Keras's MobileNet does: a convolution of one pixel, then a reshape."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    image = keras.Input((SIDE, SIDE, 3))
    first = layers.Conv2D(8, 3, padding="same", name="first")
    x = layers.ReLU()(layers.BatchNormalization(name="remembers")(first(image)))
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Reshape((CLASSES,), name="flat")(layers.Conv2D(CLASSES, 1, name="predictions")(x))
    model = keras.Model(image, x)
    seen = np.asarray(first(pictures(64, 9)))
    moments = seen.mean((0, 1, 2)), seen.var((0, 1, 2))
    model.get_layer("remembers").set_weights([np.ones(8), np.zeros(8), *moments])
    return model


def uneven() -> Any:
    """The layer `wide` gives one channel a thousand times the others' range, and `reader` has no use for it."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(image)
    x = layers.Conv2D(8, 1, name="wide")(x)
    x = layers.Conv2D(16, 1, activation="relu", name="reader")(x)
    x = layers.Conv2D(16, 1, activation="relu", name="after")(x)
    x = layers.Flatten()(layers.AveragePooling2D(4)(x))
    model = keras.Model(image, layers.Dense(CLASSES, name="last")(x))
    kernel, bias = model.get_layer("wide").get_weights()
    kernel[..., 0] *= 1000.0
    model.get_layer("wide").set_weights([kernel, bias])
    kernel, bias = model.get_layer("reader").get_weights()
    kernel[:, :, 0, :] = 0.0
    model.get_layer("reader").set_weights([kernel, bias])
    kernel, bias = model.get_layer("last").get_weights()
    model.get_layer("last").set_weights([12.0 * kernel, bias])
    return model


def shifted() -> Any:
    """Rounding to the nearest takes the same from every input: in `shifting`, all weights but one of each output lie just below half a step."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(2)
    random = np.random.default_rng(2)
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="first")(image)
    x = layers.Conv2D(16, 1, name="shifting")(x)
    x = layers.Flatten()(layers.AveragePooling2D(4)(x))
    model = keras.Model(image, layers.Dense(CLASSES, name="last")(x))
    kernel, bias = model.get_layer("shifting").get_weights()
    kernel[:] = random.choice([-1.0, 1.0], (1, 1, 1, 16)) * 0.49 / 127.0
    kernel[0, 0, np.arange(16), np.arange(16)] = 1.0
    model.get_layer("shifting").set_weights([kernel, bias])
    kernel, bias = model.get_layer("last").get_weights()
    model.get_layer("last").set_weights([60.0 * kernel, bias])
    return model
