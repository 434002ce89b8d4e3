"""Temporary folders of this machine that a `kill -9` leaves behind: each names its process, and the next one sweeps the dead ones away."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import tempfile
import time
from pathlib import Path

STALE_S = 3600.0
PID, SOCKET = "pid", "s"


def make_folder(prefix: str) -> Path:
    """Makes a temporary folder that names this process, after sweeping away what dead processes left.

    Args:
        prefix: The beginning of its name.

    Raises:
        OSError: It cannot be made.
    """
    sweep(prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        (folder / PID).write_text(f"{os.getpid()}\n", encoding="ascii")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def sweep(prefix: str) -> None:
    """Removes folders of this user that name a process which has ended, have no living socket, and have been there for an hour.

    Args:
        prefix: The beginning of their names.
    """
    if os.name == "nt":  # there a process cannot be asked for by a signal
        return
    for folder in Path(tempfile.gettempdir()).glob(prefix + "*"):
        with contextlib.suppress(OSError, ValueError):  # it is being removed already, or is another's: then it stays
            told = folder.lstat()
            mine = stat.S_ISDIR(told.st_mode) and told.st_uid == os.getuid() and time.time() - told.st_mtime > STALE_S
            if mine and not _lives(int((folder / PID).read_text(encoding="ascii"))) and not _listens(folder / SOCKET):
                shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    if pid <= 0:
        return True  # a number that kill would take for something else
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _listens(path: Path) -> bool:
    """Whether ssh's shared connection is still there."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(path))
        except TimeoutError:
            return True
        except OSError:
            return False
    return True
