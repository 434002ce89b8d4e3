"""How long and in which order: randomised blocks, and processes as long as the budget lets at least eight blocks be."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MOST_MEASURE_S, LEAST_MEASURE_S = 1.0, 0.2
ENOUGH_BLOCKS = 8  # of fewer, a t interval is wide and an interval of the median reaches 95% only as the whole range
LEAST_BLOCKS = 3
MOST_COUNT, LEAST_COUNT = 20, 5  # of the least number of inferences in a process
INFERENCES = 1000
_CALL_S = 4.0
_BLOCKS_PER_CALL = 16


@dataclass(frozen=True)
class Cost:
    """What a trial showed of an artifact.

    Args:
        overhead_s: A process's time besides its timed inferences: starting, importing, loading.
        inference_s: One inference.
    """

    overhead_s: float
    inference_s: float


@dataclass(frozen=True)
class Pace:
    """How a process measures.

    Args:
        measure_s: Seconds of inferences.
        min_count: At least so many of them.
        max_count: At most so many.
        timeout_s: When a process counts as stuck.
        block_s: What a block of all artifacts is expected to take.
    """

    measure_s: float
    min_count: int
    max_count: int
    timeout_s: float
    block_s: float


def orders(seed: int, count: int) -> Iterator[tuple[int, ...]]:
    """The order of the artifacts in one block after another, without end.

    Args:
        seed: Equal seeds give equal orders.
        count: How many artifacts.
    """
    generator = random.Random(seed)  # noqa: S311
    while True:
        order = list(range(count))
        generator.shuffle(order)
        yield tuple(order)


def pace(left_s: float, call_s: float, costs: Sequence[Cost]) -> Pace:
    """Processes of 0.2 to 1 s and 20 inferences, shorter where eight blocks would not fit otherwise, but of 5 inferences at the least.

    Args:
        left_s: What is left of the budget.
        call_s: What calling the harness costs.
        costs: Of each artifact.
    """
    overhead_s = (sum(cost.overhead_s for cost in costs) + call_s) / len(costs)
    measure_s = min(max(left_s / (ENOUGH_BLOCKS * len(costs)) - overhead_s, LEAST_MEASURE_S), MOST_MEASURE_S)
    for min_count in range(MOST_COUNT, LEAST_COUNT - 1, -1):
        seconds = [cost.overhead_s + max(measure_s, min_count * cost.inference_s) for cost in costs]
        if ENOUGH_BLOCKS * (sum(seconds) + call_s) <= left_s:
            break
    return Pace(measure_s, min_count, INFERENCES, max(60.0, 20.0 * max(seconds)), sum(seconds) + call_s)


def blocks_per_call(left_s: float, block_s: float) -> int:
    """How many blocks one call of the harness runs: about four seconds' worth, so that calls cost little and Ctrl-C loses little.

    Args:
        left_s: What is left of the budget.
        block_s: What a block takes.
    """
    return max(1, min(int(min(_CALL_S, left_s) / block_s), _BLOCKS_PER_CALL))
