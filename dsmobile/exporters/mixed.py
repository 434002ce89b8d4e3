"""The recipe `mixed`: the fewest layers in float32 that keep the loss of top-1 within a bound, and what they cost.

The loss is the one to expect on the calibration inputs if the network's own probabilities are right: it needs no labels. Layers are tried in the
order of the noise that their integers alone bring to the logits: bisection finds how many of the first are enough, then each is tried without.
Integers stay those of the corrected plan; biases are corrected anew, since what they take back has changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.errors import ConversionError, UsageError
from dsmobile.exporters import tflite
from dsmobile.exporters.calibration import Inputs, Sample, spread_over
from dsmobile.exporters.correction import correct
from dsmobile.exporters.folded import FoldedModel
from dsmobile.exporters.plan import Plan
from dsmobile.exporters.planning import integer_plan, with_weights
from dsmobile.exporters.quantization import Range
from dsmobile.exporters.runners import LiteRTRunner
from dsmobile.exporters.sensitivity import expected_drop, expected_drops, integer_layers, left_in_float, noise_of_each

ORDERED_BY = 32  # inputs that set the order in which layers are tried
CORRECTED_BY = 16  # inputs for the biases while layers are tried; all of them in the end
JUDGED_BY = 128
JUDGED_BYTES = 512 << 20
MOST_WITHOUT = 24  # layers of the set that are tried without: the least noisy ones, which most likely can go
CHUNK = 32
PAIRS = 50
FEWEST_PAIRS = 10
PAIRS_S = 4.0
Floats = npt.NDArray[np.float32]
Run = Callable[[list[Sample]], Floats]


@dataclass(frozen=True, eq=False)
class Base:
    """A network's plan with all layers in integers, and what it was made from.

    Args:
        model: The network, lowered.
        ranges: The range of every value.
        plan: With all layers in integers.
        corrected: Whether its biases were corrected.
        bound: The largest integer of a weight.
        everywhere: Whether operators that are faster in float32 compute in integers too.
        wide_logits: Whether a dense layer that gives an output of the network gives it in float32.
    """

    model: FoldedModel
    ranges: dict[str, Range]
    plan: Plan
    corrected: bool
    bound: int
    everywhere: bool
    wide_logits: bool = False

    def without(self, layers: Iterable[str]) -> Plan:
        """The plan with these layers in float32, and what lies between them; the others keep their integers."""
        return self.leaving(left_in_float(self.model, layers))

    def leaving(self, nodes: frozenset[str]) -> Plan:
        """The plan with these nodes in float32; layers keep their integers, and biases are as in the network."""
        fresh = integer_plan(self.model, self.ranges, bound=self.bound, wide=nodes, everywhere=self.everywhere, wide_logits=self.wide_logits)
        kept = {
            name: self.plan.weights[name] if np.array_equal(self.plan.weights[name].scales, weights.scales) else weights
            for name, weights in fresh.weights.items()
        }
        return with_weights(fresh, kept)


@dataclass(frozen=True)
class Cost:
    """What layers in float32 cost.

    Args:
        extra_bytes: Of the TFLite file, over the one with all layers in integers.
        latency_ratio: Latency over that one's, in LiteRT here, one thread: the median of the ratios of pairs that ran one after the other.
        pairs: On how many pairs it rests.
    """

    extra_bytes: int
    latency_ratio: float
    pairs: int


def search(
    base: Base, inputs: Inputs, taking_part: Callable[[], Iterator[Sample]], max_drop: float, run_float: Run, run_plan: Callable[[Plan], Run]
) -> tuple[Plan, dict[str, Any]]:
    """Finds the fewest layers to leave in float32.

    Args:
        base: With all layers in integers.
        inputs: The calibration inputs.
        taking_part: Those that correct biases.
        max_drop: Points of top-1 that may be lost.
        run_float: What the network gives in float, shape (count, numbers).
        run_plan: What a plan's file gives.

    Returns:
        The plan, and what a manifest says of it.

    Raises:
        UsageError: The network is no classifier.
        ConversionError: Not even all layers in float32 keep the loss within the bound.
    """
    require_classifier(base.model)
    size = sum(4 * int(np.prod(value.shape)) for value in base.model.inputs)
    judging = list(spread_over(inputs, max(1, min(JUDGED_BY, JUDGED_BYTES // size))))
    reference = run_float(judging)
    int8_drop = expected_drop(reference, run_plan(base.plan)(judging))
    tried = _Trials(base, list(islice(taking_part(), CORRECTED_BY)), lambda plan: expected_drop(reference, run_plan(plan)(judging)), max_drop)
    chosen: list[str] = []
    if int8_drop > max_drop:
        few = judging[:: -(-len(judging) // ORDERED_BY)]
        noise = noise_of_each(base.plan, integer_layers(base.plan), base.leaving, lambda plan: run_plan(plan)(few), run_float(few))
        order = sorted(noise, key=lambda name: -noise[name])
        chosen = tried.fewer(tried.enough(order))
    plan, drops = _verified(base, inputs, taking_part, chosen, max_drop, run_float, run_plan, order if chosen else integer_layers(base.plan))
    floats = [name for name in integer_layers(base.plan) if name not in plan.weights]
    cost = cost_of(plan, base.plan, judging[0]) if floats else Cost(0, 1.0, 0)
    return plan, {
        "max_drop": max_drop,
        "expected_drop": round(float(drops.mean()), 3),
        "expected_drop_error": round(standard_error(drops), 3),
        "int8_expected_drop": round(int8_drop, 3),
        "float_layers": floats,
        "extra_bytes": cost.extra_bytes,
        "latency_ratio": round(cost.latency_ratio, 3),
        "latency_pairs": cost.pairs,
        "considered": tried.count + 1,
        "inputs": inputs.count,
    }


def require_classifier(model: FoldedModel) -> None:
    """Raises where top-1 means nothing.

    Raises:
        UsageError: There is no single output of two numbers or more.
    """
    shapes = [model.shape_of(name) for name in model.outputs]
    if len(shapes) != 1 or shapes[0][-1] < 2 or any(side != 1 for side in shapes[0][:-1]):
        what = f"{len(shapes)} outputs" if len(shapes) != 1 else f"an output of shape {shapes[0]}"
        raise UsageError(f"the recipe mixed bounds the loss of top-1, and {model.name} has {what}", "take --recipe int8 or int16x8 for this network")


class _Trials:
    """Sets of layers, each judged once."""

    def __init__(self, base: Base, correcting: list[Sample], judge: Callable[[Plan], float], max_drop: float) -> None:
        self.base, self.correcting, self.judge, self.max_drop = base, correcting, judge, max_drop
        self._drops: dict[frozenset[str], float] = {}

    @property
    def count(self) -> int:
        """How many sets were judged."""
        return len(self._drops)

    def drop(self, layers: Iterable[str]) -> float:
        """The loss to expect with these layers in float32, in points."""
        key = frozenset(layers)
        if key not in self._drops:
            self._drops[key] = self.judge(corrected(self.base, key, self.correcting))
        return self._drops[key]

    def enough(self, order: list[str]) -> list[str]:
        """As few of the first layers as bisection finds enough.

        Raises:
            ConversionError: All are not.
        """
        if self.drop(order) > self.max_drop:
            raise ConversionError(
                f"even with all {len(order)} layers of {self.base.model.name} in float32 the loss to expect is {self.drop(order):.2f} points of "
                f"top-1, more than {self.max_drop:g}",
                "what is lost is not in the layers' integers: give a larger --max-drop, or take --recipe float32",
            )
        too_few, enough = 0, len(order)
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            if self.drop(order[:middle]) <= self.max_drop:
                enough = middle
            else:
                too_few = middle
        return order[:enough]

    def fewer(self, layers: list[str]) -> list[str]:
        """The same without those that are not needed: each is tried without, the least noisy one first."""
        kept = list(layers)
        for layer in list(reversed(layers))[:MOST_WITHOUT]:
            rest = [name for name in kept if name != layer]
            if rest and self.drop(rest) <= self.max_drop:
                kept = rest
        return kept


def corrected(base: Base, layers: Iterable[str], correcting: Iterable[Sample]) -> Plan:
    """The plan with these layers in float32, its biases corrected where the base's are."""
    layers = list(layers)
    if not layers:
        return base.plan
    plan = base.without(layers)
    return correct(base.model, plan, correcting, rounding=False, bound=base.bound) if base.corrected else plan


