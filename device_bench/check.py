"""In which state the device is: what a person should know before measuring on it."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Any, Dict, List, Optional, Tuple

from . import firmware, governor, settle
from .conditions import snapshot
from .keeper import mend_if_free
from .lock import cache_folder
from .machine import facts
from .records import to_line
from .system_files import at, matching, read, word

_BUSIEST, _BUSY_CPU = 5, 0.02
_TIME_ERROR = 5  # what adjtimex(2) returns where no server sets the clock


def main() -> int:
    """Writes the state as one line of JSON."""
    sys.stdout.write(to_line(check()))
    return 0


def check() -> Dict[str, Any]:
    """Watches the device for two seconds.

    Returns:
        `facts` (see `machine.facts`); `conditions` (see `conditions.snapshot`); `others_cpu`: processors that others kept busy;
        `busiest`: names of the busiest processes with the processors each used; `amiss`: why it is not quiet and cool; `governors`: those it
        has, `governor_writable`; `firmware_refuses`: what `vcgencmd` complained of; `free_bytes`, `cache_complaint`: of the cache;
        `clock_synchronised`; `holder`, `notes`, `failed`: see `keeper.mend_if_free`.
    """
    take = settle.reader()
    readings = [take()]
    before, began = _processes(), time.monotonic()
    for _ in range(2):
        time.sleep(settle.PACE_S)
        readings.append(take())
    busiest = _busiest(before, _processes(), time.monotonic() - began)
    others = [reading.others_cpu for reading in readings if reading.others_cpu is not None]
    policies = governor.files()
    available = {name for path in policies for name in (word(path.replace("scaling_governor", "scaling_available_governors")) or "").split()}
    return {
        "facts": facts(),
        "conditions": snapshot(),
        "others_cpu": max(others) if others else None,
        "busiest": busiest,
        "amiss": [reason for reason in settle.amiss(readings) if "°C" not in reason],
        "governors": sorted(available),
        "governor_writable": bool(policies) and all(os.access(at(path), os.W_OK) for path in policies),
        "firmware_refuses": firmware.complaint(),
        "clock_synchronised": clock_synchronised(),
        **_cache(),
    }


def clock_synchronised() -> Optional[bool]:
    """Whether a server sets the clock, by the kernel (adjtimex); None where it does not tell."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    try:
        state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # all zero: nothing is set, only told
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def _cache() -> Dict[str, Any]:
    folder = cache_folder()
    try:
        held = mend_if_free(folder)
        return {**held, "free_bytes": shutil.disk_usage(folder).free, "cache_complaint": ""}
    except OSError as error:
        return {"holder": None, "notes": [], "failed": None, "free_bytes": None, "cache_complaint": error.strerror or str(error)}


def _processes() -> Dict[str, Tuple[str, int]]:
    """Process number to its name and the ticks it has used; kernel threads included, this process not."""
    found = {}
    for path in matching("/proc/[0-9]*/stat"):
        start, _, rest = (read(path) or "").rpartition(")")
        number, _, name = start.partition(" (")
        fields = rest.split()
        if len(fields) > 12 and number != str(os.getpid()):
            found[number] = name, int(fields[11]) + int(fields[12])
    return found


def _busiest(before: Dict[str, Tuple[str, int]], after: Dict[str, Tuple[str, int]], seconds: float) -> List[Dict[str, Any]]:
    """Who used the processors most, by name."""
    used: Dict[str, int] = {}
    for number, (name, ticks) in after.items():
        if number in before:
            used[name] = used.get(name, 0) + ticks - before[number][1]
    per_s = os.sysconf("SC_CLK_TCK") * seconds if used else 1.0
    shares = [{"name": name, "cpu": round(ticks / per_s, 2)} for name, ticks in used.items() if ticks / per_s >= _BUSY_CPU]
    return sorted(shares, key=lambda share: -float(str(share["cpu"])))[:_BUSIEST]
