"""The digits, how they are split, and how a network is trained on them.

1,797 pictures of 8 x 8 pixels. `VALIDATION_COUNT` of them, always the same, are in no test set: by them the learning rates below were chosen, once
(`--choose`). A seed draws its test set from the others; it trains on all that is not in it. Every split is stratified by digit.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from digits_tools.networks import SAME_MACS, SEPARABLE, STANDARD, network

VALIDATION_COUNT, TEST_COUNT = 297, 360
EPOCHS, BATCH = 30, 64
LEARNING_RATES = {SEPARABLE: 0.03, STANDARD: 0.01, SAME_MACS: 0.03}
"""The best of `CANDIDATES` for each network on the validation pictures."""
CANDIDATES = (0.001, 0.003, 0.01, 0.03, 0.1)
MOMENTUM = 0.9
"""Of batch normalization: Keras's 0.99 averages over more steps than so small a data set gives before the last epochs."""
THREADS = 2
SMALLEST_PROBABILITY = 1e-7
"""As Keras clips it under the logarithm."""

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Part:
    """Pictures and their digits.

    Args:
        x: Shape (count, 8, 8, 1), from -1 to 1.
        y: Shape (count,).
    """

    x: Floats
    y: Labels


@dataclass(frozen=True)
class Run:
    """One training of one network.

    Args:
        seed: Of the split, the initialisation and the order of the batches.
        network: Which.
        learning_rate: The highest.
        epochs: How many.
        train_accuracy: On the pictures it was trained on, as a fraction.
        test_accuracy: On those held out.
        test_loss: Cross-entropy on those held out, in nats.
        seconds: Of training.
    """

    seed: int
    network: str
    learning_rate: float
    epochs: int
    train_accuracy: float
    test_accuracy: float
    test_loss: float
    seconds: float

    @property
    def gap(self) -> float:
        """Training minus test accuracy."""
        return self.train_accuracy - self.test_accuracy


@cache
def digits() -> Part:
    """All pictures that come with scikit-learn; nothing is downloaded."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return Part((found.images[..., None] / 8.0 - 1.0).astype(np.float32), found.target.astype(np.int32))


@cache
def fixed_split() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices of the pictures that may be tested on, and of those for validation."""
    return _split(np.arange(len(digits().y)), VALIDATION_COUNT, 0)


def choosing_parts() -> tuple[Part, Part]:
    """What the learning rates are chosen on: all pictures but those for validation, and these."""
    train, validation = fixed_split()
    return _part(train), _part(validation)


def parts(seed: int) -> tuple[Part, Part]:
    """The training and the test pictures of a seed."""
    testable, validation = fixed_split()
    train, test = _split(testable, TEST_COUNT, seed)
    return _part(np.concatenate([train, validation])), _part(test)


def prepare_keras() -> None:
    """Keras on two threads, the same sums in the same order each time; before anything else uses it."""
    from dsmobile.architectures.backend import require_keras

    require_keras()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.experimental.enable_op_determinism()


def train(name: str, seed: int, learning_rate: float, epochs: int, training: Part, held_out: Part) -> tuple[Any, Run]:
    """Trains one network: Adam, the learning rate falling to zero along a cosine, no augmentation, the last epoch counts.

    Args:
        name: Which network.
        seed: Of its initialisation and the order of the batches.
        learning_rate: The highest.
        epochs: How many.
        training: What it sees.
        held_out: What it is judged on, once, at the end.

    Returns:
        The `keras.Model` and how it did.
    """
    import keras

    model = network(name, seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
    steps = -(-len(training.y) // BATCH)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps * epochs)),
        loss="sparse_categorical_crossentropy",
        steps_per_execution=steps,
        jit_compile=False,
    )
    keras.utils.set_random_seed(seed)
    started = time.perf_counter()
    model.fit(training.x, training.y, batch_size=BATCH, epochs=epochs, verbose=0)
    seconds = time.perf_counter() - started
    train_accuracy, _ = judged(model, training)
    test_accuracy, test_loss = judged(model, held_out)
    return model, Run(seed, name, learning_rate, epochs, train_accuracy, test_accuracy, test_loss, seconds)


def judged(model: Any, part: Part) -> tuple[float, float]:
    """Accuracy as a fraction, and cross-entropy in nats."""
    inputs = [part.x] if isinstance(model.input, list) else part.x
    probabilities = np.asarray(model(inputs, training=False), np.float64)
    right = probabilities.argmax(1) == part.y
    of_label = np.maximum(probabilities[np.arange(len(part.y)), part.y], SMALLEST_PROBABILITY)
    return float(right.mean()), float(-np.log(of_label).mean())


def _split(indices: npt.NDArray[np.int64], count: int, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    from sklearn.model_selection import train_test_split

    first, second = train_test_split(indices, test_size=count, random_state=seed, stratify=digits().y[indices])
    return first, second


def _part(indices: npt.NDArray[np.int64]) -> Part:
    return Part(digits().x[indices], digits().y[indices])
