"""A native tool is a program for that device, or it is not pushed."""

import struct
import sys
from pathlib import Path

import pytest

from dsmobile.devices.native_tool import check_program
from dsmobile.devices.userland import Userland
from dsmobile.errors import DeviceError, ModelError

PI32 = Userland("Linux", "armv7l", 32, (3, 13))
PI64 = Userland("Linux", "aarch64", 64, (3, 13))
HERE = Userland("Linux", "x86_64", 64, (3, 11))


def elf(path: Path, bits: int, machine: int, kind: int = 2) -> Path:
    path.write_bytes(b"\x7fELF" + bytes([bits // 32, 1, 1]) + bytes(9) + struct.pack("<HH", kind, machine) + bytes(40))
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="needs an ELF program")
def test_this_python_is_a_program_for_this_machine() -> None:
    check_program(Path(sys.executable).resolve(), HERE)
    with pytest.raises(DeviceError, match="is a program for 64-bit x86; the device's programs are 32-bit ARM") as caught:
        check_program(Path(sys.executable).resolve(), PI32)
    assert "linux_arm_benchmark_model" in caught.value.advice


@pytest.mark.parametrize(("bits", "machine", "device"), [(32, 40, PI32), (64, 183, PI64), (64, 62, HERE)])
def test_the_numbers_of_the_machines(tmp_path, bits, machine, device) -> None:
    for kind in (2, 3):
        check_program(elf(tmp_path / "tool", bits, machine, kind), device)
    for other in {PI32, PI64, HERE} - {device}:
        with pytest.raises(DeviceError, match="is a program for"):
            check_program(tmp_path / "tool", other)


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"MZ" + bytes(100), b"#!/bin/sh\necho 1\n", b"\x7fELF\x09\x01" + bytes(40), b"\x7fELF\x02\x07" + bytes(40)]
)
def test_what_is_no_program(tmp_path, data) -> None:
    (tmp_path / "tool").write_bytes(data)
    with pytest.raises(DeviceError, match="no Linux program"):
        check_program(tmp_path / "tool", PI32)


def test_an_object_file_and_a_missing_one(tmp_path) -> None:
    with pytest.raises(DeviceError, match="no program"):
        check_program(elf(tmp_path / "tool", 32, 40, kind=1), PI32)
    with pytest.raises(ModelError, match="cannot be read"):
        check_program(tmp_path / "nothing", PI32)
    with pytest.raises(ModelError, match="cannot be read"):
        check_program(tmp_path, PI32)
    with pytest.raises(DeviceError, match="not known"):
        check_program(elf(tmp_path / "tool", 64, 243), Userland("Linux", "", 64, (3, 11)))
