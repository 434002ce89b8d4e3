"""Networks that hold every layer that can be folded, with random weights and batch normalizations off their defaults."""

from collections.abc import Callable
from typing import Any

import numpy as np


def shaken(model: Any, seed: int = 0) -> Any:
    """Every weight random, the statistics of batch normalizations too."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if not layer.weights or type(layer).__name__ == "Normalization":
            continue
        arrays = []
        for weight in layer.weights:
            numbers = random.normal(size=weight.shape)
            if "variance" in weight.name:
                numbers = np.abs(numbers) + 0.5
            elif len(weight.shape) > 1:
                numbers /= np.sqrt(np.prod(weight.shape[:-1]) if "depthwise" not in weight.name else np.prod(weight.shape[:2]))
            arrays.append(numbers.astype(np.float32))
        layer.set_weights(arrays)
    return model


def sequence() -> Any:
    """Layers of one dimension; three outputs, one of which is a sequence."""
    import keras
    from keras import layers

    signal = keras.Input((40, 6))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(8, 5, strides=2, padding="same")(signal)))
    x = layers.LeakyReLU()(layers.BatchNormalization()(layers.Conv1D(8, 3, padding="causal", dilation_rate=2)(x)))
    x = layers.PReLU(shared_axes=[1])(layers.BatchNormalization()(layers.DepthwiseConv1D(3, padding="same", strides=2)(x)))
    x = layers.MaxPooling1D(2)(layers.SeparableConv1D(7, 3)(x))
    pooled = layers.AveragePooling1D(2, padding="same")(x)
    x = layers.ZeroPadding1D(1)(layers.Cropping1D(1)(layers.UpSampling1D(2)(pooled)))
    x = layers.BatchNormalization()(layers.Conv1DTranspose(5, 4, strides=2, padding="same")(x))
    x = layers.Dense(4, activation="tanh")(x)
    scores = layers.Dense(3)(layers.Flatten()(x))
    return shaken(keras.Model(signal, [scores, x, layers.GlobalAveragePooling1D()(pooled)]))


def two_inputs() -> Any:
    """A shared convolution and batch normalization on two images; sums, differences, extremes and a mean of both."""
    import keras
    from keras import layers

    left, right = keras.Input((9, 9, 3), name="left"), keras.Input((9, 9, 3), name="right")
    convolve, normalize = layers.Conv2D(4, 3, padding="same", use_bias=False), layers.BatchNormalization()
    a, b = normalize(convolve(left)), normalize(convolve(right))
    largest, difference = layers.Maximum()([a, b]), layers.Subtract()([a, b])
    mean = layers.Average()([largest, difference, a])
    joined = layers.Concatenate(axis=1)([mean, largest])
    return shaken(keras.Model([left, right], [layers.GlobalMaxPooling2D()(joined), layers.Minimum()([a, b])]))


def rare_layers() -> Any:
    """Rescaling taken in forwards, parametric ReLU per pixel, resizing, cropping, groups, activations that are layers, operators on tensors."""
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(layers.Rescaling(1 / 2, offset=-1)(image))
    x = layers.BatchNormalization()(layers.PReLU()(x))
    x = layers.UpSampling2D((2, 1))(layers.UpSampling2D(2, interpolation="bilinear")(x))
    x = layers.Cropping2D(((1, 2), (0, 1)))(x)
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, groups=2, activation=layers.LeakyReLU(0.1))(x))
    x = keras.ops.relu((5.0 - (x - 3.0)) / 4.0)
    x = layers.ReLU(2.5)(x)
    x = layers.DepthwiseConv2D(3, activation="gelu")(x)
    x = keras.ops.mean(x, axis=(1, 2))
    return shaken(keras.Model(image, layers.Dense(2)(layers.Flatten()(layers.Reshape((1, 1, 6))(x)))))


def gates() -> Any:
    """Squeeze-excite with a hard sigmoid, written as a vector and reshaped; swish, hard-swish, ELU; a spatial gate of one channel."""
    import keras
    from keras import layers

    image = keras.Input((12, 10, 3))
    x = layers.Activation("hard_swish")(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(image)))
    gate = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Conv2D(8, 1, activation="hard_sigmoid")(layers.Conv2D(4, 1, activation="relu")(gate))
    x = layers.Activation("silu")(layers.Multiply()([x, gate]))
    x = layers.Multiply()([x, layers.Conv2D(1, 1, activation="sigmoid")(x)])
    x = layers.ELU()(layers.Add()([x, x, layers.Conv2D(8, 1)(x)]))
    return shaken(keras.Model(image, layers.Dense(5, activation="softmax")(layers.Flatten()(x))))


def transposed(padding: str, kernel: int, strides: int | tuple[int, int]) -> Callable[[], Any]:
    """One transposed convolution with a batch normalization behind it."""

    def build() -> Any:
        import keras
        from keras import layers

        image = keras.Input((7, 6, 3))
        x = layers.Conv2DTranspose(4, kernel, strides=strides, padding=padding, use_bias=False)(image)
        return shaken(keras.Model(image, layers.BatchNormalization()(x)))

    return build
