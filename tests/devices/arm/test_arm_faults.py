"""What can go wrong on a Pi: one clear error each, and nothing left running or changed there."""

import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from device_bench.records import Block, PlannedArtifact, RunPlan
from dsmobile.benchmark.run import bench
from dsmobile.devices import wheels
from dsmobile.devices.opening import open_device
from dsmobile.devices.setup import setup
from dsmobile.devices.userland import Userland, choose_wheels
from dsmobile.errors import DeviceError, DsmobileError, ModelError
from dsmobile.files import sha256

pytestmark = [pytest.mark.devices, pytest.mark.arm]


def clear(error: DsmobileError) -> DsmobileError:
    """An error that a person can read and act upon."""
    assert error.message.isprintable()
    assert "Traceback" not in error.message
    assert error.advice
    return error


@pytest.mark.parametrize("user", ["nologin", "files"])
def test_an_account_without_a_shell(reach, user) -> None:
    """Its shell is nologin, or the server lets it copy files and nothing else."""
    pi = reach()
    with pytest.raises(DeviceError) as caught, open_device(pi.address_of(user)):
        pass
    error = clear(caught.value)
    assert "shell" in error.message + error.advice or "command" in error.message + error.advice
    assert "install Python" not in error.advice
    assert pi.running() == []


def test_a_runtime_for_another_processor(ready, shared_data, tmp_path) -> None:
    """An x86 wheel of the runtime lies in the device's folder of packages."""
    pi = ready()
    wheel = next(
        wheel for wheel in choose_wheels(Userland("Linux", "x86_64", 64, (3, 11), glibc=(2, 36))).wheels if wheel.package == "ai-edge-litert"
    )
    try:
        (file,) = wheels.fetch([wheel])
    except DeviceError as error:
        pytest.skip(f"the wheel is not here and cannot be fetched: {error.message}")
    package = pi.home / Path(pi.set_up["site"]).relative_to("/home/pi") / "ai_edge_litert"
    kept = tmp_path / "kept"
    package.rename(kept)
    try:
        with zipfile.ZipFile(file) as archive:
            archive.extractall(package.parent, [name for name in archive.namelist() if name.startswith("ai_edge_litert/")])
        with pytest.raises(DeviceError, match=r"runtime for kws_ref_model\.tflite does not load") as caught:
            bench([shared_data / "artifacts" / "kws_ref_model.tflite"], device=pi.address, budget_s=1.0, out=tmp_path / "out")
        clear(caught.value)
        assert not list((tmp_path / "out" / "results").iterdir())
        assert pi.running() == []
    finally:
        shutil.rmtree(package)
        kept.rename(package)


def test_a_full_memory_card(reach, tmp_path) -> None:
    """Nothing half unpacked is taken for whole, and what was there stays."""
    pi = reach("armhf", "bookworm", "cortex-a15")
    (pi.home / ".cache").mkdir(exist_ok=True)
    subprocess.run(["chown", "1000:1000", str(pi.home / ".cache")], check=True)
    place = "/home/pi/.cache"
    inside = f"/proc/{pi.processes_of(pi.process.pid)[0]}/root{place}"
    pi.as_root("mount", "-t", "tmpfs", "-o", "size=3m,mode=777", "tmpfs", str(pi.folder / "machine") + place)
    try:
        with pytest.raises(DeviceError, match="is full") as caught:
            setup(pi.address)
        clear(caught.value)
        assert not list(Path(inside).glob("dsmobile/sites/*"))
    finally:
        pi.as_root("umount", "-l", str(pi.folder / "machine") + place)
    assert pi.running() == []


@pytest.mark.slow
def test_a_model_that_takes_the_runtime_down(ready, shared_data, tmp_path) -> None:
    """The process that measures aborts: it alone ends, and the file is named."""
    pi = ready()
    site = pi.home / Path(pi.set_up["site"]).relative_to("/home/pi")
    interpreter = site / "ai_edge_litert" / "interpreter.py"
    kept = interpreter.read_text(encoding="utf-8")
    interpreter.write_text(kept.replace("def allocate_tensors(self):", "def allocate_tensors(self):\n    import os; os.abort()", 1), encoding="utf-8")
    assert "os.abort" in interpreter.read_text(encoding="utf-8")
    try:
        with pytest.raises((ModelError, DeviceError), match=r"kws_ref_model\.tflite.*SIGABRT") as caught:
            bench([shared_data / "artifacts" / "kws_ref_model.tflite"], device=pi.address, budget_s=1.0, out=tmp_path / "out")
    finally:
        interpreter.write_text(kept, encoding="utf-8")
    clear(caught.value)
    assert not list((tmp_path / "out").glob("results/*"))
    assert pi.running() == []


@pytest.mark.slow
def test_a_link_that_dies_while_it_measures(ready, shared_data, tmp_path) -> None:
    """Its samples are kept here, and nothing goes on there."""
    pi = ready()
    sessions = set(pi.processes_of(pi.process.pid))
    lines: list[dict] = []

    def cut(document: dict) -> None:
        lines.append(document)
        if document.get("kind") == "replicate":
            for pid in pi.processes_of(pi.process.pid):
                if pid not in sessions and b"sshd" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    subprocess.run(["kill", "-KILL", str(pid)], check=False)

    model = shared_data / "artifacts" / "kws_ref_model.tflite"
    with pytest.raises(DeviceError, match="was lost") as caught, open_device(pi.address) as device:
        places = device.push([(model, sha256(model))])
        plan = RunPlan((PlannedArtifact(places[0], "litert"),), tuple(Block(index, (0,)) for index in range(50)), measure_s=0.0, min_count=1)
        device.measure(plan, cut)
    clear(caught.value)
    assert sum(line.get("kind") == "replicate" for line in lines) >= 1
    assert json.dumps(lines)
    assert pi.running() == []
