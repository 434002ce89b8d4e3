"""`bench --sustained`: what heat does to a latency, first minute against last."""

from __future__ import annotations

import functools
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from device_bench.records import Block, Moment, ReplicateSample
from dsmobile.benchmark.calls import Calls
from dsmobile.benchmark.measure import MOST_PATIENCE_S, Measured, Progress, Rest
from dsmobile.benchmark.process import replicate_of
from dsmobile.benchmark.result import Replicate, Second, Sustained
from dsmobile.benchmark.statistics import unlike_ratio
from dsmobile.benchmark.subjects import Subject
from dsmobile.benchmark.verdict import verdict
from dsmobile.devices.device import Device
from dsmobile.errors import DeviceError, UsageError

WINDOW_S = 60.0
BATCHES, LEAST_S, MOST_S = 6, 60.0, 24 * 3600.0
SUSTAINED = "sustained"
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def duration_s(text: str) -> float:
    """Reads `10m`, `90`, `90s`, `1.5h`.

    Raises:
        UsageError: It is no duration, shorter than a minute, or longer than a day.
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(s|m|min|h|)\s*", text)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not LEAST_S <= seconds <= MOST_S:
        raise UsageError(f"--sustained {text!r} is no duration from a minute to a day", "give one such as 10m or 1h; what is shorter heats nothing")
    return seconds


def run_sustained(device: Device, subjects: Sequence[Subject], calls: Calls, *, seconds: float, progress: Progress) -> Measured:
    """Runs each artifact without a pause, one after the other, each from a quiet and cool device.

    Args:
        device: Where.
        subjects: The files.
        calls: Calls of the harness.
        seconds: How long each.
        progress: Told before each.

    Raises:
        ModelError: The runtime cannot run a file.
        DeviceError: The device failed.
    """
    begun = time.monotonic()
    calls.trial(subjects)
    rests: list[dict[str, Any]] = []
    for index, subject in enumerate(subjects):
        share = index / len(subjects)
        rest = Rest(device, calls, min(seconds, MOST_PATIENCE_S), functools.partial(_said, progress, share))
        rest.take()
        rests += rest.taken
        progress(f"{subject.path.name} runs without a pause for {seconds:g} s", share)
        calls.run([Block(0, (index,))], sustained_s=seconds)
    return Measured(calls.samples(), 1, None, time.monotonic() - begun, SUSTAINED, tuple(rests))


def _said(progress: Progress, share: float, text: str) -> None:
    progress(text, share)


def over_time(path: str, moments: Sequence[Moment]) -> Sustained:
    """The beginning and the end of a run without a pause: a minute each, or a third of a shorter run.

    Args:
        path: The artifact's.
        moments: What it told, in order.

    Raises:
        DeviceError: There is too little of it.
    """
    total_s = moments[-1].at_s if moments else 0.0
    window = min(WINDOW_S, total_s / 3)
    starts = [0.0, *(moment.at_s for moment in moments)]
    first = [moment for moment in moments if moment.at_s <= window + 0.5]
    last = [moment for start, moment in zip(starts, moments, strict=False) if start >= total_s - window - 0.5]
    ends = [batches(part) for part in (first, last)]
    if min(map(len, ends)) < 2:
        raise DeviceError(f"{path} ran for {total_s:.1f} s, which has no beginning and end to compare", "let it run longer with --sustained")
    ratio = unlike_ratio(ends[1], ends[0])
    return Sustained(
        path=path,
        seconds=tuple(_second(moment) for moment in moments),
        window_s=window,
        first_ns=statistics.median(moment.median_ns for moment in first),
        last_ns=statistics.median(moment.median_ns for moment in last),
        slowdown=ratio.ratio,
        slowdown_interval=ratio.interval,
        verdict=verdict((1 / ratio.interval[1], 1 / ratio.interval[0])),
        minimum_detectable=ratio.minimum_detectable,
    )


def replicate_over_time(sample: ReplicateSample, moments: Sequence[Moment]) -> Replicate:
    """The process in a result: its median is that of the whole run, its single inferences those of the beginning."""
    values = sorted((moment.median_ns, moment.count) for moment in moments)
    half, seen = sum(count for _, count in values) / 2, 0
    median = values[-1][0]
    for value, count in values:
        seen += count
        if seen >= half:
            median = value
            break
    return replace(replicate_of(sample), median_ns=median)


def batches(moments: Sequence[Moment]) -> list[float]:
    """Medians of sixths of it, ten seconds of a minute: neighbouring seconds are alike, neighbouring batches hardly."""
    size_s = (moments[-1].at_s - moments[0].at_s) / BATCHES if len(moments) > BATCHES else 0.0
    groups: list[list[float]] = [[]]
    begins_s = moments[0].at_s if moments else 0.0
    for moment, after in pairwise([*moments, None]):
        assert moment is not None  # noqa: S101
        groups[-1].append(moment.median_ns)
        if after is not None and after.at_s - begins_s >= size_s:
            groups.append([])
            begins_s = after.at_s
    return [statistics.median(group) for group in groups if group]


def _second(moment: Moment) -> Second:
    told = moment.conditions
    return Second(
        moment.at_s, moment.count, moment.median_ns, moment.p90_ns, told.get("frequency_khz"), told.get("temperature_c"), told.get("throttled")
    )
