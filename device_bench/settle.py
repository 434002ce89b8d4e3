"""Waits until the device is quiet and cool, by watching its state once a second."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from . import clocks, firmware
from .conditions import processor_ticks, snapshot, temperature_c
from .lifeline import end_with_stdin
from .records import to_line

PACE_S = 1.0
QUIET_CPU, QUIET_READINGS = 0.2, 3
COOL_C = 55.0
FALLING_C_PER_S, FLOOR_READINGS = -0.03, 20
_SAID_EVERY_S = 5.0
_NOW = firmware.UNDER_VOLTAGE | firmware.CAPPED | firmware.THROTTLED | firmware.SOFT_LIMIT


class Reading(NamedTuple):
    """The device's state at one moment.

    Args:
        others_cpu: Processors that everything else kept busy since the last reading (0.5 = half of one); None where unknown.
        temperature_c: The processor's temperature; None where unknown.
        throttled: The firmware's bits of this moment (see `firmware`); None where unknown.
        cooling_state: How far the kernel slows processors down against heat; None where unknown.
        tells_load: Whether the device will tell `others_cpu` from the second reading on.
    """

    others_cpu: Optional[float]
    temperature_c: Optional[float]
    throttled: Optional[int]
    cooling_state: Optional[int]
    tells_load: bool = True


def main(patience_s: float) -> int:
    """Waits, says every few seconds what for (`{"kind": "settle", "state": "waiting", "text": ...}`), and what came of it at the end."""
    end_with_stdin()
    said_s = -_SAID_EVERY_S

    def say(text: str) -> None:
        nonlocal said_s
        if time.monotonic() - said_s >= _SAID_EVERY_S:
            said_s = time.monotonic()
            _write({"kind": "settle", "state": "waiting", "text": text})

    _write({"kind": "settle", "state": "done", **settle(patience_s, say, reader())})
    return 0


def settle(
    patience_s: float,
    say: Callable[[str], None],
    read: Callable[[], Reading],
    sleep: Callable[[float], None] = time.sleep,
    look: Callable[[], Dict[str, Any]] = snapshot,
) -> Dict[str, Any]:
    """Waits until the device is quiet and cool, or the patience is spent.

    Quiet: in 3 readings in a row, a second apart, everything else together used less than a fifth of one processor.
    Cool: the firmware reports neither under-voltage nor any throttling at this moment, the kernel does not slow processors down, and the
    temperature is below 55 °C, or has come to its floor: over the last 20 s it fell by less than 0.03 °C a second (least squares).
    What the device does not tell is not waited for.

    Args:
        patience_s: The longest wait.
        say: Told what is being waited for, at every reading.
        read: Takes a reading.
        sleep: Waits.
        look: Takes the snapshot at the end.

    Returns:
        `settled`; `waited_s`; `reasons`: what was still amiss, or could not be watched; `watched`: what the device tells of `load`,
        `temperature` and `throttling`; `last`: a snapshot.

    Source: the limits are those of the Raspberry Pi documentation, "Frequency management and thermal control": a soft limit of 60 °C (Pi 3
    Model A+ and B+), throttling from 80 °C on (all models); 55 °C leaves room below the lowest of them.
    """
    started = time.monotonic()
    readings = [read()]
    while True:
        left_s = patience_s - (time.monotonic() - started)
        reasons = amiss(readings)
        if left_s <= 0 or not (reasons or _too_few(readings)):
            break
        if reasons:
            say("waiting: " + "; ".join(reasons))
        sleep(min(PACE_S, left_s))
        readings = [*readings[-FLOOR_READINGS:], read()]
    watched = watched_in(readings)
    unknown = [] if watched else ["the device tells neither its load nor its temperature"]
    hurried = ["its load was watched for less than %d s" % QUIET_READINGS] if not reasons and _too_few(readings) else []
    return {
        "settled": not reasons and not hurried,
        "waited_s": round(time.monotonic() - started, 3),
        "reasons": [*reasons, *hurried, *unknown],
        "watched": watched,
        "last": look(),
    }


def amiss(readings: Sequence[Reading]) -> List[str]:
    """Why the device is not quiet and cool; empty where it is."""
    reasons = []
    loads = [reading.others_cpu for reading in readings if reading.others_cpu is not None]
    if any(load >= QUIET_CPU for load in loads[-QUIET_READINGS:]):
        reasons.append("other programs use %.1f processors" % max(loads[-QUIET_READINGS:]))
    last = readings[-1]
    if last.throttled is not None and last.throttled & _NOW:
        reasons.append("the firmware reports %s" % " and ".join(words(last.throttled)))
    if last.cooling_state:
        reasons.append("the kernel slows the processor down against heat")
    temperatures = [reading.temperature_c for reading in readings if reading.temperature_c is not None]
    if temperatures and temperatures[-1] >= COOL_C and not at_its_floor(temperatures):
        reasons.append("%.0f °C%s" % (temperatures[-1], ", falling" if slope(temperatures) < FALLING_C_PER_S else ""))
    return reasons


def at_its_floor(temperatures: Sequence[float]) -> bool:
    """Whether a temperature, read once a second, has stopped falling."""
    recent = temperatures[-FLOOR_READINGS:]
    return len(recent) == FLOOR_READINGS and slope(recent) > FALLING_C_PER_S


def slope(values: Sequence[float]) -> float:
    """The slope of the least-squares line through values one second apart; 0 for fewer than two."""
    middle = (len(values) - 1) / 2
    spread = sum((index - middle) ** 2 for index in range(len(values)))
    return sum((index - middle) * value for index, value in enumerate(values)) / spread if spread else 0.0


def words(bits: int) -> List[str]:
    """What the firmware's bits of this moment mean."""
    names = {
        firmware.UNDER_VOLTAGE: "under-voltage",
        firmware.CAPPED: "a capped frequency",
        firmware.THROTTLED: "throttling",
        firmware.SOFT_LIMIT: "the soft temperature limit",
    }
    return [name for bit, name in names.items() if bits & bit]


