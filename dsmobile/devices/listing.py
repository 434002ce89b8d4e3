"""What there is to measure on: this machine, and the hosts that the person's SSH configuration names; none of them is contacted."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from dsmobile.devices.addresses import parse_address
from dsmobile.devices.local import LocalDevice
from dsmobile.errors import UsageError


def list_devices() -> dict[str, Any]:
    """This machine with its facts, and the SSH hosts.

    Returns:
        `devices`: one object each: address, kind, and the facts where they are known without a connection.

    Raises:
        DeviceError: This machine's harness does not run.
    """
    with LocalDevice(sys.executable) as machine:
        here = {"address": "local", "kind": "local", "facts": machine.facts()}
    hosts = [{"address": f"ssh:{name}", "kind": "ssh", "facts": None} for name in ssh_hosts(ssh_configuration())]
    return {"devices": [here, *hosts]}


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
            names += [name for name in rest.split() if _is_address(name)]
    return list(dict.fromkeys(names))


def _is_address(name: str) -> bool:
    try:
        parse_address(f"ssh:{name}")
    except UsageError:  # a pattern
        return False
    return True
