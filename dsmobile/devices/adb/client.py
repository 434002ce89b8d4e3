"""The person's own `adb`: its argument lists, what it says of devices, and what its complaints mean.

`adb shell` gives a command's exit status only where the phone knows the protocol `shell_v2`; here the status is carried in the output, behind a
word made up for each call, which also shows whether all of the output came.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsmobile.devices.addresses import parse_address
from dsmobile.devices.device import last_line
from dsmobile.errors import DeviceError

COMMAND_TIMEOUT_S = 30.0
PUSH_TIMEOUT_S, SLOWEST_PUSH = 60.0, 250_000
"""How long a push may take: so many seconds, and one for so many bytes."""
START_TIMEOUT_S = 20.0
GREETING_S, _AGAIN_S = 3.0, 0.25
"""How long a device that adb has just come to know may take to say what it is, and how often it is looked at."""
MOST_BYTES = 4 << 20
READY = "device"
_PASSING = ("authorizing", "connecting")
_STATES = "device|offline|unauthorized|authorizing|connecting|recovery|rescue|sideload|bootloader|host|no permissions|no device|unknown"
_LISTED = re.compile(rf"(\S.*?)\s+({_STATES})\b(.*)")
_HOST_AND_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
_COMPLAINT = re.compile(r"error:|adb(?:\.exe)?:|\* ")
_REPLUG = "unplug the phone and plug it in again, with another cable if need be; `adb reconnect offline` may help too"
_ADVICE = {
    "unauthorized": "unlock the phone and allow USB debugging for this computer in the question that it shows; where it shows none, "
    "choose Revoke USB debugging authorisations in its developer options and plug it in again",
    "authorizing": "unlock the phone and allow USB debugging for this computer in the question that it shows",
    "offline": _REPLUG,
    "connecting": "wait some seconds, then try again",
    "recovery": "start Android on the phone: it is in its recovery",
    "rescue": "start Android on the phone: it is in its rescue mode",
    "sideload": "start Android on the phone: it waits for an update",
    "bootloader": "start Android on the phone: it is in its boot loader",
    "no permissions": "install the udev rules for phones (Debian and Ubuntu: `sudo apt install android-sdk-platform-tools-common`), put your "
    "user into the group plugdev, then plug the phone in again",
}


@dataclass(frozen=True)
class Listed:
    """A line of `adb devices -l`.

    Args:
        serial: What the device is called there.
        state: `device` where it can be used; `offline`, `unauthorized` and others where not.
        model: As the device calls itself; empty where it is not told.
    """

    serial: str
    state: str
    model: str = ""


@dataclass(frozen=True)
class Answer:
    """What a command on the phone answered.

    Args:
        status: Its exit status.
        text: What it wrote, standard error included, at most 4 MB.
    """

    status: int
    text: str


def parse_devices(text: str) -> list[Listed]:
    """Reads what `adb devices -l` writes.

    Args:
        text: All of it; lines of the server that starts are passed over.
    """
    _, _, lines = text.replace("\r", "").partition("List of devices attached\n")
    found = []
    for line in lines.splitlines():
        match = _LISTED.match(line)
        if match:
            model = re.search(r"\bmodel:(\S+)", match[3])
            found.append(Listed(match[1], match[2], model[1] if model else ""))
    return found


def server_runs() -> bool:
    """Whether an adb server listens already: asking `adb` itself would start one."""
    import socket

    port = os.environ.get("ANDROID_ADB_SERVER_PORT", "5037")
    try:
        with socket.create_connection(("127.0.0.1", int(port)), timeout=1.0):
            return True
    except (OSError, ValueError):
        return False


def find_adb() -> str:
    """The adb program.

    Raises:
        DeviceError: It is not installed.
    """
    found = shutil.which("adb")
    if found is None:
        raise DeviceError(
            "adb is not installed on this machine",
            "install it: `sudo apt install adb`, `brew install android-platform-tools`, or Android's platform tools",
        )
    return found


def list_phones() -> list[Listed]:
    """The devices that adb knows; starts its server where none runs.

    Raises:
        DeviceError: adb is missing, or its server does not start.
    """
    program = find_adb()
    status, text = _run([program, "start-server"], START_TIMEOUT_S)
    if status and server_runs():  # another program started it at the same moment
        status, text = _run([program, "start-server"], START_TIMEOUT_S)
    if status:
        raise DeviceError(
            f"adb's server does not start: {last_line(text)}", "see what `adb start-server` says; another version of adb may hold its port"
        )
    status, text = _run([program, "devices", "-l"], COMMAND_TIMEOUT_S)
    if status:
        raise DeviceError(f"`adb devices` failed: {last_line(text) or f'exit status {status}'}", "see what `adb devices -l` says")
    return parse_devices(text)


def find_phone(serial: str) -> Listed:
    """The phone that an address names, ready to be used; a host and port is connected to.

    Args:
        serial: Its serial number, or `host:port`; empty takes `ANDROID_SERIAL`, else the only one there is.

    Raises:
        UsageError: `ANDROID_SERIAL` holds what is no serial number.
        DeviceError: There is none, there are several, or it is not ready.
    """
    wanted = serial or os.environ.get("ANDROID_SERIAL", "")
    if wanted and not serial:
        parse_address(f"adb:{wanted}")
    fresh = not server_runs()
    listed = list_phones()
    if wanted and wanted not in [phone.serial for phone in listed] and _HOST_AND_PORT.fullmatch(wanted):
        _connect(wanted)
        listed, fresh = list_phones(), True
    found = _after_greeting(wanted, listed, fresh=fresh)
    if not found:
        raise _nothing_found(wanted, list_phones())
    if len(found) > 1:
        choices = ", ".join(f"adb:{phone.serial}{f' ({phone.model})' if phone.model else ''}" for phone in found)
        raise DeviceError(f"adb knows {len(found)} devices, and --device adb names none of them", f"name one: {choices}")
    if found[0].state != READY:
        raise not_ready(found[0])
    return found[0]


def _after_greeting(wanted: str, listed: Sequence[Listed], *, fresh: bool) -> list[Listed]:
    """The devices that are meant, once adb and they have greeted each other: for a moment a new one is `connecting` or `authorizing`, and where
    the server has just started, not there yet or `offline`."""
    deadline_s = time.monotonic() + GREETING_S
    while True:
        found = [phone for phone in listed if phone.serial == wanted or not wanted]
        passing = (*_PASSING, "offline") if fresh else _PASSING
        waits = any(phone.state in passing for phone in found) or (fresh and not found)
        if not waits or time.monotonic() >= deadline_s:
            return found
        time.sleep(_AGAIN_S)
        listed = list_phones()


def not_ready(phone: Listed) -> DeviceError:
    """Why a phone cannot be used, by its state."""
    advice = _ADVICE.get(phone.state, _REPLUG)
    if phone.state == "offline" and _HOST_AND_PORT.fullmatch(phone.serial):
        advice = f"see that the phone is awake and in the same network, run `adb disconnect {phone.serial}`, then try again: that connects anew"
    return DeviceError(f"the phone adb:{phone.serial} cannot be used: adb calls it {phone.state}", advice)


class Adb:
    """One phone, by its serial number.

    Args:
        serial: It.
    """

    def __init__(self, serial: str) -> None:
        """Takes note."""
        self.serial = serial
        self._program = find_adb()

    def command(self, script: str, *arguments: str) -> tuple[list[str], str]:
        """The argument list that runs a script on the phone, and the word that comes before its exit status at the end.

        Args:
            script: The body of a shell function; it ends with `return`, never with `exit`.
            arguments: Its arguments, each quoted for the phone's shell.
        """
        word = f"dsmobile-{secrets.token_hex(8)}"
        # Both outputs become one there: as two, they would come here in any order, one in the middle of the other's lines.
        remote = f"dsmobile() {{\n{script.strip()}\n}}\ndsmobile {shlex.join(arguments)} 2>&1\ns=$?\necho\necho {word} $s"
        return [self._program, "-s", self.serial, "shell", remote], word

    def try_shell(self, script: str, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> Answer:
        """Runs a script on the phone to its end.

        Args:
            script: See `command`.
            arguments: See `command`.
            timeout_s: How long to wait.

        Raises:
            DeviceError: The phone was lost, or did not answer in time.
        """
        command, word = self.command(script, *arguments)
        status, text = _run(command, timeout_s)
        said, found, ending = text.replace("\r", "").rpartition(f"\n{word} ")
        if not found or not ending.strip().isdigit():
            raise self.lost(text, None if status is not None else f"it did not answer within {timeout_s:g} s")
        return Answer(int(ending.strip()), said.removesuffix("\n"))

    def shell(self, script: str, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """As `try_shell`, for what never fails.

        Raises:
            DeviceError: It failed, or as above.
        """
        answer = self.try_shell(script, *arguments, timeout_s=timeout_s)
        if answer.status:
            raise DeviceError(f"the phone refused: {last_line(answer.text) or f'exit status {answer.status}'}", "see what `adb shell` says on it")
        return answer.text

    def push(self, path: Path, place: str) -> None:
        """Pushes a file.

        Args:
            path: It.
            place: Where to, absolute.

        Raises:
            DeviceError: The phone is full, refuses, or was lost.
        """
        limit_s = PUSH_TIMEOUT_S + path.stat().st_size / SLOWEST_PUSH
        status, text = _run([self._program, "-s", self.serial, "push", str(path), place], limit_s)
        if status == 0:
            return
        if status is None:
            raise self.lost(text, f"{path.name} was not pushed within {limit_s:.0f} s")
        said = last_line("\n".join(line for line in text.splitlines() if "error:" in line)) or last_line(text)
        if "no space left" in text.lower():
            raise full(path, said)
        if "error: failed to copy" in text and "closed" not in said:
            raise DeviceError(f"{path.name} cannot be pushed: {said}", "see to it that /data/local/tmp can be written with adb")
        raise self.lost(text)

    def lost(self, text: str, reason: str | None = None) -> DeviceError:
        """Why a call did not come to its end.

        Args:
            text: What came, of the phone and of adb.
            reason: Why, where that is known already.
        """
        complaints = "\n".join(line for line in text.splitlines() if _COMPLAINT.match(line))
        said = reason or last_line(complaints) or ("its answer broke off" if text.strip() else "adb said nothing")
        try:
            listed = next((phone for phone in list_phones() if phone.serial == self.serial), None)
        except DeviceError:
            listed = None
        if listed is None:
            return DeviceError(f"the phone adb:{self.serial} was lost: {said}", "plug it in again, or `adb connect` to it again, then measure again")
        if listed.state != READY:
            return not_ready(listed)
        return DeviceError(f"the connection to the phone adb:{self.serial} broke off: {said}", "check the cable or the network, then measure again")


def full(path: Path, said: str) -> DeviceError:
    """A file that has no room on a phone."""
    return DeviceError(
        f"the phone is full: {path.name} cannot be pushed: {said}", "free some space on it; /data/local/tmp/dsmobile there may be deleted"
    )


def _connect(place: str) -> None:
    """`adb connect`, whose exit status is 0 also where it failed: its text tells."""
    _, text = _run([find_adb(), "connect", place], COMMAND_TIMEOUT_S)
    said = last_line(text)
    if not said.startswith(("connected to", "already connected to")):
        raise DeviceError(
            f"adb cannot connect to {place}: {said or 'it said nothing'}",
            "check the phone's address, that it is in the same network, and that wireless debugging is on and paired (`adb pair`), or use USB",
        )


def _nothing_found(wanted: str, listed: Sequence[Listed]) -> DeviceError:
    if not wanted:
        return DeviceError(
            "adb knows no device",
            "plug a phone in, switch on USB debugging in its developer options (tap its build number seven times), and allow this computer",
        )
    there = ", ".join(f"adb:{phone.serial}" for phone in listed)
    return DeviceError(f"adb knows no device {wanted}", f"name one of {there}" if there else "plug it in; `adb devices -l` names what is there")


def _run(command: Sequence[str], timeout_s: float) -> tuple[int | None, str]:
    """Runs adb to its end.

    Returns:
        Its exit status, None where it was stopped because it took too long; and what it wrote, 4 MB at most.
    """
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )  # of its own session, so that Ctrl-C does not end a server that it starts
    except OSError as error:
        raise DeviceError(f"adb does not start: {error.strerror}", "install Android's platform tools again") from error
    assert process.stdout is not None  # noqa: S101
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        process.kill()

    too_long = threading.Timer(timeout_s, stop)
    too_long.daemon = True
    too_long.start()
    text = bytearray()
    try:
        while piece := os.read(process.stdout.fileno(), 1 << 16):
            text += piece
            if len(text) > MOST_BYTES:
                break
        else:
            process.wait()
    finally:
        too_long.cancel()
        process.kill()
        process.wait()
        with contextlib.suppress(OSError):
            process.stdout.close()
    return (None if stopped.is_set() else process.returncode), bytes(text[:MOST_BYTES]).decode("utf-8", "replace")
