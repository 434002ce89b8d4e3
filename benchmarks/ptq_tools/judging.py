"""How a file does on labelled inputs, from its logits and those of the float32 network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.dataset import Dataset
from dsmobile.errors import DataError
from dsmobile.evaluation.metrics import LogitSqnr, OutputKind
from dsmobile.evaluation.paired import paired_interval
from dsmobile.evaluation.session import Session

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Judgement:
    """How a file did; shares of all inputs.

    Args:
        top1: Where the largest logit is the label's; of equal ones the first counts.
        top1_shared: The same, but k equal largest ones have a k-th each: what a coin would give on average.
        agreement: Where float32 has the same largest logit.
        sqnr_db: Of the logits.
        lost: Inputs on which only float32 is right.
        gained: Inputs on which only the file is right.
        drop_interval: 95% interval of (lost - gained) / count.
        count: How many inputs.
    """

    top1: float
    top1_shared: float
    agreement: float
    sqnr_db: float
    lost: int
    gained: int
    drop_interval: tuple[float, float]
    count: int


def logits_of(path: Path, dataset: Dataset, layout: str = "") -> Floats:
    """Runs a file, in a process of its own, as `dsmobile evaluate` does: ONNX Runtime with kernels that do not saturate.

    Returns:
        Shape (count, classes).

    Raises:
        ModelError: The file cannot be opened or run.
        DataError: Its outputs are not finite, or it is not one classifier's.
    """
    found = []
    with Session(path, layout=layout, threads=2) as session:
        for sample in dataset:
            session.send(sample.x)
            outputs = session.receive().outputs
            found.append(np.asarray(outputs[0], np.float32).reshape(-1))
            if len(outputs) != 1 or not np.isfinite(found[-1]).all() or found[-1].shape != found[0].shape:
                raise DataError(f"{path.name} gives no finite logits of one classifier for {sample.name}", "check the file with `dsmobile inspect`")
    return np.stack(found)


def judge(logits: Floats, reference: Floats, labels: Integers) -> Judgement:
    """Compares.

    Args:
        logits: Of the file, shape (count, classes).
        reference: Of float32, the same shape.
        labels: Shape (count,).
    """
    if logits.shape != reference.shape:
        raise DataError(f"{logits.shape[1]} classes, where float32 has {reference.shape[1]}", "the tool has changed the network's output")
    largest = logits == logits.max(axis=1, keepdims=True)
    right, was_right = (scores.argmax(axis=1) == labels for scores in (logits, reference))
    lost, gained, count = int((was_right & ~right).sum()), int((right & ~was_right).sum()), len(labels)
    sqnr, kind = LogitSqnr(), OutputKind(known=False)
    for own, other in zip(logits, reference, strict=True):
        sqnr.add(other, own)
    return Judgement(
        top1=float(right.mean()),
        top1_shared=float((largest[np.arange(count), labels] / largest.sum(axis=1)).mean()),
        agreement=float((logits.argmax(axis=1) == reference.argmax(axis=1)).mean()),
        sqnr_db=sqnr.value_db(kind, kind),
        lost=lost,
        gained=gained,
        drop_interval=paired_interval(lost, gained, count),
        count=count,
    )


def labels_of(dataset: Dataset) -> Integers:
    """The class of each input, shape (count,)."""
    found: list[Any] = [sample.label for sample in dataset]
    return np.asarray(found, np.int64)
