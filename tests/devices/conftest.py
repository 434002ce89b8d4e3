"""A real OpenSSH server on the loopback interface, with a home folder and a Python of its own: a stand-in for a Raspberry Pi."""

import getpass
import hashlib
import importlib.metadata
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

RUNTIMES = ("numpy", "ai-edge-litert", "onnxruntime")


@pytest.fixture(scope="session")
def device_python() -> Path:
    """A Python with numpy and the two runtimes and nothing else; made once, kept in the cache."""
    wanted = [f"{name}=={importlib.metadata.version(name)}" for name in RUNTIMES]
    key = hashlib.sha256(" ".join([sys.version, *wanted]).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dsmobile-tests"
    folder = cache / f"device-{key}"
    if not (folder / "whole").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        done = subprocess.run([folder / "bin" / "pip", "install", "-q", *wanted], capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(folder)
            pytest.skip(f"the device's Python cannot be made: {done.stderr[-300:]}")
        (folder / "whole").touch()
    return folder / "bin" / "python"


@dataclass(frozen=True)
class Client:
    """What a person has who may log in: keys, known hosts, a configuration; `folder` holds them and the server's keys."""

    folder: Path
    port: int
    configuration: Path


@pytest.fixture(scope="session")
def make_client():
    """Makes keys for both sides and a client's configuration for a free port on loopback."""

    def make(folder: Path) -> Client:
        for name in ("host_key", "user_key", "other_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host_key.pub').read_text()}", encoding="utf-8")
        configuration = folder / "ssh_config"
        configuration.write_text(
            f"""Host 127.0.0.1
  IdentityFile {folder / "user_key"}
  IdentitiesOnly yes
  UserKnownHostsFile {folder / "known_hosts"}
  StrictHostKeyChecking yes
""",
            encoding="utf-8",
        )
        return Client(folder, port, configuration)

    return make


@pytest.fixture(scope="session")
def processes_of():
    """The process ids of all that a process started."""
    return descendants


@dataclass
class Server:
    """The device and how to reach it."""

    process: subprocess.Popen
    port: int
    folder: Path
    home: Path
    configuration: Path

    @property
    def address(self) -> str:
        return f"ssh:{getpass.getuser()}@127.0.0.1:{self.port}"

    @property
    def cache(self) -> Path:
        return self.home / ".cache" / "dsmobile"

    def set_python(self, script: str) -> None:
        """What `python3` is on the device."""
        path = self.folder / "bin" / "python3"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def kill_sessions(self) -> None:
        """What happens when the device's network goes away: the server's processes for this connection end at once."""
        for pid in descendants(self.process.pid):
            if command_name(pid).startswith("sshd"):
                os.kill(pid, signal.SIGKILL)

    def running(self) -> list[str]:
        """Command lines of what still runs on the device, once it has had time to end."""
        deadline = time.monotonic() + 10
        while (found := self.harnesses()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def harnesses(self) -> list[str]:
        """Command lines of what runs on the device now."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            except OSError:
                continue
            if str(self.cache) in line and "ssh" not in line.split()[0]:
                found.append(line)
        return found


def command_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, generation = [], [pid]
    while generation:
        generation = [child for child, parent in parents.items() if parent in generation]
        found += generation
    return found


@pytest.fixture
def server(tmp_path: Path, device_python: Path, make_client, monkeypatch: pytest.MonkeyPatch):
    """Starts the server; the home folder's name is as awkward as a name may be."""
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(sshd).exists():
        pytest.skip("needs openssh-server")
    folder = tmp_path / "device"
    home = folder / "it's a home $HOME"
    for place in (home, folder / "bin"):
        place.mkdir(parents=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    client = make_client(folder)
    port, configuration = client.port, client.configuration
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    (folder / "sshd_config").write_text(
        f"""Port {port}
ListenAddress 127.0.0.1
HostKey {folder / "host_key"}
AuthorizedKeysFile {folder / "authorized_keys"}
PidFile {folder / "pid"}
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
StrictModes no
SetEnv "HOME={home}" "DSMOBILE_CACHE={home}/.cache/dsmobile" "PATH={folder / "bin"}:/usr/bin:/bin"
""",
        encoding="utf-8",
    )
    monkeypatch.setenv("DSMOBILE_SSH_CONFIG", str(configuration))
    monkeypatch.setenv("TMPDIR", "/tmp")  # a socket's path must be short
    process = subprocess.Popen([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=(folder / "log").open("w"))
    made = Server(process, port, folder, home, configuration)
    made.set_python(f'exec {shlex.quote(str(device_python))} "$@"')
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield made
    children = descendants(process.pid)
    process.terminate()
    process.wait()
    for pid in children:
        if command_name(pid).startswith("sshd"):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An ONNX file whose name is as awkward as a name may be."""
    onnx = pytest.importorskip("onnx")
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 16, 16]) for name in ("x", "y")]
    nodes = [onnx.helper.make_node("Sigmoid", ["x"], ["a"]), onnx.helper.make_node("Tanh", ["a"], ["y"])]
    made = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:]), opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9
    )
    path = tmp_path / "a 'strange' \"na;me\" $(touch x).onnx"
    path.write_bytes(made.SerializeToString())
    return path
