"""Keras and TensorFlow: there, on the CPU, and quiet."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dsmobile.errors import MissingExtraError


def require_keras() -> None:
    """Imports TensorFlow and Keras without the lines that its native code prints while it starts.

    Raises:
        MissingExtraError: They are not installed; with the command that installs them.
    """
    from importlib.util import find_spec

    if "keras" in sys.modules and "tensorflow" in sys.modules:
        return
    if find_spec("tensorflow") is None or find_spec("keras") is None:
        raise MissingExtraError("TensorFlow and Keras are not installed", "run: pip install 'dsmobile[export]'  (about 2 GB)")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # the same sums in the same order on every x86
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with captured_stderr() as printed:
        try:
            import keras
            import tensorflow as tf

            tf.config.list_physical_devices()
        except ImportError as error:
            raise MissingExtraError(
                f"TensorFlow or Keras cannot be imported: {error}", f"run: pip install 'dsmobile[export]'; it said: {printed()[-300:]}"
            ) from error
    if keras.backend.backend() != "tensorflow":
        raise MissingExtraError(
            f"Keras runs on {keras.backend.backend()}", "set KERAS_BACKEND=tensorflow: the TFLite converter is part of TensorFlow"
        )


@contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Keeps what native code prints to file descriptor 2.

    Yields:
        A function that reads what was printed so far.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)

        def read() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        try:
            yield read
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