def watched_in(readings: Sequence[Reading]) -> List[str]:
    """What of the state the device tells at all."""
    last = readings[-1]
    known = {
        "load": last.tells_load,
        "temperature": last.temperature_c is not None,
        "throttling": last.throttled is not None or last.cooling_state is not None,
    }
    return [name for name, there in known.items() if there]


def reader() -> Callable[[], Reading]:
    """Takes a reading at every call; the load counts from the call before, and what this process and its children use does not count."""
    before: List[Any] = [None, 0.0, 0.0]

    def read() -> Reading:
        ticks, now, own = processor_ticks(), time.monotonic(), sum(os.times()[:4])
        others = None
        if before[0] is not None and ticks is not None and now > before[1]:
            busy_s = (ticks[0] - before[0][0]) / os.sysconf("SC_CLK_TCK")
            others = max(busy_s - (own - before[2]), 0.0) / (now - before[1])
        before[:] = ticks, now, own
        return Reading(others, temperature_c(), _bits_now(), clocks.cooling_state(), ticks is not None)

    return read


def _bits_now() -> Optional[int]:
    bits = [value for value in (firmware.throttled(), firmware.throttled_by_kernel()) if value is not None]
    weak = firmware.under_voltage()
    if not bits and weak is None:
        return None
    return sum({bit for value in bits for bit in (1, 2, 4, 8) if value & bit} | ({firmware.UNDER_VOLTAGE} if weak else set()))


def _too_few(readings: Sequence[Reading]) -> bool:
    """Whether the load has not been watched for long enough; where it is not told, one reading is enough."""
    return readings[-1].tells_load and sum(reading.others_cpu is not None for reading in readings) < QUIET_READINGS


def _write(document: Dict[str, Any]) -> None:
    sys.stdout.write(to_line(document))
    sys.stdout.flush()
