"""The person's own OpenSSH: its argument lists, one shared connection, and what its complaints mean."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dsmobile.devices.addresses import Address
from dsmobile.devices.device import last_line
from dsmobile.devices.leftovers import SOCKET, make_folder
from dsmobile.errors import DeviceError

CONNECT_TIMEOUT_S = 10
COMMAND_TIMEOUT_S = 120.0
UPLOAD_TIMEOUT_S = 1800.0
OWN_ERROR = 255
_EXIT_TIMEOUT_S = 5.0
# What ssh says, what it means, what to do.
_COMPLAINTS = (
    (
        "host identification has changed",
        "the device's key is another one than before: if you know why, remove the old one with `ssh-keygen -R`",
    ),
    ("host key verification failed", "check the device's key, then log in once by hand with `{by_hand}` and accept it"),
    ("permission denied", "copy your key to the device with `ssh-copy-id {destination}`, then log in once by hand with `{by_hand}`"),
    ("too many authentication failures", "name the key for this host in ~/.ssh/config (IdentityFile, IdentitiesOnly)"),
    ("could not resolve", "check the host's name, or give its number"),
    ("connection refused", "check the port, and that an SSH server runs on the device"),
    ("no route to host", "check that the device is on and in the same network"),
    ("network is unreachable", "check that this machine is on a network"),
    ("timed out", "check that the device is on and in the same network"),
    ("bad configuration", "correct your SSH configuration"),
    ("no such file or directory", "check your SSH configuration"),
)


class OpenSsh:
    """One connection, shared by all commands.

    The environment variable DSMOBILE_SSH_CONFIG names another configuration than the person's own.

    Args:
        address: Where to.
        interactive: Whether ssh may ask for a password or a passphrase; only the first command may.
    """

    def __init__(self, address: Address, *, interactive: bool) -> None:
        """Makes the folder of the connection's socket; the first command connects."""
        if shutil.which("ssh") is None:
            raise DeviceError("ssh is not installed on this machine", "install OpenSSH's client")
        self._address = address
        self._interactive = interactive
        self._connected = False
        try:
            self._folder = make_folder("dsm-")  # short: a socket's path has about 100 characters
        except OSError as error:
            raise DeviceError(f"temporary files cannot be written: {error}", "free some space there, or set TMPDIR to another folder") from error

    def command(self, remote: Sequence[str]) -> list[str]:
        """The argument list that runs a command on the device.

        Args:
            remote: The command's own argument list; each is quoted for the device's shell.
        """
        return [*self._options(), "--", self._address.host, " ".join(quoted(argument) for argument in remote)]

    def run(
        self, remote: Sequence[str], *, data: bytes = b"", file: Path | None = None, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> tuple[int, str, str]:
        """Runs a command to its end.

        Args:
            remote: Its argument list.
            data: Its standard input,
            file: or a file that is its standard input.
            timeout_s: How long to wait.

        Returns:
            Its exit status, standard output and standard error.

        Raises:
            DeviceError: The device cannot be reached, or does not answer.
        """
        with contextlib.ExitStack() as stack:
            out, errors = stack.enter_context(tempfile.TemporaryFile()), stack.enter_context(tempfile.TemporaryFile())
            source = stack.enter_context(file.open("rb")) if file else stack.enter_context(tempfile.TemporaryFile())
            if not file:
                source.write(data)
                source.seek(0)
            asks = self._interactive and not self._connected  # to ask, ssh needs this terminal
            try:
                done = subprocess.run(
                    self.command(remote),
                    stdin=source,
                    stdout=out,
                    stderr=errors,
                    timeout=timeout_s,
                    start_new_session=not asks,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise DeviceError(f"{self._address} did not answer within {timeout_s:g} s", "check the connection and the device's load") from error
            out.seek(0)
            errors.seek(0)
            answer, complaint = out.read().decode("utf-8", "replace"), errors.read().decode("utf-8", "replace")
        self.check(done.returncode, complaint)
        self._connected = True
        return done.returncode, answer, complaint

    def check(self, status: int, complaint: str) -> None:
        """Explains an exit status of ssh itself.

        Raises:
            DeviceError: It is one.
        """
        if status == OWN_ERROR or status < 0:
            raise self.explained(complaint)

    def explained(self, complaint: str) -> DeviceError:
        """What ssh said, as an error with a way out."""
        said = last_line(complaint) or "ssh said nothing"
        advice = next((advice for words, advice in _COMPLAINTS if words in complaint.lower()), "")
        destination = f"{self._address.user}{'@' if self._address.user else ''}{self._address.host}"
        by_hand = " ".join(["ssh", *(["-p", str(self._address.port)] if self._address.port else []), destination])
        if advice:
            return DeviceError(f"{self._address} cannot be reached: {said}", advice.format(destination=destination, by_hand=by_hand))
        verb = "the connection was lost" if self._connected else "cannot be reached"
        return DeviceError(f"{self._address}: {verb}: {said}", f"check the connection with `{by_hand}`, then measure again")

    def close(self) -> None:
        """Ends the shared connection."""
        if self._socket.exists():
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    [*self._options(), "-O", "exit", "--", self._address.host],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=_EXIT_TIMEOUT_S,
                    check=False,
                )
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _socket(self) -> Path:
        return self._folder / SOCKET

    def _options(self) -> list[str]:
        options = {
            "ConnectTimeout": str(CONNECT_TIMEOUT_S),
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "3",
            "BatchMode": "no" if self._interactive else "yes",
            "ClearAllForwardings": "yes",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "PermitLocalCommand": "no",
            "RemoteCommand": "none",
        }
        if os.name != "nt":  # Windows has no shared connections
            socket = str(self._socket).replace("%", "%%")
            options |= {"ControlMaster": "auto", "ControlPath": f'"{socket}"', "ControlPersist": "60"}
        configuration = os.environ.get("DSMOBILE_SSH_CONFIG")
        return [
            "ssh",
            "-T",
            *(["-F", configuration] if configuration else []),
            *(part for name, value in options.items() for part in ("-o", f"{name}={value}")),
            *(["-p", str(self._address.port)] if self._address.port else []),
            *(["-l", self._address.user] if self._address.user else []),
        ]


def quoted(argument: str) -> str:
    """An argument for the device's shell; a leading ~/ is the device's home folder."""
    if argument.startswith("~/"):
        return '"$HOME"/' + shlex.quote(argument[2:])
    return shlex.quote(argument)
