"""From an address to the device it names."""

from __future__ import annotations

import sys

from dsmobile.devices.addresses import Address, parse_address
from dsmobile.devices.device import Device
from dsmobile.devices.local import LocalDevice
from dsmobile.devices.phone_options import PhoneOptions
from dsmobile.devices.ssh import SshDevice
from dsmobile.errors import UsageError


def open_device(address: str | Address, *, python: str | None = None, interactive: bool = False, phone: PhoneOptions | None = None) -> Device:
    """The device at an address, not yet connected.

    Args:
        address: ADDRESS as a person gave it.
        python: The Python to run there; None takes this one (local) or `python3` (ssh); the emulated machine has its own.
        interactive: Whether ssh may ask for a password or a passphrase.
        phone: How a phone is to measure; its options apply to nothing else.

    Raises:
        UsageError: The address cannot be read, or the options do not apply to it.
    """
    place = address if isinstance(address, Address) else parse_address(address)
    if place.kind == "adb":
        if python is not None:
            raise UsageError(f"--python does not apply to {place}: no Python runs on a phone", "leave it away")
        from dsmobile.devices.adb.device import AdbDevice

        return AdbDevice(place, phone)
    if phone is not None and phone.given():
        raise UsageError(f"{phone.given()[0]} does not apply to {place}: it is for phones", "leave it away, or give --device adb[:SERIAL]")
    if place.kind == "local":
        return LocalDevice(python or sys.executable)
    if place.kind == "emulated":
        from dsmobile.devices.emulated import EmulatedDevice

        return EmulatedDevice(place.host, python)
    return SshDevice(place, python or "python3", interactive=interactive)
