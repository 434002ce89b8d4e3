"""What a phone says of itself, as numbers: `getprop`, `dumpsys battery`, `dumpsys thermalservice`, `dumpsys power`.

Each is None where the phone does not tell. Nothing that names the phone or its owner is taken over: no serial numbers.

Source: AOSP, BatteryService.java, ThermalManagerService.java and PowerManagerService.java (their `dump`), Temperature.java (types and statuses).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

NONE, LIGHT, MODERATE, SEVERE, CRITICAL, EMERGENCY, SHUTDOWN = range(7)
STATUS_WORDS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
CPU, GPU, BATTERY, SKIN = 0, 1, 2, 3
_TYPES = {CPU: "cpu", GPU: "gpu", BATTERY: "battery", SKIN: "skin", 9: "npu"}
_CHARGING = {1: "unknown", 2: "charging", 3: "discharging", 4: "not charging", 5: "full"}
_TEMPERATURE = re.compile(
    r"Temperature\{mValue=(-?[0-9]{1,9}(?:\.[0-9]+)?(?:E-?[0-9]{1,2})?), "
    r"mType=(-?[0-9]{1,9}), mName=([^,}]*), mStatus=([0-9]{1,9})\}"
)
_COLDEST_C, _HOTTEST_C = -40.0, 200.0


@dataclass(frozen=True)
class Battery:
    """What `dumpsys battery` says.

    Args:
        level_percent: How full it is.
        temperature_c: Its temperature.
        charging: `charging`, `discharging`, `not charging`, `full` or `unknown`.
        plugged: Whether anything feeds the phone.
    """

    level_percent: float | None = None
    temperature_c: float | None = None
    charging: str | None = None
    plugged: bool | None = None


@dataclass(frozen=True)
class Thermal:
    """What `dumpsys thermalservice` says.

    Args:
        status: 0 (none) to 6 (shutdown): how far the phone throttles itself; None where its thermal service is not ready or not there.
        temperatures_c: The hottest sensor of each kind: cpu, gpu, skin, battery, npu.
        throttling: Names of the kinds of sensors that ask for throttling now.
    """

    status: int | None = None
    temperatures_c: Mapping[str, float] | None = None
    throttling: tuple[str, ...] = ()


def parse_properties(text: str) -> dict[str, str]:
    """Reads what `getprop` writes: `[name]: [value]`, a value may have several lines."""
    return dict(re.findall(r"^\[([^\]\n]+)\]: \[(.*?)\]$", text.replace("\r", ""), re.MULTILINE | re.DOTALL))


def parse_battery(text: str) -> Battery:
    """Reads what `dumpsys battery` writes; what a maker's version adds is passed over."""
    fields: dict[str, str] = {}
    _, found, rest = text.replace("\r", "").partition("Current Battery Service state:")
    for line in rest.splitlines() if found else ():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    if fields.get("present") == "false" or "(UPDATES STOPPED" in text:  # somebody has set it by hand: what it shows is not so
        return Battery()
    level, scale, tenths = (_whole(fields.get(name)) for name in ("level", "scale", "temperature"))
    powers = [fields[name] for name in fields if name.endswith(" powered")]
    return Battery(
        level_percent=100.0 * level / (scale or 100) if level is not None and 0 <= level <= (scale or 100) else None,
        temperature_c=tenths / 10 if tenths is not None and _COLDEST_C <= tenths / 10 <= _HOTTEST_C else None,
        charging=_CHARGING.get(_whole(fields.get("status")) or 0),
        plugged="true" in powers if powers else None,
    )


def parse_thermal(text: str) -> Thermal:
    """Reads what `dumpsys thermalservice` writes: the sensors as they are now, not those that Android remembers."""
    text = text.replace("\r", "")
    status = re.search(r"^\s*Thermal Status: ([0-6])\s*$", text, re.MULTILINE)
    ready = re.search(r"^\s*HAL Ready: (true|false)", text, re.MULTILINE)
    _, current, now = text.partition("Current temperatures from HAL:")
    now = re.split(r"^\s*(?:Current cooling devices|Temperature static thresholds)", now, maxsplit=1, flags=re.MULTILINE)[0]
    hottest: dict[str, float] = {}
    throttling: list[str] = []
    for value, kind, _, sensor_status in _TEMPERATURE.findall(now if current else ""):
        name, celsius = _TYPES.get(int(kind)), float(value)
        if (
            name is None or not math.isfinite(celsius) or not _COLDEST_C <= celsius <= _HOTTEST_C or celsius == 0.0
        ):  # 0.0: a sensor that is not fitted
            continue
        hottest[name] = max(hottest.get(name, celsius), celsius)
        if int(sensor_status) > NONE:
            throttling.append(name)
    overridden = re.search(r"^\s*IsStatusOverride: true", text, re.MULTILINE) is not None and status is not None and status[1] == "0"
    known = status is not None and (ready is None or ready[1] == "true") and not overridden
    return Thermal(int(status[1]) if status and known else None, hottest or None, tuple(dict.fromkeys(throttling)))


def parse_wakefulness(text: str) -> str | None:
    """Whether the phone's screen is awake: `awake`, `asleep`, `dozing` or `dreaming`, from `dumpsys power`."""
    found = re.search(r"mWakefulness=(Awake|Asleep|Dozing|Dreaming)\b", text)
    if found:
        return found[1].lower()
    display = re.search(r"Display Power: state=(ON|OFF|DOZE)", text)
    return {"ON": "awake", "OFF": "asleep", "DOZE": "dozing"}[display[1]] if display else None


def parse_flag(text: str) -> bool | None:
    """Reads a setting that is 0 or 1; None where it is not set."""
    return {"1": True, "0": False}.get(text.strip())


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"-?[0-9]{1,9}", text) else None
