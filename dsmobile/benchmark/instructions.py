"""On a machine whose clock counts instructions: a few processes in one boot, for they repeat to a fraction of a percent."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice

from device_bench.records import Block
from dsmobile.benchmark.calls import TRIAL_TIMEOUT_S, Calls
from dsmobile.benchmark.measure import Measured, Progress
from dsmobile.benchmark.plan import orders
from dsmobile.benchmark.subjects import Subject
from dsmobile.errors import DeviceError

LATENCY, INSTRUCTIONS = "latency", "instructions"
BLOCKS, COUNT = 3, 3
REPEATS_TO = 0.01  # from one boot to another; the processes of one boot are more alike than that


def count_instructions(subjects: Sequence[Subject], calls: Calls, *, seed: int, progress: Progress) -> Measured:
    """Runs three blocks, each process with three inferences after the first.

    Args:
        subjects: The files.
        calls: Calls of the harness.
        seed: Of the order within the blocks.
        progress: Told before and after.

    Raises:
        DeviceError: The machine or a process failed.
    """
    begun = time.monotonic()
    progress(f"booting a machine and running {BLOCKS} blocks in it, which takes minutes for a large network", 0.0)
    blocks = [Block(index, order) for index, order in enumerate(islice(orders(seed, len(subjects)), BLOCKS))]
    replicates = calls.run(blocks, measure_s=0.0, min_count=COUNT, max_count=COUNT, timeout_s=TRIAL_TIMEOUT_S)
    for replicate in replicates:
        if replicate.error:
            raise DeviceError(
                f"{subjects[replicate.artifact].path.name} cannot be run there: {replicate.error}", "check the file with `--device local`"
            )
    progress("done", 1.0)
    return Measured(calls.samples(), BLOCKS, None, time.monotonic() - begun, INSTRUCTIONS)
