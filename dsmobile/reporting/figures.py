"""Numbers as people read them: a unit, and no more digits than the interval supports."""

from __future__ import annotations

import math
from dataclasses import dataclass

NONE = "–"
"""What stands where a value is not known."""


@dataclass(frozen=True)
class Unit:
    """A unit and how many base units (nanoseconds, instructions, bytes) it holds."""

    name: str
    size: float


TIMES = (Unit("s", 1e9), Unit("ms", 1e6), Unit("µs", 1e3), Unit("ns", 1.0))
COUNTS = (Unit("G instr.", 1e9), Unit("M instr.", 1e6), Unit("k instr.", 1e3), Unit("instr.", 1.0))
BYTES = (Unit("GB", 1e9), Unit("MB", 1e6), Unit("kB", 1e3), Unit("B", 1.0))
MACS = (Unit("G", 1e9), Unit("M", 1e6), Unit("k", 1e3), Unit("", 1.0))


def cost_units(metric: str) -> tuple[Unit, ...]:
    """The units of a result's main figure: instructions of an emulated device are never shown as a time."""
    return COUNTS if metric == "instructions" else TIMES


def unit_for(value: float, units: tuple[Unit, ...]) -> Unit:
    """The largest unit in which the value is at least 1; the smallest where there is none."""
    return next((unit for unit in units if abs(value) >= unit.size), units[-1])


def quantity(value: float | None, units: tuple[Unit, ...]) -> str:
    """A value with three significant digits and its unit."""
    if value is None or not math.isfinite(value):
        return NONE
    unit = unit_for(value, units)
    scaled = value / unit.size
    return f"{scaled:.{_decimals(scaled, 0.0)}f} {unit.name}".rstrip()


def estimate(value: float, interval: tuple[float, float], unit: Unit) -> tuple[str, str]:
    """A value and its interval in one unit, with as many decimals as tell the interval's ends apart.

    Returns:
        `("13.71 ms", "13.66 to 13.76 ms")`; a dash for each that is not finite.
    """
    low, high = (end / unit.size for end in interval)
    scaled = value / unit.size
    sound = math.isfinite(low) and math.isfinite(high)
    decimals = _decimals(scaled, (high - low) / 2 if sound else 0.0)
    space = "" if unit.name == "×" else " "
    first = f"{scaled:.{decimals}f}{space}{unit.name}".rstrip() if math.isfinite(scaled) else NONE
    second = f"{low:.{decimals}f} to {high:.{decimals}f}{space}{unit.name}".rstrip() if sound else NONE
    return first, second


def ratio(value: float, interval: tuple[float, float]) -> tuple[str, str]:
    """A ratio and its interval: `("8.33×", "8.21 to 8.45×")`."""
    return estimate(value, interval, Unit("×", 1.0))


def percent(fraction: float | None) -> str:
    """A fraction as a percentage: one decimal below 10%, none above."""
    if fraction is None or not math.isfinite(fraction):
        return NONE
    return f"{100 * fraction:.{1 if abs(fraction) < 0.0995 else 0}f}%"


def _decimals(value: float, half_width: float) -> int:
    if not math.isfinite(value):
        return 0
    wanted = 2 - math.floor(math.log10(abs(value))) if value else 0
    if half_width > 0:
        wanted = max(wanted, -math.floor(math.log10(half_width)))
    return min(max(wanted, 0), 4)
