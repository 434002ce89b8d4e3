"""ADDRESS: `local`, `ssh:user@host[:port]`, a bare `user@host` (IPv6 in brackets), `adb[:SERIAL]`, `emulated:PROCESSOR`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dsmobile.errors import UsageError, nearest

HOW = "give local, ssh:user@host, ssh:user@host:port, ssh:user@[IPv6]:port, adb, adb:SERIAL or emulated:cortex-a72"
PROCESSORS = ("cortex-a72", "cortex-a76")  # of a Raspberry Pi 4 and 5
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+\\-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9_.-]{1,32})?")
_SERIAL = re.compile(r"[A-Za-z0-9?\[][A-Za-z0-9._:?%\[\]+-]{0,127}")


@dataclass(frozen=True)
class Address:
    """Where a device is.

    Args:
        kind: `local`, `ssh`, `adb` or `emulated`.
        host: Its name or number; a phone's serial number or `host:port`, empty for the only one there is; the processor where it is emulated;
            empty where it is local.
        user: Who logs in; empty leaves it to the SSH configuration.
        port: Its port; None leaves it to the SSH configuration.
    """

    kind: str
    host: str = ""
    user: str = ""
    port: int | None = None

    def __str__(self) -> str:
        """As a person writes it."""
        if self.kind == "local":
            return "local"
        if self.kind == "emulated":
            return f"emulated:{self.host}"
        if self.kind == "adb":
            return f"adb:{self.host}" if self.host else "adb"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh:{self.user}{'@' if self.user else ''}{host}{f':{self.port}' if self.port else ''}"


def parse_address(text: str) -> Address:
    """Reads an ADDRESS.

    Args:
        text: What the person gave.

    Raises:
        UsageError: It cannot be read, holds characters that no name of a host or user has, or names a kind or a processor that is not
            supported.
    """
    if text == "local":
        return Address("local")
    kind, colon, rest = text.partition(":")
    if kind == "adb":
        if colon and not _SERIAL.fullmatch(rest):
            how = "`adb devices -l` names it; adb alone takes the only one there is"
            raise UsageError(f"--device {text!r}: {rest!r} is not a phone's serial number", how)
        return Address("adb", rest)
    if kind == "emulated":
        if rest not in PROCESSORS:
            raise UsageError(f"--device {text!r} names no processor that can be emulated", nearest(rest, PROCESSORS))
        return Address("emulated", rest)
    if colon and kind == "ssh":
        return _ssh(text, rest)
    if "@" in text:
        return _ssh(text, text)
    raise UsageError(f"--device {text!r} is not an address", HOW)


def _ssh(text: str, rest: str) -> Address:
    user, at, place = rest.rpartition("@")
    if at and not _USER.fullmatch(user):
        raise UsageError(f"--device {text!r}: {user!r} is not a user's name", HOW)
    if place.startswith("["):
        host, bracket, after = place[1:].partition("]")
        if not bracket or not _IPV6.fullmatch(host) or ":" not in host or (after and not after.startswith(":")):
            raise UsageError(f"--device {text!r}: {place!r} is not an IPv6 address in brackets", HOW)
        return Address("ssh", host, user, _port(text, after[1:]) if after else None)
    host, colon, port = place.partition(":")
    if ":" in port:
        raise UsageError(f"--device {text!r}: an IPv6 address stands in brackets", HOW)
    if not _HOST.fullmatch(host):
        raise UsageError(f"--device {text!r}: {host!r} is not a host's name", HOW)
    return Address("ssh", host, user, _port(text, port) if colon else None)


def _port(text: str, port: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise UsageError(f"--device {text!r}: {port!r} is not a port", "give a number from 1 to 65535")
    return int(port)
