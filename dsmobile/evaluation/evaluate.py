"""Several artifacts on the same labelled inputs: each input is decoded once, and all artifacts work on it at the same time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsmobile.dataset import ArrayFile, Dataset, ImageFolder, open_dataset
from dsmobile.errors import DataError, ModelError, UsageError
from dsmobile.evaluation.metrics import LogitSqnr, OutputKind, rank_of, top1, wilson_interval
from dsmobile.evaluation.session import Limits, Session
from dsmobile.exporters.artifact import Manifest, read_manifest, without_manifests
from dsmobile.exporters.sniff import check_model_file
from dsmobile.labels import read_labels
from dsmobile.preprocessing import HOW, Preprocessing, parse

_MOST_THREADS = 4

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Evaluation:
    """How one artifact did.

    Args:
        path: Absolute path of the artifact.
        top1: Share of inputs whose largest score is their label's.
        top5: Share of inputs whose label is among the five largest scores.
        top1_interval: 95% Wilson interval of top1.
        count: How many inputs.
        agreement: Share of inputs on which the reference gives the same top-1; None without a reference.
        sqnr_db: Logit SQNR against the reference, see `metrics.LogitSqnr`; None without a reference, and where nothing differs.
        seconds: What the inferences took together, without decoding; no latency.
        notes: What a reader of the figures must know.
    """

    path: str
    top1: float
    top5: float
    top1_interval: tuple[float, float]
    count: int
    agreement: float | None
    sqnr_db: float | None
    seconds: float
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def evaluate(
    artifacts: Sequence[Path],
    *,
    data: Path,
    labels: Path | None = None,
    preprocess: str | None = None,
    reference: Path | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
    limits: Limits | None = None,
) -> list[Evaluation]:
    """Runs artifacts on labelled data.

    Args:
        artifacts: `.tflite`, `.onnx`, `.keras`, `.h5` or `.hdf5` files; each is opened in a process of its own.
        data: A folder of images or an `.npz`.
        labels: One class a line; None takes the manifests'.
        preprocess: From RGB bytes to the input; None takes the manifests'.
        reference: What agreement and SQNR are measured against.
        limit: Take that many inputs, spread evenly over the classes.
        progress: Called with what was done, in words, and as a fraction.
        limits: What each file may take in time and memory.

    Raises:
        DataError: Inputs, labels or preprocessing are missing, or do not fit.
        ModelError: A file cannot be opened or run, or is no classifier.
        UsageError: An option does not apply.
    """
    artifacts = without_manifests(artifacts)
    if not artifacts:
        raise UsageError("there is no artifact to evaluate", "give one or more model files")
    paths = list(dict.fromkeys([*artifacts, *([reference] if reference else [])]))
    for path in paths:
        check_model_file(path)
    manifests = {path: read_manifest(path) for path in paths}
    preprocessing, notes = _preprocessing(data, preprocess, manifests)
    names = _labels(data, labels, manifests)
    with ExitStack() as stack:
        threads = max(1, min(_MOST_THREADS, (os.cpu_count() or 1) // len(paths)))
        layout = "nchw" if preprocessing is not None and preprocessing.layout == "nchw" else ""
        sessions = {
            path: stack.enter_context(Session(path, manifest=manifests[path], layout=layout, threads=threads, limits=limits)) for path in paths
        }
        dataset = open_dataset(data, preprocessing, names, limit, scale_later=True)  # while the files are being opened
        if preprocess is not None and isinstance(dataset, ArrayFile) and dataset.preprocessing is None:
            raise UsageError(f"--preprocess does not apply to {data}, which holds no RGB bytes", "leave it away: x is taken as the model's input")
        if not dataset.labelled:
            raise DataError(f"{data} has no y: nothing says which class each input is", "add y to the .npz: one class index for each row of x")
        classes = _classes(sessions)
        _check_labels(dataset, names, labels, classes)
        dataset, note = _quantized_as(dataset, sessions)
        tallies = _stream(dataset, sessions, reference, classes, progress)
    if isinstance(dataset, ImageFolder) and dataset.links_left_out:
        note = f"{dataset.links_left_out} symbolic links that lead out of {data} were left out"
    return [
        tallies[path].evaluation(path, tallies[reference] if reference else None, (*notes.get(path, ()), *((note,) if note else ())))
        for path in artifacts
    ]


def _preprocessing(data: Path, given: str | None, manifests: dict[Path, Manifest | None]) -> tuple[Preprocessing | None, dict[Path, tuple[str, ...]]]:
    known = {path: replace(manifest.preprocessing, layout="nhwc") for path, manifest in manifests.items() if manifest and manifest.preprocessing}
    if given is not None:
        preprocessing = parse(given)
        others = [path for path, own in known.items() if own != replace(preprocessing, layout="nhwc")]
        return preprocessing, dict.fromkeys(others, ("--preprocess differs from what this artifact was exported with",))
    if not data.is_dir() and not known:
        return None, {}
    silent = [path for path in manifests if path not in known]
    if silent and data.is_dir():
        raise DataError(f"nothing says how images become the input of {silent[0]}", HOW)
    first, *rest = known.items()
    for path, own in rest:
        if own != first[1]:
            raise DataError(
                f"{first[0].name} and {path.name} were exported with different preprocessing",
                "evaluate them one by one, or give one --preprocess for all",
            )
    return first[1], {}


def _labels(data: Path, given: Path | None, manifests: dict[Path, Manifest | None]) -> tuple[str, ...] | None:
    if given is not None:
        return read_labels(given)
    if not data.is_dir():
        return None
    known = {path: manifest.labels for path, manifest in manifests.items() if manifest and manifest.labels}
    if not known:
        raise DataError("nothing says which class each folder of images is", "give --labels FILE: one class a line, its first word the folder's name")
    first, *rest = known.items()
    for path, own in rest:
        if own != first[1]:
            raise DataError(
                f"{first[0].name} and {path.name} were exported with different labels",
                "evaluate them one by one, or give one --labels for all",
            )
    return first[1]


def _classes(sessions: dict[Path, Session]) -> int:
    counts = {}
    for path, session in sessions.items():
        outputs = session.outputs
        if len(outputs) != 1:
            raise ModelError(f"{path} has {len(outputs)} outputs; top-1 is of one", "evaluate a classifier with one output of shape (1, classes)")
        shape = outputs[0].shape
        classes = shape[-1] if shape else 0
        if classes < 2 or shape[0] != 1 or any(size != 1 for size in shape[1:-1]):
            raise ModelError(
                f"{path} gives {shape}, not one score for each of two classes or more",
                "evaluate a classifier with an output of shape (1, classes)",
            )
        counts[path] = classes
    (first, classes), *rest = counts.items()
    for path, other in rest:
        if other != classes:
            raise DataError(f"{first.name} has {classes} classes, but {path.name} has {other}", "evaluate artifacts of the same classes together")
    return classes


def _check_labels(dataset: Dataset, names: tuple[str, ...] | None, labels: Path | None, classes: int) -> None:
    if names is not None and len(names) != classes:
        whose = f"{labels} has" if labels else "the manifest has"
        raise DataError(f"{whose} {len(names)} labels, but the model has {classes} classes", "give one line per class, in the model's order")
    if isinstance(dataset, ArrayFile) and dataset.labels is not None and max(dataset.labels) >= classes:
        raise DataError(
            f"{dataset.path} has the class index {max(dataset.labels)}, but the model has {classes} classes",
            "indices count from 0: check y",
        )


def _quantized_as(dataset: Dataset, sessions: dict[Path, Session]) -> tuple[Dataset, str]:
    """Integers that come without a scale are what an artifact with an input of that type stores, where there is one and they agree."""
    if not isinstance(dataset, ArrayFile) or not dataset.needs_quantization:
        return dataset, ""
    dtype = np.dtype(dataset.dtype).name
    known = {
        (info.scale, info.zero_point): path
        for path, session in sessions.items()
        for info in session.inputs
        if info.dtype == dtype and info.scale is not None and info.zero_point is not None
    }
    if len(known) != 1:
        how = "artifacts that take this type disagree about" if known else "nothing says"
        raise DataError(
            f"{dataset.path}: x holds {dtype}, and {how} which real numbers they stand for",
            "add scale and zero_point to the .npz: real = scale * (x - zero_point)",
        )
    ((scale, zero_point), path), *_ = known.items()
    assert scale is not None and zero_point is not None  # noqa: S101
    note = f"x holds {dtype} without a scale: taken as {path.name} stores its input, scale {scale:.6g} and zero point {zero_point}"
    return replace(dataset, quantization=(scale, zero_point)), note


def _stream(dataset: Dataset, sessions: dict[Path, Session], reference: Path | None, classes: int, progress: Progress | None) -> dict[Path, _Tally]:
    tallies = {path: _Tally(session.manifest) for path, session in sessions.items()}
    waiting: int | None = None
    name, done = "", 0

    def collect(label: int) -> None:
        scores = {path: _scores(session, classes, name) for path, session in sessions.items()}
        for path, (values, seconds) in scores.items():
            tallies[path].add(values, label, seconds, scores[reference][0] if reference else None)

    for sample in dataset:  # the next input is decoded while the processes still work on this one
        if waiting is not None:
            collect(waiting)
            done += 1
            if progress:
                progress(f"{done} of {dataset.count} inputs", done / dataset.count)
        for session in sessions.values():
            session.send(sample.x)
        waiting, name = sample.label, sample.name
    if waiting is not None:
        collect(waiting)
    return tallies


def _scores(session: Session, classes: int, name: str) -> tuple[npt.NDArray[np.float32], float]:
    outputs, seconds = session.receive()
    scores = np.asarray(outputs[0], np.float32).reshape(-1)
    if scores.shape != (classes,):
        raise ModelError(f"{session.path} gave {scores.size} scores for {name}, not {classes}", "check the file with `dsmobile inspect`")
    if not np.isfinite(scores).all():
        raise ModelError(f"{session.path} gives scores that are not finite for {name}", "check the weights, and the scale in --preprocess")
    return scores, seconds


class _Tally:
    """What is counted of one artifact while the inputs go by."""

    def __init__(self, manifest: Manifest | None) -> None:
        self.kind = OutputKind(manifest.ends_in_softmax if manifest else None)
        self._sqnr = LogitSqnr()
        self.count = self.first = self.among_five = self.agreeing = 0
        self.seconds = 0.0

    def add(self, scores: npt.NDArray[np.float32], label: int, seconds: float, reference: npt.NDArray[np.float32] | None) -> None:
        rank = rank_of(scores, label)
        self.count += 1
        self.first += rank == 0
        self.among_five += rank < 5
        self.seconds += seconds
        self.kind.add(scores)
        if reference is not None:
            self.agreeing += top1(scores) == top1(reference)
            self._sqnr.add(reference, scores)

    def evaluation(self, path: Path, reference: _Tally | None, notes: tuple[str, ...]) -> Evaluation:
        sqnr_db = None
        if reference is not None:
            value = self._sqnr.value_db(reference.kind, self.kind)
            sqnr_db = value if math.isfinite(value) else None
        return Evaluation(
            path=str(path.resolve()),
            top1=self.first / self.count,
            top5=self.among_five / self.count,
            top1_interval=wilson_interval(self.first, self.count),
            count=self.count,
            agreement=self.agreeing / self.count if reference is not None else None,
            sqnr_db=sqnr_db,
            seconds=self.seconds,
            notes=notes,
        )
