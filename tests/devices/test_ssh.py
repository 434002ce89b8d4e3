"""Measuring over SSH, against a real server: when all goes well, and when it does not."""

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from device_bench.records import Block, PlannedArtifact, ReplicateSample, RunPlan
from dsmobile.benchmark.result import Validity, read_result
from dsmobile.benchmark.run import bench
from dsmobile.devices.opening import open_device
from dsmobile.errors import DeviceError
from dsmobile.files import sha256

pytestmark = pytest.mark.devices

BENCH = """
import sys, typer
from dsmobile.cli import bench
app = typer.Typer()
app.command("bench", cls=bench.Command)(bench.bench)
app(sys.argv[1:])
"""

ENDLESS = """
import sys
from pathlib import Path
from device_bench.records import Block, PlannedArtifact, RunPlan
from dsmobile.devices import harness_process
from dsmobile.devices.opening import open_device
from dsmobile.files import sha256
harness_process.HEARTBEAT_S, harness_process.PATIENCE_S = 0.3, 2.0
model = Path(sys.argv[2])
with open_device(sys.argv[1]) as device:
    place = device.push([(model, sha256(model))])[0]
    plan = RunPlan((PlannedArtifact(place, "onnxruntime"),), (Block(0, (0,)),), measure_s=600.0, max_count=10**9, timeout_s=900.0)
    device.measure(plan, lambda document: print(document["kind"], flush=True))
"""


def probes(address: str, files: list[Path], runtimes: list[str]) -> list:
    """The answers of each file on a device."""
    answers: list[ReplicateSample] = []

    def keep(document: dict) -> None:
        if document.get("kind") == "replicate":
            answers.append(ReplicateSample.from_json(document))

    with open_device(address) as device:
        places = device.push([(path, sha256(path)) for path in files])
        planned = tuple(PlannedArtifact(place, runtime) for place, runtime in zip(places, runtimes, strict=True))
        plan = RunPlan(planned, (Block(0, tuple(range(len(files)))),), measure_s=0.01, min_count=5)
        device.measure(plan, keep)
    assert [answer.error for answer in answers] == [""] * len(files)
    return [answer.probe for answer in answers]


def test_gives_the_same_structure_and_the_same_answers_as_here(server, model, shared_data, tmp_path) -> None:
    files = [shared_data / "artifacts" / "kws_ref_model.tflite", shared_data / "artifacts" / "vww_96_int8.tflite", model]
    runtimes = ["litert", "litert", "onnxruntime"]
    assert probes(server.address, files, runtimes) == probes("local", files, runtimes)
    far, path = bench([*files, shared_data / "artifacts" / "kws_ref_model_qdq.onnx"], device=server.address, budget_s=1.0, out=tmp_path / "far")
    here, _ = bench([*files, shared_data / "artifacts" / "kws_ref_model_qdq.onnx"], budget_s=1.0, out=tmp_path / "here")
    assert far.device == "ssh"
    assert far.validity is not Validity.INVALID
    assert read_result(path) == far
    one, other = (result.to_json() for result in (far, here))
    assert one.keys() == other.keys()
    assert one["settings"].keys() == other["settings"].keys()
    assert one["facts"].keys() == other["facts"].keys()
    assert [a.keys() for a in one["artifacts"]] == [a.keys() for a in other["artifacts"]]
    assert far.facts["python_version"] == platform.python_version()
    text = path.read_text(encoding="utf-8")
    assert "127.0.0.1" not in text
    assert str(server.home) not in text


def test_a_second_run_pushes_nothing_and_runs_leave_no_folder(server, model) -> None:
    def state() -> dict[str, tuple[int, int]]:
        files = [path for path in server.cache.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        return {str(path.relative_to(server.cache)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}

    probes(server.address, [model, model], ["onnxruntime"] * 2)
    first = state()
    assert f"models/{sha256(model)}.onnx" in first
    assert list((server.cache / "runs").iterdir()) == []
    probes(server.address, [model], ["onnxruntime"])
    assert state() == first
    assert server.running() == []


def test_a_damaged_copy_is_pushed_again(server, model) -> None:
    probes(server.address, [model], ["onnxruntime"])
    copy = server.cache / "models" / f"{sha256(model)}.onnx"
    copy.write_bytes(b"cut short")
    next(server.cache.glob("harness/*/device_bench/records.py")).write_text("broken", encoding="utf-8")
    probes(server.address, [model], ["onnxruntime"])
    assert copy.read_bytes() == model.read_bytes()


def test_a_shell_that_greets_everybody_does_no_harm(server, model) -> None:
    (server.home / ".bashrc").write_text("echo 'Welcome {home}'\necho '[1, 2]'\n", encoding="utf-8")
    assert probes(server.address, [model], ["onnxruntime"])


def test_another_python_by_its_path(server, model, device_python, tmp_path) -> None:
    server.set_python("exit 1")
    (server.home / "my venv").symlink_to(device_python.parent.parent)
    result, _ = bench([model], device=server.address, budget_s=0.1, out=tmp_path, python="~/my venv/bin/python")
    assert result.device == "ssh"


def failure(server, model, out, **options) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        bench([model], **{"device": server.address, "budget_s": 0.5, "out": out, **options})
    error = caught.value
    assert error.message.isprintable()
    assert error.advice
    assert not any((out / "results").glob("*"))
    return error


def test_a_missing_runtime_is_named_with_the_command_that_brings_it(server, model, tmp_path) -> None:
    server.set_python(f'exec {Path(sys.base_prefix) / "bin" / "python3"} -I -S "$@"')
    error = failure(server, model, tmp_path)
    assert "no numpy and no onnxruntime" in error.message
    assert error.advice == f"run `dsmobile devices setup {server.address}`"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 127", "does not run"),
        ("echo '{\"version\": [3, 8]}'", "is Python 3.8; the harness needs 3.9"),
        ("echo 'Segmentation fault' >&2; exit 139", "Segmentation fault"),
    ],
)
def test_a_python_that_will_not_do(server, model, tmp_path, script, words) -> None:
    server.set_python(script)
    assert words in failure(server, model, tmp_path).message


