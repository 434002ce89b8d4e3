"""What runs where: decided by a device's userland, never by the name of its kernel.

A 32-bit Raspberry Pi OS usually runs a 64-bit kernel, and `uname -m` says `aarch64` while every wheel must be armv7l. What counts is what the
device's Python was built for: the width of its pointers, its ABI tag, and what `dpkg --print-architecture` calls the packages around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsmobile.devices.wheels import PACKAGES, Wheel, locked, numbers
from dsmobile.errors import UsageError

NATIVE = "benchmark_model"
TFLITE_RUNTIMES = ("litert", "tflite-runtime", NATIVE)
NUMPY_BEFORE = {"tflite-runtime": (2, 0)}
_TRIPLETS = {"aarch64-linux-gnu": "aarch64", "arm-linux-gnueabihf": "armv7l", "x86_64-linux-gnu": "x86_64"}
_DPKG = {("arm64", 64): "aarch64", ("armhf", 32): "armv7l", ("amd64", 64): "x86_64"}
_MACHINES = {"aarch64": "aarch64", "arm64": "aarch64", "x86_64": "x86_64", "amd64": "x86_64"}
_ARM = ("aarch64", "arm64", "armv7l", "armv8l")
_NATIVE_FILES = {"aarch64": "linux_aarch64_benchmark_model", "armv7l": "linux_arm_benchmark_model", "x86_64": "linux_x86-64_benchmark_model"}


@dataclass(frozen=True)
class Userland:
    """What programs on a device are made for.

    Args:
        system: `Linux`, `Windows`, `Darwin`.
        architecture: What wheels must be built for: `aarch64`, `armv7l` or `x86_64`; empty where it is something else.
        pointer_bits: 32 or 64, of the device's Python.
        python: Its version.
        cpython: Whether it is CPython with its usual ABI, for which wheels are built.
        glibc: The version of its C library; None where that is not known.
        musl: Whether its C library is musl.
        numpy: The version of the numpy it has; empty where it has none.
        name: What the device calls it, for messages.
    """

    system: str
    architecture: str
    pointer_bits: int
    python: tuple[int, int]
    cpython: bool = True
    glibc: tuple[int, int] | None = None
    musl: bool = False
    numpy: str = ""
    name: str = ""

    @property
    def tag(self) -> str:
        """The Python's tag in wheels' names, such as `cp311`."""
        return f"cp{self.python[0]}{self.python[1]}"

    def __str__(self) -> str:
        """As a person would say it."""
        return f"{self.pointer_bits}-bit {self.name or self.system}, Python {self.python[0]}.{self.python[1]}"


@dataclass(frozen=True)
class Choice:
    """What a device can be given.

    Args:
        runtimes: The runtimes it gets.
        wheels: Their wheels, and numpy's where there is one.
        impossible: Runtime to the reason why it cannot run there.
        system_numpy: Whether numpy must come from the device's own distribution.
    """

    runtimes: tuple[str, ...]
    wheels: tuple[Wheel, ...]
    impossible: Mapping[str, str]
    system_numpy: bool = False


@dataclass(frozen=True)
class Release:
    """A system that people have on such devices.

    Args:
        name: What it is called.
        python: The Python it comes with.
        glibc: Its C library.
        numpy: The version of its python3-numpy.
        key: How a person names it in a command.
    """

    name: str
    python: tuple[int, int]
    glibc: tuple[int, int]
    numpy: str
    key: str


RELEASES = (
    Release("Raspberry Pi OS / Debian 11 Bullseye", (3, 9), (2, 31), "1.19.5", "bullseye"),
    Release("Raspberry Pi OS / Debian 12 Bookworm", (3, 11), (2, 36), "1.24.2", "bookworm"),
    Release("Raspberry Pi OS / Debian 13 Trixie", (3, 13), (2, 41), "2.2.4", "trixie"),
    Release("Ubuntu 22.04", (3, 10), (2, 35), "1.21.5", "jammy"),
    Release("Ubuntu 24.04", (3, 12), (2, 39), "1.26.4", "noble"),
)


def userland_of(system: str) -> Userland:
    """The userland of a system that cannot be asked.

    Args:
        system: A release's key, such as `bookworm`; `-32` behind it for the 32-bit system. The processor is an ARM.

    Raises:
        UsageError: There is no such system in the table.
    """
    key, _, bits = system.partition("-")
    release = next((release for release in RELEASES if release.key == key), None)
    if release is None or bits not in ("", "32", "64"):
        known = ", ".join(release.key for release in RELEASES)
        raise UsageError(f"{system!r} is no system of the table", f"give one of {known}; with -32 behind it for a 32-bit system")
    narrow = bits == "32"
    architecture = "armv7l" if narrow else "aarch64"
    return Userland("Linux", architecture, 32 if narrow else 64, release.python, glibc=release.glibc, numpy=release.numpy, name=release.name)


def read_userland(facts: Mapping[str, Any]) -> Userland:
    """The userland of a device.

    Args:
        facts: What the device says of itself: see `device_bench.machine.facts`.
    """
    abi, bits, libc = facts.get("python_abi") or "", int(facts["pointer_bits"]), facts.get("libc") or ""
    release = facts.get("os_release") or {}
    name = " ".join(str(part) for part in (release.get("id"), release.get("version_id"), release.get("codename")) if part)
    return Userland(
        system=str(facts["system"]),
        architecture=_architecture(abi, bits, facts.get("userland_architecture") or "", str(facts.get("machine") or "")),
        pointer_bits=bits,
        python=numbers(str(facts["python_version"])),
        cpython=facts.get("python_implementation", "CPython") == "CPython" and not re.match(r"cpython-[0-9]+[td]", abi),
        glibc=numbers(libc) if libc.startswith("glibc ") else None,
        musl=libc == "musl" or "musl" in abi,
        numpy=str(facts.get("numpy_version") or ""),
        name=name,
    )


def _architecture(abi: str, bits: int, dpkg: str, machine: str) -> str:
    """What the device's Python was built for.

    Its own ABI tag knows best, then its packages' architecture together with the width of its pointers; the kernel's name is asked last, and
    only for what it cannot be wrong about: an ARM of before version 7, and a 64-bit program, which never runs on a 32-bit kernel.
    """
    found = next((architecture for triplet, architecture in _TRIPLETS.items() if abi.endswith(triplet)), "")
    if not found and not re.search(r"-[a-z0-9_]+-linux", abi):  # an ABI tag that names another architecture is an answer too
        found = _DPKG.get((dpkg, bits), "")
        if not found and not dpkg:
            found = (_MACHINES.get(machine, "") if bits == 64 else "armv7l" if machine in _ARM else "") if machine else ""
    if found == "armv7l" and (machine in ("armv6l", "armv5tel") or bits != 32):
        return ""
    return "" if found in ("aarch64", "x86_64") and bits != 64 else found


def choose_wheels(userland: Userland, tflite: str = "", lock: Sequence[Wheel] | None = None) -> Choice:
    """Which runtimes a device is given: ONNX Runtime, and LiteRT, or tflite-runtime where there is no LiteRT.

    The two that run `.tflite` files never come together: their figures must not be mixed up, nor do they take the same numpy.

    Args:
        userland: The device's.
        tflite: The runtime that is wanted for `.tflite` files; empty leaves the choice.
        lock: The wheels there are; None takes the lock.
    """
    wheels = locked() if lock is None else lock
    impossible = {runtime: reason for runtime in PACKAGES if (reason := _obstacle(userland, runtime, wheels))}
    wanted = (tflite,) if tflite in PACKAGES else ("litert", "tflite-runtime")
    chosen = [runtime for runtime in wanted if runtime not in impossible][:1] if tflite != NATIVE else []
    chosen += ["onnxruntime"] if "onnxruntime" not in impossible else []
    mine = [_newest(wheels, PACKAGES[runtime], userland) for runtime in chosen]
    limit = min((NUMPY_BEFORE[runtime] for runtime in chosen if runtime in NUMPY_BEFORE), default=None)
    numpy = _newest(wheels, "numpy", userland, before=limit) if chosen else None
    return Choice(tuple(chosen), tuple(wheel for wheel in (*mine, numpy) if wheel), impossible, system_numpy=bool(chosen) and numpy is None)


def numpy_obstacle(userland: Userland, choice: Choice) -> str:
    """Why the device's own numpy does not do, where it must; empty where it does."""
    if not choice.system_numpy:
        return ""
    for wheel in choice.wheels:
        if not userland.numpy:
            return "there is no wheel of numpy for 32-bit ARM, and the device has none from its distribution"
        if numbers(userland.numpy) < numbers(wheel.numpy):
            return f"its numpy {userland.numpy} is too old for {wheel.package} {wheel.version}, which needs {wheel.numpy}"
        limit = NUMPY_BEFORE.get(wheel.package)
        if limit and numbers(userland.numpy) >= limit:
            return f"its numpy {userland.numpy} is too new for {wheel.package} {wheel.version}, which needs one below {limit[0]}"
    return ""


