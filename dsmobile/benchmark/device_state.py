"""What snapshots of a device show of its power, heat, clocks and memory: everything that makes figures mean something else, or noisy.

Source: Raspberry Pi documentation, "vcgencmd" (`get_throttled`) and "Frequency management and thermal control".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from device_bench.records import Samples
from dsmobile.benchmark import result
from dsmobile.benchmark.kinds import Kind

CLOCK_STEP_S, CLOCK_DRIFT = 0.05, 1e-3
ASLEEP_S = 0.5
FREQUENCY_RANGE, ELSEWHERE_SHARE = 1.1, 0.05
PI_THROTTLES_C = 80.0
MANY_MAJOR_FAULTS, LITTLE_MEMORY, MEMORY_WAIT_PERCENT, SWAPPED_BYTES = 10, 0.05, 10.0, 16 << 20
_BITS = {0: "under-voltage", 1: "a capped frequency", 2: "throttling", 3: "the soft temperature limit"}
_SINCE_BOOT = 16
ANDROID = "Android"
LOW_BATTERY_PERCENT, CAPPED = 20.0, 0.95
_THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")  # PowerManager.THERMAL_STATUS_*
_LOW_POWER_PROFILES = ("low-power", "quiet")


def of_the_machine(samples: Samples) -> Iterable[result.Warning]:
    """Power, heat, governor, memory.

    Args:
        samples: What the device answered, the trial included.
    """
    snapshots = in_order(samples)
    if samples.facts.get("emulated") and not samples.facts.get("counts_instructions"):
        yield Kind.EMULATED.warning("the device is emulated by QEMU")
    yield from _of_the_firmware(snapshots)
    yield from _of_the_heat(samples, snapshots)
    yield from _of_the_settings(samples, snapshots)
    yield from _of_the_memory(samples, snapshots)
    if samples.facts.get("system") == ANDROID:
        yield from _of_the_phone(samples, snapshots)


def of_the_clocks(samples: Samples) -> Iterable[result.Warning]:
    """The wall clock, and the processors' clock.

    Args:
        samples: What the device answered, the trial included.
    """
    snapshots = in_order(samples)
    loops = [replicate.loop for replicate in samples.replicates if not replicate.error and replicate.block >= 0]
    steps = [loop["clock_step_ns"] / 1e9 for loop in loops if _stepped(loop.get("clock_step_ns", 0) / 1e9, loop.get("wall_ns", 0) / 1e9)]
    told = [snapshot for snapshot in snapshots if None not in (snapshot.get("time_s"), snapshot.get("monotonic_s"))]
    for one, other in pairwise(told):
        elapsed_s = other["monotonic_s"] - one["monotonic_s"]
        slept_s = _asleep(one, other)
        if slept_s > ASLEEP_S:
            yield Kind.CLOCK_STEPPED.warning(f"the device slept for {slept_s:.1f} s while it measured")
            return
        step_s = other["time_s"] - one["time_s"] - elapsed_s
        steps += [step_s] if _stepped(step_s, elapsed_s) else []
    if steps:
        yield Kind.CLOCK_STEPPED.warning(f"the device's clock jumped by {max(steps, key=abs):.3g} s while it measured")
    yield from _of_the_frequency(samples, snapshots)


def in_order(samples: Samples) -> list[dict[str, Any]]:
    """Every snapshot, around blocks and at the end of processes, in the order of time; those of the trial do not count."""
    around = [snapshot for snapshot in samples.conditions if snapshot.get("block", 0) >= 0]
    found = [
        *around,
        *(moment.conditions for moment in samples.moments),
        *(replicate.conditions for replicate in samples.replicates if replicate.conditions and replicate.block >= 0),
    ]
    if all(isinstance(snapshot.get("monotonic_s"), int | float) for snapshot in found):
        return sorted(found, key=lambda snapshot: float(snapshot["monotonic_s"]))
    return found


def seen(snapshots: Iterable[dict[str, Any]], key: str) -> list[Any]:
    """What snapshots say of something, where they say it."""
    return [snapshot[key] for snapshot in snapshots if snapshot.get(key) is not None]


def _of_the_firmware(snapshots: Sequence[dict[str, Any]]) -> Iterable[result.Warning]:
    """Bits that are set at any moment, and bits of "since boot" that came while it measured.

    A bit of "since boot" that was set before tells nothing, and the kernel may clear it meanwhile, so that neighbours are compared. Where
    nobody clears it, it hides what happens between two readings.
    """
    happened = {bit for key in ("throttled", "throttled_by_kernel") for bit in _happened(seen(snapshots, key))}
    if any(seen(snapshots, "under_voltage")):
        happened.add(0)
    if 0 in happened:
        yield Kind.UNDER_VOLTAGE.warning("the firmware reports under-voltage while it measured")
    if happened - {0}:
        yield Kind.THROTTLED.warning(f"the firmware reports {' and '.join(_BITS[bit] for bit in sorted(happened - {0}))} while it measured")
    hidden = _hidden(snapshots) - happened
    if hidden:
        names = " and ".join(_BITS[bit] for bit in sorted(hidden))
        yield Kind.THROTTLED_BEFORE.warning(f"the device has had {names} since it was switched on")


def _hidden(snapshots: Sequence[dict[str, Any]]) -> set[int]:
    """Bits of "since boot" that are set in every reading, of the firmware and of the kernel, so that nothing new can set them."""
    readings = [*seen(snapshots, "throttled"), *seen(snapshots, "throttled_by_kernel")]
    return {bit for bit in _BITS if readings and all(value >> (bit + _SINCE_BOOT) & 1 for value in readings)}


def _happened(values: Sequence[int]) -> set[int]:
    now = {bit for value in values for bit in _BITS if value >> bit & 1}
    came = {bit for one, other in pairwise(values) for bit in _BITS if other & ~one & (1 << bit + _SINCE_BOOT)}
    return now | came


def _of_the_heat(samples: Samples, snapshots: Sequence[dict[str, Any]]) -> Iterable[result.Warning]:
    counts = seen(snapshots, "throttle_count")
    rises = sum(max(other - one, 0) for one, other in pairwise(counts))
    within = sum(max(replicate.loop.get("throttles") or 0, 0) for replicate in samples.replicates if replicate.block >= 0)
    if rises or within:
        yield Kind.THROTTLED.warning(f"the processor throttled itself {max(rises, within)} times while it measured")
    if any(seen(snapshots, "cooling_state")):
        yield Kind.THROTTLED.warning("the kernel slowed the processor down against heat while it measured")
    if any(_slower_than_asked(snapshot) for snapshot in snapshots):
        yield Kind.THROTTLED.warning("the firmware ran the processor at a lower clock than the kernel asked for")
    hottest = max(seen(snapshots, "temperature_c"), default=0.0)
    untold = not seen(snapshots, "throttled") and not seen(snapshots, "throttled_by_kernel")
    if untold and hottest >= PI_THROTTLES_C and str(samples.facts.get("board") or "").startswith("Raspberry Pi"):
        yield Kind.THROTTLED.warning(
            f"it was {hottest:.0f} °C hot, where every Raspberry Pi throttles, and the firmware does not tell whether it did"
        )


def _slower_than_asked(snapshot: dict[str, Any]) -> bool:
    """Whether the firmware measured a lower clock than the kernel asked for; told for certain only where the governor keeps it fixed."""
    asked, measured = snapshot.get("frequency_khz"), snapshot.get("arm_clock_hz")
    if snapshot.get("governor") != "performance" or not asked or not measured:
        return False
    return FREQUENCY_RANGE * float(measured) < 1000.0 * float(asked)


def _of_the_settings(samples: Samples, snapshots: Sequence[dict[str, Any]]) -> Iterable[result.Warning]:
    governors = list(dict.fromkeys(str(value) for value in seen(snapshots, "governor")))
    if any("powersave" in governor for governor in governors):
        yield Kind.POWERSAVE_GOVERNOR.warning("the processor's governor is powersave")
    if len(governors) > 1:
        yield Kind.GOVERNOR_CHANGED.warning(f"the governor was {' and then '.join(governors)} while it measured")
    if samples.facts.get("turbo"):
        yield Kind.TURBO.warning("the processor may raise its clock as it sees fit")
    cores = set(seen(snapshots, "cores_online"))
    if len(cores) > 1:
        yield Kind.CORES_CHANGED.warning(f"between {min(cores)} and {max(cores)} processors were switched on")
    if any(seen(snapshots, "on_battery")):
        yield Kind.LOW_POWER.warning("the device ran on its battery")
    profile = next((value for value in seen(snapshots, "power_profile") if value in _LOW_POWER_PROFILES), None)
    if profile:
        yield Kind.LOW_POWER.warning(f"the device's power profile is {profile}")


def _of_the_memory(samples: Samples, snapshots: Sequence[dict[str, Any]]) -> Iterable[result.Warning]:
    available, memory = seen(snapshots, "memory_available_bytes"), samples.facts.get("memory_bytes")
    if available and memory and min(available) < LITTLE_MEMORY * memory:
        yield Kind.MEMORY_PRESSURE.warning(f"only {min(available) / 1e6:.0f} MB of memory were left")
    faults = max([replicate.loop.get("major_faults") or 0 for replicate in samples.replicates if replicate.block >= 0], default=0)
    if faults > MANY_MAJOR_FAULTS:
        yield Kind.MEMORY_PRESSURE.warning(f"the device fetched {faults} pages from its disk within one timed loop")
    swapped = seen(snapshots, "swap_used_bytes")
    if swapped and max(swapped) - swapped[0] > SWAPPED_BYTES:
        yield Kind.MEMORY_PRESSURE.warning(f"the device moved {(max(swapped) - swapped[0]) / 1e6:.0f} MB of memory to its disk")
    waiting = max(seen(snapshots, "memory_pressure_percent"), default=0.0)
    if waiting > MEMORY_WAIT_PERCENT:
        yield Kind.MEMORY_PRESSURE.warning(f"programs waited for memory during {waiting:.0f}% of the time")


def _of_the_phone(samples: Samples, snapshots: Sequence[dict[str, Any]]) -> Iterable[result.Warning]:
    """What Android tells: its thermal status, Battery Saver, the battery, the screen, and a clock that is held down.

    Source: Android, PowerManager (`THERMAL_STATUS_LIGHT`: "light throttling where UX is not impacted").
    """
    statuses = seen(snapshots, "thermal_status")
    if any(statuses):
        yield Kind.THROTTLED.warning(f"the phone's thermal status was {max(statuses)} ({_THERMAL[max(statuses)]}) while it measured")
    if len(statuses) < len([snapshot for snapshot in snapshots if "thermal_status" in snapshot]) or not statuses:
        yield Kind.THERMAL_UNKNOWN.warning("the phone's thermal service did not tell its status" + (" throughout" if statuses else ""))
    if any(seen(snapshots, "power_save")):
        yield Kind.POWER_SAVE.warning("Battery Saver was on")
    levels = seen(snapshots, "battery_level_percent")
    if levels and min(levels) < LOW_BATTERY_PERCENT:
        yield Kind.LOW_BATTERY.warning(f"the battery was down to {min(levels):.0f}%")
    screens = list(dict.fromkeys(seen(snapshots, "screen")))
    if screens and screens != ["awake"]:
        yield Kind.SCREEN.warning(f"the screen was {' and then '.join(screens)} while it measured")
    caps = [
        limit / highest
        for snapshot in snapshots
        if (limit := snapshot.get("frequency_limit_khz")) and (highest := snapshot.get("frequency_highest_khz"))
    ]
    if caps and min(caps) < CAPPED and not samples.facts.get("fixed_performance"):
        yield Kind.CLOCK_CAPPED.warning(f"the pinned cores were held to {min(caps):.0%} of their highest clock")


def _of_the_frequency(samples: Samples, snapshots: Sequence[dict[str, Any]]) -> Iterable[result.Warning]:
    """A processor's clock that differs between processes, or within one; read as each timed loop ends, where it is known so exactly."""
    done = [replicate for replicate in samples.replicates if not replicate.error and replicate.block >= 0]
    ends = seen([replicate.loop for replicate in done], "frequency_khz") or seen([replicate.conditions for replicate in done], "frequency_khz")
    if ends and max(ends) > FREQUENCY_RANGE * min(ends):
        yield Kind.CLOCK_CHANGED.warning(f"the processor's clock was anything from {min(ends) / 1e6:.2f} to {max(ends) / 1e6:.2f} GHz")
        return
    shares = seen([replicate.loop for replicate in done], "frequency_shares")
    within = [_elsewhere(share) for share in shares]
    usual = {max(share, key=lambda khz: share[khz]) for share in shares if share}
    changed = sum(share > ELSEWHERE_SHARE for share in within)
    if changed:
        yield Kind.CLOCK_CHANGED.warning(
            f"in {changed} of {len(done)} processes the processor's clock changed, for up to {max(within):.0%} of the time"
        )
        return
    if usual and max(map(int, usual)) > FREQUENCY_RANGE * min(map(int, usual)):
        yield Kind.CLOCK_CHANGED.warning(
            f"the processor's clock was anything from {min(map(int, usual)) / 1e6:.2f} to {max(map(int, usual)) / 1e6:.2f} GHz"
        )
        return
    limits = seen(snapshots, "frequency_limit_khz")
    if limits and max(limits) > FREQUENCY_RANGE * min(limits):
        yield Kind.CLOCK_CHANGED.warning(f"the highest clock allowed was anything from {min(limits) / 1e6:.2f} to {max(limits) / 1e6:.2f} GHz")


def _elsewhere(shares: dict[str, float]) -> float:
    """The share of a loop's time that was spent at clocks unlike the usual one."""
    usual = int(max(shares, key=lambda khz: shares[khz], default="0"))
    return sum(share for khz, share in shares.items() if not usual / FREQUENCY_RANGE <= int(khz) <= usual * FREQUENCY_RANGE)


def _stepped(step_s: float, elapsed_s: float) -> bool:
    return abs(step_s) > CLOCK_STEP_S + CLOCK_DRIFT * elapsed_s


def _asleep(one: dict[str, Any], other: dict[str, Any]) -> float:
    """How long the device slept between two snapshots: what its clock that counts sleep gained on the one that does not."""
    clocks = [snapshot.get(key) for snapshot in (one, other) for key in ("boottime_s", "monotonic_s")]
    if any(value is None for value in clocks):
        return 0.0
    return (float(other["boottime_s"]) - float(one["boottime_s"])) - (float(other["monotonic_s"]) - float(one["monotonic_s"]))
