"""`devices doctor adb`: what to put right on a phone before measuring on it, in ten lines."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from dsmobile.devices.adb.device import AdbDevice
from dsmobile.devices.adb.dumps import STATUS_WORDS
from dsmobile.devices.adb.tool import SOURCES, Tool, where_to_get
from dsmobile.devices.addresses import Address
from dsmobile.devices.examination import BUSY_CPU, LITTLE_MEMORY, SKEW_S, Check, State

LOW_PERCENT, WARM_C = 20.0, 40.0


def examine_phone(address: Address) -> list[Check]:
    """Connects to a phone and looks at its state for two seconds.

    Args:
        address: Which.

    Raises:
        DeviceError: It cannot be reached.
    """
    with AdbDevice(address) as device:
        state = device.check()
        settings = device.settings()
        return diagnose_phone(state, settings, device.tool, device.abi, now_s=time.time())


def diagnose_phone(state: Mapping[str, Any], settings: Mapping[str, Any], tool: Tool | None, abi: str, *, now_s: float) -> list[Check]:
    """Ten lines from what a phone said of itself.

    Args:
        state: See `AdbDevice.check`.
        settings: See `AdbDevice.settings`.
        tool: The native tool for it; None where there is none.
        abi: What its programs are built for.
        now_s: This machine's clock, seconds since the epoch.
    """
    now = state["conditions"]
    return [
        _device(state["facts"]),
        _tool(tool, abi),
        _cores(settings, now),
        _heat(now),
        _battery(now),
        _saver(now),
        _screen(now),
        _load(state),
        _memory(state["facts"], now),
        _clock(now, now_s),
    ]


def _device(facts: Mapping[str, Any]) -> Check:
    version = (facts["os_release"] or {}).get("version_id") or "unknown"
    seen = f"adb: {facts['board'] or 'a phone'}, {facts['cpu_model'] or 'processor unknown'}, {facts['cores']} cores, Android {version}"
    if facts["emulated"]:
        return Check("device", State.FIX, f"{seen}, an emulator", "times on an emulated phone mean nothing: measure on a real one")
    return Check("device", State.OK, seen)


def _tool(tool: Tool | None, abi: str) -> Check:
    if tool is not None:
        return Check("benchmark_model", State.OK, f"sha256 {tool.sha256[:12]}…, {tool.size_bytes / 1e6:.1f} MB, as pinned")
    how = where_to_get(abi)
    return Check(
        "benchmark_model",
        State.FIX,
        "none in the cache",
        f"{how}; then run `dsmobile devices setup adb --benchmark-model FILE`" if abi in SOURCES else how,
    )


def _cores(settings: Mapping[str, Any], now: Mapping[str, Any]) -> Check:
    groups = ", ".join(f"{group['cores']}{f' to {khz / 1e6:.1f} GHz' if (khz := group['highest_khz']) else ''}" for group in settings["clusters"])
    seen = f"{groups}; one thread runs on {settings['cores']}"
    limit, highest = now["frequency_limit_khz"], now["frequency_highest_khz"]
    if limit and highest and limit < 0.95 * highest:
        return Check(
            "cores", State.NOTE, f"{seen}, now held to {limit / 1e6:.1f} GHz", "let the phone cool down, charge it, and switch Battery Saver off"
        )
    return Check("cores", State.OK, seen)


def _heat(now: Mapping[str, Any]) -> Check:
    known = {"processor": now["temperature_c"], "skin": now["skin_temperature_c"], "battery": now["battery_temperature_c"]}
    heat = ", ".join(f"{name} {celsius:.0f} °C" for name, celsius in known.items() if celsius is not None) or "temperatures unknown"
    status = now["thermal_status"]
    if status is None:
        return Check(
            "heat", State.NOTE, f"{heat}, throttling unknown", "its thermal service does not tell: keep the phone cool, and repeat what you measure"
        )
    if status:
        return Check(
            "heat", State.FIX, f"{heat}, throttling now: {STATUS_WORDS[status]}", "let it cool down; take it out of its case and off its charger"
        )
    if (now["battery_temperature_c"] or 0.0) >= WARM_C:
        return Check("heat", State.NOTE, f"{heat}, no throttling", "let it cool down: it will soon throttle")
    return Check("heat", State.OK, f"{heat}, no throttling")


def _battery(now: Mapping[str, Any]) -> Check:
    level = now["battery_level_percent"]
    seen = f"{level:.0f}%, {now['battery_state'] or 'charging unknown'}" if level is not None else "the phone tells of none"
    if level is not None and level < LOW_PERCENT:
        return Check("battery", State.FIX, seen, "charge it: phones slow down when their battery is low")
    if now["on_battery"]:
        return Check("battery", State.NOTE, f"{seen}, not plugged in", "plug it in")
    return Check("battery", State.OK, seen)


def _saver(now: Mapping[str, Any]) -> Check:
    if now["power_save"]:
        return Check("battery saver", State.FIX, "on", "switch Battery Saver off: it holds the processor's clock down")
    return Check("battery saver", State.OK, "off" if now["power_save"] is False else "the phone does not tell")


def _screen(now: Mapping[str, Any]) -> Check:
    screen = now["screen"]
    if screen in (None, "awake"):
        return Check("screen", State.OK, screen or "the phone does not tell")
    return Check(
        "screen", State.NOTE, screen, "wake it, and switch Stay awake on in its developer options: many phones slow down when the screen is off"
    )


def _load(state: Mapping[str, Any]) -> Check:
    others = state["others_cpu"]
    if others is None:
        return Check("other load", State.OK, "the phone does not tell")
    seen = f"other programs use {others:.2f} of {state['facts']['cores']} processors"
    if others > BUSY_CPU:
        return Check("other load", State.NOTE, seen, "close its apps, switch on Flight mode where adb goes over USB, and wait until updates are done")
    return Check("other load", State.OK, seen)


def _memory(facts: Mapping[str, Any], now: Mapping[str, Any]) -> Check:
    available, total = now["memory_available_bytes"], facts["memory_bytes"]
    if not available or not total:
        return Check("memory", State.OK, "the phone does not tell")
    seen = f"{available / 1e6:.0f} of {total / 1e6:.0f} MB free"
    return Check("memory", State.FIX, seen, "close its apps") if available < LITTLE_MEMORY * total else Check("memory", State.OK, seen)


def _clock(now: Mapping[str, Any], now_s: float) -> Check:
    if now["time_s"] is None:
        return Check("clock", State.OK, "the phone does not tell")
    skew_s = now["time_s"] - now_s
    if abs(skew_s) > SKEW_S:
        seen = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's"
        return Check("clock", State.NOTE, seen, "set it before you measure: a clock that steps meanwhile makes a measurement INVALID")
    return Check("clock", State.OK, "as this machine's")
