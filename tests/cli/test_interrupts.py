"""A signal ends a verb where an exception can pass, and never in the middle of a native library."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import dsmobile

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")

LIBRARY = """
import os, signal
def work(number, times=1):
    for _ in range(times):
        os.kill(os.getpid(), number)
    print("the library ended", flush=True)
"""
OURS = """
def verb(work, number, times):
    try:
        work(number, times)
        print("went on", flush=True)
    finally:
        print("tidied up", flush=True)
"""
SCRIPT = """
import sys
from dsmobile.cli.interrupts import handle_interrupts
sys.path.insert(0, {folder!r})
handle_interrupts()
import {library}
scope = {{}}
exec(compile({ours!r}, {file!r}, "exec"), scope)
try:
    scope["verb"]({library}.work, {number}, {times})
except KeyboardInterrupt:
    sys.exit(130)
"""


def run(tmp_path: Path, library: str, number: int, times: int = 1) -> subprocess.CompletedProcess[str]:
    (tmp_path / f"{library}.py").write_text(LIBRARY)
    file = str(Path(dsmobile.__file__).parent / "nowhere.py")
    script = SCRIPT.format(folder=str(tmp_path), library=library, ours=OURS, file=file, number=int(number), times=times)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_native_library_ends_what_it_does(tmp_path: Path, number: signal.Signals, status: int) -> None:
    done = run(tmp_path, "keras", number)
    assert done.stdout.split("\n")[:2] == ["the library ended", "tidied up"]
    assert done.returncode == status, done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_anything_else_is_left_at_once(tmp_path: Path, number: signal.Signals, status: int) -> None:
    done = run(tmp_path, "harmless", number)
    assert done.stdout.split("\n")[:1] == ["tidied up"]
    assert done.returncode == status, done.stderr


def test_the_second_one_does_not_wait(tmp_path: Path) -> None:
    done = run(tmp_path, "keras", signal.SIGINT, times=2)
    assert "the library ended" not in done.stdout and "tidied up" in done.stdout
    assert done.returncode == 130


def test_what_was_ignored_stays_ignored(tmp_path: Path) -> None:
    (tmp_path / "keras.py").write_text(LIBRARY)
    script = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + SCRIPT.format(
        folder=str(tmp_path), library="keras", ours=OURS, file=str(Path(dsmobile.__file__).parent / "nowhere.py"), number=2, times=1
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "went on" in done.stdout, done.stderr
