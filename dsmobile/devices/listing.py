"""What there is to measure on: this machine, the hosts that the person's SSH configuration names, and the phones that a running adb server knows.

None of them is contacted, and no server is started.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from dsmobile.devices.adb.client import list_phones, server_runs
from dsmobile.devices.addresses import parse_address
from dsmobile.devices.local import LocalDevice
from dsmobile.errors import DeviceError, UsageError


def list_devices() -> dict[str, Any]:
    """This machine with its facts, the SSH hosts, and the phones.

    Returns:
        `devices`: one object each: address, kind, and the facts where they are known without a connection; of a phone also `state` and `model`.

    Raises:
        DeviceError: This machine's harness does not run.
    """
    with LocalDevice(sys.executable) as machine:
        here = {"address": "local", "kind": "local", "facts": machine.facts()}
    hosts = [{"address": f"ssh:{name}", "kind": "ssh", "facts": None} for name in ssh_hosts(ssh_configuration())]
    return {"devices": [here, *hosts, *phones()]}


def phones() -> list[dict[str, Any]]:
    """The phones that a running adb server knows, with what adb calls their state; none where no server runs."""
    if not server_runs():
        return []
    try:
        listed = list_phones()
    except DeviceError:  # no adb here, whoever runs that server
        return []
    known = [phone for phone in listed if _is_address(f"adb:{phone.serial}")]
    return [{"address": f"adb:{phone.serial}", "kind": "adb", "facts": None, "state": phone.state, "model": phone.model or None} for phone in known]


def ssh_configuration() -> Path:
    """The SSH configuration in use."""
    given = os.environ.get("DSMOBILE_SSH_CONFIG")
    return Path(given) if given else Path.home() / ".ssh" / "config"


def ssh_hosts(configuration: Path) -> list[str]:
    """The hosts that an SSH configuration names, without patterns, in its order.

    Args:
        configuration: The file; it need not exist, and what it includes is not followed.
    """
    try:
        lines = configuration.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    names: list[str] = []
    for line in lines:
        keyword, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if keyword.lower() == "host":
            names += [name for name in rest.split() if _is_address(f"ssh:{name}")]
    return list(dict.fromkeys(names))


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except UsageError:  # a pattern
        return False
    return True