def _verified(
    base: Base,
    inputs: Inputs,
    taking_part: Callable[[], Iterator[Sample]],
    chosen: list[str],
    max_drop: float,
    run_float: Run,
    run_plan: Callable[[Plan], Run],
    order: list[str],
) -> tuple[Plan, npt.NDArray[np.float64]]:
    """The plan with biases corrected on all inputs, and the loss to expect on each of them; layers are added until the mean holds the bound."""
    chosen = list(chosen)
    while True:
        plan = corrected(base, chosen, taking_part())
        run = run_plan(plan)
        drops = np.concatenate([expected_drops(run_float(part), run(part)) for part in _chunks(inputs.samples())])
        left = [name for name in order if name not in chosen]
        if drops.mean() <= max_drop or not left:
            return plan, drops
        chosen.append(left[0])


def standard_error(drops: npt.NDArray[np.float64]) -> float:
    """Of the mean of losses, in points; 0 where there is one only."""
    return float(drops.std(ddof=1)) / len(drops) ** 0.5 if len(drops) > 1 else 0.0


def _chunks(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    while part := list(islice(samples, CHUNK)):
        yield part


def cost_of(plan: Plan, base: Plan, sample: Sample) -> Cost:
    """What a plan costs over another, measured in one run, one inference of each after the other, each first half of the time."""
    files = tflite.write(plan), tflite.write(base)
    runners = [LiteRTRunner(Path("plan.tflite"), 1, data) for data in files]
    ratios: list[float] = []
    ends = time.perf_counter() + PAIRS_S
    while len(ratios) < PAIRS and (len(ratios) < FEWEST_PAIRS or time.perf_counter() < ends):
        taken = [0, 0]
        for place in (0, 1) if len(ratios) % 2 else (1, 0):
            began = time.perf_counter_ns()
            runners[place].run_sample(sample)
            taken[place] = time.perf_counter_ns() - began
        ratios.append(taken[0] / taken[1])
    return Cost(len(files[0]) - len(files[1]), median(ratios), len(ratios))


def note(correction: dict[str, Any]) -> str:
    """What a person must know of a mixed file, by its manifest's `correction`; empty where it is none."""
    found = correction.get("mixed")
    if not found:
        return ""
    if not found["float_layers"]:
        return (
            f"mixed: int8 alone is expected to lose {found['int8_expected_drop']:.2f} points of top-1, within {found['max_drop']:g}: "
            "no layer is left in float32."
        )
    return (
        f"mixed: {len(found['float_layers'])} layers stay in float32 ({', '.join(found['float_layers'])}): on the calibration inputs, expect to "
        f"lose {found['expected_drop']:.2f} (standard error {found['expected_drop_error']:.2f}) points of top-1 instead of "
        f"{found['int8_expected_drop']:.2f}, for {found['extra_bytes']:,} bytes more and {found['latency_ratio']:.2f} times int8's latency here "
        f"({found['latency_pairs']} pairs)."
    )
