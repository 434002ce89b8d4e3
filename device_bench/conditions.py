"""Under which conditions a measurement runs: load, clock, temperature, throttling; each None where the device does not tell."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Optional, Tuple

from . import clocks, firmware
from .governor import current
from .system_files import matching, meminfo, number, read, word

_NO_CPU_ZONES = ("iwlwifi", "acpitz", "battery", "pch_", "nvme")


def snapshot() -> Dict[str, Any]:
    """What the device says of itself now; taken outside every timed loop, what changes fastest first.

    The document: `frequency_khz` (the fastest processors' clock), `throttled`, `throttled_by_kernel`, `under_voltage`, `arm_clock_hz` (see
    `firmware`), `temperature_c` (the hottest place), `throttle_count`, `cooling_state`, `frequency_limit_khz` (see `clocks`), `governor`,
    `cores_online`, `load_average`, `cpu_pressure_percent` and `memory_pressure_percent` (share of the last ten seconds in which something
    waited), `memory_available_bytes`, `swap_used_bytes`, `on_battery`, `power_profile`, and three clocks: `time_s` of the wall,
    `monotonic_s` and `boottime_s`, which also counts while the device sleeps.
    """
    return {
        "frequency_khz": clocks.frequency_khz(),
        "throttled": firmware.throttled(),
        "throttled_by_kernel": firmware.throttled_by_kernel(),
        "under_voltage": firmware.under_voltage(),
        "arm_clock_hz": firmware.arm_clock_hz(),
        "temperature_c": temperature_c(),
        "throttle_count": clocks.throttle_count(),
        "cooling_state": clocks.cooling_state(),
        "frequency_limit_khz": clocks.frequency_limit_khz(),
        "governor": ",".join(sorted(set(current().values()))) or None,
        "cores_online": cores_online(),
        "load_average": _load_average(),
        "cpu_pressure_percent": _pressure("cpu"),
        "memory_pressure_percent": _pressure("memory"),
        "memory_available_bytes": meminfo("MemAvailable"),
        "swap_used_bytes": _swap_used_bytes(),
        "on_battery": _on_battery(),
        "power_profile": word("/sys/firmware/acpi/platform_profile"),
        **_clocks(),
    }


class LoopWatch:
    """How undisturbed a timed loop was: read once before it and once after, never within.

    The document that `stop` returns: `wall_ns`, `cpu_ns` (of this process), `preemptions` (involuntary context switches),
    `major_faults`, `others_cpu` (processors that the rest of the machine kept busy; 0.5 = half of one), `stolen` (the hypervisor's
    share of one processor), `clock_step_ns` (how far the wall clock left the monotonic one), `frequency_khz` (at its very end),
    `frequency_shares` (kHz to share of the loop's time, where the kernel counts it) and `throttles` (how often the processor throttled itself).
    """

    def __init__(self) -> None:
        """Begins to watch."""
        self._throttles = clocks.throttle_count()
        self._usage = _usage()
        self._stat = processor_ticks()
        self._ticks_at = clocks.ticks_at()
        self._cpu_ns = time.process_time_ns()
        self._clock_ns = time.time_ns()
        self._wall_ns = time.perf_counter_ns()

    def stop(self) -> Dict[str, Any]:
        """What happened since the watch began."""
        wall_ns = time.perf_counter_ns() - self._wall_ns
        clock_ns = time.time_ns() - self._clock_ns
        cpu_ns = time.process_time_ns() - self._cpu_ns
        frequency_khz, ticks_at = clocks.frequency_khz(), clocks.ticks_at()
        stat, usage, throttles = processor_ticks(), _usage(), clocks.throttle_count()
        others = stolen = None
        if stat and self._stat and wall_ns:
            tick_ns = 1e9 / os.sysconf("SC_CLK_TCK")
            others = max((stat[0] - self._stat[0]) * tick_ns - cpu_ns, 0.0) / wall_ns
            stolen = (stat[1] - self._stat[1]) * tick_ns / wall_ns
        return {
            "wall_ns": wall_ns,
            "cpu_ns": cpu_ns,
            "preemptions": usage[0] - self._usage[0] if usage and self._usage else None,
            "major_faults": usage[1] - self._usage[1] if usage and self._usage else None,
            "others_cpu": others,
            "stolen": stolen,
            "clock_step_ns": clock_ns - wall_ns,
            "frequency_khz": frequency_khz,
            "frequency_shares": clocks.shares_between(self._ticks_at, ticks_at),
            "throttles": throttles - self._throttles if throttles is not None and self._throttles is not None else None,
        }


def processor_ticks() -> Optional[Tuple[int, int]]:
    """Ticks that all processors together were busy, and that were stolen: /proc/stat's first line."""
    line = (read("/proc/stat") or "").partition("\n")[0].split()
    if len(line) < 9:
        return None
    user, nice, system, _, _, irq, soft, steal = (int(value) for value in line[1:9])
    return user + nice + system + irq + soft, steal


def temperature_c() -> Optional[float]:
    """The hottest place of the processor, by the kernel's thermal zones, else by the firmware."""
    hottest = None
    for path in matching("/sys/class/thermal/thermal_zone*/temp"):
        kind = word(path.replace("/temp", "/type")) or ""
        value = None if kind.startswith(_NO_CPU_ZONES) else number(path)
        if value is not None and (hottest is None or value > hottest):
            hottest = value
    return hottest / 1000.0 if hottest is not None else firmware.temperature_c()


def cores_online() -> Optional[int]:
    """Processors that are switched on, from a list such as `0-3,6`."""
    count = 0
    for part in (word("/sys/devices/system/cpu/online") or "").split(","):
        first, _, last = part.partition("-")
        if not first.isdigit():
            return os.cpu_count()
        count += int(last or first) - int(first) + 1
    return count


def _usage() -> Optional[Tuple[int, int]]:
    try:
        import resource
    except ImportError:  # Windows
        return None
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nivcsw, usage.ru_majflt


def _load_average() -> Optional[List[float]]:
    fields = (read("/proc/loadavg") or "").split()
    if len(fields) >= 3:
        return [float(field) for field in fields[:3]]
    try:
        return list(os.getloadavg())
    except (AttributeError, OSError):
        return None


def _pressure(kind: str) -> Optional[float]:
    """Share of the last ten seconds in which something waited: the kernel's pressure stall information."""
    for field in (read("/proc/pressure/" + kind) or "").partition("\n")[0].split():
        if field.startswith("avg10="):
            return float(field[6:])
    return None


def _swap_used_bytes() -> Optional[int]:
    total, free = meminfo("SwapTotal"), meminfo("SwapFree")
    return total - free if total is not None and free is not None else None


def _on_battery() -> Optional[bool]:
    """Whether a battery feeds the device; None where it has none."""
    states = [word(path.replace("/type", "/status")) for path in matching("/sys/class/power_supply/*/type") if word(path) == "Battery"]
    return "Discharging" in states if states else None


def _clocks() -> Dict[str, Optional[float]]:
    """The wall clock and the monotonic ones, read together."""
    sleepless = getattr(time, "CLOCK_BOOTTIME", None)
    return {
        "time_s": time.time(),
        "monotonic_s": time.monotonic(),
        "boottime_s": time.clock_gettime(sleepless) if sleepless is not None else None,
    }
