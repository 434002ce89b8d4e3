"""At which frequency processors run: now, at most, and how long at each over a while; None where the kernel does not tell.

Source: Linux, Documentation/admin-guide/pm/cpufreq.rst and Documentation/cpu-freq/cpufreq-stats.rst.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from .system_files import matching, number, read, whole

_POLICIES = ("/sys/devices/system/cpu/cpufreq/policy*/", "/sys/devices/system/cpu/cpu*/cpufreq/")

_SLOWING = ("cpufreq-cpu", "thermal-cpufreq", "Processor")  # kinds of cooling devices that slow a processor down


def frequency_khz() -> Optional[int]:
    """The fastest processors' clock: those that work."""
    return max(_numbers("scaling_cur_freq"), default=None)


def frequency_limit_khz() -> Optional[int]:
    """The highest clock that the kernel allows now: heat, a person or a power plan may have lowered it."""
    return max(_numbers("scaling_max_freq"), default=None)


def throttle_count() -> Optional[int]:
    """How often x86 processors have throttled themselves since boot."""
    counts = [number(path) for path in matching("/sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count")]
    return max((count for count in counts if count is not None), default=None)


def cooling_state() -> Optional[int]:
    """How far the kernel slows processors down against heat, in steps; 0: not at all."""
    kinds = matching("/sys/class/thermal/cooling_device*/type")
    found = [number(kind.replace("/type", "/cur_state")) for kind in kinds if (read(kind) or "").startswith(_SLOWING)]
    return max((state for state in found if state is not None), default=None)


def ticks_at() -> Dict[str, Dict[int, int]]:
    """For each policy: frequency in kHz to the time spent at it since boot, in ticks of 10 ms."""
    policies = {}
    for path in _paths("stats/time_in_state"):
        pairs = [line.split() for line in (read(path) or "").splitlines()]
        table = [(whole(pair[0]), whole(pair[1])) for pair in pairs if len(pair) == 2]
        policies[path] = {khz: ticks for khz, ticks in table if khz is not None and ticks is not None}
    return policies


def shares_between(before: Dict[str, Dict[int, int]], after: Dict[str, Dict[int, int]]) -> Optional[Dict[str, float]]:
    """How the time between two readings of `ticks_at` was spent by the policy that ran fastest on the average: the one that worked.

    Returns:
        Frequency in kHz, as text, to its share of the time.
    """
    best: Tuple[float, Optional[Dict[str, float]]] = (-1.0, None)
    for policy, now in after.items():
        spent = {khz: ticks - before.get(policy, {}).get(khz, 0) for khz, ticks in now.items()}
        total = sum(spent.values())
        if total <= 0 or min(spent.values()) < 0:
            continue
        mean = sum(khz * ticks for khz, ticks in spent.items()) / total
        if mean > best[0]:
            best = mean, {str(khz): round(ticks / total, 4) for khz, ticks in spent.items() if ticks}
    return best[1]


def _paths(name: str) -> List[str]:
    return next((found for found in (matching(policies + name) for policies in _POLICIES) if found), [])


def _numbers(name: str) -> List[int]:
    return [value for value in map(number, _paths(name)) if value is not None]
