"""Which runtime each file runs on, by what the device has: never two for one format, never one for another without a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsmobile.benchmark import result
from dsmobile.benchmark.conditions import Kind
from dsmobile.benchmark.subjects import Subject
from dsmobile.errors import DeviceError

_PACKAGES = {"tflite": "ai-edge-litert", "onnx": "onnxruntime"}


def choose(subjects: Sequence[Subject], facts: dict[str, Any], python: str) -> tuple[dict[str, str], tuple[result.Warning, ...]]:
    """Chooses a runtime for each format.

    Args:
        subjects: What is to be measured.
        facts: What the device has: see `device_bench.machine.facts`.
        python: The Python there, for the advice.

    Returns:
        Format to runtime, and a warning where it is not the one that was meant.

    Raises:
        DeviceError: numpy or a runtime is missing there.
    """
    formats = {subject.format for subject in subjects}
    has = {name for name, version in facts["runtimes"].items() if version is not None}
    chosen = {
        "tflite": "litert" if "litert" in has else "tflite-runtime" if "tflite-runtime" in has else "",
        "onnx": "onnxruntime" if "onnxruntime" in has else "",
    }
    packages = [_package(kind, facts) for kind in sorted(formats) if not chosen[kind]]
    missing = [*(["numpy"] if facts["numpy_version"] is None else []), *packages]
    if missing:
        raise DeviceError(f"the device's {python} (Python {facts['python_version']}) has no {' and no '.join(missing)}", _how(missing, facts, python))
    warnings: tuple[result.Warning, ...] = ()
    if "tflite" in formats and chosen["tflite"] == "tflite-runtime":
        warnings = (
            Kind.RUNTIME_FALLBACK.warning("the device has no ai-edge-litert, so .tflite files ran on tflite-runtime, which is several times slower"),
        )
    return {kind: chosen[kind] for kind in formats}, warnings


def _package(kind: str, facts: dict[str, Any]) -> str:
    """What to install for a format: LiteRT has no wheel for 32-bit systems nor for Python 3.9."""
    if kind == "tflite" and (facts["pointer_bits"] == 32 or _version(facts) < (3, 10)):
        return "tflite-runtime"
    return _PACKAGES[kind]


def _how(missing: Sequence[str], facts: dict[str, Any], python: str) -> str:
    if facts["pointer_bits"] == 32 and "onnxruntime" in missing:
        return "there is no onnxruntime for a 32-bit system: measure .tflite files there, or install a 64-bit system"
    old = ["numpy<2" if name == "numpy" and "tflite-runtime" in missing else name for name in missing]
    wheels = [f"'{name}'" if "<" in name else name for name in old if not (name.startswith("numpy") and facts["pointer_bits"] == 32)]
    commands = ["sudo apt install python3-numpy"] if facts["pointer_bits"] == 32 and len(wheels) < len(old) else []
    if wheels:
        commands.append(f"{python} -m pip install {' '.join(wheels)}")
    venv = (
        ""
        if facts["system"] == "Windows"
        else "; where the system's Python refuses pip, make a virtual environment and name its Python with --python"
    )
    return f"install there: `{' && '.join(commands)}`{venv}"


def _version(facts: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(part) for part in facts["python_version"].split(".")[:2])
