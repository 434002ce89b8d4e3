"""A native `benchmark_model` that a person has: is it a program for that device?"""

from __future__ import annotations

import struct
from pathlib import Path

from dsmobile.devices.userland import Userland, native_file
from dsmobile.errors import DeviceError, ModelError

PLACE = "tools/benchmark_model"
# EI_CLASS and e_machine of ELF: System V ABI, chapter 4; the machines' own supplements.
_ELF = {"x86_64": (2, 62), "aarch64": (2, 183), "armv7l": (1, 40)}
_MACHINES = {3: "32-bit x86", 40: "32-bit ARM", 62: "64-bit x86", 183: "64-bit ARM", 243: "RISC-V"}
_KINDS = (2, 3)  # an executable, or one that can lie anywhere
_HEAD = 20


def check_program(path: Path, userland: Userland) -> None:
    """Proves that a file is an ELF program for a device.

    Args:
        path: The file.
        userland: The device's.

    Raises:
        ModelError: It cannot be read.
        DeviceError: It is no program, or one for another architecture.
    """
    wanted = native_file(userland)
    advice = f"give TensorFlow's {wanted}, or build benchmark_model for the device" if wanted else "build benchmark_model for the device"
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", "name the file of the benchmark_model with --benchmark-model") from error
    if len(head) < _HEAD or not head.startswith(b"\x7fELF") or head[4] not in (1, 2) or head[5] not in (1, 2):
        raise DeviceError(f"{path.name} is no Linux program (it does not begin as ELF files do)", advice)
    kind, machine = struct.unpack_from("<HH" if head[5] == 1 else ">HH", head, 16)
    if kind not in _KINDS:
        raise DeviceError(f"{path.name} is an ELF file, but no program", advice)
    if userland.architecture not in _ELF:
        raise DeviceError(f"{path.name} cannot be checked: the device's architecture is not known ({userland})", "name another Python with --python")
    if (head[4], machine) != _ELF[userland.architecture]:
        is_for = _MACHINES.get(machine, f"machine {machine}")
        raise DeviceError(f"{path.name} is a program for {is_for}; the device's programs are {_MACHINES[_ELF[userland.architecture][1]]}", advice)
