"""Small files to measure, written by the converters themselves, and samples as a device would answer them."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from device_bench.records import Probe, ReplicateSample, Samples
from dsmobile.benchmark.subjects import Subject
from dsmobile.exporters.artifact import Manifest, Parity, TensorInfo, write_manifest
from dsmobile.files import sha256

TFLITE = """
import sys, keras
keras.utils.set_random_seed(0)
for path, filters in zip(sys.argv[1:], (4, 32)):
    x = inputs = keras.Input((16, 16, 3), batch_size=1)
    for _ in range(2):
        x = keras.layers.Conv2D(filters, 3, activation="relu")(x)
    x = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, x)
    model.export(path, format="litert", input_signature=[keras.InputSpec(shape=(1, 16, 16, 3), dtype="float32", name="input")], verbose=False)
"""


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tests run nothing is ever quiet: no test waits for it, except those that are about waiting."""
    monkeypatch.setattr("dsmobile.benchmark.measure.MOST_PATIENCE_S", 0.0)
    monkeypatch.setattr("dsmobile.benchmark.sustained.MOST_PATIENCE_S", 0.0)


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two networks of 2.5 thousand and 11 thousand parameters as .tflite, and an .onnx with a 3x3 convolution."""
    pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("tiny")
    files = {"small": folder / "small.tflite", "large": folder / "large.tflite", "onnx": folder / "net.onnx"}
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
    subprocess.run([sys.executable, "-c", TFLITE, str(files["small"]), str(files["large"])], check=True, env=environment, capture_output=True)
    files["onnx"].write_bytes(tiny_onnx())
    return files


def tiny_onnx() -> bytes:
    """A convolution and a global average."""
    onnx = pytest.importorskip("onnx")
    import numpy as np

    weights = np.random.RandomState(0).normal(0, 0.1, (8, 3, 3, 3)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), onnx.helper.make_node("GlobalAveragePool", ["c"], ["y"])],
        "net",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, 16, 16])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def manifest_of(path: Path, **changes) -> Manifest:
    """A manifest for a tiny file."""
    values = Manifest(
        file=path.name,
        sha256=sha256(path),
        size_bytes=path.stat().st_size,
        name="tiny",
        role="model",
        pair_id="pair-1",
        format="tflite",
        recipe="float32",
        recipe_values={},
        source={},
        inputs=(TensorInfo("input", (1, 16, 16, 3), "float32", layout="nhwc"),),
        outputs=(TensorInfo("output", (1, 10), "float32"),),
        head="as-is",
        ends_in_softmax=False,
        preprocessing=None,
        labels=(),
        calibration={},
        parity=Parity(0.0, 1.0, 99.0, 1.0, 1),
        macs=1000,
        parameters=100,
    )
    return replace(values, **changes)


def exported_probe(path: Path, seed: int = 4, low: float = 0.0, high: float = 1.0) -> dict:
    """What an exporter would write: the answers of LiteRT in this process."""
    from ai_edge_litert.interpreter import Interpreter

    from device_bench.inputs import probe_input

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], probe_input(seed, (1, 16, 16, 3), "float32", low, high))
    interpreter.invoke()
    values = interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).ravel()[:16]
    return {"seed": seed, "low": low, "high": high, "values": [float(value) for value in values]}


@pytest.fixture
def pair_of_files(tiny_files: dict[str, Path], tmp_path: Path) -> tuple[Path, Path]:
    """A separable network and its twin with manifests, in a folder with a space and quotes in its name."""
    folder = tmp_path / 'it\'s a "pair" $HOME'
    folder.mkdir()
    paths = []
    for name, role, macs in (("small", "separable", 1000), ("large", "twin", 8000)):
        path = folder / f"net-{role}.tflite"
        path.write_bytes(tiny_files[name].read_bytes())
        write_manifest(path, manifest_of(path, role=role, macs=macs, probe=exported_probe(path)))
        paths.append(path)
    return paths[0], paths[1]


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """A stranger's file that is never opened."""
    return Subject(tmp_path / "m.tflite", "0" * 64, 4, "tflite", None)


@pytest.fixture
def quiet() -> Callable[..., Samples]:
    """Samples of a quiet machine: ten blocks of one artifact; its arguments change what the machine said."""

    def samples(*, facts=None, before=None, replicate=None, count: int = 10) -> Samples:
        conditions = {
            "throttled": 0,
            "governor": "performance",
            "frequency_khz": 1_500_000,
            "memory_available_bytes": 2_000_000_000,
            **(before or {}),
        }
        changes = replicate or (lambda index: {})
        loop = {"wall_ns": 10**9, "cpu_ns": 10**9, "others_cpu": 0.01, "stolen": 0.0, "clock_step_ns": 1000, "major_faults": 0}
        probe = Probe((0.1, 0.2), 0.3, 0.0)
        replicates = [
            replace(
                ReplicateSample(index, 0, 0, latency_ns=(10,) * 20, runtime_version="1", probe=probe, loop=loop, conditions=conditions),
                **changes(index),
            )
            for index in range(count)
        ]
        machine = {"cores": 4, "memory_bytes": 4_000_000_000, "emulated": False, "turbo": None, **(facts or {})}
        return Samples(machine, tuple(replicates), ({"when": "before", "block": 0, **conditions},))

    return samples


@pytest.fixture
def manifest_for() -> Callable[..., Manifest]:
    """Makes manifests for tiny files."""
    return manifest_of


@pytest.fixture
def unknown_operator() -> bytes:
    """An ONNX file that is well-formed and that no runtime can run."""
    onnx = pytest.importorskip("onnx")
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("NoSuchOperator", ["x"], ["y"])], "g", ends[:1], ends[1:])
    return bytes(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9).SerializeToString())
