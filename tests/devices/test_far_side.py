"""What runs on a device before the harness is there, when several connections do it at once."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dsmobile.devices import far_side
from dsmobile.devices.device import harness_files
from dsmobile.devices.ssh import harness_archive

SCRIPT = Path(far_side.__file__).read_text(encoding="utf-8")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def ask(home: Path):
    """Starts an action as another connection would."""
    home.mkdir()
    started: list[subprocess.Popen] = []

    def start(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-c", SCRIPT, *arguments]
        environment = {**os.environ, "HOME": str(home)}
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def answers(processes: list[subprocess.Popen], data: bytes) -> list[dict]:
    """All at once: each gets its last byte when all have the rest."""
    for process in processes:
        process.stdin.write(data[:-1])
        process.stdin.flush()
    for process in processes:
        process.stdin.write(data[-1:])
        process.stdin.close()
        process.stdin = None
    return [json.loads(process.communicate()[0] or b"{}") for process in processes]


@pytest.mark.parametrize("before", ["nothing", "damaged"])
def test_several_connections_bring_the_harness_at_once(ask, home, before) -> None:
    digest, archive = harness_archive(harness_files())
    name = f"harness/{digest}/device_bench"
    folder = home / ".cache/dsmobile" / name
    if before == "damaged":
        folder.mkdir(parents=True)
        (folder / "records.py").write_text("broken")
    found = answers([ask("unpack", name, digest) for _ in range(8)], archive)
    assert [answer.get("ok") for answer in found] == [str(folder)] * 8
    assert far_side.folder_digest(folder) == digest
    assert [path.name for path in folder.parent.iterdir() if path.name.endswith(".part")] == []


def test_a_harness_in_use_is_never_taken_away(ask, home) -> None:
    digest, archive = harness_archive(harness_files())
    name = f"harness/{digest}/device_bench"
    answers([ask("unpack", name, digest)], archive)
    folder = home / ".cache/dsmobile" / name
    before = [(path.name, path.stat().st_ino) for path in sorted(folder.iterdir())]
    assert answers([ask("unpack", name, digest)], archive) == [{"ok": str(folder)}]
    assert [(path.name, path.stat().st_ino) for path in sorted(folder.iterdir())] == before


@pytest.fixture
def order(home: Path, ask) -> bytes:
    """A wheel on the device, and what is to be made of it."""
    wheel = home / ".cache/dsmobile/wheels/w.whl"
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        for number in range(200):
            archive.writestr(f"package/m{number}.py", b"x" * 1000)
    return json.dumps([{"path": "wheels/w.whl", "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(), "unpacked_bytes": 200_000}]).encode()


@pytest.mark.parametrize("before", ["nothing", "damaged"])
def test_several_connections_make_the_same_folder_of_packages_at_once(ask, home, order, before) -> None:
    folder = home / ".cache/dsmobile/sites/0123"
    if before == "damaged":
        folder.mkdir(parents=True)
        (folder / "left").touch()
    found = answers([ask("make_site", "sites/0123") for _ in range(6)], order)
    assert [answer.get("ok") for answer in found] == [str(folder)] * 6
    assert len(list(folder.rglob("*.py"))) == 200
    assert not (folder / "left").exists()
    inodes = {path: path.stat().st_ino for path in folder.rglob("*")}
    assert answers([ask("make_site", "sites/0123")], order) == [{"ok": str(folder)}]
    assert {path: path.stat().st_ino for path in folder.rglob("*")} == inodes
