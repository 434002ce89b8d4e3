"""Setting a device up over a real SSH server: a Python with nothing, from bare to a benchmark."""

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from dsmobile.benchmark.run import bench
from dsmobile.devices import setup as setting_up
from dsmobile.devices import wheels
from dsmobile.devices.opening import open_device
from dsmobile.devices.setup import setup, site_name
from dsmobile.devices.userland import choose_wheels, read_userland
from dsmobile.errors import DeviceError

pytestmark = pytest.mark.devices

NO_NETWORK = {
    "PIP_NO_INDEX": "1",
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_FIND_LINKS": "",
    "PIP_CONFIG_FILE": os.devnull,
}


@pytest.fixture(scope="session")
def kept_wheels() -> Path:
    """Where the wheels stay between the tests, as they do on a person's machine."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dsmobile-tests" / "device-wheels"


@pytest.fixture
def bare(server, tmp_path: Path, kept_wheels: Path, monkeypatch: pytest.MonkeyPatch):
    """A device whose Python has neither pip nor numpy nor a runtime."""
    if sys.platform != "linux" or sys.version_info[:2] not in [(3, 10), (3, 11), (3, 12), (3, 13), (3, 14)]:
        pytest.skip("there are no locked wheels for this machine")
    monkeypatch.setenv("DSMOBILE_CACHE", str(kept_wheels))
    folder = server.folder / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    assert subprocess.run([python, "-c", "import numpy"], capture_output=True, check=False).returncode
    server.set_python(f'exec "{python}" "$@"')
    return server


def put_in_cache(address: str) -> list[Path]:
    """Fetches what the device needs, or skips where that cannot be."""
    with open_device(address) as device:
        chosen = choose_wheels(read_userland(device.facts())).wheels
    try:
        return wheels.fetch(chosen)
    except DeviceError as error:
        pytest.skip(f"the wheels are not here and cannot be fetched: {error.message}")


def contents(server) -> dict[str, tuple[int, int]]:
    found = [path for path in server.cache.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(server.cache)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def test_a_bare_python_is_set_up_and_measures_then_nothing_more_is_pushed(bare, model, shared_data, tmp_path, monkeypatch) -> None:
    put_in_cache(bare.address)
    files = [shared_data / "artifacts" / "vww_96_int8.tflite", model]
    with pytest.raises(DeviceError, match="no numpy"):
        bench(files, device=bare.address, budget_s=0.5, out=tmp_path / "out")
    document = setup(bare.address)
    assert json.loads(json.dumps(document)) == document
    assert [(runtime["name"], runtime["error"]) for runtime in document["runtimes"]] == [("litert", None), ("onnxruntime", None)]
    assert all(runtime["where"] == document["site"] for runtime in document["runtimes"])
    assert len(document["pushed"]) == 3
    assert document["pushed_bytes"] > 10e6
    assert document["userland"]["architecture"] == "x86_64"
    assert list((bare.cache / "wheels").iterdir()) == []
    result, _ = bench(files, device=bare.address, budget_s=0.5, out=tmp_path / "out", keep_invalid=True)
    locked = {wheel.package: wheel.version for wheel in wheels.locked()}
    assert result.facts["runtimes"]["litert"] == locked["ai-edge-litert"]
    assert {artifact.runtime_version for artifact in result.artifacts} == {locked["ai-edge-litert"], locked["onnxruntime"]}
    before = contents(bare)
    for name, value in NO_NETWORK.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DSMOBILE_CACHE", str(tmp_path / "empty"))  # what is there needs neither a cache nor a network
    again = setup(bare.address)
    assert (again["pushed"], again["pushed_bytes"]) == ([], 0)
    assert again["site"] == document["site"]
    assert {path: state for path, state in contents(bare).items() if not path.startswith("pythons/")} == {
        path: state for path, state in before.items() if not path.startswith("pythons/")
    }


def test_tflite_runtime_where_it_is_wanted_with_a_numpy_that_it_takes(bare, shared_data, tmp_path) -> None:
    document = setup(bare.address, runtime="tflite-runtime")
    assert [(runtime["name"], runtime["error"]) for runtime in document["runtimes"]] == [("tflite-runtime", None), ("onnxruntime", None)]
    assert {runtime["numpy_version"] for runtime in document["runtimes"]} == {"1.26.4"}
    result, _ = bench([shared_data / "artifacts" / "vww_96_int8.tflite"], device=bare.address, budget_s=0.5, out=tmp_path, keep_invalid=True)
    assert result.artifacts[0].runtime == "tflite-runtime"
    assert [warning.kind for warning in result.warnings].count("runtime_fallback") == 1


def test_a_damaged_folder_is_made_anew(bare) -> None:
    put_in_cache(bare.address)
    site = Path(setup(bare.address)["site"])
    (site / "numpy" / "__init__.py").write_text("raise RuntimeError('damaged')", encoding="utf-8")
    document = setup(bare.address)
    assert len(document["pushed"]) == 3
    assert not any(runtime["error"] for runtime in document["runtimes"])


def test_another_python_on_the_device_does_not_see_the_folder(bare, device_python) -> None:
    put_in_cache(bare.address)
    setup(bare.address)
    with open_device(bare.address, python=str(device_python)) as device:
        assert device.site == ""
    with open_device(bare.address) as device:
        assert device.site


def test_a_full_disk_is_one_sentence_and_nothing_half_unpacked_is_taken_for_whole(bare, monkeypatch) -> None:
    files = put_in_cache(bare.address)
    bare.cache.mkdir(parents=True, exist_ok=True)
    packed = sum(path.stat().st_size for path in files)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={int(packed * 1.5)}", "tmpfs", str(bare.cache)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        with pytest.raises(DeviceError, match="is full") as caught:
            setup(bare.address)
        assert caught.value.advice
        assert list((bare.cache / "sites").iterdir()) == []
        with open_device(bare.address) as device:
            assert device.site == ""
    finally:
        subprocess.run(["umount", str(bare.cache)], check=True)


def test_a_disk_that_fills_up_while_unpacking(bare, monkeypatch) -> None:
    files = put_in_cache(bare.address)
    bare.cache.mkdir(parents=True, exist_ok=True)
    packed = sum(path.stat().st_size for path in files)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={int(packed * 1.5)}", "tmpfs", str(bare.cache)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    script = bare.folder / "far_side.py"  # as if the space had been taken by somebody else in the meantime
    script.write_text(Path(setting_up.__file__).with_name("far_side.py").read_text().replace("if free_bytes() < 1.1", "if 0 > 1.1"), encoding="utf-8")
    monkeypatch.setattr("dsmobile.devices.far_side.__file__", str(script))
    try:
        with pytest.raises(DeviceError, match="is full"):
            setup(bare.address)
        assert list((bare.cache / "sites").iterdir()) == []
    finally:
        subprocess.run(["umount", str(bare.cache)], check=True)


def test_without_a_network_the_missing_wheel_is_named(bare, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DSMOBILE_CACHE", str(tmp_path / "empty"))
    for name, value in NO_NETWORK.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    with pytest.raises(DeviceError, match=r"ai_edge_litert.*no network") as caught:
        setup(bare.address)
    assert str(tmp_path / "empty" / "wheels") in caught.value.advice
    assert not (bare.cache / "sites").exists()


def test_a_runtime_of_another_architecture_is_named_and_not_taken(bare, tmp_path, monkeypatch) -> None:
    files = put_in_cache(bare.address)
    with open_device(bare.address) as device:
        chosen = choose_wheels(read_userland(device.facts())).wheels
    real = setting_up.fetch
    assert real(chosen) == files
    site = Path(setup(bare.address)["site"])
    shutil.rmtree(bare.cache / "pythons")
    for library in [*site.glob("ai_edge_litert/*.so"), *site.glob("onnxruntime/capi/*.so*")]:
        data = bytearray(library.read_bytes())
        data[4] = 1  # ELFCLASS32
        library.write_bytes(data)
    monkeypatch.setattr("dsmobile.devices.ssh.SshDevice.ask", lambda self, *a, **k: {"whole": True} if a[0] == "site_whole" else self._ask(*a, **k))
    with pytest.raises(DeviceError, match=r"litert does not work.*wrong ELF class") as caught:
        setup(bare.address)
    assert "another architecture" in caught.value.advice
    with open_device(bare.address) as device:
        assert device.site == ""
    assert site.name == Path(site_name(chosen)).name


TOOL = """
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    if (!strncmp(argv[i], "--graph=", 8) && !fopen(argv[i] + 8, "rb")) { puts("ERROR: Failed to load model"); return 1; }
  puts("INFO: STARTING!"); puts("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.");
  puts("INFO: count=5 first=2761 curr=2885 min=2605 max=18080 avg=3243.58 std=2165 p5=2630 median=2761 p95=5331");
  puts("INFO: count=337 first=2881 curr=2703 min=2605 max=20356 avg=2942.27 std=1190 p5=2647 median=2781 p95=3169");
  puts("INFO: Inference timings in us: Init: 6395, First inference: 2761, Warmup (avg): 3243.58, Inference (avg): 2942.27");
  return 0;
}
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that prints what the real tool prints."""
    compiler = shutil.which("cc") or shutil.which("gcc") or pytest.skip("needs a C compiler")
    (tmp_path / "tool.c").write_text(TOOL, encoding="utf-8")
    path = tmp_path / "a 'tool' $(x)"
    subprocess.run([compiler, "-o", str(path), str(tmp_path / "tool.c")], check=True)
    return path


def test_the_native_tool_where_no_python_runtime_runs(bare, program, shared_data, tmp_path, monkeypatch) -> None:
    file = shared_data / "artifacts" / "vww_96_int8.tflite"
    monkeypatch.setattr(wheels, "locked", lambda path=None: ())
    monkeypatch.setattr("dsmobile.devices.userland.locked", lambda path=None: ())
    with pytest.raises(DeviceError, match="no Python runtime runs") as caught:
        setup(bare.address)
    assert "linux_x86-64_benchmark_model" in caught.value.advice
    assert f"dsmobile devices setup {bare.address} --benchmark-model" in caught.value.advice
    document = setup(bare.address, benchmark_model=program)
    assert document["pushed"] == [program.name]
    assert [(runtime["name"], runtime["error"], runtime["tool"]) for runtime in document["runtimes"]] == [("benchmark_model", None, "tflite")]
    assert setup(bare.address)["pushed"] == []
    with open_device(bare.address) as device:
        version = device.facts()["runtimes"]["benchmark_model"]
    result, _ = bench([file], device=bare.address, budget_s=0.5, out=tmp_path / "out", keep_invalid=True)
    (artifact,) = result.artifacts
    assert (artifact.runtime, artifact.runtime_version, artifact.median_latency_ns) == ("benchmark_model", version, 2_781_000)
    assert "runtime_fallback" in {warning.kind for warning in result.warnings}


def test_a_native_tool_for_another_machine_is_not_pushed(bare, program, tmp_path) -> None:
    data = bytearray(program.read_bytes())
    struct.pack_into("<H", data, 18, 40)
    data[4] = 1
    other = tmp_path / "linux_arm_benchmark_model"
    other.write_bytes(data)
    with pytest.raises(DeviceError, match="is a program for 32-bit ARM; the device's programs are 64-bit x86"):
        setup(bare.address, benchmark_model=other)
    assert not (bare.cache / "tools").exists()
