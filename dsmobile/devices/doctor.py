"""`devices doctor`: what to put right on a device before measuring on it, in ten lines."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from dsmobile.devices.addresses import Address, parse_address
from dsmobile.devices.examination import BUSY_CPU, LITTLE_MEMORY, SKEW_S
from dsmobile.devices.examination import Check as Check
from dsmobile.devices.examination import State as State
from dsmobile.devices.keeping import waiting_for
from dsmobile.devices.opening import open_device
from dsmobile.errors import ExitCode, UsageError

HOT_C = 70.0
SPACE_BYTES = 500_000_000
_BITS = {0: "under-voltage", 1: "a capped frequency", 2: "throttling", 3: "the soft temperature limit"}
_SUPPLY = "use the board's own power supply and a short, thick cable"


def examine(address: str, *, python: str | None = None, interactive: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Connects to a device, looks at its state for two seconds, and puts back what a killed benchmark left changed.

    Args:
        address: ADDRESS.
        python: The Python to run there; None takes this one (local) or `python3` (ssh).
        interactive: Whether ssh may ask for a password or a passphrase.

    Returns:
        The verb's JSON document (`address`, `ok`, `checks`), and names of the busiest programs, which belong to no shared document.

    Raises:
        UsageError: The address cannot be read.
        DeviceError: The device cannot be reached, or the harness does not run.
    """
    place = parse_address(address)
    if place.kind == "adb":
        if python is not None:
            raise UsageError(f"--python does not apply to {place}: no Python runs on a phone", "leave it away")
        from dsmobile.devices.adb.doctor import examine_phone

        return _document(place, examine_phone(place)), []
    with open_device(place, python=python, interactive=interactive) as device:
        state = device.check()
    checks = diagnose(state, place, now_s=time.time())
    busiest = [f"{_printable(share['name'])} {share['cpu']:.2f}" for share in state["busiest"]]
    return _document(place, checks), busiest


def _document(place: Address, checks: Sequence[Check]) -> dict[str, Any]:
    return {
        "address": str(place),
        "ok": all(check.state is not State.FIX for check in checks),
        "checks": [asdict(check) for check in checks],
    }


def exit_code(document: dict[str, Any]) -> int:
    """7 where something must be put right, else 0."""
    return int(ExitCode.DONE if document["ok"] else ExitCode.CHECK_FAILED)


def diagnose(state: dict[str, Any], address: Address, *, now_s: float) -> list[Check]:
    """Ten lines from what a device said of itself.

    Args:
        state: See `device_bench.check.check`.
        address: Where it is, for the advice.
        now_s: This machine's clock, seconds since the epoch.
    """
    return [
        _device(state, address),
        _python(state, address),
        _runtimes(state, address),
        *(line(state) for line in (_governor, _power, _load, _memory, _cache)),
        _clock(state, now_s),
        _others(state),
    ]


def _device(state: dict[str, Any], address: Address) -> Check:
    facts = state["facts"]
    release = facts.get("os_release") or {}
    system = " ".join(filter(None, (release.get("id"), release.get("version_id")))) or facts["system"]
    what = facts["board"] or facts["cpu_model"] or facts["machine"]
    seen = f"{address.kind}: {what}, {facts['cores']} cores, {system}, kernel {facts['system_release']} on {facts['machine']}"
    if facts["emulated"]:
        return Check(
            "device", State.FIX, f"{_printable(seen)}, emulated by QEMU", "times on an emulated processor mean nothing: measure on the real device"
        )
    return Check("device", State.OK, _printable(seen))


def _python(state: dict[str, Any], address: Address) -> Check:
    facts = state["facts"]
    userland = f", userland {facts['userland_architecture']}" if facts.get("userland_architecture") else ""
    seen = f"Python {facts['python_version']}, {facts['pointer_bits']}-bit{userland}, numpy {facts['numpy_version'] or 'missing'}"
    if facts["numpy_version"] is None:
        return Check("python", State.FIX, seen, _setup(address))
    if facts["pointer_bits"] == 32 and facts["machine"] in ("aarch64", "arm64"):
        return Check("python", State.NOTE, f"{seen} under a 64-bit kernel", "a 64-bit system would be several times faster: it has LiteRT")
    return Check("python", State.OK, seen)


def _runtimes(state: dict[str, Any], address: Address) -> Check:
    found = {name: version for name, version in state["facts"]["runtimes"].items() if version}
    seen = ", ".join(f"{name} {version}" for name, version in found.items())
    if not found:
        return Check("runtimes", State.FIX, "none", _setup(address))
    missing = [name for name, kinds in ((".tflite", ("litert", "tflite-runtime")), (".onnx", ("onnxruntime",))) if not found.keys() & set(kinds)]
    if missing:
        return Check("runtimes", State.NOTE, f"{seen}; none for {' and '.join(missing)} files", _setup(address))
    return Check("runtimes", State.OK, seen)


def _governor(state: dict[str, Any]) -> Check:
    governor = state["conditions"]["governor"]
    if governor is None:
        return Check("governor", State.OK, "the device tells of none")
    if governor == "performance":
        return Check("governor", State.OK, "performance")
    if "performance" not in state["governors"] and state["governors"]:
        return Check("governor", State.NOTE, _printable(governor), "the clock follows the load: expect noisy figures")
    how = "" if state["governor_writable"] else "; it says which right it lacks, if it does"
    return Check("governor", State.NOTE, _printable(governor), f"measure with --governor performance, which puts it back afterwards{how}")


