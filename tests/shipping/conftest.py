"""Tiny artifacts to ship, the Kotlin compiler, and a browser."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from dsmobile.exporters.artifact import Manifest, Parity, TensorInfo, write_manifest
from dsmobile.files import sha256
from dsmobile.preprocessing import Preprocessing, parse

HERE = Path(__file__).parent
Ship = Callable[..., Path]


def tflite_bytes(height: int, width: int, channels: int, classes: int) -> bytes:
    """A network of one mean, one matrix and one bias, whose answers depend on every channel."""
    import tensorflow as tf

    weights = np.sin(np.arange(channels * classes, dtype=np.float32)).reshape(channels, classes)

    @tf.function(input_signature=[tf.TensorSpec((1, height, width, channels), tf.float32, name="input")])  # type: ignore[untyped-decorator]
    def network(image: Any) -> Any:
        return tf.matmul(tf.reduce_mean(image, [1, 2]), tf.constant(weights)) + tf.constant(np.cos(np.arange(classes, dtype=np.float32)))

    data: bytes = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()]).convert()
    return data


_CACHE: dict[tuple[int, int, int, int], bytes] = {}


def an_artifact(
    folder: Path,
    preprocess: str | Preprocessing = "resize=40,crop=32,scale=-1..1",
    name: str = "tiny-model-float32",
    classes: int = 7,
    **fields: Any,
) -> Path:
    """Makes an artifact with a manifest; keywords replace the manifest's fields."""
    preprocessing = parse(preprocess) if isinstance(preprocess, str) else preprocess
    height, width = preprocessing.crop or (32, 32)
    shape = (height, width, preprocessing.channels, classes)
    _CACHE[shape] = _CACHE.get(shape) or tflite_bytes(*shape)
    path = folder / "artifacts" / f"{name}.tflite"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(_CACHE[shape])
    manifest = Manifest(
        file=path.name,
        sha256=sha256(path),
        size_bytes=path.stat().st_size,
        name="tiny",
        role="model",
        pair_id="0",
        format="tflite",
        recipe="float32",
        recipe_values={},
        source={"source": "/home/someone/secret/tiny.h5", "kind": "keras-file", "weights": "file"},
        inputs=(TensorInfo("input", (1, height, width, preprocessing.channels), "float32", layout="nhwc"),),
        outputs=(TensorInfo("output", (1, classes), "float32"),),
        head="as-is",
        ends_in_softmax=False,
        preprocessing=preprocessing,
        labels=(),
        calibration={},
        parity=Parity(1e-6, 2.0, None, 1.0, 8),
        macs=1,
        parameters=1,
    )
    write_manifest(path, replace(manifest, **fields))
    return path


@pytest.fixture
def artifact(tmp_path: Path) -> Ship:
    """Makes an artifact with a manifest; keywords replace the manifest's fields."""
    return functools.partial(an_artifact, tmp_path)


@pytest.fixture(scope="session")
def make_artifact() -> Ship:
    """Makes an artifact in a folder that is given first."""
    return an_artifact


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Seven plain labels."""
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"class {index}\n" for index in range(7)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def kotlin() -> Any:
    """The Kotlin compiler; skips where there is none."""
    module = _load("kotlin_compiler")
    try:
        return module.kotlin_compiler()
    except module.CompilerUnavailableError as error:
        pytest.skip(f"no Kotlin compiler: {error}")


@pytest.fixture(scope="session")
def web() -> Any:
    """The module that drives Chromium."""
    return _load("web/chromium")


@pytest.fixture(scope="session")
def chromium(web: Any) -> Any:
    """Chromium with the libraries of web pages; skips where a program is not installed, and fails where the libraries cannot be had."""
    try:
        return web.chromium()
    except web.ProgramMissingError as error:
        pytest.skip(str(error))


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"shipping_{name.replace('/', '_')}", HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
