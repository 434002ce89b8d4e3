"""A disk of this machine that fills up while it measures: said as that, with what was measured up to then."""

import subprocess
import sys
from pathlib import Path

import pytest

from device_bench.records import Block, PlannedArtifact, RunPlan
from dsmobile.devices.harness_process import FULL, LOST, cannot_write
from dsmobile.devices.local import LocalDevice
from dsmobile.errors import DeviceError

PLAN = RunPlan((PlannedArtifact("/no/such/model.onnx", "onnxruntime"),), tuple(Block(index, (0,)) for index in range(30)))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder of temporary files with room for two pages."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_it_fills_up_while_it_measures(small) -> None:
    heard: list[str] = []
    with LocalDevice(sys.executable) as device:
        (small / "rest").write_bytes(b"x" * 4096)
        with pytest.raises(DeviceError, match="this machine is full: ") as caught:
            device.measure(PLAN, lambda document: heard.append(document["kind"]))
    assert "TMPDIR" in caught.value.advice
    assert heard[0] == "header"


def test_it_is_full_from_the_beginning(small) -> None:
    with pytest.raises(OSError, match="No space"), (small / "rest").open("wb") as file:
        file.write(b"x" * 100_000)
    with pytest.raises(DeviceError, match="this machine is full"), LocalDevice(sys.executable) as device:
        device.measure(PLAN, lambda document: None)


def test_both_sides_mean_the_same_by_the_exit_status() -> None:
    from device_bench import controller, lifeline

    assert (controller.FULL, lifeline.LOST) == (FULL, LOST)
    assert "the disk of ssh:pi@pi fails" in cannot_write("ssh:pi@pi", "samples.jsonl cannot be written: Input/output error", "there").message
