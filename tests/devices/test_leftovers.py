"""Temporary folders that a kill -9 left: those of dead processes go, all others stay."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dsmobile.devices import far_side, leftovers
from dsmobile.devices.addresses import parse_address
from dsmobile.devices.local import LocalDevice
from dsmobile.devices.openssh import OpenSsh

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
START = "import time\nfrom dsmobile.devices.leftovers import make_folder\nprint(make_folder('dsm-'), flush=True)\ntime.sleep(600)"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The folder of temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def aged(path: Path) -> Path:
    os.utime(path, (time.time() - 4000, time.time() - 4000))
    return path


def killed(folder: Path) -> Path:
    """What a process that was killed left."""
    process = subprocess.Popen([sys.executable, "-c", START], stdout=subprocess.PIPE, text=True)
    made = Path(process.stdout.readline().strip())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert made.parent == folder
    return made


def test_what_a_kill_9_left_is_swept_away_after_an_hour(folder) -> None:
    old, young = aged(killed(folder)), killed(folder)
    OpenSsh(parse_address("ssh:pi@pi"), interactive=False).close()
    assert not old.exists()
    assert young.exists()


def test_what_is_in_use_or_not_ours_stays(folder) -> None:
    here = aged(leftovers.make_folder("dsm-"))
    connected = killed(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(connected / "s"))
        server.listen()
        aged(connected)
        foreign = folder / "dsm-foreign"
        foreign.mkdir()
        aged(foreign)
        odd = folder / "dsm-odd"
        odd.mkdir()
        (odd / "pid").write_text("-1")
        aged(odd)
        dead = killed(folder)
        (folder / "dsm-link").symlink_to(dead)
        leftovers.sweep("dsm-")
        assert all(path.exists() for path in (here, connected, foreign, odd, dead))
    aged(connected)
    leftovers.sweep("dsm-")
    assert not connected.exists()  # its socket is dead now


def test_a_local_benchmark_sweeps_too(folder) -> None:
    old = folder / "dsmobile-0123"
    old.mkdir()
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    (old / "pid").write_text(str(process.pid))
    aged(old)
    with LocalDevice(sys.executable):
        assert not old.exists()
        assert len(list(folder.glob("dsmobile-*"))) == 1
    assert list(folder.glob("dsmobile-*")) == []


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A device's folder of runs, of which one was begun two days ago by its clock."""
    monkeypatch.setattr(far_side, "CACHE", tmp_path)
    monkeypatch.setenv("DSMOBILE_CACHE", str(tmp_path))
    run = tmp_path / "runs" / "old"
    run.mkdir(parents=True)
    (run / "samples.jsonl").touch()
    two_days_ago = time.time() - 2 * 86400
    for path in (run / "samples.jsonl", run):
        os.utime(path, (two_days_ago, two_days_ago))
    return run


def test_an_old_run_is_cleared_away(runs) -> None:
    far_side.begin()
    assert not runs.exists()


def test_a_run_that_still_writes_is_left_alone(runs) -> None:
    (runs / "samples.jsonl").write_text("{}")
    os.utime(runs, (1.0, 1.0))
    far_side.begin()
    assert runs.exists()


def test_while_somebody_measures_no_clock_tells_what_is_old(runs) -> None:
    from device_bench.lock import Lock, cache_folder

    lock = Lock(cache_folder())
    assert lock.take(wait=False)
    far_side.begin()
    assert runs.exists()
    lock.release()
    far_side.begin()
    assert not runs.exists()