def _power(state: dict[str, Any]) -> Check:
    conditions = state["conditions"]
    bits = [value for value in (conditions["throttled"], conditions["throttled_by_kernel"]) if value is not None]
    now = {bit for value in bits for bit in _BITS if value >> bit & 1} | ({0} if conditions["under_voltage"] else set())
    since = {bit for value in bits for bit in _BITS if value >> (bit + 16) & 1} - now
    heat = f"{conditions['temperature_c']:.0f} °C" if conditions["temperature_c"] is not None else "temperature unknown"
    if now:
        return Check(
            "power and heat", State.FIX, f"{heat}, {_named(now)} now", _SUPPLY if 0 in now else "let it cool down, or give it a fan or a heat sink"
        )
    if conditions["cooling_state"]:
        return Check("power and heat", State.FIX, f"{heat}, slowed down against heat now", "let it cool down, or give it a fan or a heat sink")
    if conditions["on_battery"]:
        return Check("power and heat", State.NOTE, f"{heat}, on its battery", "plug it in")
    if since:
        advice = _SUPPLY if 0 in since else "under load it may happen again: give it a fan or a heat sink"
        return Check("power and heat", State.NOTE, f"{heat}, {_named(since)} since it was started", advice)
    if state["firmware_refuses"]:
        seen = f"{heat}, throttling unknown: vcgencmd says {_printable(state['firmware_refuses'])}"
        return Check("power and heat", State.NOTE, seen, "let your user there ask: `sudo usermod -aG video $USER`, then log in again")
    if (conditions["temperature_c"] or 0.0) >= HOT_C:
        return Check("power and heat", State.NOTE, heat, "let it cool down; a benchmark waits for that")
    known = ", no throttling" if bits or conditions["cooling_state"] == 0 else ""
    return Check("power and heat", State.OK, f"{heat}{known}")


def _load(state: dict[str, Any]) -> Check:
    others = state["others_cpu"]
    if others is None:
        load = state["conditions"]["load_average"]
        return Check("other load", State.OK, f"load average {load[0]:.1f}" if load else "the device does not tell")
    seen = f"other programs use {others:.2f} of {state['facts']['cores']} processors"
    return Check("other load", State.FIX, seen, "close what else runs") if others > BUSY_CPU else Check("other load", State.OK, seen)


def _memory(state: dict[str, Any]) -> Check:
    available, total = state["conditions"]["memory_available_bytes"], state["facts"]["memory_bytes"]
    if available is None or not total:
        return Check("memory", State.OK, f"{total / 1e9:.1f} GB" if total else "the device does not tell")
    swap = state["conditions"]["swap_used_bytes"] or 0
    seen = f"{available / 1e6:.0f} of {total / 1e6:.0f} MB free{f', {swap / 1e6:.0f} MB swapped' if swap else ''}"
    if available < LITTLE_MEMORY * total:
        return Check("memory", State.FIX, seen, "close what else runs on the device")
    return Check("memory", State.OK, seen)


def _cache(state: dict[str, Any]) -> Check:
    if state["cache_complaint"]:
        return Check("cache", State.FIX, f"it cannot be used: {_printable(state['cache_complaint'])}", "make ~/.cache/dsmobile writable there")
    seen = f"{state['free_bytes'] / 1e9:.1f} GB free"
    if state["free_bytes"] < SPACE_BYTES:
        return Check("cache", State.FIX, seen, "free some space there; ~/.cache/dsmobile may be deleted")
    return Check("cache", State.OK, seen)


def _clock(state: dict[str, Any], now_s: float) -> Check:
    skew_s = state["conditions"]["time_s"] - now_s
    if abs(skew_s) > SKEW_S:
        seen = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's"
        return Check("clock", State.NOTE, seen, "set it before you measure: a clock that steps meanwhile makes a measurement INVALID")
    if state["clock_synchronised"] is False:
        return Check(
            "clock", State.NOTE, "no server sets it", "if one comes to set it meanwhile, the measurement is INVALID: `timedatectl` tells more"
        )
    return Check("clock", State.OK, "set by a server" if state["clock_synchronised"] else "as this machine's")


def _others(state: dict[str, Any]) -> Check:
    if state["failed"]:
        return Check("benchmarks", State.FIX, _printable(state["failed"]["message"]), _printable(state["failed"]["advice"]))
    if state["holder"]:
        return Check("benchmarks", State.NOTE, waiting_for(state["holder"]), "another one would wait for it")
    if state["notes"]:
        return Check("benchmarks", State.NOTE, _printable("; ".join(state["notes"])), "nothing more need be done")
    return Check("benchmarks", State.OK, "nobody measures there, and nothing was left changed")


def _named(bits: Iterable[int]) -> str:
    return " and ".join(_BITS[bit] for bit in sorted(bits))


def _setup(address: Address) -> str:
    return f"run `dsmobile devices setup {address}`"


def _printable(text: str) -> str:
    return "".join(character for character in str(text) if character.isprintable())
