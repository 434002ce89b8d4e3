"""The processors' frequency governor: set for one benchmark, put back afterwards, mended where a power cut left it.

Before anything is changed, a journal with every former governor is on the disk. Only what is still as we set it is put back: what a person
has changed since is theirs. After a restart the kernel has put its own governor in place, so that the journal is merely removed.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any, Dict, List, Optional, Sequence

from .system_files import at, matching, word

JOURNAL_SCHEMA = "dsmobile.governor_journal/1"
PATTERNS = ("/sys/devices/system/cpu/cpufreq/policy*/scaling_governor", "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")
BOOT_ID = "/proc/sys/kernel/random/boot_id"
_SUDO_TIMEOUT_S = 20.0
_FLAT = 10  # so many files are named in a sentence


class GovernorError(Exception):
    """A governor that could not be set or put back.

    Args:
        message: What failed.
        advice: What the person can do.
    """

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice


def files() -> List[str]:
    """The file of each policy's governor: one for each group of processors that share a clock."""
    for pattern in PATTERNS:
        found = matching(pattern)
        if found:
            return found
    return []


def current() -> Dict[str, str]:
    """Each policy's governor; a policy whose processors are all off does not tell."""
    said = {path: word(path) for path in files()}
    return {path: governor for path, governor in said.items() if governor}


class Journal:
    """What was changed and must be put back, on the device's disk.

    Args:
        folder: The device's cache.
    """

    def __init__(self, folder: str) -> None:
        """Takes note of the place."""
        self._folder = folder
        self.path = os.path.join(folder, "governor.json")

    def write(self, wanted: str, former: Dict[str, str]) -> None:
        """Puts it on the disk, whole, before this returns."""
        document = {"schema": JOURNAL_SCHEMA, "boot_id": word(BOOT_ID), "set": wanted, "former": former}
        temporary = self.path + ".part"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)
        _sync_folder(self._folder)

    def read(self) -> Optional[Dict[str, Any]]:
        """What it says; None where there is none; an empty one where it cannot be read."""
        try:
            with open(self.path, encoding="utf-8") as file:
                document = json.load(file)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError):
            return {}
        return document if _is_journal(document) else {}

    def remove(self) -> None:
        """Takes it away."""
        os.unlink(self.path)
        _sync_folder(self._folder)


def _is_journal(document: Any) -> bool:
    if not isinstance(document, dict) or document.get("schema") != JOURNAL_SCHEMA or not isinstance(document.get("set"), str):
        return False
    former = document.get("former")
    return isinstance(former, dict) and all(isinstance(governor, str) for governor in former.values())


def mend(journal: Journal) -> List[str]:
    """Puts back what an earlier benchmark left changed because it was killed.

    Returns:
        What was found and done, in sentences; none where there was nothing.

    Raises:
        GovernorError: It could not be put back; the journal stays.
    """
    document = journal.read()
    if document is None:
        return []
    if not document:
        journal.remove()
        return ["a damaged journal of an earlier benchmark was removed: check the governor of this device yourself"]
    if document.get("boot_id") != word(BOOT_ID):
        journal.remove()
        return ["an earlier benchmark was cut off by a restart, which has put the governor back by itself"]
    return ["an earlier benchmark was killed before it could put the governor back", *restore(journal, document)]


def set_all(wanted: str, journal: Journal) -> Dict[str, str]:
    """Sets every policy's governor, after the former ones are on the disk.

    Args:
        wanted: The governor.
        journal: Where the former ones are noted.

    Returns:
        The former governor of each policy that was changed.

    Raises:
        GovernorError: A policy cannot be set; those that were are as before.
    """
    former = {path: governor for path, governor in current().items() if governor != wanted}
    if not files():
        raise GovernorError("this device has no frequency governor that could be set", "measure without --governor")
    for path in former:
        available = (word(path.replace("scaling_governor", "scaling_available_governors")) or "").split()
        if available and wanted not in available:
            raise GovernorError("this device has no governor %s" % wanted, "it has: %s" % ", ".join(available))
    if not former:
        return {}
    journal.write(wanted, former)
    complaint = next(filter(None, (_set(path, wanted) for path in former)), "")
    if complaint:
        restore(journal, {"set": wanted, "former": former})
        raise GovernorError("the governor could not be set to %s: %s" % (wanted, complaint), how_to_be_allowed(list(former)))
    return former


def restore(journal: Journal, document: Dict[str, Any]) -> List[str]:
    """Puts back each governor that is still as we set it, reads it back, and removes the journal.

    Returns:
        What was done, in sentences.

    Raises:
        GovernorError: One could not be put back; the journal stays.
    """
    wanted, former = str(document["set"]), {str(path): str(governor) for path, governor in document["former"].items()}
    now = current()
    ours = [path for path in former if now.get(path) == wanted]
    theirs = [path for path in former if path in now and now[path] not in (wanted, former[path])]
    complaints = {path: _set(path, former[path]) for path in ours}
    failed = [path for path in ours if complaints[path]]
    if failed:
        commands = " && ".join("echo %s | sudo tee %s" % (former[path], path) for path in failed[:_FLAT])
        raise GovernorError("the governor could not be put back: %s" % complaints[failed[0]], "put it back by hand on the device: `%s`" % commands)
    journal.remove()
    said = ["the governor is %s again" % ", ".join(sorted({former[path] for path in ours}))] if ours else []
    if theirs:
        said.append("somebody has set the governor to %s meanwhile: it was left so" % ", ".join(sorted({now[path] for path in theirs})))
    return said


def how_to_be_allowed(paths: Sequence[str]) -> str:
    """How a person grants the right to set these files and nothing else; no wildcards, for in sudoers they match spaces and slashes too."""
    if _is_root():
        return "the kernel or the container refuses: set the governor outside, then measure without --governor"
    commands = ", ".join("/usr/bin/tee %s" % path for path in paths)
    return "log in as root, or allow it on the device with `sudo visudo -f /etc/sudoers.d/dsmobile` and the line `%s ALL=(root) NOPASSWD: %s`" % (
        _user(),
        commands,
    )


def _set(path: str, governor: str) -> str:
    """Sets one policy; returns a complaint, empty where the policy now says that it is so."""
    try:
        with open(at(path), "w", encoding="ascii") as file:
            file.write(governor)
        complaint = ""
    except PermissionError:
        complaint = _set_by_sudo(path, governor)
    except OSError as error:
        complaint = "%s: %s" % (path, error.strerror)
    if complaint or word(path) == governor:
        return complaint
    return "%s still says %s" % (path, word(path))


def _set_by_sudo(path: str, governor: str) -> str:
    """By `sudo -n tee`, which never asks; -k, so that only a lasting permission counts, which holds when it is to be put back as well."""
    command = ["sudo", "-n", "-k", "tee", at(path)]
    try:
        done = subprocess.run(
            command, input=governor.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=_SUDO_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        return "%s may be written by root only, and there is no sudo" % path
    except (OSError, subprocess.TimeoutExpired) as error:
        return "%s may be written by root only, and sudo failed: %s" % (path, error)
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return "%s may be written by root only (%s)" % (path, said[-1] if said else "sudo refused") if done.returncode else ""


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "USER"


def _sync_folder(folder: str) -> None:
    """Makes a name in a folder last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
