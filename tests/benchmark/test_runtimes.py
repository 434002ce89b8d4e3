"""Which runtime a file gets, and what a person is told where there is none."""

from pathlib import Path

import pytest

from dsmobile.benchmark.runtimes import choose
from dsmobile.benchmark.subjects import Subject
from dsmobile.errors import DeviceError, UsageError

TFLITE = Subject(Path("/m.tflite"), "0" * 64, 1, "tflite", None)
ONNX = Subject(Path("/m.onnx"), "1" * 64, 1, "onnx", None)
NOTHING = {"litert": None, "tflite-runtime": None, "onnxruntime": None, "benchmark_model": None}
PI = {
    "system": "Linux",
    "machine": "aarch64",
    "pointer_bits": 64,
    "userland_architecture": "arm64",
    "libc": "glibc 2.36",
    "python_abi": "cpython-311-aarch64-linux-gnu",
    "python_version": "3.11.2",
    "numpy_version": None,
    "runtimes": NOTHING,
}
PI32 = {**PI, "pointer_bits": 32, "userland_architecture": "armhf", "python_abi": "cpython-311-arm-linux-gnueabihf"}
TRIXIE32 = {**PI32, "python_abi": "cpython-313-arm-linux-gnueabihf", "python_version": "3.13.5"}


def advice(subjects, facts, **options) -> str:
    with pytest.raises(DeviceError, match="has no") as caught:
        choose(subjects, facts, "python3", **{"address": "ssh:pi@raspberrypi", **options})
    return caught.value.advice


def test_over_ssh_a_missing_runtime_is_one_command_away() -> None:
    assert advice([TFLITE, ONNX], PI) == "run `dsmobile devices setup ssh:pi@raspberrypi`"
    assert advice([TFLITE], PI32) == "run `dsmobile devices setup ssh:pi@raspberrypi`"
    with pytest.raises(DeviceError) as caught:
        choose([TFLITE], PI, "~/my venv/bin/python", address="ssh:pi@raspberrypi")
    assert caught.value.advice == "run `dsmobile devices setup ssh:pi@raspberrypi --python '~/my venv/bin/python'`"
    assert advice([TFLITE], PI, wanted="tflite-runtime") == "run `dsmobile devices setup ssh:pi@raspberrypi --runtime tflite-runtime`"


def test_what_is_impossible_is_named() -> None:
    assert "onnxruntime has no wheel for 32-bit armv7l" in advice([ONNX], PI32)
    said = advice([TFLITE], TRIXIE32)
    assert "no Python runtime for .tflite files runs there" in said
    assert "--benchmark-model FILE" in said
    assert "pip install" in advice([TFLITE], {**PI, "system": "Windows"})
    assert "pip install" in advice([TFLITE], PI, address="local")


def test_the_native_tool_needs_no_numpy_and_is_taken_last() -> None:
    tool = {**TRIXIE32, "runtimes": {**NOTHING, "benchmark_model": "sha256:0123456789ab"}}
    chosen, warnings = choose([TFLITE], tool, "python3", address="ssh:pi@raspberrypi")
    assert chosen == {"tflite": "benchmark_model"}
    assert [warning.kind for warning in warnings] == ["runtime_fallback"]
    every = {
        **PI,
        "numpy_version": "1.26.4",
        "runtimes": {"litert": "2.3.0", "tflite-runtime": "2.14.0", "onnxruntime": "1.31.1", "benchmark_model": "x"},
    }
    assert choose([TFLITE, ONNX], every, "python3") == ({"tflite": "litert", "onnx": "onnxruntime"}, ())
    for wanted in ("litert", "tflite-runtime", "benchmark_model"):
        assert choose([TFLITE, ONNX], every, "python3", wanted=wanted) == ({"tflite": wanted, "onnx": "onnxruntime"}, ())
    with pytest.raises(UsageError, match=r"runs no \.tflite files"):
        choose([TFLITE], every, "python3", wanted="onnxruntime")
    with pytest.raises(UsageError, match="does not apply"):
        choose([ONNX], every, "python3", wanted="litert")
