"""In which state a phone is, read by one shell script: battery, heat, screen, clocks of the pinned cores, load and memory.

The environment variable DEVICE_BENCH_ROOT on the phone puts another folder in front of every path, as on any device; real phones do not set it.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Sequence
from typing import Any

from dsmobile.devices.adb.client import Adb
from dsmobile.devices.adb.dumps import Thermal, parse_battery, parse_flag, parse_thermal, parse_wakefulness

TICKS_PER_S = 100.0  # USER_HZ, on every architecture that Android runs on
_STATE_TIMEOUT_S = 60.0
_LARGEST_S = 1e10

# `lightly` leaves out what asks the phone's services, but for its heat.
STATE = r"""
w=$1
part() { echo "$w $1"; }
cpu="$DEVICE_BENCH_ROOT/sys/devices/system/cpu"
proc="$DEVICE_BENCH_ROOT/proc"
part clock; read -r up rest < "$proc/uptime"; echo "$up ${EPOCHREALTIME:-$(date +%s.%N)}"
part stat; read -r line < "$proc/stat"; echo "$line"
part cores
for d in "$cpu"/cpu[0-9]*; do
  for n in scaling_cur_freq scaling_max_freq cpuinfo_max_freq scaling_governor; do
    v=; [ -r "$d/cpufreq/$n" ] && read -r v < "$d/cpufreq/$n"; [ -n "$v" ] && echo "${d##*/cpu} $n $v"
  done
done 2>/dev/null
part online; cat "$cpu/online" 2>/dev/null
part ticks
for p in "$cpu"/cpufreq/policy*; do
  [ -r "$p/stats/time_in_state" ] && { echo "policy $(cat "$p/related_cpus")"; cat "$p/stats/time_in_state"; }
done 2>/dev/null
part thermal; dumpsys thermalservice 2>&1
if [ "$2" != lightly ]; then
  part load; cat "$proc/loadavg" 2>/dev/null
  part memory; cat "$proc/meminfo" 2>/dev/null
  part battery; dumpsys battery 2>&1
  part power; dumpsys power 2>/dev/null | grep -e mWakefulness= -e 'Display Power: state='
  part saver; settings get global low_power 2>/dev/null
fi
return 0
"""


def read_state(adb: Adb, cores: Sequence[int] = (), *, lightly: bool = False) -> dict[str, Any]:
    """What the phone says of itself now, as `device_bench.conditions.snapshot` does, and what only phones tell.

    Args:
        adb: The phone.
        cores: The cores that are pinned, whose clocks count; empty counts all.
        lightly: Leave the battery, the screen, the memory and the load average out.

    Returns:
        `frequency_limit_khz`, `temperature_c`, `governor`, `cores_online`, `load_average`, `memory_available_bytes`, `swap_used_bytes`,
        `on_battery`, `time_s`, `monotonic_s` as there; and `thermal_status` (0 to 6), `throttling_sensors`, `skin_temperature_c`,
        `battery_level_percent`, `battery_temperature_c`, `battery_state`, `power_save`, `screen`, `core_clocks_khz` (core to clock),
        `frequency_highest_khz` (what the pinned cores could do, uncapped); each None where the phone does not tell.

    Raises:
        DeviceError: The phone was lost.
    """
    return snapshot_of(read_parts(adb, lightly=lightly), cores, lightly=lightly)


def read_parts(adb: Adb, *, lightly: bool = False) -> dict[str, str]:
    """The parts of the script's answer, by name.

    Raises:
        DeviceError: The phone was lost.
    """
    word = f"part-{secrets.token_hex(8)}"
    return parts_of(adb.shell(STATE, word, "lightly" if lightly else "", timeout_s=_STATE_TIMEOUT_S), word)


def parts_of(text: str, word: str) -> dict[str, str]:
    """Cuts text at the lines that consist of a word and a name."""
    pieces = re.split(rf"^{re.escape(word)} (\w+)$\n?", text, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def snapshot_of(parts: dict[str, str], cores: Sequence[int], *, lightly: bool = False) -> dict[str, Any]:
    """A snapshot from the parts of the script's answer; see `read_state`."""
    told = core_files(parts.get("cores", ""))
    mine = [values for core, values in told.items() if not cores or core in cores]
    thermal = parse_thermal(parts.get("thermal", ""))
    temperatures = thermal.temperatures_c or {}
    uptime_s, time_s = _clock(parts.get("clock", ""))
    limits, highest = (numbers(mine, name) for name in ("scaling_max_freq", "cpuinfo_max_freq"))
    light = {
        "temperature_c": temperatures.get("cpu"),
        "thermal_status": thermal.status,
        "throttling_sensors": list(thermal.throttling),
        "skin_temperature_c": temperatures.get("skin"),
        "core_clocks_khz": {str(core): khz[0] for core, values in told.items() if (khz := numbers([values], "scaling_cur_freq"))},
        "frequency_limit_khz": max(limits, default=None),
        "frequency_highest_khz": max(highest, default=None),
        "governor": ",".join(sorted({values["scaling_governor"] for values in mine if "scaling_governor" in values})) or None,
        "cores_online": len(online_cores(parts)) or None,
        "time_s": time_s,
        "monotonic_s": uptime_s,
    }
    return light if lightly else {**light, **_of_the_services(parts)}


