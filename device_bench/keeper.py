"""The process that holds a device for one benchmark: the lock, and on request the governor; it sleeps in the kernel in between.

It lives as long as its standard input is open and ends upon SIGTERM, SIGINT and SIGHUP; either way everything is as it was before. What a
kill -9 or a power cut leaves, the next one mends. It says what it does in lines of JSON: `{"kind": "keeper", "state": ...}` with
`waiting` (and `holder`), `held` (and `governor`, `notes`), `released` (and `notes`, `failed`), or `failed` (and `message`, `advice`).
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import threading
import time
from typing import Any, Dict, List, Optional

from .governor import GovernorError, Journal, current, mend, restore, set_all
from .lock import Lock, cache_folder, shared_place
from .records import to_line

FAILED = 3


def main(governor: Optional[str], patience_s: Optional[float]) -> int:
    """Holds the device until somebody ends it.

    Args:
        governor: The governor to set meanwhile; None changes nothing.
        patience_s: How long standard input may be silent before the one who started this counts as lost; None: for ever.

    Returns:
        0, or 3 where it could not be done.
    """
    ends, folder = _Ends(), cache_folder()
    try:
        return _keep(folder, governor, patience_s, ends)
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _failed("the device is full: nothing can be written to %s" % folder, "free some space there; what lies in it may be deleted")
        advice = "make it writable, or set DSMOBILE_CACHE on the device to another folder"
        return _failed("the device's cache %s cannot be used: %s" % (folder, error.strerror), advice)


def _keep(folder: str, governor: Optional[str], patience_s: Optional[float], ends: "_Ends") -> int:
    lock = Lock(folder, shared_place())
    if not lock.take(wait=False):
        _say("waiting", holder=lock.holder())
        if not _taken(lock, ends, patience_s):
            return 0
    journal = Journal(folder)
    try:
        lock.sign("a benchmark")
        return _hold(journal, governor, ends, patience_s, lock.notes)
    finally:
        lock.release()


def mend_if_free(folder: str) -> Dict[str, Any]:
    """Mends what a killed benchmark left changed, unless a benchmark is running.

    Returns:
        `holder`: who holds the device, None where nobody does; `notes`: what was found and done; `failed`: message and advice, or None.

    Raises:
        OSError: The device's cache cannot be used.
    """
    lock = Lock(folder, shared_place())
    if not lock.take(wait=False):
        lock.give_up()
        return {"holder": lock.holder(), "notes": [], "failed": None}
    try:
        lock.sign("a check")
        return {"holder": None, "notes": mend(Journal(folder)), "failed": None}
    except GovernorError as error:
        return {"holder": None, "notes": [], "failed": {"message": error.message, "advice": error.advice}}
    finally:
        lock.release()


def _hold(journal: Journal, governor: Optional[str], ends: "_Ends", patience_s: Optional[float], notes: List[str]) -> int:
    try:
        notes = [*notes, *mend(journal)]
    except GovernorError as error:
        if governor:
            return _failed(error.message, error.advice)
        notes = [*notes, "%s: %s" % (error.message, error.advice)]
    changed = False
    try:
        if governor:
            former = set_all(governor, journal)
            changed = bool(former)
            notes.append("the governor is %s for this benchmark" % governor if changed else "the governor was %s already" % governor)
        _say("held", governor=sorted(set(current().values())), notes=notes)
        ends.wait(patience_s)
    except GovernorError as error:
        return _failed(error.message, error.advice)
    except BrokenPipeError:
        pass  # nobody listens any more: it is put back below
    finally:
        if changed and governor:
            _put_back(journal)
    return 0


def _put_back(journal: Journal) -> None:
    document = journal.read()
    if not document:
        return
    failed = None
    try:
        notes = restore(journal, document)
    except GovernorError as error:
        notes, failed = ["%s: %s" % (error.message, error.advice)], {"message": error.message, "advice": error.advice}
    try:
        _say("released", notes=notes, failed=failed)
    except OSError:  # nobody listens any more; it is done all the same
        sys.stdout = open(os.devnull, "w", encoding="ascii")  # noqa: SIM115 - or Python complains as it ends


def _taken(lock: Lock, ends: "_Ends", patience_s: Optional[float]) -> bool:
    """Waits for the lock in a thread of its own, so that this one hears whether it is still wanted."""
    free, told = os.pipe()

    def take() -> None:
        lock.take(wait=True)
        os.write(told, b".")

    threading.Thread(target=take, daemon=True).start()
    return ends.wait(patience_s, free)


class _Ends:
    """All that ends the keeper: signals and a closed standard input, both heard in one place, so that none comes between."""

    def __init__(self) -> None:
        """Listens to signals from now on."""
        self._heard, told = os.pipe()
        if os.name != "nt":  # there it would have to be a socket
            os.set_blocking(told, False)
            signal.set_wakeup_fd(told)
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), lambda *_: None)

    def wait(self, patience_s: Optional[float], other: Optional[int] = None) -> bool:
        """Sleeps until it is time to end, or until something can be read elsewhere.

        Args:
            patience_s: How long standard input may be silent; None: for ever.
            other: Where else.

        Returns:
            Whether something can be read there.
        """
        if os.name == "nt":
            return self._wait_on_windows(other)
        last = time.monotonic()
        while True:
            left_s = None if patience_s is None else last + patience_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                return False
            ready: List[int] = select.select([0, self._heard, *([other] if other is not None else [])], [], [], left_s)[0]
            if self._heard in ready:
                return False
            if 0 in ready:
                if not os.read(0, 4096):
                    return False
                last = time.monotonic()
            elif other in ready:
                return True

    def _wait_on_windows(self, other: Optional[int]) -> bool:
        """Pipes cannot be waited for together there; nothing is ever changed there, so that the process may simply end."""
        from .lifeline import end_with_stdin

        end_with_stdin()
        if other is not None:
            return bool(os.read(other, 1))
        os.read(self._heard, 1)
        return False


def _say(state: str, **said: Any) -> None:
    sys.stdout.write(to_line({"kind": "keeper", "state": state, **said}))
    sys.stdout.flush()


def _failed(message: str, advice: str) -> int:
    _say("failed", message=message, advice=advice)
    return FAILED
