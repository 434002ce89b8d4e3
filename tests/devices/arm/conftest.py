"""Raspberry Pis that are not there: Debian roots for ARM with their own OpenSSH on loopback, run by QEMU's user mode.

The programs are real: Debian's Python and sshd, the runtimes' wheels. What a Pi's hardware would say is ours and can be changed by a test:
/proc/cpuinfo, a tree for /sys (clock, governor, temperature), `vcgencmd`. Each stand-in has a mount and a process namespace of its own over
a root in the cache that nobody writes to; killing its first process takes everything with it.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from device_bench.records import Block, PlannedArtifact, Probe, ReplicateSample, RunPlan
from dsmobile.devices import wheels
from dsmobile.devices.device import Device
from dsmobile.devices.opening import open_device
from dsmobile.devices.setup import setup
from dsmobile.devices.userland import choose_wheels, read_userland
from dsmobile.errors import DeviceError
from dsmobile.files import sha256

SCRIPT = Path(__file__).parents[3] / "scripts" / "arm-root"
FEATURES = {
    "cortex-a72": ("0xd08", "0x0", "fp asimd evtstrm crc32 cpuid"),
    "cortex-a76": ("0xd0b", "0x4", "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"),
    "cortex-a15": ("0xc0f", "0x4", "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm"),
}
CORES = 4
# A 32-bit system with a 64-bit kernel, as Raspberry Pi OS has it: QEMU's user mode tells the processor's name, so Python and `uname` are told.
KERNEL_64 = """import os
def _uname(told=os.uname):
    return os.uname_result((*told()[:4], "aarch64"))
os.uname = _uname
"""
UNAME_64 = """#!/bin/sh
[ "$1" = -m ] && exec echo aarch64
exec /usr/bin/uname "$@"
"""
ACCOUNTS = {"pi": "/bin/bash", "nologin": "/usr/sbin/nologin", "files": "/bin/bash"}  # `files` may copy files and nothing else

START = """
mount -t overlay overlay -o "lowerdir=$ROOT,upperdir=$HERE/upper,workdir=$HERE/work" "$HERE/machine"
cd "$HERE/machine"
mount -t proc proc proc
mount --bind "$HERE/cpuinfo" proc/cpuinfo
mount --rbind /dev dev
mount --rbind "$HERE/sys" sys
mount --rbind "$HERE/home" home
mount --rbind "$HERE/firmware" run/firmware
exec env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin QEMU_CPU="$CPU" chroot . /usr/sbin/sshd -D -e -f /etc/ssh/stand_in.conf
"""


def cpuinfo(processor: str) -> str:
    """What an ARM kernel tells of a processor; no serial number."""
    part, variant, features = FEATURES[processor]
    architecture = "7" if processor == "cortex-a15" else "8"
    core = f"""BogoMIPS\t: 108.00
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: {architecture}
CPU variant\t: {variant}
CPU part\t: {part}
CPU revision\t: 3

