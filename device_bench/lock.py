"""One benchmark at a time: a lock on a file in the cache, which the kernel takes back whatever becomes of its holder."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Dict, Optional

from .system_files import whole

_READ_AGAIN_S = 0.05


def cache_folder() -> str:
    """Where the lock and the journal lie: $DSMOBILE_CACHE, else ~/.cache/dsmobile; the same for every way onto this device."""
    return os.environ.get("DSMOBILE_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "dsmobile")


class Lock:
    """The lock of this device and user. What it holds is never believed without the lock itself, so that a stale file does no harm.

    Args:
        folder: Where the lock's file lies; it is made.
    """

    def __init__(self, folder: str) -> None:
        """Opens the file; nothing is locked yet.

        Raises:
            OSError: The folder or the file cannot be made.
        """
        self._path = os.path.join(folder, "lock")
        os.makedirs(folder, exist_ok=True)
        self._descriptor = self._open()

    def take(self, *, wait: bool) -> bool:
        """Takes the lock.

        Args:
            wait: Whether to sleep in the kernel until it is free.

        Returns:
            Whether it is ours.
        """
        while True:
            if not _lock(self._descriptor, wait=wait):
                return False
            if self._is_the_file():
                return True
            os.close(self._descriptor)  # somebody emptied the cache while we waited
            self._descriptor = self._open()

    def sign(self, what: str) -> None:
        """Writes into the file who holds the lock, since when and for what."""
        holder = {"pid": os.getpid(), "since_s": time.time(), "what": what, "from": os.environ.get("SSH_CONNECTION", "").partition(" ")[0]}
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, json.dumps(holder).encode())

    def holder(self) -> Dict[str, Any]:
        """Who holds it, as far as the file tells: `pid`, `what`, `from` (an address, empty where it is this device), `for_s`."""
        document = self._signature()
        if document is None:  # it has just been taken and not been signed yet
            time.sleep(_READ_AGAIN_S)
            document = self._signature()
        said = document or {}
        since_s = said.get("since_s")
        return {
            "pid": whole(str(said.get("pid", ""))),
            "what": str(said.get("what") or "a benchmark"),
            "from": str(said.get("from") or ""),
            "for_s": max(time.time() - since_s, 0.0) if isinstance(since_s, (int, float)) else None,
        }

    def release(self) -> None:
        """Empties the file and gives the lock back."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)

    def _is_the_file(self) -> bool:
        try:
            there = os.stat(self._path)
        except OSError:
            return False
        return os.name == "nt" or os.path.samestat(there, os.fstat(self._descriptor))

    def _signature(self) -> Optional[Dict[str, Any]]:
        try:
            with open(self._path, encoding="utf-8") as file:
                document = json.load(file)
        except (OSError, ValueError):
            return None
        return document if isinstance(document, dict) else None


def _lock(descriptor: int, *, wait: bool) -> bool:
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(descriptor, wait=wait)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_on_windows(descriptor: int, *, wait: bool) -> bool:
    """Locks a byte far behind the text, which others must be able to read; Windows cannot wait for a lock, so it is tried once a second."""
    import msvcrt

    while True:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            if not wait:
                return False
            time.sleep(1.0)
            continue
        os.lseek(descriptor, 0, os.SEEK_SET)
        return True
