"""The process that holds a device: one at a time, and the governor is put back whatever happens."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from device_bench import governor
from device_bench import lock as lock_module
from device_bench.governor import GovernorError, Journal
from device_bench.lock import Lock
from dsmobile.devices.device import harness_files

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

HARNESS = [sys.executable, str(harness_files()[0].parent)]
POLICIES = ("policy0", "policy4")


class Machine:
    """A made-up tree of /sys and /proc, and a cache."""

    def __init__(self, folder: Path) -> None:
        self.root, self.cache = folder / "a root [1]", folder / "cache"
        for policy, former in zip(POLICIES, ("ondemand", "schedutil"), strict=True):
            self.write(policy, former)
            self.path(policy).with_name("scaling_available_governors").write_text("ondemand schedutil performance powersave\n")
        self.boot("first")

    def path(self, policy: str) -> Path:
        return self.root / "sys/devices/system/cpu/cpufreq" / policy / "scaling_governor"

    def write(self, policy: str, name: str) -> None:
        self.path(policy).parent.mkdir(parents=True, exist_ok=True)
        self.path(policy).write_text(name + "\n")

    def boot(self, number: str) -> None:
        path = self.root / "proc/sys/kernel/random/boot_id"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(number + "\n")

    @property
    def governors(self) -> list[str]:
        return [self.path(policy).read_text().strip() for policy in POLICIES]

    @property
    def journal(self) -> Path:
        return self.cache / "governor.json"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "DEVICE_BENCH_ROOT": str(self.root), "DSMOBILE_CACHE": str(self.cache)}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def keep(machine: Machine):
    """Starts a keeper."""
    started: list[subprocess.Popen] = []

    def start(*options: str, **changes: str) -> subprocess.Popen:
        environment = {**machine.environment, **changes}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        as_in_a_shell = None if os.name == "nt" else lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup would have it ignored
        started.append(subprocess.Popen([*HARNESS, "--keep", *options], env=environment, preexec_fn=as_in_a_shell, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def says(process: subprocess.Popen) -> dict:
    """The next thing it says."""
    line = process.stdout.readline()
    return json.loads(line) if line else {}


Ending = Callable[[subprocess.Popen], object]
WAYS_OUT: dict[str, Ending] = {
    "closed": lambda process: process.stdin.close(),
    "SIGTERM": lambda process: process.send_signal(signal.SIGTERM),
    "SIGINT": lambda process: process.send_signal(signal.SIGINT),
    "SIGHUP": lambda process: process.send_signal(signal.SIGHUP),
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_the_governor_of_each_policy_is_put_back_on_every_way_out(machine, keep, way) -> None:
    process = keep("--governor", "performance")
    assert says(process) == {
        "kind": "keeper",
        "state": "held",
        "governor": ["performance"],
        "notes": ["the governor is performance for this benchmark"],
    }
    assert machine.governors == ["performance", "performance"]
    noted = json.loads(machine.journal.read_text())
    assert sorted(noted["former"].values()) == ["ondemand", "schedutil"]
    assert all(path.startswith("/sys/") for path in noted["former"])
    WAYS_OUT[way](process)
    assert says(process)["notes"] == ["the governor is ondemand, schedutil again"]
    assert process.wait(10) == 0
    assert machine.governors == ["ondemand", "schedutil"]
    assert not machine.journal.exists()


def test_it_is_put_back_although_nobody_listens_any_more(machine, keep) -> None:
    process = keep("--governor", "performance")
    says(process)
    process.stdout.close()
    process.stdin.close()
    process.wait(10)
    assert machine.governors == ["ondemand", "schedutil"]


@pytest.mark.parametrize("way", WAYS_OUT)
def test_a_signal_at_any_moment_leaves_nothing_changed(machine, keep, way) -> None:
    for delay_s in (0.0, 0.03, 0.06, 0.09, 0.12, 0.15, 0.2):
        process = keep("--governor", "performance")
        time.sleep(delay_s)
        WAYS_OUT[way](process)
        process.wait(10)
        assert machine.governors == ["ondemand", "schedutil"]
        assert not machine.journal.exists()


def test_without_the_option_nothing_is_changed(machine, keep) -> None:
    process = keep()
    assert says(process)["governor"] == ["ondemand", "schedutil"]
    assert not machine.journal.exists()
    process.stdin.close()
    assert process.wait(10) == 0
    assert machine.governors == ["ondemand", "schedutil"]


def killed(machine: Machine, keep) -> None:
    process = keep("--governor", "performance")
    says(process)
    process.kill()
    process.wait()
    assert machine.governors == ["performance", "performance"]


@pytest.mark.parametrize("options", [(), ("--governor", "performance")])
def test_what_a_kill_9_left_is_mended_by_the_next_one(machine, keep, options) -> None:
    killed(machine, keep)
    process = keep(*options)
    notes = says(process)["notes"]
    assert notes[:2] == ["an earlier benchmark was killed before it could put the governor back", "the governor is ondemand, schedutil again"]
    process.stdin.close()
    process.wait(10)
    assert machine.governors == ["ondemand", "schedutil"]
    assert not machine.journal.exists()


def test_a_check_mends_it_too(machine, keep) -> None:
    killed(machine, keep)
    done = subprocess.run([*HARNESS, "--check"], env=machine.environment, capture_output=True, check=True)
    assert json.loads(done.stdout)["notes"][1] == "the governor is ondemand, schedutil again"
    assert machine.governors == ["ondemand", "schedutil"]
    assert not machine.journal.exists()


def test_after_a_restart_the_journal_is_only_removed(machine, keep) -> None:
    killed(machine, keep)
    machine.boot("second")
    process = keep()
    assert says(process)["notes"] == ["an earlier benchmark was cut off by a restart, which has put the governor back by itself"]
    assert machine.governors == ["performance", "performance"]  # whatever it is now, it is not from us
    assert not machine.journal.exists()


def test_what_a_person_has_set_meanwhile_is_theirs(machine, keep) -> None:
    process = keep("--governor", "performance")
    says(process)
    machine.write("policy0", "powersave")
    process.stdin.close()
    assert "somebody has set the governor to powersave meanwhile: it was left so" in says(process)["notes"]
    process.wait(10)
    assert machine.governors == ["powersave", "schedutil"]
    assert not machine.journal.exists()


@pytest.mark.parametrize(
    "text",
    [
        '{"schema": "dsmob',
        '{"schema": "dsmobile.governor_journal/1", "former": {}}',
        '{"schema": "dsmobile.governor_journal/1", "former": {"/sys/x": 1}, "set": "performance"}',
        '{"schema": "dsmobile.governor_journal/1", "former": [], "set": "performance"}',
        '{"schema": "dsmobile.governor_journal/1", "former": {}, "set": ["performance"]}',
        "[" * 100_000,
        "[]",
    ],
)
def test_a_damaged_journal_is_said_and_removed(machine, keep, text) -> None:
    machine.cache.mkdir()
    machine.journal.write_text(text)
    assert "damaged" in says(keep())["notes"][0]
    assert not machine.journal.exists()


def test_a_governor_that_the_device_does_not_have(machine, keep) -> None:
    process = keep("--governor", "turbo; reboot")
    assert says(process) == {
        "kind": "keeper",
        "state": "failed",
        "message": "this device has no governor turbo; reboot",
        "advice": "it has: ondemand, schedutil, performance, powersave",
    }
    assert process.wait(10) == 3
    assert machine.governors == ["ondemand", "schedutil"]


def test_a_device_without_governors(machine, keep, tmp_path) -> None:
    process = keep("--governor", "performance", DEVICE_BENCH_ROOT=str(tmp_path / "nothing"))
    assert "no frequency governor" in says(process)["message"]


def with_sudo(machine: Machine, script: str) -> dict[str, str]:
    """A made-up sudo, and governors that only it can write, since open refuses them (a user's process, or root by a read-only mount)."""
    folder = machine.root / "bin"
    folder.mkdir()
    (folder / "sudo").write_text("#!/bin/sh\n" + script)
    (folder / "sudo").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.fixture
def refused(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    """In this process: files that open for reading only, also for root."""
    import builtins

    real = builtins.open

    def opens(path, mode="r", *more, **options):
        if str(path).endswith("scaling_governor") and "w" in mode:
            raise PermissionError(13, "Permission denied", path)
        return real(path, mode, *more, **options)

    monkeypatch.setattr(builtins, "open", opens)
    monkeypatch.setenv("DEVICE_BENCH_ROOT", str(machine.root))
    machine.cache.mkdir()
    return Journal(str(machine.cache))


def test_a_governor_that_does_not_stay_is_an_error_and_nothing_is_left_changed(machine, monkeypatch) -> None:
    import builtins

    real = builtins.open

    def opens(path, mode="r", *more, **options):
        return real(os.devnull if "policy4" in str(path) and "w" in mode else path, mode, *more, **options)

    monkeypatch.setattr(builtins, "open", opens)
    monkeypatch.setenv("DEVICE_BENCH_ROOT", str(machine.root))
    machine.cache.mkdir()
    with pytest.raises(GovernorError, match="policy4/scaling_governor still says schedutil"):
        governor.set_all("performance", Journal(str(machine.cache)))
    assert machine.governors == ["ondemand", "schedutil"]
    assert not machine.journal.exists()


def test_sudo_that_may_is_used_and_never_asks(machine, refused, monkeypatch) -> None:
    log = machine.root / "log"
    changes = with_sudo(machine, f'printf "%s\\n" "$*" >> {str(log)!r}\n[ "$1 $2 $3" = "-n -k tee" ] || exit 9\nexec cat > "$4"\n')
    monkeypatch.setenv("PATH", changes["PATH"])
    former = governor.set_all("performance", refused)
    assert machine.governors == ["performance", "performance"]
    assert governor.restore(refused, {"set": "performance", "former": former}) == ["the governor is ondemand, schedutil again"]
    assert machine.governors == ["ondemand", "schedutil"]
    assert len(log.read_text().splitlines()) == 4


def test_without_the_right_it_says_which_line_grants_it_and_changes_nothing(machine, refused, monkeypatch) -> None:
    monkeypatch.setenv("PATH", with_sudo(machine, "echo 'sudo: a password is required' >&2; exit 1\n")["PATH"])
    monkeypatch.setattr(governor, "_is_root", lambda: False)
    with pytest.raises(GovernorError) as caught:
        governor.set_all("performance", refused)
    assert "a password is required" in caught.value.message
    assert "NOPASSWD: /usr/bin/tee /sys/devices/system/cpu/cpufreq/policy0/scaling_governor, /usr/bin/tee" in caught.value.advice
    assert "*" not in caught.value.advice  # a wildcard in sudoers would grant far more
    assert machine.governors == ["ondemand", "schedutil"]
    assert not machine.journal.exists()


def test_a_journal_that_cannot_be_worked_off_stays(machine, refused, monkeypatch) -> None:
    monkeypatch.setenv("PATH", with_sudo(machine, "exit 1\n")["PATH"])
    for policy in POLICIES:
        machine.write(policy, "performance")
    refused.write("performance", {f"/sys/devices/system/cpu/cpufreq/{policy}/scaling_governor": "ondemand" for policy in POLICIES})
    with pytest.raises(GovernorError, match="could not be put back") as caught:
        governor.mend(refused)
    assert "echo ondemand | sudo tee /sys/devices" in caught.value.advice
    assert machine.journal.exists()


def test_a_second_one_waits_and_knows_for_whom(machine, keep) -> None:
    first = keep()
    assert says(first)["state"] == "held"
    second = keep(SSH_CONNECTION="10.0.0.9 50000 10.0.0.7 22")
    said = says(second)
    assert said["state"] == "waiting"
    assert said["holder"]["pid"] == first.pid
    assert said["holder"]["for_s"] >= 0
    third = keep()
    assert says(third)["holder"]["pid"] == first.pid
    first.stdin.close()
    first.wait(10)
    ready = [process for process in (second, third) if _hears(process)]
    assert len(ready) == 1
    assert says(ready[0])["state"] == "held"


def _hears(process: subprocess.Popen) -> bool:
    import select

    return bool(select.select([process.stdout], [], [], 1.0)[0])


@pytest.mark.parametrize("way", WAYS_OUT)
def test_a_waiting_one_ends_when_it_is_no_longer_wanted(machine, keep, way) -> None:
    first = keep("--governor", "performance")
    says(first)
    second = keep("--governor", "powersave")
    assert says(second)["state"] == "waiting"
    WAYS_OUT[way](second)
    assert second.wait(10) == 0
    assert machine.governors == ["performance", "performance"]
    assert first.poll() is None


def test_a_lock_dies_with_its_holder(machine, keep) -> None:
    first = keep()
    says(first)
    first.kill()
    first.wait()
    assert (machine.cache / "lock").read_text()  # stale, and of no importance
    assert says(keep())["state"] == "held"


def test_a_silent_host_counts_as_lost(machine, keep) -> None:
    process = keep("--governor", "performance", "--patience", "0.5")
    says(process)
    for _ in range(4):  # signs of life
        time.sleep(0.25)
        process.stdin.write(b"\n")
        process.stdin.flush()
    assert process.poll() is None
    assert machine.governors == ["performance", "performance"]
    assert process.wait(10) == 0
    assert machine.governors == ["ondemand", "schedutil"]


def test_a_cache_that_cannot_be_used(keep, tmp_path) -> None:
    (tmp_path / "file").touch()
    said = says(keep(DSMOBILE_CACHE=str(tmp_path / "file" / "cache")))
    assert said["state"] == "failed"
    assert "DSMOBILE_CACHE" in said["advice"]


@pytest.mark.parametrize("arguments", [["--keep", "x"], ["--keep", "--governor"], ["--keep", "--patience", "soon"], ["--settle"], ["--settle", "x"]])
def test_a_wrong_command_line_is_refused(arguments) -> None:
    assert subprocess.run([*HARNESS, *arguments], capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 2


def test_a_full_device_is_said_to_be_full_and_nothing_is_changed(machine, keep) -> None:
    machine.cache.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(machine.cache)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        (machine.cache / "rest").write_bytes(b"x" * 4096)
        process = keep("--governor", "performance")
        said = says(process)
        assert "is full" in said["message"]
        assert process.wait(10) == 3
        assert machine.governors == ["ondemand", "schedutil"]
    finally:
        subprocess.run(["umount", str(machine.cache)], check=True)


def at_a_shared_place(machine: Machine, name: str, shared: Path) -> Lock:
    return Lock(str(machine.cache / name), str(shared))


def test_users_with_caches_of_their_own_wait_for_each_other(machine, tmp_path) -> None:
    shared = tmp_path / "shared.lock"
    first, second = (at_a_shared_place(machine, name, shared) for name in ("one", "other"))
    assert first.take(wait=False)
    first.sign("a benchmark")
    assert oct(shared.stat().st_mode & 0o777) == "0o644"  # to lock it, others need only read it
    shared.chmod(0o444)
    assert not second.take(wait=False)
    assert second.holder()["what"] == "a benchmark of another user of this device"
    queued = at_a_shared_place(machine, "other", shared)  # of the same user as the second one
    assert not queued.take(wait=False)
    assert "waits" in queued.holder()["what"]
    taken = threading.Event()
    threading.Thread(target=lambda: (second.take(wait=True), taken.set()), daemon=True).start()
    assert not taken.wait(0.3)
    first.release()
    assert taken.wait(10)
    assert not queued.take(wait=False)
    second.release()
    assert queued.take(wait=False)
    assert queued.notes == []


def test_a_shared_file_that_was_removed_meanwhile_is_no_lock(machine, tmp_path) -> None:
    shared = tmp_path / "shared.lock"
    first = at_a_shared_place(machine, "one", shared)
    shared.unlink()
    assert first.take(wait=False)
    assert not at_a_shared_place(machine, "other", shared).take(wait=False)


@pytest.mark.parametrize("trap", ["link", "dangling link", "folder", "fifo", "no folder"])
def test_a_trap_in_the_shared_place_is_not_stepped_into(machine, tmp_path, trap) -> None:
    shared, target = tmp_path / "shared" / "lock", tmp_path / "target"
    if trap != "no folder":
        shared.parent.mkdir()
    if "link" in trap:
        shared.symlink_to(target)
    if trap == "link":
        target.write_text("precious")
    if trap == "folder":
        shared.mkdir()
    if trap == "fifo":
        os.mkfifo(shared)
    lock = at_a_shared_place(machine, "one", shared)
    assert lock.take(wait=False)
    assert "are not waited for" in lock.notes[0]
    lock.release()
    assert target.exists() == (trap == "link")
    assert trap != "link" or target.read_text() == "precious"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is a shared place on Linux only")
def test_where_the_shared_file_lies(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(lock_module, "SHARED_FOLDERS", (str(tmp_path / "none"), str(tmp_path), str(tmp_path / "all")))
    (tmp_path / "all").mkdir()
    monkeypatch.setenv("DSMOBILE_CACHE", str(tmp_path))
    assert lock_module.shared_place() is None
    monkeypatch.delenv("DSMOBILE_CACHE")
    assert lock_module.shared_place() is None  # in a folder where others may remove it, it would be worth nothing
    (tmp_path / "all").chmod(0o1777)
    assert lock_module.shared_place() == str(tmp_path / "all" / "dsmobile.lock")
