"""Small networks with random weights that compute something, for the exporters' tests."""

from typing import Any

import numpy as np

from dsmobile.architectures.initialisation import he_normal, settle


def settled(model: Any, seed: int = 0) -> Any:
    shape = model.inputs[0].shape[1:]
    batch = np.random.default_rng(seed).uniform(-1, 1, (8, *shape)).astype(np.float32)
    he_normal(model, seed)
    settle(model, batch)
    return model


def inputs(model: Any, count: int = 8, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, *model.inputs[0].shape[1:])).astype(np.float32)


def small_mobilenet(classes: int = 10) -> Any:
    from dsmobile.architectures.builder import build
    from dsmobile.architectures.finding import spec_of

    return settled(build(spec_of("mobilenet_v1"), alpha=0.25, resolution=64, classes=classes))


def residual() -> Any:
    """What other Keras files hold: residual adds, max pooling, separable layers, a softmax inside a Dense, flattening."""
    import keras
    from keras import layers

    image = keras.Input((19, 23, 3))
    x = layers.ZeroPadding2D(((2, 1), (1, 1)))(image)
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2)(x))
    x = first = layers.Activation("relu")(x)
    x = layers.BatchNormalization()(layers.SeparableConv2D(16, 3, padding="same", use_bias=False)(x))
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    skip = layers.BatchNormalization()(layers.Conv2D(16, 1, strides=2, padding="same", use_bias=False)(first))
    x = layers.Add()([x, skip])
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.Dropout(0.5)(layers.AveragePooling2D(2, padding="same")(x))
    x = layers.Flatten()(x)
    return settled(keras.Model(image, layers.Dense(5, activation="softmax")(x)))


def squeeze_excite() -> Any:
    """Widening: hard-swish, swish, squeeze-excite, concatenation, a dilated depthwise convolution and one with two strides."""
    import keras
    from keras import layers

    image = keras.Input((20, 20, 3))
    x = layers.Activation("hard_swish")(layers.Conv2D(8, 3, padding="same")(image))
    x = layers.DepthwiseConv2D(3, padding="same", dilation_rate=2, depth_multiplier=2)(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(16, 1, activation="hard_sigmoid")(layers.Conv2D(4, 1, activation="relu")(gate))
    x = layers.Multiply()([x, gate])
    other = layers.Conv2D(4, 1, activation="silu")(x)
    x = layers.Concatenate()([x, other])
    x = layers.GlobalAveragePooling2D()(x)
    return settled(keras.Model(image, layers.Dense(6)(x)))
