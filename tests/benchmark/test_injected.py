"""Whole benchmarks on a made-up device to which something happens meanwhile: each throttle, each change of the clock and each load is flagged."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dsmobile.benchmark.result import Result, Validity
from dsmobile.benchmark.run import bench

CPU = "sys/devices/system/cpu/cpufreq/policy0"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 16, 16]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Tanh", ["x"], ["y"])], "g", ends[:1], ends[1:])
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9).SerializeToString())
    return path


class MadeUp:
    """A device in order, whose files can be changed; a change shows in the whole of each file or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tree"
        self.bits = folder / "bits"
        self.write(f"{CPU}/scaling_governor", "performance")
        self.write(f"{CPU}/scaling_cur_freq", "1500000")
        self.write("sys/class/thermal/thermal_zone0/temp", "50000")
        self.say("0")
        program = folder / "bin" / "vcgencmd"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n[ \"$1\" = get_throttled ] && echo throttled=0x$(cat '{self.bits}')\n")
        program.chmod(0o755)

    def write(self, path: str, text: str) -> None:
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name("." + place.name)
        temporary.write_text(text + "\n")
        temporary.replace(place)

    def say(self, bits: str) -> None:
        temporary = self.bits.with_name("new bits")
        temporary.write_text(bits)
        temporary.replace(self.bits)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    made = MadeUp(tmp_path)
    monkeypatch.setenv("DEVICE_BENCH_ROOT", str(made.folder))
    monkeypatch.setenv("DSMOBILE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return made


def measured(model: Path, out: Path, meanwhile: Callable[[], None] = lambda: None) -> Result:
    """A benchmark of some seconds, with something that happens once its second block is on the disk."""

    def wait() -> None:
        deadline = time.monotonic() + 60
        while not any('"block": 1' in path.read_text() for path in out.glob("samples/*.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.02)
        meanwhile()

    thread = threading.Thread(target=wait)
    thread.start()
    result, _ = bench([model], budget_s=4.0, out=out, keep_invalid=True)
    thread.join()
    return result


def kinds(result: Result) -> set[str]:
    return {warning.kind for warning in result.warnings}


OF_THE_DEVICE = {"throttled", "under_voltage", "clock_changed", "governor_changed", "cores_changed", "powersave_governor"}


def test_a_device_in_order_is_not_flagged(device, model, tmp_path) -> None:
    result = measured(model, tmp_path / "out")
    assert kinds(result) & OF_THE_DEVICE == set()
    assert result.conditions[0]["throttled"] == 0
    assert result.conditions[0]["temperature_c"] == 50.0


@pytest.mark.parametrize(
    ("kind", "happens"),
    [
        ("throttled", lambda device: device.say("4")),
        ("throttled", lambda device: device.say("40000")),  # it came and went between two looks
        ("throttled", lambda device: device.say("2")),
        ("throttled", lambda device: device.say("80008")),
        ("under_voltage", lambda device: device.say("10000")),
        ("clock_changed", lambda device: device.write(f"{CPU}/scaling_cur_freq", "600000")),
        ("governor_changed", lambda device: device.write(f"{CPU}/scaling_governor", "ondemand")),
    ],
)
def test_what_happens_meanwhile_is_flagged(device, model, tmp_path, kind, happens) -> None:
    result = measured(model, tmp_path / "out", lambda: happens(device))
    assert kind in kinds(result)
    assert result.validity is (Validity.INVALID if kind in ("throttled", "under_voltage") else Validity.DEGRADED)


def test_a_throttle_that_came_before_and_comes_again_is_flagged(device, model, tmp_path) -> None:
    device.say("40000")
    assert "throttled" in kinds(measured(model, tmp_path / "out", lambda: device.say("40004")))


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs /proc/stat")
def test_a_load_is_flagged(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DSMOBILE_CACHE", str(tmp_path / "cache"))
    burners: list[subprocess.Popen] = []
    try:
        result = measured(model, tmp_path / "out", lambda: burners.append(subprocess.Popen([sys.executable, "-c", "while True: pass"])))
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    assert "busy_machine" in kinds(result)
