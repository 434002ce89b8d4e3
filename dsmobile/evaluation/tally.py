"""What is counted of one file while the inputs go by, and what follows from it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dsmobile.evaluation.metrics import LogitSqnr, OutputKind, rank_of, top1, wilson_interval
from dsmobile.evaluation.paired import paired_interval
from dsmobile.exporters.artifact import Manifest

Floats = npt.NDArray[np.float32]
_TIES_WORTH_SAYING = 0.01


@dataclass(frozen=True)
class Evaluation:
    """How one artifact did.

    What needs labels is None without them, what needs a reference None without one.

    Args:
        path: Absolute path of the artifact.
        top1: Share of inputs whose largest score is their label's.
        top5: Share of inputs whose label is among the five largest scores.
        top1_interval: 95% Wilson interval of top1.
        count: How many inputs.
        agreement: Share of inputs on which the reference gives the same top-1.
        sqnr_db: Logit SQNR against the reference, see `metrics.LogitSqnr`; None also where nothing differs.
        seconds: What the inferences took together, without decoding; no latency.
        notes: What a reader of the figures must know.
        agreement_interval: 95% Wilson interval of agreement.
        lost: Inputs on which the reference is right and the artifact wrong, in top-1.
        gained: Inputs on which the artifact is right and the reference wrong.
        drop: Share of inputs that it loses of the reference's top-1: (lost - gained) / count; negative where it is better.
        drop_interval: 95% interval of drop, see `paired.paired_interval`.
        drop_upper: The upper end of drop_interval: with at least 95% confidence it loses no more.
    """

    path: str
    top1: float | None
    top5: float | None
    top1_interval: tuple[float, float] | None
    count: int
    agreement: float | None
    sqnr_db: float | None
    seconds: float
    notes: tuple[str, ...] = ()
    agreement_interval: tuple[float, float] | None = None
    lost: int | None = None
    gained: int | None = None
    drop: float | None = None
    drop_interval: tuple[float, float] | None = None
    drop_upper: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


class Scores(NamedTuple):
    """What a file gives for one input.

    Args:
        scores: Its output, shape (classes,): what it is judged by.
        logits: What went into its final softmax, shape (classes,); None where it has none, or they cannot be had.
        seconds: How long it worked.
    """

    scores: Floats
    logits: Floats | None
    seconds: float

    @property
    def finest(self) -> Floats:
        """What SQNR is of."""
        return self.scores if self.logits is None else self.logits


class Tally:
    """What is counted of one file.

    Args:
        manifest: What is known of it, where it is ours.
        no_logits: Why the logits before its softmax cannot be had; empty where nothing stands in the way.
    """

    def __init__(self, manifest: Manifest | None, no_logits: str = "") -> None:
        """Nothing seen yet."""
        self.kind = OutputKind(manifest.ends_in_softmax if manifest else None)
        self.count = self.ties = 0
        self._no_logits = no_logits
        self._sqnr = LogitSqnr()
        self._first = self._among_five = self._agreeing = self._lost = self._gained = 0
        self._seconds = 0.0

    def add(self, own: Scores, label: int | None, reference: Scores | None) -> None:
        """Counts one input.

        Args:
            own: What the file gives.
            label: The input's class, where it is known.
            reference: What the reference gives.
        """
        if self.count == 0 and own.logits is not None:
            self.kind = OutputKind(known=False)
        self.count += 1
        self.ties += int(np.count_nonzero(own.scores == own.scores.max())) > 1
        self._seconds += own.seconds
        self.kind.add(own.finest)
        if label is not None:
            rank = rank_of(own.scores, label)
            self._first += rank == 0
            self._among_five += rank < 5
            if reference is not None:
                right = top1(reference.scores) == label
                self._lost += right and rank > 0
                self._gained += rank == 0 and not right
        if reference is not None:
            self._agreeing += top1(own.scores) == top1(reference.scores)
            self._sqnr.add(reference.finest, own.finest)

    def notes(self, name: str, *, compared: bool) -> tuple[str, ...]:
        """What a reader of the figures must know of this file.

        Args:
            name: The file's name.
            compared: Whether there is a reference.
        """
        said = []
        if self.ties > _TIES_WORTH_SAYING * self.count:
            share = 100 * self.ties / self.count
            said.append(f"{name}: for {share:.1f}% of inputs several classes share the largest score, and the first of them counts")
        if compared and self.kind.coarse:
            why = f" ({self._no_logits})" if self._no_logits else ""
            said.append(f"{name}: SQNR is that of rounded probabilities, since its logits cannot be read{why}; it is not the SQNR of logits")
        elif compared and self.kind.probabilities:
            why = f" ({self._no_logits})" if self._no_logits else ""
            said.append(f"{name}: SQNR is that of logits up to a constant of each input, since only probabilities can be read{why}")
        return tuple(said)

    def evaluation(self, path: Path, reference: Tally | None, notes: tuple[str, ...], *, labelled: bool) -> Evaluation:
        """What follows from the counts.

        Args:
            path: The file.
            reference: The reference's tally.
            notes: What a reader must know.
            labelled: Whether the inputs have labels.
        """
        count = self.count
        result: dict[str, Any] = {"top1": None, "top5": None, "top1_interval": None, "agreement": None, "sqnr_db": None}
        if labelled:
            result["top1"], result["top5"] = self._first / count, self._among_five / count
            result["top1_interval"] = wilson_interval(self._first, count)
        if reference is not None:
            value = self._sqnr.value_db(reference.kind, self.kind)
            result["sqnr_db"] = value if math.isfinite(value) else None
            result["agreement"], result["agreement_interval"] = self._agreeing / count, wilson_interval(self._agreeing, count)
        if labelled and reference is not None:
            interval = paired_interval(self._lost, self._gained, count)
            result["lost"], result["gained"], result["drop"] = self._lost, self._gained, (self._lost - self._gained) / count
            result["drop_interval"], result["drop_upper"] = interval, interval[1]
        return Evaluation(path=str(path.resolve()), count=count, seconds=self._seconds, notes=notes, **result)
