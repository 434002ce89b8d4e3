"""Drives a device: it comes to rest, a trial of every artifact, then block after block until the ratios are known or the budget is spent."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from device_bench.records import Block, ReplicateSample, Samples
from dsmobile.benchmark.calls import Calls
from dsmobile.benchmark.conditions import BUSY_CPU
from dsmobile.benchmark.plan import LEAST_BLOCKS, Cost, Pace, blocks_per_call, orders, pace
from dsmobile.benchmark.process import median_ns, paired, replicate_of
from dsmobile.benchmark.result import Replicate
from dsmobile.benchmark.statistics import PILOT_BLOCKS, log_ratio, precise
from dsmobile.benchmark.subjects import Subject
from dsmobile.devices.device import Device

BUDGET_SPENT, PRECISION_REACHED = "budget", "precision"
PATIENCE_SHARE, MOST_PATIENCE_S = 0.5, 120.0
HOT_C = 75.0

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Measured:
    """What a device answered.

    Args:
        samples: All of it, the trial included.
        blocks: How many blocks were run.
        pace: How each process measured; None where that is not known.
        elapsed_s: How long all of it took.
        stopped_by: `precision` where everything was known well enough, `budget` where the time was spent, or what else ended it.
        rests: What came of waiting for a quiet and cool device, each time: see `Device.settle`.
    """

    samples: Samples
    blocks: int
    pace: Pace | None
    elapsed_s: float
    stopped_by: str
    rests: tuple[dict[str, Any], ...] = ()


class Rest:
    """Waits for a quiet and cool device, with a patience that all waiting together may use up.

    Args:
        device: Which.
        calls: Calls of the harness, whose journal keeps what comes of it.
        patience_s: Seconds for all of it.
        say: Told what is being waited for.
    """

    def __init__(self, device: Device, calls: Calls, patience_s: float, say: Callable[[str], None]) -> None:
        """Takes note."""
        self._device = device
        self._calls = calls
        self._say = say
        self._left_s = patience_s
        self.taken: list[dict[str, Any]] = []

    @property
    def waited_s(self) -> float:
        """How long the waiting took so far."""
        return sum(float(rest["waited_s"]) for rest in self.taken)

    def take(self) -> bool:
        """Waits, unless the patience is spent.

        Returns:
            Whether it waited.
        """
        if self._left_s <= 0:
            return False
        begun = time.monotonic()
        rest = {key: value for key, value in self._device.settle(self._left_s, self._say).items() if key != "last"}
        rest["waited_s"] = min(float(rest["waited_s"]), time.monotonic() - begun)  # by this clock, whatever the device says
        self._left_s -= time.monotonic() - begun
        self.taken.append(rest)
        self._calls.note("rest", rest)
        return True

    def needed(self, replicates: Sequence[ReplicateSample]) -> bool:
        """Whether most of some processes were disturbed by other programs, or a device that throttles itself came close to doing so."""
        busy = [replicate for replicate in replicates if (replicate.loop.get("others_cpu") or 0.0) > BUSY_CPU]
        last = replicates[-1].conditions if replicates else {}
        hot = last.get("throttled") is not None and (last.get("temperature_c") or 0.0) >= HOT_C
        return len(busy) > len(replicates) / 2 or hot


def measure(
    device: Device,
    subjects: Sequence[Subject],
    compared: Sequence[tuple[int, int]],
    calls: Calls,
    *,
    budget_s: float,
    seed: int,
    progress: Progress,
) -> Measured:
    """Measures artifacts in randomised blocks.

    Args:
        device: Where.
        subjects: The files.
        compared: Pairs of indices into them, whose ratios are wanted; of what is in no pair, the latency is.
        calls: Calls of the harness.
        budget_s: Seconds for all of it, unless everything is known well enough before; at least three blocks are run in any case. Waiting for
            a quiet and cool device does not count, and takes half as long again at most.
        seed: Of the order within the blocks.
        progress: Told at the ends of blocks, when nothing is being timed.

    Raises:
        ModelError: The runtime cannot run a file.
        DeviceError: The device failed.
    """
    begun = time.monotonic()
    rest = Rest(device, calls, min(PATIENCE_SHARE * budget_s, MOST_PATIENCE_S), lambda text: progress(text, 0.0))
    rest.take()

    def spent_s() -> float:
        return time.monotonic() - begun - rest.waited_s

    progress("trying every artifact once", 0.0)
    trial, call_s = calls.trial(subjects)
    chosen = pace(budget_s - spent_s(), call_s, [_cost(replicate) for replicate in trial])
    calls.plan = replace(calls.plan, measure_s=chosen.measure_s, min_count=chosen.min_count, max_count=chosen.max_count, timeout_s=chosen.timeout_s)
    sequence = orders(seed, len(subjects))
    replicates: list[ReplicateSample] = []
    blocks, block_s, before_s, stopped_by = 0, chosen.block_s, spent_s(), BUDGET_SPENT
    while True:
        left_s = budget_s - spent_s()
        if blocks >= LEAST_BLOCKS and block_s > left_s:
            break
        several = blocks_per_call(left_s, block_s) if left_s > 0 else 1
        latest = calls.run([Block(index, next(sequence)) for index in range(blocks, blocks + several)])
        replicates += latest
        blocks += several
        block_s = (spent_s() - before_s) / blocks
        known = wanted(replicates, compared, len(subjects))
        progress(_blocks_done(blocks, known), min(spent_s() / budget_s, 1.0))
        if all(precise(*medians) for medians in known):
            stopped_by = PRECISION_REACHED
            break
        if rest.needed(latest) and spent_s() < budget_s and rest.take():
            calls.warm_up(len(subjects))  # the device has cooled down
    return Measured(calls.samples(), blocks, chosen, time.monotonic() - begun, stopped_by, tuple(rest.taken))


def wanted(samples: Sequence[ReplicateSample], compared: Sequence[tuple[int, int]], artifacts: int) -> list[tuple[list[float], list[float]]]:
    """What the run is to find: each pair's medians in the blocks that measured both, and the medians, over one, of what is in no pair.

    Args:
        samples: Processes.
        compared: Pairs of artifacts.
        artifacts: How many artifacts there are.

    Returns:
        Numerators and denominators, one pair of lists for each.
    """
    done: list[list[Replicate]] = [[] for _ in range(artifacts)]
    for sample in samples:
        if not sample.error:
            done[sample.artifact].append(replicate_of(sample))
    pairs = [paired(done[a], done[b], median_ns) for a, b in compared]
    alone = [done[index] for index in range(artifacts) if all(index not in pair for pair in compared)]
    return pairs + [([replicate.median_ns for replicate in group], [1.0] * len(group)) for group in alone]


def _blocks_done(blocks: int, known: Sequence[tuple[list[float], list[float]]]) -> str:
    """How many blocks, and how well the least known figure is known."""
    widths = [log_ratio(*medians, pilot=PILOT_BLOCKS).half_width for medians in known if len(medians[0]) >= PILOT_BLOCKS]
    return f"{blocks} blocks measured" + (f", known to ±{100 * max(widths):.1f}%" if widths else "")


def _cost(replicate: ReplicateSample) -> Cost:
    one = replicate_of(replicate)
    timed_ns = sum(replicate.latency_ns)
    extra_ns = replicate.unoptimised.wall_ns if replicate.unoptimised else 0  # which only the trial spends
    return Cost(max(replicate.wall_ns - timed_ns - extra_ns, 0) / 1e9, (statistics.median(replicate.latency_ns) if timed_ns else one.median_ns) / 1e9)
