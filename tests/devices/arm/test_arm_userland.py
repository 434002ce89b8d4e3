"""The runtimes that each system gets from `dsmobile devices setup`, and what it is told where there is none."""

import sys
import zipfile
from pathlib import Path

import pytest

from dsmobile.benchmark.run import bench
from dsmobile.devices import wheels
from dsmobile.devices.local import LocalDevice
from dsmobile.devices.opening import open_device
from dsmobile.devices.setup import setup
from dsmobile.devices.userland import choose_wheels, read_userland
from dsmobile.errors import DeviceError

pytestmark = [pytest.mark.devices, pytest.mark.arm]


def runtimes(pi) -> dict[str, str]:
    assert [runtime["error"] for runtime in pi.set_up["runtimes"]] == [None] * len(pi.set_up["runtimes"])
    return {runtime["name"]: runtime["version"] for runtime in pi.set_up["runtimes"]}


def tflite_runtime_here(folder: Path) -> Path:
    """The same runtime for this machine: it is older than LiteRT, and rounds otherwise."""
    with LocalDevice(sys.executable) as device:
        choice = choose_wheels(read_userland(device.facts()), "tflite-runtime")
    if "tflite-runtime" not in choice.runtimes:
        pytest.skip(f"tflite-runtime does not run here, to compare with: {choice.impossible['tflite-runtime']}")
    for wheel in wheels.fetch(choice.wheels):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "site")
    return folder / "site"


def test_64_bit_bookworm(ready) -> None:
    """What the device says of itself names neither a host nor a person."""
    pi = ready("arm64", "bookworm", "cortex-a72")
    assert list(runtimes(pi)) == ["litert", "onnxruntime"]
    with open_device(pi.address) as device:
        facts = device.facts()
    assert facts["python_version"].startswith("3.11.")
    assert facts["emulated"] is True
    assert facts["os_release"] == {"id": "debian", "version_id": "12", "codename": "bookworm"}
    assert facts["cpu_model"] == "ARM implementer 0x41 part 0xd08"
    assert facts["cores"] == 4


@pytest.mark.slow
def test_a_second_setup_pushes_nothing(ready) -> None:
    pi = ready("arm64", "bookworm", "cortex-a72")
    assert setup(pi.address)["pushed"] == []


def test_a_32_bit_system_on_a_64_bit_kernel(ready, answers, shared_data, tmp_path, monkeypatch) -> None:
    """`uname -m` says aarch64, the userland decides: tflite-runtime for armv7l beside Debian's own numpy."""
    pi = ready("armhf", "bookworm", "cortex-a15")
    assert pi.run("uname", "-m").strip() == "aarch64"
    assert pi.run("python3 -c 'import platform; print(platform.machine())'").strip() == "aarch64"
    assert (pi.set_up["userland"]["kernel_machine"], pi.set_up["userland"]["architecture"]) == ("aarch64", "armv7l")
    assert pi.set_up["userland"]["dpkg_architecture"] == "armhf"
    assert list(runtimes(pi)) == ["tflite-runtime"]
    assert pi.set_up["runtimes"][0]["numpy_version"] == pi.set_up["userland"]["numpy_version"]
    assert {line["runtime"] for line in pi.set_up["impossible"]} >= {"litert", "onnxruntime"}
    files = [shared_data / "artifacts" / name for name in ("kws_ref_model.tflite", "vww_96_int8.tflite")]
    found = answers(open_device(pi.address), files, tflite="tflite-runtime")
    monkeypatch.setenv("DEVICE_BENCH_SITE", str(tflite_runtime_here(tmp_path)))
    assert found == answers(LocalDevice(sys.executable), files, tflite="tflite-runtime")
    with pytest.raises(DeviceError, match="onnxruntime"):
        bench([shared_data / "artifacts" / "kws_ref_model_qdq.onnx"], device=pi.address, budget_s=1.0, out=tmp_path)


@pytest.mark.slow
def test_64_bit_trixie(ready) -> None:
    pi = ready("arm64", "trixie", "cortex-a76")
    assert list(runtimes(pi)) == ["litert", "onnxruntime"]
    assert pi.set_up["python_version"].startswith("3.13.")


@pytest.mark.slow
def test_a_32_bit_trixie_has_no_runtime_and_is_told_so(reach) -> None:
    pi = reach("armhf", "trixie", "cortex-a15")
    with pytest.raises(DeviceError, match=r"no Python runtime runs.*32-bit.*Python 3\.13") as caught:
        setup(pi.address)
    assert "linux_arm_benchmark_model" in caught.value.advice
    assert not (pi.cache / "sites").exists()


@pytest.mark.slow
def test_64_bit_bullseye(ready) -> None:
    """Python 3.9: tflite-runtime only."""
    pi = ready("arm64", "bullseye", "cortex-a72")
    assert list(runtimes(pi)) == ["tflite-runtime"]
    assert pi.set_up["python_version"].startswith("3.9.")
