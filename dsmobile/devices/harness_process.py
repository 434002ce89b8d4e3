"""The harness as a process of ours, be it local or at the far end of ssh: its standard input is its lifeline."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dsmobile.devices.device import document_in

_PATIENCE_S = 5.0


def stream(
    command: Sequence[str],
    on_document: Callable[[dict[str, Any]], None],
    *,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
) -> tuple[int, str]:
    """Runs a command, sleeps until it says something, and hands on each JSON object that it writes on a line of its own.

    However this ends, the command has ended too: its standard input is closed, upon which the harness kills what it started and ends;
    what does not listen is killed.

    Args:
        command: The argument list.
        on_document: Takes each object.
        environment: The command's environment; None inherits.
        folder: Where it runs; None stays here.

    Returns:
        The exit status and what it wrote to standard error.
    """
    with tempfile.TemporaryFile() as errors:  # a pipe could fill up, or be held open by ssh's master process
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd=folder, start_new_session=True
        )
        assert process.stdin is not None and process.stdout is not None  # noqa: S101
        try:
            for line in process.stdout:
                document = document_in(line.decode("utf-8", "replace"))
                if document is not None:
                    on_document(document)
            status = process.wait()
        finally:
            end(process)
        errors.seek(0)
        return status, errors.read().decode("utf-8", "replace")


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


def environment_without(*names: str) -> dict[str, str]:
    """This process's environment without some variables."""
    return {name: value for name, value in os.environ.items() if name not in names}