def core_files(text: str) -> dict[int, dict[str, str]]:
    """Core to what its clock's files say, from lines of core, name and value."""
    found: dict[int, dict[str, str]] = {}
    for line in text.splitlines():
        fields = line.split(" ", 2)
        if len(fields) == 3 and fields[0].isdigit():
            found.setdefault(int(fields[0]), {})[fields[1]] = fields[2].strip()
    return found


def numbers(values: Sequence[dict[str, str]], name: str) -> list[int]:
    """The whole numbers of one name."""
    return [int(value[name]) for value in values if re.fullmatch(r"[0-9]{1,12}", value.get(name, ""))]


def online_cores(parts: dict[str, str]) -> list[int]:
    """The cores that are switched on, from a list such as `0-3,6`; empty where the phone does not tell."""
    cores: list[int] = []
    for part in parts.get("online", "").strip().split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or (last and not last.isdigit()) or int(last or first) > 1023:
            return []
        cores += range(int(first), int(last or first) + 1)
    return cores


def busy_ticks(parts: dict[str, str]) -> int | None:
    """Ticks that all cores together were busy since the phone started: /proc/stat's first line."""
    fields = parts.get("stat", "").split()
    if len(fields) < 8 or fields[0] != "cpu" or not all(field.isdigit() for field in fields[1:8]):
        return None
    user, nice, system, _, _, irq, soft = (int(field) for field in fields[1:8])
    return user + nice + system + irq + soft


def ticks_at(parts: dict[str, str], cores: Sequence[int]) -> dict[str, dict[int, int]]:
    """For each group of cores that holds a pinned one: kHz to the ticks spent at it since the phone started."""
    policies: dict[str, dict[int, int]] = {}
    table: dict[int, int] = {}
    for line in parts.get("ticks", "").splitlines():
        fields = line.split()
        if fields[:1] == ["policy"]:
            table = {}
            related = {int(field) for field in fields[1:] if field.isdigit()}
            if related & set(cores):
                policies[" ".join(fields[1:])] = table
        elif len(fields) == 2 and all(field.isdigit() for field in fields):
            table[int(fields[0])] = int(fields[1])
    return {name: ticks for name, ticks in policies.items() if ticks}


def thermal_of(parts: dict[str, str]) -> Thermal:
    """The phone's heat."""
    return parse_thermal(parts.get("thermal", ""))


def uptime_s(parts: dict[str, str]) -> float | None:
    """Seconds since the phone started."""
    return _clock(parts.get("clock", ""))[0]


def meminfo_bytes(text: str, name: str) -> int | None:
    """A line of /proc/meminfo."""
    found = re.search(rf"^{name}: +([0-9]{{1,15}}) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _of_the_services(parts: dict[str, str]) -> dict[str, Any]:
    battery = parse_battery(parts.get("battery", ""))
    memory = parts.get("memory", "")
    swap, free = meminfo_bytes(memory, "SwapTotal"), meminfo_bytes(memory, "SwapFree")
    loads = re.match(r"([0-9.]{1,12}) ([0-9.]{1,12}) ([0-9.]{1,12}) ", parts.get("load", ""))
    return {
        "load_average": [float(load) for load in loads.groups()] if loads else None,
        "memory_available_bytes": meminfo_bytes(memory, "MemAvailable"),
        "swap_used_bytes": swap - free if swap is not None and free is not None else None,
        "on_battery": not battery.plugged if battery.plugged is not None else None,
        "battery_level_percent": battery.level_percent,
        "battery_temperature_c": battery.temperature_c,
        "battery_state": battery.charging,
        "power_save": parse_flag(parts.get("saver", "")),
        "screen": parse_wakefulness(parts.get("power", "")),
    }


def _clock(text: str) -> tuple[float | None, float | None]:
    """Uptime and wall clock, read together."""
    values = []
    for field in text.split()[:2]:
        value = float(field) if re.fullmatch(r"[0-9]{1,11}(?:[.,][0-9]{1,9})?", field) and "," not in field else math.nan
        values.append(value if 0 <= value < _LARGEST_S else None)
    return (values[0], values[1]) if len(values) == 2 else (None, None)
