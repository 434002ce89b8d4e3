"""The figures in the lines of the native `benchmark_model`: read as they stand, compared at the precision they are printed in, and summed up.

A line that two writers mixed up, or that a terminal broke, holds numbers that nobody printed: figures that contradict one another are refused.

Source: tensorflow/lite/tools/benchmark/benchmark_model.cc, tsl/util/stats_calculator.h, litert/tools/benchmark_litert_model.h.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Dict, Mapping, Optional

from .reading import DAY_NS
from .records import Summary

NUMBER = r"(-?(?:[0-9]{1,18}(?:\.[0-9]{1,18})?(?:e[+-]?[0-9]{1,3})?|nan|inf))(?![0-9A-Za-z.])"
_COUNT = re.compile(r"\bcount=([0-9]{1,12}) (?=first=|curr=)")
_FIELD = re.compile(r"\b(first|curr|min|max|avg|std|p5|median|p95)=" + NUMBER)
_PROFILE = re.compile(r"(?:Timings \(microseconds\)|Memory \(bytes\)):")
_NAMES = {"mean_ns": "avg", "median_ns": "median", "min_ns": "min", "max_ns": "max", "std_ns": "std", "p5_ns": "p5", "p95_ns": "p95"}
_IN_ORDER = (("min", "p5", "median", "p95", "max"), ("min", "avg", "max"))
US, MS = 1000, 1000000
"""Nanoseconds in a microsecond and in a millisecond."""


class FiguresError(ValueError):
    """The figures of a run cannot be what the tool printed."""


def statistics_of(line: str) -> Optional[Dict[str, str]]:
    """The statistics in a line, as they stand in the text.

    Args:
        line: One that may hold `count=50 first=... avg=...`.

    Returns:
        `count` and the fields; None where there are none, or where they are those of the operator profile.

    Raises:
        FiguresError: The line is broken: the mean is missing.
    """
    counted = _COUNT.search(line)
    if not counted or _PROFILE.search(line):
        return None
    texts = {"count": counted[1], **dict(_FIELD.findall(line))}
    if int(counted[1]) == 0:
        return None
    if "avg" not in texts and "curr" in texts and (counted[1] == "1" or "(all same)" in line):
        value = texts["curr"]
        texts = {**texts, "avg": value, "median": value, "min": value, "max": value}
    if "avg" not in texts:
        raise FiguresError("a line of its figures is broken")
    return texts


def same(one: str, other: str, scale: int = 1) -> bool:
    """Whether two texts can be the same number, the coarser of them rounded: 3512391 and 3.51239e+06.

    Args:
        one: A number.
        other: Another, `scale` times as large as it says.
        scale: Such as 1000 for milliseconds among microseconds.
    """
    first, second = value_of(one), value_of(other)
    if first is None or second is None:
        return False
    step = max(step_of(one), step_of(other) * scale)
    return abs(first - second * scale) <= step * Decimal("0.5001")


def value_of(text: Optional[str]) -> Optional[Decimal]:
    """A number that is finite and not below zero; None for any other."""
    if text is None or text.lstrip("-") in ("nan", "inf") or text.startswith("-"):
        return None
    return Decimal(text)


def step_of(text: str) -> Decimal:
    """What the last digit of a number is worth: 10 for 2.71985e+06."""
    exponent = Decimal(text).as_tuple().exponent
    return Decimal(10) ** exponent if isinstance(exponent, int) else Decimal(1)


def duration_ns(text: Optional[str], unit: int) -> Optional[float]:
    """A duration; None where it is not told, is zero, or is longer than a day."""
    value = value_of(text)
    return float(value * unit) if value is not None and 0 < value * unit <= DAY_NS else None


def summary_of(tool: str, texts: Mapping[str, str], unit: int, count: Optional[int]) -> Summary:
    """Sums up a run.

    Args:
        tool: `tflite` or `litert`.
        texts: `avg`, and what else is known of `median`, `min`, `max`, `std`, `p5`, `p95`.
        unit: Nanoseconds in a unit of theirs.
        count: How many inferences; None where it is not told.

    Raises:
        FiguresError: They contradict one another, or are none.
    """
    if count == 0 or value_of(texts["avg"]) is None:
        raise FiguresError("it timed no inference")
    for names in _IN_ORDER:
        _check_order({name: texts[name] for name in names if name in texts})
    figures = {name: _figure(texts.get(word), unit) for name, word in _NAMES.items()}
    statistic = "median" if figures["median_ns"] else "avg"
    latency_ns = figures["median_ns"] or figures["mean_ns"]
    if not latency_ns:
        raise FiguresError("an inference is shorter than the tool can print")
    if not 1 <= latency_ns <= DAY_NS:
        raise FiguresError("%s is no latency" % texts[statistic])
    return Summary(
        tool=tool,
        statistic="median" if statistic == "median" else "mean",
        latency_ns=latency_ns,
        count=count,
        resolution_ns=float(step_of(texts[statistic]) * unit),
        **figures,
    )


def _figure(text: Optional[str], unit: int) -> Optional[float]:
    value = value_of(text)
    return float(value * unit) if value is not None and value * unit <= DAY_NS else None


def _check_order(texts: Mapping[str, str]) -> None:
    """Proves that each figure is no larger than the next, but for what printing them rounded off."""
    before = ""
    for name in (name for name in texts if value_of(texts[name]) is not None):
        if before and Decimal(texts[before]) > Decimal(texts[name]) + max(step_of(texts[before]), step_of(texts[name])):
            raise FiguresError("its figures contradict one another: %s is %s, %s is %s" % (before, texts[before], name, texts[name]))
        before = name
