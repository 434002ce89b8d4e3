"""A result that can be shown to anybody: file names instead of paths, and no serials, host names, user names or addresses."""

from __future__ import annotations

import re
import socket
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from dsmobile.benchmark.result import Result
from dsmobile.reporting.rows import file_name

REMOVED = "[removed]"
IDENTITY_KEYS = {"address", "cwd", "email", "host", "ip", "login", "mac", "node", "owner", "ssid", "user", "uuid"}
"""Keys whose values name a person or a machine; a key such as `home_folder` counts by its words (`IDENTITY_WORDS`)."""
IDENTITY_WORDS = {
    "home", "hostname", "imei", "nodename", "serial", "serialno", "serials", "username", "fingerprint", "machineid", "bootid",
}  # fmt: skip
IDENTITY_PHRASES = (
    "host_name",
    "user_name",
    "machine_id",
    "boot_id",
    "ip_address",
    "mac_address",
    "android_id",
    "device_id",
    "computer_name",
)
GENERIC = {
    "admin",
    "android",
    "debian",
    "emulated",
    "linux",
    "local",
    "localhost",
    "pi",
    "root",
    "runner",
    "shell",
    "ubuntu",
    "unknown",
    "user",
}
"""Names that tell nothing of who or where, and are words of ordinary advice."""
SYSTEM_ROOTS = ("/sys/", "/proc/", "/etc/", "/usr/", "/boot/")
"""Paths that are the same on every machine, which advice may name."""

_HOME = re.compile(r"(?:/home|/Users|[A-Za-z]:\\Users)[/\\]([^/\\]+)")
_BELOW_HOME = re.compile(r"(?:/home|/Users|[A-Za-z]:\\Users)[/\\][^/\\\s'\"]+(?: [^/\\\s'\"]+){0,2}(?=[/\\])")
_ACCOUNT = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*(?::\d+)?")
_QUOTED_PATH = re.compile(r"(['\"`])((?:~|/|[A-Za-z]:\\)[^'\"`\n]*)\1")
_PATH = re.compile(r"(?<![\w/:.~\\-])(?:~?/|[A-Za-z]:\\)[^\s'\"`,;()<>]*")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)")
_HARDWARE_ADDRESS = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:])")


def shareable(result: Result) -> Result:
    """The same result without anything that tells who measured or where.

    Artifacts keep their file's name (numbered where two share one). In settings, facts, conditions and warnings, entries that identify are
    left out, and what they held is struck from the rest of the text, as are home paths, accounts and addresses.
    """
    labels = _labels([artifact.path for artifact in result.artifacts])
    clean = _Cleaner(labels, _secrets(result))
    return replace(
        result,
        device=public_device(result.device),
        warnings=tuple(replace(warning, advice=clean.text(warning.advice)) for warning in result.warnings),
        settings=clean.value(result.settings),
        facts=clean.value(result.facts),
        conditions=tuple(clean.value(snapshot) for snapshot in result.conditions),
        artifacts=tuple(replace(artifact, path=labels[artifact.path]) for artifact in result.artifacts),
        pairs=tuple(
            replace(pair, separable=labels.get(pair.separable, file_name(pair.separable)), twin=labels.get(pair.twin, file_name(pair.twin)))
            for pair in result.pairs
        ),
        sustained=tuple(replace(found, path=labels.get(found.path, file_name(found.path))) for found in result.sustained),
    )


def public_device(device: str) -> str:
    """What a device's ADDRESS says without naming a person or a machine: `local`, `ssh`, `adb`, `emulated:cortex-a72`."""
    kind, _, _ = device.partition(":")
    if kind == "emulated":
        return device
    if "@" in kind:
        return "ssh"
    return kind if kind in ("local", "ssh", "adb", "imported") else REMOVED


class _Cleaner:
    """Strikes what identifies out of text; knows the artifacts' paths and the names to strike."""

    def __init__(self, labels: dict[str, str], secrets: set[str]) -> None:
        self._labels = labels
        self._secrets = (
            re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in sorted(secrets, key=len, reverse=True))) if secrets else None
        )

    def value(self, value: Any) -> Any:
        """A value of a JSON document, its texts cleaned and the entries that identify left out."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(inner) for key, inner in value.items() if not identifies(str(key))}
        if isinstance(value, list | tuple):
            return [self.value(inner) for inner in value]
        return value

    def text(self, text: str) -> str:
        """A text, cleaned."""
        for path in sorted(self._labels, key=len, reverse=True):
            text = text.replace(path, self._labels[path]) if len(path) > 1 and path != self._labels[path] else text
        text = self._secrets.sub(REMOVED, text) if self._secrets else text
        text = _BELOW_HOME.sub("~", text.replace("file://", ""))
        if _is_path(text):
            return _last_part(text)
        text = _QUOTED_PATH.sub(lambda match: f"{match[1]}{_last_part(match[2])}{match[1]}", text)
        text = _PATH.sub(lambda match: _last_part(match[0]), text)
        text = _ACCOUNT.sub(REMOVED, text)
        return _HARDWARE_ADDRESS.sub(REMOVED, _IPV4.sub(REMOVED, text))


def identifies(key: str) -> bool:
    """Whether an entry of this name tells who or where."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower().replace("-", "_").replace(" ", "_").replace(".", "_")
    return name in IDENTITY_KEYS or not IDENTITY_WORDS.isdisjoint(name.split("_")) or any(phrase in name for phrase in IDENTITY_PHRASES)


def _labels(paths: list[str]) -> dict[str, str]:
    """Path to file name, numbered where two differing paths share one."""
    seen: Counter[str] = Counter()
    labels = {}
    for path in dict.fromkeys(paths):
        name = file_name(path)
        seen[name] += 1
        labels[path] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return labels


def _secrets(result: Result) -> set[str]:
    """Names to strike from free text: what the entries that identify hold, accounts in paths, the address, this machine's own name."""
    found = {socket.gethostname(), *_identities(result.settings), *_identities(result.facts)}
    for snapshot in result.conditions:
        found |= _identities(snapshot)
    if not result.device.startswith("emulated"):
        found |= {part for part in re.split(r"[:@]", result.device) if part not in ("local", "ssh", "adb")}
    paths = {artifact.path for artifact in result.artifacts} | {name for name in found if "/" in name or "\\" in name} | {str(Path.home())}
    found = (found - paths) | {match[1] for path in paths for match in _HOME.finditer(path)}
    found |= {name.partition(".")[0] for name in found}
    return {name for name in found if len(name) > 2 and name.lower() not in GENERIC and not name.isdigit()}


def _identities(value: Any, *, inside: bool = False) -> set[str]:
    if isinstance(value, str):
        return {value} if inside else set()
    if isinstance(value, dict):
        return {name for key, inner in value.items() for name in _identities(inner, inside=inside or identifies(str(key)))}
    if isinstance(value, list | tuple):
        return {name for inner in value for name in _identities(inner, inside=inside)}
    return set()


def _is_path(text: str) -> bool:
    whole = re.match(r"(?:~?/|[A-Za-z]:\\)", text) and not re.search(r"\n|\s[~/]|[.:;,]\s", text)
    return bool(whole) and not text.startswith(("/home/", "/Users/"))


def _last_part(path: str) -> str:
    if path.startswith(SYSTEM_ROOTS) or path == "/":
        return path
    bare = path.rstrip("/\\")
    return "~" if bare == "~" or _HOME.fullmatch(bare) else file_name(bare)
