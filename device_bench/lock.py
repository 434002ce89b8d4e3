"""One benchmark at a time: locks on two files, which the kernel takes back whatever becomes of their holder.

One file lies in the person's cache and says who holds the device. The other one is the same for all persons on this machine: it is only
opened for reading, which is enough to lock it, and nothing that stands in it is read. Where each container has a /tmp of its own, each
counts as a machine of its own.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from typing import Any, Dict, List, Optional

from .system_files import whole

_READ_AGAIN_S = 0.05
SHARED_FOLDERS = ("/run/lock", "/tmp")  # noqa: S108 - opened without following links, and nothing is read there
SHARED_NAME = "dsmobile.lock"


def cache_folder() -> str:
    """Where the lock and the journal lie: $DSMOBILE_CACHE, else ~/.cache/dsmobile; the same for every way onto this device."""
    return os.environ.get("DSMOBILE_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "dsmobile")


def shared_place() -> Optional[str]:
    """The file that all persons on this machine lock; None where there is none.

    It lies in the first folder that everybody may write and where nobody may remove what is another's. With $DSMOBILE_CACHE set there is none:
    then only the lock in that folder counts, so that tests, and who wants it so, do not wait for others.
    """
    if os.environ.get("DSMOBILE_CACHE") or not sys.platform.startswith("linux"):
        return None
    for folder in SHARED_FOLDERS:
        try:
            mode = os.stat(folder).st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode) and mode & stat.S_ISVTX and mode & stat.S_IWOTH:
            return os.path.join(folder, SHARED_NAME)
    return None


class Lock:
    """The lock of this device. What it holds is never believed without the lock itself, so that a stale file does no harm.

    Args:
        folder: Where the lock's own file lies; it is made.
        shared: The file that all persons on this machine lock; None takes none.
    """

    def __init__(self, folder: str, shared: Optional[str] = None) -> None:
        """Opens the files; nothing is locked yet.

        Raises:
            OSError: The folder or its file cannot be made.
        """
        self._path = os.path.join(folder, "lock")
        os.makedirs(folder, exist_ok=True)
        self._descriptor = self._open()
        self.notes: List[str] = []
        self._shared_path = shared or ""
        self._shared = self._open_shared() if shared else -1
        self._others = False

    def take(self, *, wait: bool) -> bool:
        """Takes the lock.

        Args:
            wait: Whether to sleep in the kernel until it is free.

        Returns:
            Whether it is ours.
        """
        while not (self._others and wait):
            if not _lock(self._descriptor, wait=wait):
                return False
            if _is_the_file(self._descriptor, self._path):
                break
            os.close(self._descriptor)  # somebody emptied the cache while we waited
            self._descriptor = self._open()
        self._others = not self._take_shared(wait=wait)
        if self._others:  # our own is kept, so that of one person's benchmarks only one stands in the queue
            self.sign("a benchmark that waits for another user's")
        return not self._others

    def _take_shared(self, *, wait: bool) -> bool:
        while self._shared >= 0:
            if not _lock(self._shared, wait=wait):
                return False
            if _is_the_file(self._shared, self._shared_path):
                break
            os.close(self._shared)
            self._shared = self._open_shared()
        return True

    def sign(self, what: str) -> None:
        """Writes into the file who holds the lock, since when and for what."""
        holder = {"pid": os.getpid(), "since_s": time.time(), "what": what, "from": os.environ.get("SSH_CONNECTION", "").partition(" ")[0]}
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, json.dumps(holder).encode())

    def holder(self) -> Dict[str, Any]:
        """Who holds it, as far as the file tells: `pid`, `what`, `from` (an address, empty where it is this device), `for_s`."""
        if self._others:
            return {"pid": None, "what": "a benchmark of another user of this device", "from": "", "for_s": None}
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
        self.give_up()

    def give_up(self) -> None:
        """Closes the files, whoever holds the lock."""
        os.close(self._descriptor)
        if self._shared >= 0:
            os.close(self._shared)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)

    def _open_shared(self) -> int:
        """Opens the file that is shared, for reading, wherever its name does not lead elsewhere; -1 and a note where that cannot be."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = -1
        try:
            try:
                descriptor = os.open(self._shared_path, flags)
            except FileNotFoundError:
                try:
                    descriptor = os.open(self._shared_path, flags | os.O_CREAT | os.O_EXCL, 0o644)
                    os.fchmod(descriptor, 0o644)  # whatever the umask: others must be able to read, and need no more
                except FileExistsError:  # another one was faster
                    descriptor = os.open(self._shared_path, flags)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            reason = "it is no plain file"
        except OSError as error:
            reason = error.strerror or str(error)
        if descriptor >= 0:
            os.close(descriptor)
        self.notes.append("benchmarks of other users of this device are not waited for: %s: %s" % (self._shared_path, reason))
        return -1

    def _signature(self) -> Optional[Dict[str, Any]]:
        try:
            with open(self._path, encoding="utf-8") as file:
                document = json.load(file)
        except (OSError, ValueError):
            return None
        return document if isinstance(document, dict) else None


def _is_the_file(descriptor: int, path: str) -> bool:
    """Whether the file that is open is still the one of this name."""
    try:
        there = os.lstat(path)
    except OSError:
        return False
    return os.name == "nt" or os.path.samestat(there, os.fstat(descriptor))


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
