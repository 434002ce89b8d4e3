"""The ImageNet weights of a network of `keras.applications`, from Keras's cache or fetched into it."""

from __future__ import annotations

import contextlib
import socket
import sys
import urllib.error
from typing import Any

from dsmobile.architectures.backend import require_keras
from dsmobile.errors import ModelError
from dsmobile.stored_weights import NamedArray, arrays_of

_TIMEOUT_S = 20.0


def imagenet_arrays(function: str, arguments: dict[str, Any], *, top: bool) -> list[NamedArray]:
    """The ImageNet weights of a network of `keras.applications`, layer by layer.

    Args:
        function: Its name there, as `MobileNetV2`.
        arguments: What the function takes: `input_shape`, `alpha` and the like.
        top: Whether the classifier's weights are wanted too; without, Keras's own file without a top is taken.

    Raises:
        ModelError: There is no such network, no weights for these arguments, or no way to fetch them.
    """
    require_keras()
    import keras

    build = getattr(keras.applications, function, None)
    if not callable(build):
        raise ModelError(f"keras.applications has no network {function!r}", "correct `imagenet` in the architecture file")
    network = imagenet_network(function, {"include_top": top, **arguments})
    return list(arrays_of(network, f"keras.applications.{function}"))


def imagenet_network(function: str, arguments: dict[str, Any]) -> Any:
    """A network of `keras.applications` with its ImageNet weights, from Keras's cache or fetched into it.

    Args:
        function: Its name there, as `MobileNetV2`.
        arguments: What the function takes but the weights.

    Returns:
        The `keras.Model`.

    Raises:
        ModelError: There are no weights for these arguments, or no way to fetch them.
    """
    import keras

    origin = f"keras.applications.{function}"
    timeout = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(_TIMEOUT_S)  # Keras sets none: a network that swallows packets would hold it for ever
        with contextlib.redirect_stdout(sys.stderr):  # Keras draws its progress on stdout
            return getattr(keras.applications, function)(weights="imagenet", **arguments)
    except Exception as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
        if "URL fetch failure" in first or isinstance(error, (TimeoutError, ConnectionError, urllib.error.URLError)):
            raise ModelError(
                f"the ImageNet weights of {origin} are not in Keras's cache and could not be fetched: {first}",
                "connect to the network once, after which Keras keeps them; or give a file with --weights",
            ) from error
        raise ModelError(
            f"the ImageNet weights of {origin} cannot be loaded: {first}",
            "check --alpha and --resolution; a file that was cut short in Keras's cache (`models` in $KERAS_HOME or ~/.keras) is to be removed",
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