def test_a_python_that_is_not_there(server, model, tmp_path) -> None:
    error = failure(server, model, tmp_path, python="/no such/python3; touch injected")
    assert "does not run" in error.message
    assert not (server.home / "injected").exists()


def test_a_wrong_port(server, model, tmp_path) -> None:
    server.process.terminate()
    server.process.wait()
    error = failure(server, model, tmp_path)
    assert "Connection refused" in error.message
    assert "port" in error.advice


def test_an_unknown_host(server, model, tmp_path) -> None:
    error = failure(server, model, tmp_path, device="ssh:pi@no-such-host.invalid")
    assert "cannot be reached" in error.message
    assert "name" in error.advice


def test_a_refused_key(server, model, tmp_path) -> None:
    (server.folder / "authorized_keys").write_text((server.folder / "other_key.pub").read_text(), encoding="utf-8")
    error = failure(server, model, tmp_path)
    assert "Permission denied" in error.message
    assert "ssh-copy-id" in error.advice


@pytest.mark.parametrize("known", ["nothing", "another key"])
def test_a_host_key_that_is_not_known_or_another_one(server, model, tmp_path, known) -> None:
    other = f"[127.0.0.1]:{server.port} {(server.folder / 'other_key.pub').read_text()}"
    (server.folder / "known_hosts").write_text("" if known == "nothing" else other, encoding="utf-8")
    error = failure(server, model, tmp_path)
    assert "Host key verification failed" in error.message
    assert ("accept it" if known == "nothing" else "ssh-keygen -R") in error.advice


def test_a_full_device(server, model, tmp_path) -> None:
    server.cache.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(server.cache)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        large = tmp_path / "large.onnx"
        onnx = pytest.importorskip("onnx")
        network = onnx.load(model)
        network.doc_string = "x" * 1_000_000
        onnx.save(network, large)
        error = failure(server, large, tmp_path)
        assert "is full" in error.message
        assert list((server.cache / "models").iterdir()) == []
    finally:
        subprocess.run(["umount", str(server.cache)], check=True)


def sockets() -> set[Path]:
    return set(Path("/tmp").glob("dsm-*"))


def measured(journal: Path) -> bool:
    """Whether it holds a process of the first block."""
    return any('"replicate"' in line and '"block": 0' in line for line in journal.read_text(encoding="utf-8").splitlines())


def test_a_connection_lost_while_measuring(server, model, tmp_path) -> None:
    before = sockets()

    def cut() -> None:
        deadline = time.monotonic() + 60
        while not any(measured(path) for path in tmp_path.glob("samples/*.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.05)
        server.kill_sessions()

    thread = threading.Thread(target=cut)
    thread.start()
    error = failure(server, model, tmp_path, budget_s=60.0)
    thread.join()
    assert "was lost while it measured" in error.message
    assert server.running() == []
    assert sockets() == before
    assert measured(next(tmp_path.glob("samples/*.jsonl")))  # what it had


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_ctrl_c_leaves_nothing_running_on_either_side(server, model, tmp_path, number, status) -> None:
    before = sockets()
    process = subprocess.Popen(
        [sys.executable, "-c", BENCH, str(model), "--device", server.address, "--budget", "60", "--out", str(tmp_path / "out"), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not any('"kind": "replicate", "block": 0' in path.read_text() for path in tmp_path.glob("out/samples/*.jsonl")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == status
    assert list((tmp_path / "out" / "results").iterdir()) == []
    assert server.running() == []
    if number != signal.SIGKILL:
        assert list((server.cache / "runs").iterdir()) == []
        assert sockets() == before
    for left in sockets() - before:  # nobody can tidy up after SIGKILL; ssh's own master ends by itself within a minute
        shutil.rmtree(left)
    if number == signal.SIGINT:
        assert json.loads(out)["error"]["kind"] == "Interrupted"


def test_a_link_that_falls_silent_leaves_nothing_measuring(server, model) -> None:
    command = [sys.executable, "-c", ENDLESS, server.address, str(model)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    stopped: list[int] = []
    try:
        while "conditions" not in (line := process.stdout.readline()):
            assert line
        time.sleep(4.0)  # twice the patience: signs of life come
        assert process.poll() is None
        assert server.harnesses()
        stopped = [process.pid, *clients(server)]
        for pid in stopped:  # as when the host is suspended: no end closes anything
            os.kill(pid, signal.SIGSTOP)
        assert server.running() == []
        for pid in reversed(stopped):  # it wakes up again
            os.kill(pid, signal.SIGCONT)
        _, complaint = process.communicate(timeout=30)
        assert "heard nothing from this machine for more than 2 s" in complaint
    finally:
        for pid in [process.pid, *stopped]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def clients(server) -> list[int]:
    """The ssh processes of this test."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].startswith(b"ssh") and (os.fsencode(server.configuration) in words or any(b"dsm-" in word for word in words[:2])):
            found.append(int(entry.name))
    return found
