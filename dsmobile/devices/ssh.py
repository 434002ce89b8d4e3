"""A device over SSH, such as a Raspberry Pi: the harness and the models are pushed once, the runs leave nothing behind."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from device_bench.records import RunPlan
from dsmobile.devices import far_side, harness_process
from dsmobile.devices.addresses import Address
from dsmobile.devices.answers import checked_facts, checked_state
from dsmobile.devices.device import HARNESS_PYTHON, document_in, harness_files, last_line
from dsmobile.devices.harness_process import FULL, LOST, cannot_write, stream
from dsmobile.devices.keeping import kept, settled
from dsmobile.devices.openssh import OWN_ERROR, UPLOAD_TIMEOUT_S, OpenSsh
from dsmobile.errors import DeviceError

# Works in every Python since 2.6, so that one that is too old can say so.
_VERSION = 'import sys; print("{\\"version\\": [%d, %d]}" % tuple(sys.version_info[:2]))'


class SshDevice:
    """A machine that is reached by the person's own OpenSSH.

    Args:
        address: Where it is.
        python: The Python to run there; `~/` is the home folder there.
        interactive: Whether ssh may ask for a password or a passphrase.
    """

    kind = "ssh"
    metric = "latency"

    def __init__(self, address: Address, python: str, *, interactive: bool) -> None:
        """Takes note; nothing is connected yet."""
        self._address = address
        self._python = python
        self._interactive = interactive
        self._run_folder = ""
        self._cache = ""
        self._harness = ""
        self._site = ""

    def __enter__(self) -> Self:
        """Connects, proves that the Python there is new enough, and pushes the harness unless it is there."""
        self._ssh = OpenSsh(self._address, interactive=self._interactive)
        try:
            self._check_python()
            begun = self._ask("begin")
            self._run_folder, self._cache, self._site = begun["run"], begun["cache"], begun["site"]
            self._push_harness()
        except BaseException:
            self._leave(after=None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Removes what was temporary and ends the connection."""
        self._leave(after=error)

    @property
    def python(self) -> str:
        """The Python that runs the harness."""
        return self._python

    @property
    def site(self) -> str:
        """The folder on the device whose packages this Python uses; empty where it was not set up."""
        return self._site

    @property
    def address(self) -> Address:
        """Where it is."""
        return self._address

    def ask(self, *arguments: str, data: bytes = b"", file: Path | None = None) -> dict[str, Any]:
        """Does something on the device that `far_side` can do.

        Args:
            arguments: The name of the action and its arguments.
            data: Its standard input,
            file: or a file that is its standard input.

        Raises:
            DeviceError: It was refused, or the device does not answer.
        """
        return self._ask(*arguments, data=data, file=file)

    def try_site(self, name: str) -> None:
        """Takes the runtimes from a folder below the cache, for this connection only."""
        self._site = f"{self._cache}/{name}"

    def use_site(self, name: str) -> None:
        """Takes the runtimes of this Python from a folder below the cache, now and in every later connection.

        Args:
            name: The folder, such as `sites/0123456789abcdef`.
        """
        self._site = str(self._ask("use_site", name)["site"])

    def prove(self, runtime: str) -> dict[str, Any]:
        """Runs a tiny model in a runtime there: see `device_bench.proof.prove`; a process that dies is an answer too."""
        status, out, complaint = self._ssh.run([*self._command, "--prove", runtime])
        answer = _answer(out)
        if answer is not None:
            return answer
        return {"error": f"its process ended with exit status {status}: {last_line(complaint)}"}

    def push(self, files: Sequence[tuple[Path, str]]) -> list[str]:
        """Pushes what is not there already, each checked by its hash."""
        names = [f"models/{digest}{path.suffix.lower()}" for path, digest in files]
        wanted = [(name, digest, "file") for name, (_, digest) in zip(names, files, strict=True)]
        absent = set(self._ask("missing", json.dumps(wanted))["missing"])
        for name, (path, digest) in zip(names, files, strict=True):
            if name in absent:
                absent.discard(name)
                self._ask("put", name, digest, str(path.stat().st_size), file=path)
        return [f"{self._cache}/{name}" for name in names]

    def facts(self) -> dict[str, Any]:
        """What the device is and which runtimes it has."""
        return checked_facts(self._tell("--facts"), str(self._address))

    def check(self) -> dict[str, Any]:
        """In which state the device is."""
        return checked_state(self._tell("--check"), str(self._address))

    def keep(self, governor: str | None, say: Callable[[str], None]) -> AbstractContextManager[dict[str, Any]]:
        """Holds the device for one benchmark: a second one waits."""
        return kept([self._python, self._harness], governor, say, lost=self._lost, heartbeat=True, wrap=self._ssh.command)

    def settle(self, patience_s: float, say: Callable[[str], None]) -> dict[str, Any]:
        """Waits until the device is quiet and cool, or the patience is spent."""
        return settled([self._python, self._harness], patience_s, say, lost=self._lost, wrap=self._ssh.command)

    def measure(self, plan: RunPlan, on_line: Callable[[dict[str, Any]], None]) -> None:
        """Runs the blocks of a plan and hands on each sample as it comes."""
        plan_path, samples_path = f"{self._run_folder}/plan.json", f"{self._run_folder}/samples.jsonl"
        self._ask("write", plan_path, data=json.dumps(plan.to_json()).encode())
        patience = f"{harness_process.PATIENCE_S:g}"
        command = self._ssh.command([*self._command, plan_path, samples_path, "--echo", "--lifeline", "--patience", patience])
        status, complaint = stream(command, on_line, heartbeat=True)
        if status:
            raise self._lost(status, complaint)

    def _tell(self, *options: str) -> dict[str, Any]:
        status, out, complaint = self._ssh.run([*self._command, *options])
        answer = _answer(out)
        if status or answer is None:
            raise DeviceError(f"the harness does not run on {self._address}: {last_line(complaint)}", "give another Python with --python")
        return answer

    def _lost(self, status: int, complaint: str) -> DeviceError:
        if status == OWN_ERROR or status < 0:
            return DeviceError(
                f"the connection to {self._address} was lost while it measured: {last_line(complaint) or 'ssh said nothing'}",
                "check the connection and the device's power supply, then measure again",
            )
        if status == LOST:
            return DeviceError(
                f"{self._address} heard nothing from this machine for more than {harness_process.PATIENCE_S:.0f} s and ended the measurement",
                "keep this machine awake and the network up, then measure again",
            )
        if status == FULL:
            return cannot_write(str(self._address), complaint, "~/.cache/dsmobile may be deleted")
        said = last_line(complaint) or "it said nothing"
        return DeviceError(f"the harness on {self._address} ended with exit status {status}: {said}", "measure again")

    @property
    def _command(self) -> list[str]:
        return [self._python, self._harness, *(["--site", self._site] if self._site else [])]

    def _check_python(self) -> None:
        status, out, complaint = self._ssh.run([self._python, "-c", _VERSION])
        version = _answer(out)
        needed = ".".join(map(str, HARNESS_PYTHON))
        if status or version is None:
            self._check_shell()
            raise DeviceError(
                f"{self._python} does not run on {self._address}: {last_line(complaint) or f'exit status {status}'}",
                f"install Python {needed} or newer there, or give its path with --python",
            )
        if tuple(version["version"]) < HARNESS_PYTHON:
            found = ".".join(map(str, version["version"]))
            raise DeviceError(
                f"{self._python} on {self._address} is Python {found}; the harness needs {needed}",
                "give the path of a newer one with --python",
            )

    def _check_shell(self) -> None:
        """Raises where the account runs no commands at all: without a shell, or with one command that the server runs in place of any."""
        word = "dsmobile-can-run-commands"
        _, out, complaint = self._ssh.run(["echo", word])
        if word not in out:
            said = last_line(complaint) or last_line(out)
            raise DeviceError(
                f"{self._address} runs no commands for this account{f': {said}' if said else ''}",
                "use an account with a shell, and a key not bound to one command (`command=` in authorized_keys, ForceCommand in sshd_config)",
            )

    def _push_harness(self) -> None:
        digest, archive = harness_archive(harness_files())
        name = f"harness/{digest}/device_bench"
        if self._ask("missing", json.dumps([(name, digest, "folder")]))["missing"]:
            self._ask("unpack", name, digest, data=archive)
        self._harness = f"{self._cache}/{name}"

    def _ask(self, *arguments: str, data: bytes = b"", file: Path | None = None) -> dict[str, Any]:
        """Runs the far side's script and returns its answer."""
        script = Path(far_side.__file__).read_text(encoding="utf-8")
        command = [self._python, "-c", script, *arguments]
        status, out, complaint = self._ssh.run(command, data=data, file=file, timeout_s=UPLOAD_TIMEOUT_S)
        answer = _answer(out)
        if status or answer is None:
            raise DeviceError(f"{self._address} did not answer as expected: {last_line(complaint) or f'exit status {status}'}", "try again")
        if "error" in answer:
            raise self._refusal(answer)
        return answer

    def _refusal(self, answer: dict[str, Any]) -> DeviceError:
        if answer["error"] in ("ENOSPC", "EDQUOT"):
            free = f"{answer['free_bytes'] / 1e6:.0f} MB"
            return DeviceError(f"{self._address} is full ({free} free below ~/.cache)", "free some space there; ~/.cache/dsmobile may be deleted")
        if answer["error"] == "HASH":
            return DeviceError(f"{self._address}: {answer['message']}", "check the connection, the memory card and its free space, then try again")
        return DeviceError(f"{self._address}: {answer['message']}", "see to it that ~/.cache can be written there")

    def _leave(self, after: BaseException | None) -> None:
        try:
            if self._run_folder and not isinstance(after, DeviceError):
                self._ask("remove", self._run_folder)
        except DeviceError:  # a lost connection; the next run clears old folders away
            pass
        finally:
            self._ssh.close()


def harness_archive(files: Sequence[Path]) -> tuple[str, bytes]:
    """The harness as a tar archive and the hash of its contents, as `far_side.folder_digest` forms it."""
    digest = hashlib.sha256()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in files:
            data = path.read_bytes()
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(data).digest())
            member = tarfile.TarInfo(path.name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return digest.hexdigest(), buffer.getvalue()


def _answer(out: str) -> dict[str, Any] | None:
    """The last line that is a JSON object; what the device's shell prints besides does not matter."""
    documents = [document for document in map(document_in, out.splitlines()) if document is not None]
    return documents[-1] if documents else None
