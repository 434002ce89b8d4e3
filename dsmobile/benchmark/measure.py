"""Drives a device: a trial of every artifact, then block after block until the budget is spent; every sample kept as it comes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, TextIO

from device_bench.records import Block, PlannedArtifact, ReplicateSample, RunPlan, Samples, read_samples, to_line
from dsmobile.benchmark.plan import LEAST_BLOCKS, Cost, Pace, blocks_per_call, orders, pace
from dsmobile.benchmark.process import median_ns, paired, replicate_of
from dsmobile.benchmark.result import Replicate
from dsmobile.benchmark.statistics import PILOT_BLOCKS, log_ratio, precise
from dsmobile.benchmark.subjects import Subject
from dsmobile.devices.device import Device
from dsmobile.errors import DeviceError, ModelError

TRIAL_TIMEOUT_S = 300.0
BUDGET_SPENT, PRECISION_REACHED = "budget", "precision"
_TRIAL = -1
_NOT_INSTALLED = ("ImportError", "ModuleNotFoundError")

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Measured:
    """What a device answered within the budget.

    Args:
        samples: All of it, the trial included.
        blocks: How many blocks were run.
        pace: How each process measured.
        elapsed_s: How long all of it took.
        stopped_by: `precision` where every ratio was known well enough, `budget` where the time was spent.
    """

    samples: Samples
    blocks: int
    pace: Pace
    elapsed_s: float
    stopped_by: str


def measure(
    device: Device,
    subjects: Sequence[Subject],
    artifacts: Sequence[PlannedArtifact],
    compared: Sequence[tuple[int, int]],
    *,
    threads: int,
    budget_s: float,
    seed: int,
    journal: Path,
    progress: Progress,
) -> Measured:
    """Measures artifacts in randomised blocks.

    Args:
        device: Where.
        subjects: The files.
        artifacts: How each is run on the device, in the same order.
        compared: Pairs of indices into them, whose ratios are wanted; of what is in no pair, the latency is.
        threads: Threads of the runtime.
        budget_s: Seconds for all of it, unless the ratios are known well enough before; at least three blocks are run in any case.
        seed: Of the order within the blocks.
        journal: Where each sample is appended as it comes (JSON Lines).
        progress: Told at the ends of blocks, when nothing is being timed.

    Raises:
        ModelError: The runtime cannot run a file.
        DeviceError: The device failed.
    """
    started = time.monotonic()
    with journal.open("w", encoding="utf-8") as file:
        call = _Calls(device, file, RunPlan(tuple(artifacts), (), threads=threads))
        progress("trying every artifact once", 0.0)
        call_s = call.trial(subjects)
        trial = read_samples(journal.read_text(encoding="utf-8"))
        chosen = pace(budget_s - (time.monotonic() - started), call_s, [_cost(replicate) for replicate in trial.replicates])
        call.plan = replace(call.plan, measure_s=chosen.measure_s, min_count=chosen.min_count, max_count=chosen.max_count, timeout_s=chosen.timeout_s)
        sequence = orders(seed, len(artifacts))
        replicates: list[ReplicateSample] = []
        blocks, block_s, begun, stopped_by = 0, chosen.block_s, time.monotonic(), BUDGET_SPENT
        while True:
            left_s = budget_s - (time.monotonic() - started)
            if blocks >= LEAST_BLOCKS and block_s > left_s:
                break
            several = blocks_per_call(left_s, block_s) if left_s > 0 else 1
            replicates += call.run([Block(index, next(sequence)) for index in range(blocks, blocks + several)])
            blocks += several
            block_s = (time.monotonic() - begun) / blocks
            known = wanted(replicates, compared, len(artifacts))
            progress(_blocks_done(blocks, known), min((time.monotonic() - started) / budget_s, 1.0))
            if all(precise(*medians) for medians in known):
                stopped_by = PRECISION_REACHED
                break
    return Measured(read_samples(journal.read_text(encoding="utf-8")), blocks, chosen, time.monotonic() - started, stopped_by)


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


class _Calls:
    """Calls of the harness, whose lines go to one journal with one header."""

    def __init__(self, device: Device, journal: TextIO, plan: RunPlan) -> None:
        self.plan = plan
        self._device = device
        self._journal = journal
        self._lines = count()

    def run(self, blocks: Sequence[Block]) -> list[ReplicateSample]:
        """Runs some blocks; returns their replicates."""
        replicates = []

        def keep(document: dict[str, Any]) -> None:
            kind = document.get("kind")
            if kind == "replicate":
                replicates.append(ReplicateSample.from_json(document))
            if kind in ("replicate", "conditions") or (kind == "header" and next(self._lines) == 0):
                self._journal.write(to_line(document))
                self._journal.flush()

        self._device.measure(replace(self.plan, blocks=tuple(blocks)), keep)
        if len(replicates) != sum(len(block.order) for block in blocks):
            raise DeviceError("the device stopped answering before its blocks were done", "measure again")
        return replicates

    def trial(self, subjects: Sequence[Subject]) -> float:
        """Runs every artifact once, briefly; returns what a call costs besides its processes, in seconds."""
        full, self.plan = self.plan, replace(self.plan, measure_s=0.1, min_count=3, max_count=100, timeout_s=TRIAL_TIMEOUT_S)
        started = time.monotonic()
        replicates = self.run([Block(_TRIAL, tuple(range(len(subjects))))])
        elapsed_s = time.monotonic() - started
        self.plan = full
        for replicate in replicates:
            if replicate.error:
                raise _cannot_run(subjects[replicate.artifact], replicate.error)
        return max(elapsed_s - sum(replicate.wall_ns for replicate in replicates) / 1e9, 0.0)


def _cost(replicate: ReplicateSample) -> Cost:
    timed_ns = sum(replicate.latency_ns)
    return Cost(max(replicate.wall_ns - timed_ns, 0) / 1e9, statistics.median(replicate.latency_ns) / 1e9)


def _cannot_run(subject: Subject, error: str) -> DeviceError | ModelError:
    if error.startswith(_NOT_INSTALLED):
        return DeviceError(
            f"the device's runtime for {subject.path.name} does not load: {error}",
            "install it again there, in a version that fits its Python",
        )
    if "did not finish within" in error or "SIGKILL" in error:
        return DeviceError(f"{subject.path.name} cannot be measured there: {error}", "use a device with more memory, or a smaller model")
    return ModelError(f"{subject.path} cannot be run: {error}", "check the file: the runtime refuses it")
