"""The harness as a process of ours, be it local or at the far end of ssh: its standard input is its lifeline."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dsmobile.devices.device import LONGEST_LINE, document_in, last_line
from dsmobile.errors import DeviceError

HEARTBEAT_S = 20.0
PATIENCE_S = 120.0
"""How long a device over the network waits for a sign of life before it ends what it does: a broken link need not close anything."""
FULL = 74
"""The exit status of a harness whose disk is full, or fails."""
LOST = 113
"""The exit status of a harness whose host was silent or went away."""
_PATIENCE_S = 5.0


def stream(
    command: Sequence[str],
    on_document: Callable[[dict[str, Any]], None],
    *,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
    heartbeat: bool = False,
) -> tuple[int, str]:
    """Runs a command, sleeps until it says something, and hands on each JSON object that it writes on a line of its own.

    However this ends, the command has ended too: its standard input is closed, upon which the harness kills what it started and ends;
    what does not listen is killed.

    Args:
        command: The argument list.
        on_document: Takes each object.
        environment: The command's environment; None inherits.
        folder: Where it runs; None stays here.
        heartbeat: Whether a sign of life is sent every 20 s, for a harness that is given `--patience`.

    Returns:
        The exit status and what it wrote to standard error.
    """
    with tempfile.TemporaryFile() as errors:  # a pipe could fill up, or be held open by ssh's master process
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd=folder, start_new_session=True
        )
        assert process.stdin is not None and process.stdout is not None  # noqa: S101
        done = threading.Event()
        beating = threading.Thread(target=beat, args=(process, done), daemon=True)
        try:
            if heartbeat:
                beating.start()
            for line in lines_of(process):
                document = document_in(line)
                if document is not None:
                    on_document(document)
            status = process.wait()
        finally:
            done.set()
            end(process)
        errors.seek(0)
        return status, errors.read().decode("utf-8", "replace")


def lines_of(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """The lines that a process writes.

    Raises:
        DeviceError: A line has no end.
    """
    assert process.stdout is not None  # noqa: S101
    while line := process.stdout.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise DeviceError(f"the device wrote a line of more than {LONGEST_LINE >> 20} MB", "see what its Python or its shell prints")
        yield line.decode("utf-8", "replace")


def beat(process: subprocess.Popen[bytes], done: threading.Event) -> None:
    """Sends signs of life to a process until it is done."""
    assert process.stdin is not None  # noqa: S101
    while not done.wait(HEARTBEAT_S):
        try:
            process.stdin.write(b"\n")
            process.stdin.flush()
        except (OSError, ValueError):  # it has ended, which its reader finds out
            return


def end(process: subprocess.Popen[bytes]) -> None:
    """Closes a process's standard input, waits a little, then kills it."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def cannot_write(where: str, complaint: str, place: str) -> DeviceError:
    """What a harness that ended with the status FULL met.

    Args:
        where: Whose disk it is.
        complaint: What the harness wrote to standard error, which may lie on the full disk too.
        place: Where space can be made.
    """
    said = last_line(complaint) or "the samples cannot be written"
    if os.strerror(errno.EIO) in said:
        return DeviceError(f"the disk of {where} fails: {said}", "check the memory card or the disk, then measure again")
    return DeviceError(f"{where} is full: {said}", f"free some space there ({place}), then measure again")


def environment_without(*names: str) -> dict[str, str]:
    """This process's environment without some variables."""
    return {name: value for name, value in os.environ.items() if name not in names}
