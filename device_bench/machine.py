"""What the device is, as far as it tells; no names of hosts or persons, no serial numbers."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import struct
import subprocess
import sys
import sysconfig
from typing import Any, Dict, FrozenSet, Iterable, List, Optional

from .system_files import read as read

MODULES = {"litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime", "onnxruntime": "onnxruntime"}
PACKAGES = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime", "onnxruntime": "onnxruntime"}
# How /proc/cpuinfo calls what makes 8-bit convolutions fast and exact: x86 and ARM names.
_INT8_FLAGS = {"avx512_vnni": "vnni", "avx_vnni": "vnni", "asimddp": "dotprod", "i8mm": "i8mm", "avx2": "avx2", "avx512f": "avx512"}
NATIVE = "benchmark_model"
_DPKG_TIMEOUT_S = 10.0
_PIECE = 1 << 20
_X86 = ("x86_64", "amd64", "i386", "i686", "x86")


def facts() -> Dict[str, Any]:
    """System, processor, memory, Python and the runtimes that are installed; None where unknown."""
    cpuinfo = read("/proc/cpuinfo") or ""
    return {
        "system": platform.system(),
        "system_release": platform.release(),
        "machine": platform.machine(),
        "pointer_bits": struct.calcsize("P") * 8,
        "userland_architecture": _dpkg_architecture(),
        "os_release": _os_release(),
        "libc": _libc(),
        "python_implementation": platform.python_implementation(),
        "python_abi": sysconfig.get_config_var("SOABI"),
        "board": _board(),
        "cpu_model": _cpu_model(cpuinfo),
        "cpu_features": sorted(int8_features(cpu_flags(cpuinfo))),
        "cores": os.cpu_count(),
        "memory_bytes": memory_bytes(),
        "python_version": platform.python_version(),
        "numpy_version": _version("numpy", "numpy"),
        "runtimes": {**{name: _version(module, PACKAGES[name]) for name, module in MODULES.items()}, NATIVE: native_version()},
        "emulated": emulated(),
        "turbo": _turbo(),
    }


def native_tool() -> str:
    """Where the native `benchmark_model` lies on a device, if it was pushed; its content is what it is, whatever its name."""
    return os.path.join(os.path.expanduser("~"), ".cache", "dsmobile", "tools", "benchmark_model")


def native_version() -> Optional[str]:
    """The tool prints no version: the start of its SHA-256 stands for one; None where there is no tool."""
    digest = hashlib.sha256()
    try:
        with open(native_tool(), "rb") as file:
            for piece in iter(lambda: file.read(_PIECE), b""):
                digest.update(piece)
    except OSError:
        return None
    return "sha256:" + digest.hexdigest()[:12]


def _dpkg_architecture() -> Optional[str]:
    """Of the packages of this system, which may be 32-bit under a kernel that says aarch64."""
    try:
        command = ["dpkg", "--print-architecture"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_DPKG_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("ascii", "replace").strip() or None if not done.returncode else None


def _os_release() -> Optional[Dict[str, Optional[str]]]:
    """Distribution and release; Raspberry Pi OS calls itself debian (64-bit) or raspbian (32-bit)."""
    fields: Dict[str, str] = {}
    for line in (read("/etc/os-release") or read("/usr/lib/os-release") or "").splitlines():
        name, equals, value = line.partition("=")
        if equals:
            fields[name.strip()] = value.strip().strip("\"'")
    names = {"id": "ID", "version_id": "VERSION_ID", "codename": "VERSION_CODENAME"}
    return {key: fields.get(name) or None for key, name in names.items()} if fields.get("ID") else None


def _libc() -> Optional[str]:
    """`glibc 2.36`, or `musl`; None where it is neither or unknown."""
    if "musl" in (sysconfig.get_config_var("SOABI") or "") + (sysconfig.get_config_var("HOST_GNU_TYPE") or ""):
        return "musl"
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, ValueError, OSError):
        return None


def cpu_flags(cpuinfo: str) -> FrozenSet[str]:
    """The processor's features as /proc/cpuinfo lists them."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def int8_features(flags: Iterable[str]) -> FrozenSet[str]:
    """What of the flags matters for 8-bit arithmetic: vnni, dotprod, i8mm, avx2, avx512."""
    return frozenset(_INT8_FLAGS[flag] for flag in flags if flag in _INT8_FLAGS)


def int8_saturates(machine: str, features: Iterable[str]) -> bool:
    """Whether the fast 8-bit kernels add pairs of products in 16 bits, which overflow: x86 without VNNI.

    Args:
        machine: As `platform.machine()` says it.
        features: From `int8_features`.
    """
    return machine.lower() in _X86 and "vnni" not in features


def emulated() -> bool:
    """Whether QEMU's user mode runs this process, or a processor that only QEMU's translator (TCG) makes up runs this machine.

    That is certain of no other virtual machine: with KVM, where times are those of the real processor, the same board and firmware are seen,
    and the processor may be called after a real one under TCG too.
    """
    places = ("/proc/1/cmdline", "/proc/%d/cmdline" % os.getppid(), "/proc/self/cmdline")
    return any("qemu" in (read(place) or "").split("\0")[0] for place in places) or translated(read("/proc/cpuinfo") or "")


def translated(cpuinfo: str) -> bool:
    """Whether /proc/cpuinfo names the processor `max` of QEMU's translator, its default on many boards; under KVM `max` is the real one.

    Source: QEMU, target/i386/tcg/tcg-cpu.c (`max_x86_cpu`'s model-id) and target/arm/tcg/cpu64.c (`aarch64_max_tcg_initfn`: implementer 0,
    "reserved for software use", part 'Q').
    """
    fields: Dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    if fields.get("model name", "").startswith("QEMU TCG CPU"):
        return True
    return (fields.get("CPU implementer"), fields.get("CPU part")) == ("0x00", "0x051")


def memory_bytes() -> Optional[int]:
    """Physical memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _cpu_model(cpuinfo: str) -> Optional[str]:
    names: List[str] = ["model name", "Model", "Hardware", "cpu model"]
    found: Dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    for name in names:
        if found.get(name):
            return found[name]
    if found.get("CPU implementer") and found.get("CPU part"):
        return "ARM implementer %s part %s" % (found["CPU implementer"], found["CPU part"])
    return platform.processor() or None


def _board() -> Optional[str]:
    text = read("/proc/device-tree/model")
    return text.strip("\0 \n") or None if text else None


def _turbo() -> Optional[bool]:
    no_turbo = read("/sys/devices/system/cpu/intel_pstate/no_turbo")
    if no_turbo is not None:
        return no_turbo.strip() == "0"
    boost = read("/sys/devices/system/cpu/cpufreq/boost")
    return boost.strip() == "1" if boost is not None else None


def _version(module: str, package: str) -> Optional[str]:
    """The installed version; None where the module is not there."""
    if module not in sys.modules and importlib.util.find_spec(module) is None:
        return None
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