def native_file(userland: Userland) -> str:
    """The name under which TensorFlow publishes `benchmark_model` for such a device; empty where it publishes none."""
    return _NATIVE_FILES.get(userland.architecture, "") if userland.system == "Linux" and not userland.musl else ""


def _fitting(wheels: Iterable[Wheel], package: str, userland: Userland) -> list[Wheel]:
    return [wheel for wheel in wheels if (wheel.package, wheel.architecture, wheel.python) == (package, userland.architecture, userland.tag)]


def _newest(wheels: Sequence[Wheel], package: str, userland: Userland, before: tuple[int, int] | None = None) -> Wheel | None:
    found = [wheel for wheel in _fitting(wheels, package, userland) if before is None or numbers(wheel.version) < before]
    return max(found, key=lambda wheel: numbers(wheel.version), default=None)


def _obstacle(userland: Userland, runtime: str, wheels: Sequence[Wheel]) -> str:
    """Why a runtime cannot run on a device; empty where it can."""
    package = PACKAGES[runtime]
    if userland.system != "Linux":
        return f"only Linux is set up from here, not {userland.system}"
    if userland.musl:
        return f"no wheel of {package} is built for musl, the C library of this system"
    if not userland.cpython:
        return f"wheels of {package} are built for CPython with its usual ABI, which this Python is not"
    if not userland.architecture:
        return f"no wheel is built for this {userland.pointer_bits}-bit processor architecture"
    there = [wheel for wheel in wheels if (wheel.package, wheel.architecture) == (package, userland.architecture)]
    if not there:
        return f"{package} has no wheel for {'32-bit ' if userland.pointer_bits == 32 else ''}{userland.architecture}"
    if not (fitting := _fitting(there, package, userland)):
        pythons = sorted(numbers(f"{wheel.python[2]}.{wheel.python[3:]}") for wheel in there)
        (a, b), (c, d) = pythons[0], pythons[-1]
        versions = {wheel.version for wheel in there}
        which = f"{package} {versions.pop()}" if len(versions) == 1 else package
        return f"{which} has wheels for Python {a}.{b} to {c}.{d} on {userland.architecture}, and this is {userland.python[0]}.{userland.python[1]}"
    if userland.glibc and userland.glibc < fitting[0].glibc:
        needed, has = (".".join(map(str, version)) for version in (fitting[0].glibc, userland.glibc))
        return f"{package} {fitting[0].version} needs glibc {needed}, and this system has {has}"
    return ""