"""
    return "".join(f"processor\t: {number}\n{core}" for number in range(CORES))


@dataclass
class Pi:
    """A stand-in for a Raspberry Pi.

    Args:
        folder: Where all of it lies on this machine.
        architecture: `arm64` or `armhf`.
        suite: Of Debian.
        processor: Which one QEMU is.
        port: Of its SSH server.
        configuration: Of the SSH client.
        process: What holds its namespaces.
        processes_of: The process ids of all that a process started.
        set_up: What `dsmobile devices setup` answered, once it was called.
    """

    folder: Path
    architecture: str
    suite: str
    processor: str
    port: int
    configuration: Path
    process: subprocess.Popen
    processes_of: Callable[[int], list[int]]
    set_up: dict[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return self.address_of("pi")

    def address_of(self, user: str) -> str:
        return f"ssh:{user}@127.0.0.1:{self.port}"

    @property
    def home(self) -> Path:
        return self.folder / "home" / "pi"

    @property
    def cache(self) -> Path:
        return self.home / ".cache" / "dsmobile"

    @property
    def policy(self) -> Path:
        """The clock of its cores."""
        return self.folder / "sys/devices/system/cpu/cpufreq/policy0"

    def set_cool_and_quiet(self) -> None:
        """What it says of itself unless a test wants something else."""
        self.set_throttled(0)
        self.set_temperature(45.0)
        self.set_frequency(1_500_000)
        self.set_governor("ondemand")

    def set_throttled(self, bits: int) -> None:
        """What the firmware says about power and heat."""
        write(self.folder / "firmware/get_throttled", f"throttled=0x{bits:x}\n")

    def set_temperature(self, celsius: float) -> None:
        write(self.folder / "sys/class/thermal/thermal_zone0/temp", f"{celsius * 1000:.0f}\n")

    def set_frequency(self, khz: int) -> None:
        write(self.policy / "scaling_cur_freq", f"{khz}\n")

    def set_governor(self, governor: str) -> None:
        write(self.policy / "scaling_governor", f"{governor}\n")

    @property
    def governor(self) -> str:
        return (self.policy / "scaling_governor").read_text().strip()

    def run(self, *command: str, user: str = "pi") -> str:
        """Runs a program there over SSH and returns what it printed."""
        ssh = ["ssh", "-F", str(self.configuration), "-p", str(self.port), "-l", user, "127.0.0.1", "--", *command]
        return subprocess.run(ssh, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout

    def as_root(self, *command: str) -> None:
        """Runs one of this machine's programs with the stand-in's mounts."""
        inside = self.processes_of(self.process.pid)[0]
        subprocess.run(["nsenter", "--mount", "--target", str(inside), *command], check=True, capture_output=True)

    def install(self, path: str, text: str) -> None:
        """Writes a program or a file into its system; `path` is absolute there."""
        inside = self.processes_of(self.process.pid)[0]
        place = Path(f"/proc/{inside}/root{path}")
        place.write_text(text, encoding="utf-8")
        place.chmod(0o755)

    def running(self) -> list[str]:
        """Command lines of the harness's processes, once they have had time to end."""
        deadline = time.monotonic() + 20
        while (found := self._harnesses()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def _harnesses(self) -> list[str]:
        found = []
        for pid in self.processes_of(self.process.pid):
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            except OSError:
                continue
            if "device_bench" in line:
                found.append(line)
        return found


def write(path: Path, text: str) -> None:
    """Writes in place: the tree is mounted, so that a renamed file would not be seen, and an owner would change."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)


def make_sys(place: Path) -> None:
    """The part of /sys that tells of clock and heat; its governor may be set by `pi`, as a group's right on some systems lets it."""
    files = {
        "class/thermal/thermal_zone0/type": "cpu-thermal",
        "class/thermal/thermal_zone0/temp": "45000",
        "devices/system/cpu/online": f"0-{CORES - 1}",
        "devices/system/cpu/possible": f"0-{CORES - 1}",
        "devices/system/cpu/present": f"0-{CORES - 1}",
        "devices/system/cpu/cpufreq/policy0/affected_cpus": " ".join(map(str, range(CORES))),
        "devices/system/cpu/cpufreq/policy0/scaling_available_governors": "ondemand performance powersave schedutil",
        "devices/system/cpu/cpufreq/policy0/scaling_governor": "ondemand",
        "devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1500000",
        "devices/system/cpu/cpufreq/policy0/scaling_min_freq": "600000",
        "devices/system/cpu/cpufreq/policy0/scaling_max_freq": "1500000",
        "devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "1500000",
    }
    for name, value in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n", encoding="utf-8")
    for core in range(CORES):
        (place / f"devices/system/cpu/cpu{core}").mkdir()
        (place / f"devices/system/cpu/cpu{core}/cpufreq").symlink_to("../cpufreq/policy0")
    os.chown(place / "devices/system/cpu/cpufreq/policy0/scaling_governor", 1000, 1000)


def lay_out(folder: Path, port: int, processor: str) -> None:
    """Everything that lies over the root."""
    for name in ("upper", "work", "machine", "home", "firmware", "upper/etc/ssh", "upper/usr/bin", "upper/run/firmware", "upper/run/sshd"):
        (folder / name).mkdir(parents=True)
    accounts = list(enumerate(ACCOUNTS.items(), 1000))
    others = "root:x:0:0::/root:/bin/bash\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n"
    (folder / "upper/etc/passwd").write_text(others + "".join(f"{name}:x:{uid}:1000::/home/{name}:{shell}\n" for uid, (name, shell) in accounts))
    (folder / "upper/etc/shadow").write_text("root:*:1::::::\n" + "".join(f"{name}:*:1::::::\n" for name in ACCOUNTS))
    for uid, (name, _) in accounts:
        (folder / "home" / name).mkdir()
        os.chown(folder / "home" / name, uid, 1000)
    program = folder / "upper/usr/bin/vcgencmd"
    program.write_text('#!/bin/sh\nexec cat "/run/firmware/$1"\n')
    program.chmod(0o755)
    if processor == "cortex-a15":
        pythons = [f"etc/python3.{minor}/sitecustomize.py" for minor in (9, 11, 13)]
        for path, text in {**dict.fromkeys(pythons, KERNEL_64), "usr/local/bin/uname": UNAME_64}.items():
            place = folder / "upper" / path
            place.parent.mkdir(parents=True)
            place.write_text(text, encoding="utf-8")
            place.chmod(0o755)
    make_sys(folder / "sys")
    (folder / "cpuinfo").write_text(cpuinfo(processor))
    keys = folder / "upper/etc/ssh"
    shutil.copy(folder / "user_key.pub", keys / "authorized_keys")
    shutil.copy(folder / "host_key", keys / "host_key")
    (keys / "stand_in.conf").write_text(f"""Port {port}
ListenAddress 127.0.0.1
HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/authorized_keys
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
StrictModes no
SetEnv QEMU_CPU={processor} PATH=/usr/local/bin:/usr/bin
Subsystem sftp internal-sftp
Match User files
  ForceCommand internal-sftp
""")


def missing() -> str:
    """Why this machine cannot start a stand-in; empty where it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs Linux and root, for namespaces"
    for program in ("setpriv", "unshare", "nsenter", "chroot", "ssh", "ssh-keygen"):
        if shutil.which(program) is None:
            return f"needs {program}"
    for processor in ("aarch64", "arm"):
        entry = Path(f"/proc/sys/fs/binfmt_misc/qemu-{processor}")
        if os.uname().machine != "aarch64" and not (entry.exists() and "F" in entry.read_text().partition("flags:")[2].splitlines()[0]):
            return "this machine's kernel does not run programs for ARM: run scripts/setup-system"
    return ""


def arm_root(architecture: str, suite: str) -> Path:
    """The root from the cache; made there in ten to twenty seconds the first time."""
    done = subprocess.run([sys.executable, str(SCRIPT), architecture, suite], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the {suite} {architecture} root cannot be made: {done.stderr.strip()}")
    return Path(done.stdout.strip())


def start(folder: Path, root: Path, processor: str) -> subprocess.Popen:
    """Starts the SSH server in namespaces of its own; whoever kills the process takes all of them away, and so does the end of this one."""
    environment = {**os.environ, "HERE": str(folder), "ROOT": str(root), "CPU": processor}
    options = ["--mount", "--pid", "--uts", "--fork", "--kill-child", "--propagation", "private"]
    with (folder / "log").open("w") as log:
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", *options, "bash", "-euc", START]
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory, make_client, processes_of) -> Iterator[Callable[[str, str, str], Pi]]:
    """Starts each stand-in once, and ends all of them."""
    reason = missing()
    made: dict[tuple[str, str, str], Pi] = {}

    def stand_in(architecture: str, suite: str, processor: str) -> Pi:
        if reason:
            pytest.skip(reason)
        key = (architecture, suite, processor)
        if key not in made:
            root = arm_root(architecture, suite)
            folder = tmp_path_factory.mktemp(f"{suite}-{architecture}")
            client = make_client(folder)
            lay_out(folder, client.port, processor)
            twin = next((pi for pi in made.values() if (pi.architecture, pi.suite) == (architecture, suite)), None)
            if twin:  # the same memory card in a board with another processor
                shutil.rmtree(folder / "home")
                (folder / "home").symlink_to(twin.folder / "home")
            process = start(folder, root, processor)
            card = twin.set_up if twin else {}
            made[key] = Pi(folder, architecture, suite, processor, client.port, client.configuration, process, processes_of, card)
            made[key].set_cool_and_quiet()
            wait_for(client.port, process, folder / "log")
        return made[key]

    yield stand_in
    for pi in made.values():
        end(pi)


@pytest.fixture
def reach(stand_ins, monkeypatch) -> Callable[..., Pi]:
    """A stand-in in its usual state that this test's ssh can reach."""

    def reachable(architecture: str = "arm64", suite: str = "bookworm", processor: str = "cortex-a72") -> Pi:
        pi = stand_ins(architecture, suite, processor)
        pi.set_cool_and_quiet()
        monkeypatch.setenv("DSMOBILE_SSH_CONFIG", str(pi.configuration))
        monkeypatch.setenv("DSMOBILE_CACHE", str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dsmobile-tests/device-wheels"))
        monkeypatch.setenv("TMPDIR", "/tmp")  # a socket's path must be short
        return pi

    return reachable


@pytest.fixture
def ready(reach) -> Callable[..., Pi]:
    """A stand-in that has its runtimes, brought by `dsmobile devices setup` as a person would."""

    def set_up(architecture: str = "arm64", suite: str = "bookworm", processor: str = "cortex-a72") -> Pi:
        pi = reach(architecture, suite, processor)
        if not pi.set_up:
            have_wheels(pi.address)
            pi.set_up.update(setup(pi.address))
        return pi

    return set_up


@pytest.fixture(scope="session")
def answers() -> Callable[..., list[Probe]]:
    """What each file answers on a device to its seeded input, each in a process of its own."""

    def ask(device: Device, files: list[Path], tflite: str = "litert") -> list[Probe]:
        found: list[ReplicateSample] = []

        def keep(document: dict[str, Any]) -> None:
            if document.get("kind") == "replicate":
                found.append(ReplicateSample.from_json(document))

        with device:
            places = device.push([(path, sha256(path)) for path in files])
            runtimes = ["onnxruntime" if path.suffix == ".onnx" else tflite for path in files]
            planned = tuple(PlannedArtifact(place, runtime) for place, runtime in zip(places, runtimes, strict=True))
            device.measure(RunPlan(planned, (Block(0, tuple(range(len(files)))),), measure_s=0.0, min_count=1, timeout_s=300.0), keep)
        assert [sample.error for sample in found] == [""] * len(files)
        return [sample.probe for sample in found]

    return ask


def have_wheels(address: str) -> None:
    """Fetches what a device needs, or skips where that cannot be."""
    with open_device(address) as device:
        chosen = choose_wheels(read_userland(device.facts())).wheels
    try:
        wheels.fetch(chosen)
    except DeviceError as error:
        pytest.skip(f"the wheels are not here and cannot be fetched: {error.message}")


def wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    """Waits until the server listens."""
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def end(pi: Pi) -> None:
    """Kills a stand-in and proves that nothing of it is left. `unshare` does not listen to SIGTERM."""
    inside = pi.processes_of(pi.process.pid)
    pi.process.send_signal(signal.SIGKILL)
    pi.process.wait()
    deadline = time.monotonic() + 10
    while (left := [pid for pid in inside if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
    assert str(pi.folder) not in Path("/proc/self/mounts").read_text()
    shutil.rmtree(pi.folder)
