"""Which runtime each file runs on, by what the device has: never two for one format, never one for another without a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from device_bench.records import Samples
from dsmobile.benchmark import result
from dsmobile.benchmark.conditions import Kind
from dsmobile.benchmark.device_state import ANDROID
from dsmobile.benchmark.subjects import Subject
from dsmobile.devices.adb.tool import where_to_get
from dsmobile.devices.setup import command_for
from dsmobile.devices.userland import NATIVE, TFLITE_RUNTIMES, choose_wheels, read_userland
from dsmobile.devices.wheels import PACKAGES
from dsmobile.errors import DataError, DeviceError, UsageError, nearest

_PACKAGES = {"tflite": "ai-edge-litert", "onnx": "onnxruntime"}
_FALLBACKS = {
    "tflite-runtime": "the device has no ai-edge-litert, so .tflite files ran on tflite-runtime, which is several times slower",
    NATIVE: "the device has no Python runtime for .tflite files, so they ran in its native benchmark_model, which tells no single inference",
}


def choose(
    subjects: Sequence[Subject], facts: dict[str, Any], python: str, *, address: str = "local", wanted: str | None = None
) -> tuple[dict[str, str], tuple[result.Warning, ...]]:
    """Chooses a runtime for each format: one for all files of it, so that no two are mixed up in a comparison.

    Args:
        subjects: What is to be measured.
        facts: What the device has: see `device_bench.machine.facts`.
        python: The Python there, for the advice.
        address: The device, for the advice: over SSH it can be set up from here.
        wanted: The runtime for `.tflite` files: `litert`, `tflite-runtime` or `benchmark_model`; None takes the first of them that is there.

    Returns:
        Format to runtime, and a warning where it is not the one that was meant.

    Raises:
        UsageError: No file is run by what is wanted.
        DeviceError: numpy or a runtime is missing there.
    """
    formats = {subject.format for subject in subjects}
    if wanted is not None and wanted not in TFLITE_RUNTIMES:
        raise UsageError(f"--runtime {wanted!r} runs no .tflite files", nearest(wanted, TFLITE_RUNTIMES))
    if wanted is not None and "tflite" not in formats:
        raise UsageError(f"--runtime {wanted} does not apply: none of the files is a .tflite file", "leave --runtime away")
    if facts["system"] == ANDROID:
        return _on_a_phone(subjects, facts, address, wanted), ()
    has = {name for name, version in facts["runtimes"].items() if version is not None}
    order = (wanted,) if wanted else TFLITE_RUNTIMES
    chosen = {"tflite": next((name for name in order if name in has), ""), "onnx": "onnxruntime" if "onnxruntime" in has else ""}
    packages = [_package(kind, facts, wanted) for kind in sorted(formats) if not chosen[kind]]
    no_numpy = facts["numpy_version"] is None and any(chosen[kind] != NATIVE for kind in formats)
    missing = [*(["numpy"] if no_numpy else []), *packages]
    if missing:
        message = f"the device's {python} (Python {facts['python_version']}) has no {' and no '.join(missing)}"
        raise DeviceError(message, _how_to_set_up(missing, formats, facts, python, address, wanted))
    fallback = _FALLBACKS.get(chosen["tflite"], "") if "tflite" in formats and not wanted else ""
    return {kind: chosen[kind] for kind in formats}, (Kind.RUNTIME_FALLBACK.warning(fallback),) if fallback else ()


def _on_a_phone(subjects: Sequence[Subject], facts: dict[str, Any], address: str, wanted: str | None) -> dict[str, str]:
    """On a phone only the native tool runs, and only `.tflite` files."""
    if wanted not in (None, NATIVE):
        raise UsageError(f"--runtime {wanted} does not run on a phone", f"leave it away: {NATIVE} is what runs there")
    foreign = next((subject.path.name for subject in subjects if subject.format != "tflite"), None)
    if foreign is not None:
        raise DeviceError(
            f"{foreign} cannot be measured on a phone: no native ONNX runner is published for Android",
            "export the network as .tflite (`dsmobile export SOURCE --format tflite`), or measure the .onnx on a Raspberry Pi with ssh:user@host",
        )
    if facts["runtimes"].get(NATIVE) is None:
        abi = str(facts.get("userland_architecture") or "")
        how = f"{where_to_get(abi)}; then run `dsmobile devices setup {address} --benchmark-model FILE`"
        raise DeviceError(f"there is no native {NATIVE} for this phone ({abi}) in the cache", how)
    return {"tflite": NATIVE}


def ran(subjects: Sequence[Subject], samples: Samples) -> tuple[dict[str, str], tuple[result.Warning, ...]]:
    """Which runtime samples from elsewhere come from, as each of them says.

    Args:
        subjects: The files, in the order of the samples.
        samples: What was measured.

    Returns:
        Format to runtime, and a warning where it is not the one that was meant.

    Raises:
        DataError: Files of one format ran on two runtimes, or nothing says on which.
    """
    found: dict[str, set[str]] = {subject.format: set() for subject in subjects}
    for replicate in samples.replicates:
        if not replicate.error and replicate.block >= 0:
            found[subjects[replicate.artifact].format].add(replicate.runtime)
    for kind, names in found.items():
        if len(names) != 1 or "" in names:
            ran_on = " and ".join(sorted(names - {""})) or "a runtime that nothing names"
            raise DataError(f"the samples of .{kind} files come from {ran_on}", "measure again, all on one runtime")
    chosen = {kind: names.pop() for kind, names in found.items()}
    fallback = _FALLBACKS.get(chosen.get("tflite", ""), "") if samples.facts.get("system") != ANDROID else ""
    return chosen, (Kind.RUNTIME_FALLBACK.warning(fallback),) if fallback else ()


def _how_to_set_up(missing: Sequence[str], formats: set[str], facts: dict[str, Any], python: str, address: str, wanted: str | None) -> str:
    """The command that brings a device over SSH what is missing, or why it cannot be brought."""
    userland = read_userland(facts)
    if address == "local" or userland.system != "Linux":
        return (
            _how([name for name in missing if name != NATIVE], facts, python) if missing != [NATIVE] else "see docs/measuring.md for where to get it"
        )
    choice, command = choose_wheels(userland, wanted or ""), command_for(address, python)
    advice = []
    if "onnx" in formats and "onnxruntime" in choice.impossible:
        advice.append(f"{choice.impossible['onnxruntime']}: measure .tflite files there, or install another system")
    if "tflite" in formats and (wanted == NATIVE or not set(choice.runtimes) & set(TFLITE_RUNTIMES)):
        why = "" if wanted == NATIVE else "no Python runtime for .tflite files runs there: "
        advice.append(f"{why}run `{command} --benchmark-model FILE` with the native benchmark_model")
    if not advice:
        advice.append(f"run `{command}{f' --runtime {wanted}' if wanted else ''}`")
    return "; ".join(advice)


def _package(kind: str, facts: dict[str, Any], wanted: str | None) -> str:
    """What to install for a format: LiteRT has no wheel for 32-bit systems nor for Python 3.9."""
    if kind == "tflite" and wanted:
        return PACKAGES.get(wanted, wanted)
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
