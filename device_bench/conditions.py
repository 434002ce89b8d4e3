"""Under which conditions a measurement runs: load, clock, temperature, throttling; each None where the device does not tell."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import time
from typing import Any, Dict, List, Optional, Tuple

from .machine import meminfo, read

_VCGENCMD_TIMEOUT_S = 5.0


def snapshot() -> Dict[str, Any]:
    """What the device says of itself now; taken outside every timed loop."""
    return {
        "time_s": time.time(),
        "load_average": _load_average(),
        "governor": _governor(),
        "frequency_khz": _frequency_khz(),
        "temperature_c": _temperature_c(),
        "throttled": _throttled(),
        "throttle_count": _throttle_count(),
        "memory_available_bytes": meminfo("MemAvailable"),
        "cpu_pressure_percent": _cpu_pressure(),
    }


class LoopWatch:
    """How undisturbed a timed loop was: read once before it and once after, never within.

    The document that `stop` returns: `wall_ns`, `cpu_ns` (of this process), `preemptions` (involuntary context switches),
    `major_faults`, `others_cpu` (processors that the rest of the machine kept busy; 0.5 = half of one), `stolen` (the hypervisor's
    share of one processor), `clock_step_ns` (how far the wall clock left the monotonic one).
    """

    def __init__(self) -> None:
        """Begins to watch."""
        self._usage = _usage()
        self._stat = _processor_ticks()
        self._cpu_ns = time.process_time_ns()
        self._clock_ns = time.time_ns()
        self._wall_ns = time.perf_counter_ns()

    def stop(self) -> Dict[str, Any]:
        """What happened since the watch began."""
        wall_ns = time.perf_counter_ns() - self._wall_ns
        clock_ns = time.time_ns() - self._clock_ns
        cpu_ns = time.process_time_ns() - self._cpu_ns
        stat, usage = _processor_ticks(), _usage()
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
        }


def _usage() -> Optional[Tuple[int, int]]:
    try:
        import resource
    except ImportError:  # Windows
        return None
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nivcsw, usage.ru_majflt


def _processor_ticks() -> Optional[Tuple[int, int]]:
    """Ticks that all processors together were busy, and that were stolen: /proc/stat's first line."""
    line = (read("/proc/stat") or "").partition("\n")[0].split()
    if len(line) < 9:
        return None
    user, nice, system, _, _, irq, soft, steal = (int(value) for value in line[1:9])
    return user + nice + system + irq + soft, steal


def _load_average() -> Optional[List[float]]:
    try:
        return list(os.getloadavg())
    except (AttributeError, OSError):
        return None


def _governor() -> Optional[str]:
    found = {(read(path) or "").strip() for path in glob.glob("/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")}
    return ",".join(sorted(found - {""})) or None


def _frequency_khz() -> Optional[int]:
    """The fastest core's clock: the one that worked."""
    return _largest("/sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq")


def _temperature_c() -> Optional[float]:
    hottest = _largest("/sys/class/thermal/thermal_zone*/temp")
    return hottest / 1000.0 if hottest is not None else None


def _throttle_count() -> Optional[int]:
    return _largest("/sys/devices/system/cpu/cpu*/thermal_throttle/core_throttle_count")


def _largest(pattern: str) -> Optional[int]:
    values = []
    for path in glob.glob(pattern):
        text = (read(path) or "").strip()
        if text.lstrip("-").isdigit():
            values.append(int(text))
    return max(values) if values else None


def _cpu_pressure() -> Optional[float]:
    """Share of the last ten seconds in which something waited for a processor."""
    for field in (read("/proc/pressure/cpu") or "").partition("\n")[0].split():
        if field.startswith("avg10="):
            return float(field[6:])
    return None


def _throttled() -> Optional[int]:
    """The Raspberry Pi firmware's bits: 0 under-voltage, 1 capped, 2 throttled, 3 soft limit; from 16 on: has happened since boot."""
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    try:
        done = subprocess.run([program, "get_throttled"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_VCGENCMD_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    name, _, value = done.stdout.decode("ascii", "replace").strip().partition("=")
    try:
        return int(value, 16) if name == "throttled" else None
    except ValueError:
        return None
