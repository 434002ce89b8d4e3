"""The native tool for phones: a program for Android of that processor, pinned by its hash."""

import runpy
import struct
import sys
from pathlib import Path

import pytest

from dsmobile.devices.adb import tool as adb_tool
from dsmobile.devices.adb.delegate import Ran, what_ran
from dsmobile.errors import DeviceError, ModelError

elf = runpy.run_path(str(Path(__file__).with_name("adb_phone.py")))["elf"]


def test_a_program_for_android_and_a_static_one(tmp_path) -> None:
    assert adb_tool.check_program(elf(tmp_path / "a"), "arm64-v8a") == ""
    assert adb_tool.check_program(elf(tmp_path / "b", interpreter=None), "arm64-v8a") == ""
    assert adb_tool.check_program(elf(tmp_path / "c", machine=62), "x86_64") == ""


@pytest.mark.parametrize(
    ("first", "starter"),
    [(b"#!/system/bin/sh\n", "/system/bin/sh"), (b"#! /usr/bin/env python3\r\n", "/usr/bin/env"), (b"#!/bin/sh", "/bin/sh")],
)
def test_what_starts_a_script_is_for_the_phone_to_have(tmp_path, first, starter) -> None:
    (tmp_path / "x").write_bytes(first)
    assert adb_tool.given(tmp_path / "x", "arm64-v8a").starter == starter


@pytest.mark.skipif(sys.platform != "linux", reason="needs an ELF program")
def test_a_program_for_linux_is_started_by_its_linker() -> None:
    starter = adb_tool.check_program(Path(sys.executable).resolve(), "x86_64" if struct.calcsize("P") == 8 else "x86")
    assert Path(starter).name.startswith("ld-")


def test_other_processors_and_what_is_no_program(tmp_path) -> None:
    with pytest.raises(DeviceError, match="a program for 64-bit x86; the phone's programs are 64-bit ARM") as caught:
        adb_tool.check_program(elf(tmp_path / "a", machine=62), "arm64-v8a")
    assert adb_tool.LITERT in caught.value.advice
    assert "no hash is published" in caught.value.advice
    for data in (b"", b"\x7fELF", b"#!bin/sh\n", b"#!", b"PK\x03\x04" + bytes(100)):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(DeviceError, match="no program for phones"):
            adb_tool.check_program(tmp_path / "x", "arm64-v8a")
    with pytest.raises(ModelError, match="cannot be read"):
        adb_tool.check_program(tmp_path / "absent", "arm64-v8a")
    with pytest.raises(DeviceError, match="not supported"):
        adb_tool.check_program(elf(tmp_path / "a"), "riscv64")


def test_no_damaged_file_is_more_than_an_error(tmp_path) -> None:
    whole = elf(tmp_path / "a").read_bytes()
    for place in range(16, len(whole)):
        for value in (0, 255):
            damaged = bytearray(whole)
            damaged[place : place + 4] = bytes([value]) * len(damaged[place : place + 4])
            (tmp_path / "b").write_bytes(bytes(damaged))
            try:
                adb_tool.check_program(tmp_path / "b", "arm64-v8a")
            except DeviceError:
                continue


def test_the_hash_is_pinned_at_first_use_and_held_ever_after(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DSMOBILE_CACHE", str(tmp_path / "cache"))
    assert adb_tool.cached("arm64-v8a") is None
    file = elf(tmp_path / "android_aarch64_benchmark_model")
    first = adb_tool.keep(file, "arm64-v8a")
    assert not first.pinned_before
    assert adb_tool.keep(file, "arm64-v8a").pinned_before
    assert adb_tool.cached("arm64-v8a").sha256 == first.sha256
    assert adb_tool.cached("armeabi-v7a") is None
    first.path.write_bytes(first.path.read_bytes() + b"!")
    with pytest.raises(DeviceError, match="has changed since it was pinned"):
        adb_tool.cached("arm64-v8a")
    assert not adb_tool.keep(file, "arm64-v8a").pinned_before
    assert adb_tool.cached("arm64-v8a").sha256 == first.sha256


def test_what_is_published_is_named_and_what_is_not_too() -> None:
    assert all(url in adb_tool.where_to_get("arm64-v8a") for url, _ in adb_tool.SOURCES["arm64-v8a"])
    assert "android_arm_benchmark_model" in adb_tool.where_to_get("armeabi-v7a")
    assert "nobody publishes" in adb_tool.where_to_get("x86_64")


def test_which_delegate_ran_in_real_logs(shared_data) -> None:
    from device_bench.benchmark_model import parse

    def of(name: str) -> list[Ran]:
        return [what_ran(report) for report in parse((shared_data / "benchmark_logs" / name).read_text(encoding="utf-8", errors="replace"))]

    assert [ran.delegate for ran in of("02_linux_aarch64_qrb2210_cpu_then_gpu_p5_median_p95.txt")] == ["XNNPACK", "GPU"]
    assert [ran.delegate for ran in of("03_android_gpu_tf2.x_2020_issue43541.txt")] == ["GPU"]
    assert [ran.delegate for ran in of("12_qualcomm_mobilenet_v2_xnnpack_p5_2025.txt")] == ["XNNPACK"]


# The words of TensorFlow Lite's tool in benchmark_tflite_model.cc, and of LiteRT's on a Galaxy S25.
END = """INFO: count=50 first=100 curr=100 min=100 max=100 avg=100 std=0 p5=100 median=100 p95=100
INFO: Inference timings in us: Init: 1, First inference: 1, Warmup (avg): 1, Inference (avg): 100
"""


@pytest.mark.parametrize(
    ("words", "ran"),
    [
        ("INFO: Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 3 delegate kernels.", "GPU+CPU"),
        ("INFO: Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate.", ""),
        ("INFO: Replacing 70 out of 70 node(s) with delegate (LITERT_CL) node, yielding 1 partitions for subgraph 0.", "GPU"),
        ("INFO: Replacing 60 out of 70 node(s) with delegate (LITERT_CL) node, yielding 5 partitions for subgraph 0.", "GPU+CPU"),
        ("INFO: GPU acceleration is unsupported on this platform.\nINFO: Created TensorFlow Lite XNNPACK delegate for CPU.", "XNNPACK"),
    ],
)
def test_asked_for_is_not_the_same_as_used(words, ran) -> None:
    from device_bench.benchmark_model import parse

    reports = parse(f"INFO: STARTING!\nINFO: Use gpu: [1]\n{words}\n{END}")
    assert [what_ran(report).delegate for report in reports] == [ran]
