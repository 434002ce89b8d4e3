"""What a phone is: its model, processor and Android version; never its serial number, nor the build that only one phone has."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from device_bench.machine import cpu_flags, int8_features
from dsmobile.devices.adb.client import Adb
from dsmobile.devices.adb.dumps import parse_properties
from dsmobile.devices.adb.state import core_files, meminfo_bytes, online_cores, parts_of
from dsmobile.errors import DeviceError

NEEDED = ("timeout", "taskset", "flock", "sha256sum")
_EMULATORS = ("ranchu", "goldfish")
_ABIS = {"aarch64": "arm64-v8a", "armv7l": "armeabi-v7a", "armv8l": "armeabi-v7a", "x86_64": "x86_64", "i686": "x86"}
"""The programs of a device without `getprop`, by its `uname -m`."""
_LONGEST = 100

FACTS = rf"""
w=$1
part() {{ echo "$w $1"; }}
part missing; for t in {" ".join(NEEDED)}; do command -v $t >/dev/null || echo $t; done
part properties; getprop
part kernel; uname -r; uname -m
part cpuinfo; cat "$DEVICE_BENCH_ROOT/proc/cpuinfo" 2>/dev/null
part memory; cat "$DEVICE_BENCH_ROOT/proc/meminfo" 2>/dev/null
part cores
for d in "$DEVICE_BENCH_ROOT"/sys/devices/system/cpu/cpu[0-9]*; do
  v=; [ -r "$d/cpufreq/cpuinfo_max_freq" ] && read -r v < "$d/cpufreq/cpuinfo_max_freq"; [ -n "$v" ] && echo "${{d##*/cpu}} cpuinfo_max_freq $v"
done 2>/dev/null
part online; cat "$DEVICE_BENCH_ROOT/sys/devices/system/cpu/online" 2>/dev/null
part mask; taskset -p $$ 2>/dev/null
part started
for p in 1 $$; do head -c 1000 "$DEVICE_BENCH_ROOT/proc/$p/cmdline" | tr '\0' '\n' | head -n 1; done 2>/dev/null
return 0
"""


def read_facts(adb: Adb) -> tuple[dict[str, Any], dict[int, int], list[int]]:
    """What the phone is.

    Args:
        adb: The phone.

    Returns:
        Its facts, as `device_bench.machine.facts` gives them, where there is no Python; core to its highest clock in kHz; the cores that are
        switched on.

    Raises:
        DeviceError: The phone was lost, or lacks a program that the measurement needs.
    """
    word = f"part-{secrets.token_hex(8)}"
    parts = parts_of(adb.shell(FACTS, word), word)
    missing = parts.get("missing", "").split()
    properties = parse_properties(parts.get("properties", ""))
    if missing:
        version = properties.get("ro.build.version.release", "unknown")
        raise DeviceError(f"the phone (Android {version}) has no {' and no '.join(missing)}", "use a phone with a newer Android, which brings them")
    highest = {core: int(values["cpuinfo_max_freq"]) for core, values in core_files(parts.get("cores", "")).items() if _is_khz(values)}
    online = online_cores(parts) or sorted(highest) or allowed_cores(parts.get("mask", ""))
    return facts_of(parts, properties, online), highest, online


def facts_of(parts: Mapping[str, str], properties: Mapping[str, str], online: Sequence[int]) -> dict[str, Any]:
    """The facts, from the parts of the script's answer; see `read_facts`."""
    cpuinfo = parts.get("cpuinfo", "")
    release, machine = ([*parts.get("kernel", "").split("\n"), "", ""])[:2]
    abi = properties.get("ro.product.cpu.abi", "") or _ABIS.get(machine.strip(), "")
    maker, model = properties.get("ro.product.manufacturer", ""), properties.get("ro.product.model", "")
    board = model if model.lower().startswith(maker.lower()) else f"{maker} {model}"
    soc = [properties.get(name, "") for name in ("ro.soc.manufacturer", "ro.soc.model")]
    return {
        "system": "Android",
        "system_release": _plain(release) or None,
        "machine": _plain(machine) or None,
        "pointer_bits": 64 if "64" in abi else 32,
        "userland_architecture": _plain(abi) or None,
        "os_release": {"id": "android", "version_id": _plain(properties.get("ro.build.version.release", "")) or None, "codename": None}
        if properties
        else None,
        "libc": "bionic" if properties else None,
        "python_implementation": None,
        "python_abi": None,
        "board": _plain(board) or None,
        "cpu_model": _plain(" ".join(filter(None, soc)) or properties.get("ro.board.platform", "") or properties.get("ro.hardware", "")) or None,
        "cpu_features": sorted(int8_features(cpu_flags(cpuinfo))),
        "cores": len(online) or None,
        "memory_bytes": meminfo_bytes(parts.get("memory", ""), "MemTotal"),
        "python_version": None,
        "numpy_version": None,
        "runtimes": {"litert": None, "tflite-runtime": None, "onnxruntime": None, "benchmark_model": None},
        "emulated": "1" in (properties.get("ro.kernel.qemu"), properties.get("ro.boot.qemu"))
        or properties.get("ro.hardware") in _EMULATORS
        or "qemu" in parts.get("started", ""),
        "turbo": None,
    }


def allowed_cores(text: str) -> list[int]:
    """The cores that a program may run on, where nothing else tells of cores: the mask that `taskset -p` prints."""
    found = re.search(r"mask: (?:0x)?([0-9a-f]{1,256})\s*$", text)
    bits = int(found[1], 16) if found else 0
    return [core for core in range(bits.bit_length()) if bits >> core & 1]


def _is_khz(values: Mapping[str, str]) -> bool:
    return re.fullmatch(r"[0-9]{1,12}", values.get("cpuinfo_max_freq", "")) is not None


def _plain(text: str) -> str:
    """Text from a phone: one line, no control characters, not long."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())[:_LONGEST]