def what_runs_where() -> list[dict[str, Any]]:
    """The table: each release, 64- and 32-bit, with the version of each runtime, or None.

    Returns:
        `release`, `bits`, `python`, `runtimes` (name to version), `numpy` (`wheel`, or the distribution's version), `native`.
    """
    rows = []
    for release in RELEASES:
        for bits, architecture in ((64, "aarch64"), (32, "armv7l")):
            userland = Userland("Linux", architecture, bits, release.python, glibc=release.glibc, numpy=release.numpy)
            choice = choose_wheels(userland)
            possible = {} if numpy_obstacle(userland, choice) else {runtime: _version_there(userland, runtime) for runtime in PACKAGES}
            rows.append(
                {
                    "release": release.name,
                    "bits": bits,
                    "python": ".".join(map(str, release.python)),
                    "runtimes": {runtime: possible.get(runtime) for runtime in PACKAGES},
                    "numpy": (release.numpy if choice.system_numpy else "wheel") if choice.runtimes else None,
                    "native": native_file(userland),
                }
            )
    return rows


def _version_there(userland: Userland, runtime: str) -> str | None:
    if runtime in choose_wheels(userland).impossible:
        return None
    wheel = _newest(locked(), PACKAGES[runtime], userland)
    return wheel.version if wheel else None


def markdown_table() -> str:
    """`what_runs_where` as the documentation shows it."""
    lines = [
        "| system | | Python | LiteRT | tflite-runtime | ONNX Runtime | numpy | native `benchmark_model` |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in what_runs_where():
        runtimes = [row["runtimes"][name] or "–" for name in PACKAGES]
        numpy = {"wheel": "pushed", None: "–"}.get(row["numpy"], f"`python3-numpy` {row['numpy']}")
        lines.append(f"| {row['release']} | {row['bits']}-bit | {row['python']} | {' | '.join(runtimes)} | {numpy} | `{row['native']}` |")
    return "\n".join(lines) + "\n"
