"""Makes the plan of a recipe, and ships what is best on inputs kept aside: corrected weights and biases, or plain ones.

A fifth of the calibration inputs takes no part in the correction; every candidate is written, run and compared with the network on them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.exporters import tflite
from dsmobile.exporters.calibration import SYNTHETIC, Inputs, Sample
from dsmobile.exporters.choice import PLAIN, choose
from dsmobile.exporters.correction import correct
from dsmobile.exporters.execution import execute
from dsmobile.exporters.folded import FoldedModel
from dsmobile.exporters.lowering import in_pairs, lower
from dsmobile.exporters.mixed import Base, require_classifier, search
from dsmobile.exporters.plan import Plan
from dsmobile.exporters.planning import float_plan, integer_plan, weights_plan
from dsmobile.exporters.quantization import LARGEST, Range, observe
from dsmobile.exporters.recipe import Recipe
from dsmobile.exporters.rescaling import known_ranges
from dsmobile.exporters.runners import LiteRTRunner

ASIDE = 5  # one in five; with fewer inputs than that none is left to judge by
MOST_ASIDE = 64
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Planned:
    """A plan, and how it came about.

    Args:
        plan: Of the network up to its logits, with float inputs and outputs.
        correction: What a manifest says: inputs kept aside, each candidate's figures on them, which is shipped.
    """

    plan: Plan
    correction: dict[str, Any] = field(default_factory=dict)


class Planner:
    """Makes one network's plans; what several have in common is computed once.

    Args:
        model: The network up to its logits, folded.
        inputs: The calibration inputs.
        given: All that the input can hold, where that is known; None takes what the calibration inputs hold.
    """

    def __init__(self, model: FoldedModel, inputs: Inputs, given: Range | None = None) -> None:
        """See the class."""
        self.model, self.inputs, self.given = model, inputs, given
        self._plans: dict[tuple[Any, ...], Planned] = {}

    def planned(self, recipe: Recipe, bound: int = LARGEST, *, everywhere: bool = False) -> Planned:
        """The plan of a recipe.

        Args:
            recipe: At what precision.
            bound: The largest integer of a weight.
            everywhere: Whether operators that are faster in float32 compute in integers too.
        """
        key = (recipe.weights, recipe.activations, recipe.correction, recipe.wide_logits, recipe.max_drop, bound, everywhere)
        if key not in self._plans:
            self._plans[key] = self._make(recipe, bound, everywhere)
        return self._plans[key]

    @cached_property
    def lowered(self) -> FoldedModel:
        """The network in operators that have integer kernels."""
        return lower(self.model)

    @cached_property
    def ranges(self) -> dict[str, Range]:
        """The range of every value of the lowered network."""
        return self._observed(self.lowered)

    def _observed(self, model: FoldedModel) -> dict[str, Range]:
        return {**observe(model, self.inputs.samples()), **(known_ranges(model, self.given) if self.given else {})}

    @cached_property
    def aside(self) -> list[Sample]:
        """The samples that take no part in the correction."""
        step = ASIDE * max(1, -(-(self.inputs.count // ASIDE) // MOST_ASIDE))
        return [sample for place, sample in enumerate(self.inputs.samples()) if place % step == ASIDE - 1]

    @cached_property
    def logits_aside(self) -> Floats:
        """What the network gives for them in float, shape (count, numbers)."""
        return run_float(self.lowered, self.aside)

    def _make(self, recipe: Recipe, bound: int, everywhere: bool) -> Planned:
        if recipe.max_drop is not None:
            return self._mixed(recipe, recipe.max_drop, bound, everywhere)
        if recipe.weights != "int8":
            return Planned(float_plan(self.model, half=recipe.weights == "float16"))
        if recipe.quantized:
            model = self.lowered if recipe.activations == "int8" else in_pairs(self.model)
            ranges = self.ranges if model is self.lowered else self._observed(model)
            plain = integer_plan(model, ranges, dtype=recipe.activations, bound=bound, everywhere=everywhere, wide_logits=recipe.wide_logits)
        else:
            model, plain = self.model, weights_plan(self.model)
        if recipe.correction == "none":
            return Planned(plain)
        if self.inputs.count < ASIDE or (not recipe.quantized and self.inputs.kind == SYNTHETIC):
            return Planned(plain, {"shipped": PLAIN, "held_out": 0, "why": f"{self.inputs.count} calibration inputs of the kind {self.inputs.kind}"})
        corrections = ("bias", "rounding") if recipe.correction == "rounding" else ("bias",)
        corrected = {name: correct(model, plain, self._taking_part(), rounding=name == "rounding", bound=bound) for name in corrections}
        return self._best({PLAIN: plain, **corrected})

    def base(self, recipe: Recipe, bound: int = LARGEST, *, everywhere: bool = False) -> Base:
        """An int8 recipe's plan with all layers in integers, as what others are made from; see `planned`."""
        planned = self.planned(replace(recipe, max_drop=None), bound, everywhere=everywhere)
        corrected = planned.correction.get("shipped", "plain") != "plain"
        return Base(self.lowered, self.ranges, planned.plan, corrected, bound, everywhere, recipe.wide_logits)

    def _mixed(self, recipe: Recipe, max_drop: float, bound: int, everywhere: bool) -> Planned:
        require_classifier(self.lowered)
        base = self.base(recipe, bound, everywhere=everywhere)
        plan, found = search(
            base,
            self.inputs,
            self._taking_part,
            max_drop,
            lambda samples: run_float(self.lowered, samples),
            lambda plan: lambda samples: run_plan(plan, samples),
        )
        planned = self.planned(replace(recipe, max_drop=None), bound, everywhere=everywhere)
        return Planned(plan, {**planned.correction, "mixed": found})

    def _taking_part(self) -> Any:
        return (sample for place, sample in enumerate(self.inputs.samples()) if place % ASIDE != ASIDE - 1)

    def _best(self, candidates: dict[str, Plan]) -> Planned:
        shipped, figures = choose(self.logits_aside, {name: run_plan(plan, self.aside) for name, plan in candidates.items()})
        return Planned(candidates[shipped], {"shipped": shipped, "held_out": len(self.aside), "candidates": figures})


def run_float(model: FoldedModel, samples: list[Sample]) -> Floats:
    """What a network gives in float for samples, its outputs one after another, shape (count, numbers)."""
    import tensorflow as tf

    compiled = tf.function(
        lambda sample: [tf.reshape(values[name], (1, -1)) for values in [execute(model, sample)] for name in model.outputs], autograph=False
    )
    return np.concatenate([np.concatenate([part.numpy() for part in compiled([tf.constant(array) for array in sample])], 1) for sample in samples])


def run_plan(plan: Plan, samples: list[Sample]) -> Floats:
    """What a plan's file gives for samples in LiteRT, its outputs one after another, shape (count, numbers)."""
    runner = LiteRTRunner(Path("plan.tflite"), min(os.cpu_count() or 1, 4), tflite.write(plan))
    return np.concatenate([np.concatenate([part.reshape(1, -1) for part in runner.run_sample(sample)], 1) for sample in samples])
