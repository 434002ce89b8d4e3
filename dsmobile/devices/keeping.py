"""The host's ends of the processes that hold a device for one benchmark and that wait until it is quiet and cool."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dsmobile.devices import harness_process
from dsmobile.devices.answers import is_holder, is_rest
from dsmobile.devices.device import document_in, last_line
from dsmobile.devices.harness_process import beat, end, lines_of, stream
from dsmobile.errors import DeviceError

Say = Callable[[str], None]

_RELEASE_S = 60.0
_LATER = "`dsmobile devices doctor` and the next benchmark there put it back, and so does a restart"


@contextlib.contextmanager
def kept(
    harness: Sequence[str],
    governor: str | None,
    say: Say,
    *,
    lost: Callable[[int, str], DeviceError],
    heartbeat: bool,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
    wrap: Callable[[Sequence[str]], list[str]] = list,
) -> Iterator[dict[str, Any]]:
    """Holds a device as long as the block lasts.

    Args:
        harness: The command that runs the harness.
        governor: The governor to set meanwhile; None changes nothing.
        say: Told what is being waited for, and at the end what was put back.
        lost: Makes an error of an exit status and of what was written to standard error.
        heartbeat: Whether a sign of life is sent every 20 s, so that the device also notices a link that broke without a word.
        environment: The command's environment; None inherits.
        folder: Where it runs; None stays here.
        wrap: From the command on the device to the one here.

    Yields:
        `governor`: each governor the device has now; `notes`: what was mended and set, in sentences; `lost`: None, or from the moment when it
        is known why the device is no longer held; `unrestored`: None, or after the block why the governor could not be put back.

    Raises:
        DeviceError: The device cannot be held, or the governor cannot be set.
    """
    options = [*(["--governor", governor] if governor else []), *(["--patience", f"{harness_process.PATIENCE_S:g}"] if heartbeat else [])]
    command = wrap([*harness, "--keep", *options])
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd=folder, start_new_session=True
        )
        done = threading.Event()
        state: dict[str, Any] | None = None
        threads = [threading.Thread(target=beat, args=(process, done), daemon=True)] if heartbeat else []
        try:
            for thread in threads:
                thread.start()
            state = _until_held(process, say)
            if state is None:
                status = process.wait()
                errors.seek(0)
                raise lost(status, errors.read().decode("utf-8", "replace"))
            threads.append(threading.Thread(target=_listen, args=(process, done, state, say), daemon=True))
            threads[-1].start()
            yield state
        finally:
            done.set()
            _release(process, threads)
            if governor and state is not None and (process.returncode or not state.pop("restored", True)):
                _mend(wrap([*harness, "--check"]), state, say, environment, folder)


def settled(
    harness: Sequence[str],
    patience_s: float,
    say: Say,
    *,
    lost: Callable[[int, str], DeviceError],
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
    wrap: Callable[[Sequence[str]], list[str]] = list,
) -> dict[str, Any]:
    """Waits until a device is quiet and cool; see `device_bench.settle.settle`.

    Args:
        harness: The command that runs the harness.
        patience_s: The longest wait.
        say: Told every few seconds what is being waited for.
        lost: Makes an error of an exit status and of what was written to standard error.
        environment: The command's environment; None inherits.
        folder: Where it runs; None stays here.
        wrap: From the command on the device to the one here.

    Returns:
        `settled`, `waited_s`, `reasons`, `watched`, `last`.

    Raises:
        DeviceError: The device was lost.
    """
    answers: list[dict[str, Any]] = []

    def take(document: dict[str, Any]) -> None:
        if document.get("kind") != "settle":
            return
        if document.get("state") == "waiting":
            say(_plain(document.get("text")))
        elif is_rest(document):
            answers.append({key: value for key, value in document.items() if key not in ("kind", "state")})

    status, complaint = stream(wrap([*harness, "--settle", f"{patience_s:g}"]), take, environment=environment, folder=folder)
    if status or not answers:
        raise lost(status, complaint)
    return answers[-1]


def waiting_for(holder: dict[str, Any]) -> str:
    """Who holds a device, as a sentence."""
    pid = f" (process {holder['pid']}{', from ' + _plain(holder['from']) if holder['from'] else ''})" if holder["pid"] else ""
    since = f", for {_duration(holder['for_s'])} now" if holder["for_s"] is not None else ""
    return f"{_plain(holder['what'])}{pid} holds the device{since}"


def _until_held(process: subprocess.Popen[bytes], say: Say) -> dict[str, Any] | None:
    """Reads what the keeper says until it holds the device; None where it ended without a word."""
    for line in lines_of(process):
        document = document_in(line)
        if document is None or document.get("kind") != "keeper":
            continue
        state = document.get("state")
        if state == "waiting" and is_holder(document.get("holder")):
            say(f"waiting: {waiting_for(document['holder'])}")
        elif state == "failed":
            raise DeviceError(_plain(document.get("message")), _plain(document.get("advice")))
        elif state == "held":
            return {
                "governor": _texts(document.get("governor")),
                "notes": _texts(document.get("notes")),
                "lost": None,
                "unrestored": None,
            }
    return None


def _listen(process: subprocess.Popen[bytes], done: threading.Event, state: dict[str, Any], say: Say) -> None:
    """Hears what the keeper puts back at the end, and whether it ends before that."""
    for line in lines_of(process):
        document = document_in(line)
        if document is not None and document.get("state") == "released":
            state["restored"] = document.get("failed") is None
            for note in _texts(document.get("notes")):
                say(note)
    if not done.is_set():
        state["lost"] = "the process that holds the device ended before the benchmark did"


def _mend(check: Sequence[str], state: dict[str, Any], say: Say, environment: dict[str, str] | None, folder: Path | None) -> None:
    """Has the governor put back by another process, after the one that should have done it died or could not."""
    try:
        done = subprocess.run(
            check,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            cwd=folder,
            timeout=_RELEASE_S,
            check=False,
            start_new_session=True,
        )
        answers = [document for line in done.stdout.decode("utf-8", "replace").splitlines() if (document := document_in(line)) is not None]
    except (OSError, subprocess.TimeoutExpired):
        answers = []
    answer = answers[-1] if answers else {"failed": {"message": "the device can no longer be asked", "advice": _LATER}}
    for note in _texts(answer.get("notes")):
        say(note)
    failed = answer.get("failed")
    if isinstance(failed, dict):
        state["unrestored"] = f"{_plain(failed.get('message'))}: {_plain(failed.get('advice'))}"
        say(state["unrestored"])


def _release(process: subprocess.Popen[bytes], threads: Sequence[threading.Thread]) -> None:
    """Closes the keeper's standard input and waits until it has put everything back, or until the connection is given up."""
    assert process.stdin is not None  # noqa: S101
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(_RELEASE_S)
    except subprocess.TimeoutExpired:
        process.kill()
    for thread in threads:
        thread.join(_RELEASE_S)
    end(process)


def _plain(text: Any) -> str:
    """Text from a device, without control characters."""
    return last_line(str(text).replace("\n", " "))


def _texts(value: Any) -> list[str]:
    return [_plain(item) for item in value] if isinstance(value, list) else []


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
