"""Holding a device for one benchmark, here and over SSH: a second one waits, and a governor is put back whatever happens to the host."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dsmobile.devices.keeping import kept, waiting_for
from dsmobile.devices.local import LocalDevice
from dsmobile.devices.opening import open_device
from dsmobile.errors import DeviceError

HOLD = """
import sys, time
from dsmobile.devices.opening import open_device
with open_device(sys.argv[1]) as device, device.keep(sys.argv[2] or None, lambda text: print(text, flush=True)):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A made-up device with one policy."""
    policy = tmp_path / "tree/sys/devices/system/cpu/cpufreq/policy0"
    policy.mkdir(parents=True)
    (policy / "scaling_governor").write_text("ondemand\n")
    return tmp_path / "tree"


def governor(tree: Path) -> str:
    return (tree / "sys/devices/system/cpu/cpufreq/policy0/scaling_governor").read_text().strip()


@pytest.fixture
def local(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DEVICE_BENCH_ROOT", str(tree))
    monkeypatch.setenv("DSMOBILE_CACHE", str(tmp_path / "cache"))
    return "local"


@pytest.fixture
def far(tree: Path, server, device_python) -> str:
    server.set_python(f"DEVICE_BENCH_ROOT='{tree}' exec '{device_python}' \"$@\"")
    return server.address


@pytest.fixture(params=["local", pytest.param("far", marks=pytest.mark.devices)])
def address(request: pytest.FixtureRequest) -> str:
    """A device of each kind."""
    return request.getfixturevalue(request.param)


def eventually(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@pytest.fixture
def hold():
    """A host process that holds a device."""
    started: list[subprocess.Popen] = []

    def start(address: str, governor: str = "") -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", HOLD, address, governor], stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def until(process: subprocess.Popen, word: str) -> list[str]:
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if word in line:
            return lines
    pytest.fail(f"it ended, having said {lines}")


def test_the_governor_is_set_within_the_block_and_put_back_after_it(address, tree) -> None:
    said: list[str] = []
    with open_device(address) as device:
        with device.keep("performance", said.append) as state:
            assert state["governor"] == ["performance"]
            assert governor(tree) == "performance"
        assert governor(tree) == "ondemand"
        with pytest.raises(ZeroDivisionError), device.keep("performance", said.append):
            1 / 0  # noqa: B018
    assert governor(tree) == "ondemand"
    assert state["notes"] == ["the governor is performance for this benchmark"]
    assert said == ["the governor is ondemand again"] * 2
    assert state["lost"] is None


def test_without_the_option_nothing_is_changed(address, tree) -> None:
    with open_device(address) as device, device.keep(None, lambda text: None) as state:
        assert state["governor"] == ["ondemand"]
        assert governor(tree) == "ondemand"


def test_a_device_whose_governor_cannot_be_set_is_an_error(address, tree) -> None:
    (tree / "sys/devices/system/cpu/cpufreq/policy0/scaling_available_governors").write_text("ondemand conservative\n")
    with open_device(address) as device, pytest.raises(DeviceError) as caught, device.keep("performance", lambda text: None):
        pytest.fail("it is held")
    assert "no governor performance" in caught.value.message
    assert "conservative" in caught.value.advice


def test_a_second_benchmark_waits_and_says_for_whom(address, hold) -> None:
    first = hold(address)
    until(first, "held")
    second = hold(address)
    waited = until(second, "waiting")[-1]
    assert "a benchmark (process" in waited
    assert " s now" in waited
    os.killpg(first.pid, signal.SIGINT)
    first.wait(20)
    until(second, "held")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_host_puts_the_governor_back(address, tree, hold, number) -> None:
    process = hold(address, "performance")
    until(process, "held")
    assert governor(tree) == "performance"
    process.send_signal(number)
    process.wait(20)
    eventually(lambda: governor(tree) == "ondemand")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_while_waiting_ends_both_sides(address, tree, hold, number) -> None:
    first = hold(address)
    until(first, "held")
    second = hold(address)
    until(second, "waiting")
    second.send_signal(number)
    second.wait(20)
    assert first.poll() is None
    eventually(lambda: len(keepers(tree)) == 1)


def keepers(tree: Path) -> list[int]:
    """Processes that hold this test's device or wait for it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if b"--keep" in words and Path(os.fsdecode(words[0])).name.startswith("python") and b"DEVICE_BENCH_ROOT=" + os.fsencode(tree) in environment:
            found.append(int(entry.name))
    return found


def test_a_process_that_ends_too_early_is_noticed(local, tree) -> None:
    said: list[str] = []
    with LocalDevice(sys.executable) as device, device.keep("performance", said.append) as state:
        for pid in keepers(tree):
            os.kill(pid, signal.SIGTERM)
        eventually(lambda: state["lost"])
    assert governor(tree) == "ondemand"


@pytest.mark.devices
def test_a_lost_connection_puts_the_governor_back(far, server, tree) -> None:
    with open_device(far) as device, device.keep("performance", lambda text: None) as state:
        assert governor(tree) == "performance"
        server.kill_sessions()
        eventually(lambda: governor(tree) == "ondemand")
        eventually(lambda: state["lost"])


@pytest.mark.devices
def test_what_a_power_cut_left_is_mended_by_the_next_connection(far, server, tree, hold) -> None:
    process = hold(far, "performance")
    until(process, "held")
    for pid in keepers(tree):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not keepers(tree))
    process.kill()
    process.wait()
    assert governor(tree) == "performance"
    assert (server.cache / "governor.json").exists()
    with open_device(far) as device, device.keep(None, lambda text: None) as state:
        assert governor(tree) == "ondemand"
    assert "an earlier benchmark was killed before it could put the governor back" in state["notes"]
    assert not (server.cache / "governor.json").exists()


def test_a_keeper_that_was_killed_is_mended_at_the_end_of_the_block(address, tree) -> None:
    said: list[str] = []
    with open_device(address) as device:
        with device.keep("performance", said.append) as state:
            for pid in keepers(tree):
                os.kill(pid, signal.SIGKILL)
            eventually(lambda: state["lost"])
            assert governor(tree) == "performance"
        assert governor(tree) == "ondemand"
    assert state["unrestored"] is None
    assert "the governor is ondemand again" in said


FAILED = {"message": "the governor could not be put\x1b back", "advice": "by hand"}
DEAF = """
import json, sys
failed = json.loads(sys.argv[1])
if sys.argv[2] == "--check":
    print(json.dumps({"notes": [], "failed": failed if sys.argv[3:] == ["never"] else None}))
else:
    print(json.dumps({"kind": "keeper", "state": "held", "governor": [], "notes": []}), flush=True)
    sys.stdin.read()
    print(json.dumps({"kind": "keeper", "state": "released", "notes": [], "failed": failed}), flush=True)
"""


@pytest.mark.parametrize("when", ["never", "later"])
def test_a_governor_that_could_not_be_put_back_is_said(when) -> None:
    def wrap(command):
        return [*command, when] if command[-1] == "--check" else list(command)

    harness = [sys.executable, "-c", DEAF, json.dumps(FAILED)]
    said: list[str] = []
    with kept(harness, "performance", said.append, lost=lambda status, text: DeviceError(text), heartbeat=False, wrap=wrap) as state:
        assert state["unrestored"] is None
    assert state["unrestored"] == ("the governor could not be put back: by hand" if when == "never" else None)
    assert said == ([state["unrestored"]] if when == "never" else [])


def test_settling_says_what_it_waits_for_and_ends_when_it_is_quiet(address, tree) -> None:
    (tree / "proc").mkdir(exist_ok=True)
    zone = tree / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("71200\n")
    said: list[str] = []
    timer = threading.Timer(2.0, lambda: (zone / "temp").write_text("49000\n"))
    timer.start()
    with open_device(address) as device:
        answer = device.settle(30.0, said.append)
    assert said[0] == "waiting: 71 °C"
    assert answer["settled"]
    assert 1.0 < answer["waited_s"] < 20.0
    assert answer["watched"] == ["temperature"]
    assert answer["last"]["temperature_c"] == 49.0


def test_patience_ends(address, tree) -> None:
    zone = tree / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("71200\n")
    with open_device(address) as device:
        answer = device.settle(1.5, lambda text: None)
    assert not answer["settled"]
    assert answer["reasons"] == ["71 °C"]
    assert answer["waited_s"] >= 1.5


def test_names_from_a_device_reach_no_terminal() -> None:
    holder = {"pid": 1, "what": "a\x1b[2Jbenchmark\n", "from": "\x07::1", "for_s": 200.0}
    assert waiting_for(holder) == "a[2Jbenchmark (process 1, from ::1) holds the device, for 3 min now"
