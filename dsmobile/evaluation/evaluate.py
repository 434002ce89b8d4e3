"""Several artifacts on the same inputs: each input is decoded once, and all artifacts work on it at the same time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsmobile.dataset import ArrayFile, Dataset, ImageFolder, Sample, open_dataset
from dsmobile.errors import DataError, ModelError, UsageError
from dsmobile.evaluation.inputs import labels_of, preprocessing_of, quantized_as
from dsmobile.evaluation.metrics import TINY
from dsmobile.evaluation.names import distinguishing
from dsmobile.evaluation.session import Limits, Session
from dsmobile.evaluation.tally import Evaluation, Scores, Tally
from dsmobile.exporters.artifact import Manifest, read_manifest, without_manifests
from dsmobile.exporters.sniff import check_model_file
from dsmobile.preprocessing import Preprocessing

_MOST_THREADS = 4

Progress = Callable[[str, float], None]


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
    """Runs artifacts on data: labelled, or beside a reference.

    Args:
        artifacts: `.tflite`, `.onnx`, `.keras`, `.h5` or `.hdf5` files; each is opened in a process of its own.
        data: A folder of images or an `.npz`.
        labels: One class a line; None takes the manifests'.
        preprocess: From RGB bytes to the input; None takes the manifests'.
        reference: What agreement, SQNR and the loss of top-1 are measured against; with it, data need no labels, and top-1 is None without.
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
    preprocessing, said = preprocessing_of(data, preprocess, manifests)
    names = labels_of(data, labels, manifests, needed=reference is None)
    with ExitStack() as stack:
        threads = max(1, min(_MOST_THREADS, (os.cpu_count() or 1) // len(paths)))
        layout = "nchw" if preprocessing is not None and preprocessing.layout == "nchw" else ""
        sessions = {
            path: stack.enter_context(
                Session(path, manifest=manifest, layout=layout, threads=threads, logits=_wants_logits(reference, manifest), limits=limits)
            )
            for path, manifest in manifests.items()
        }
        dataset = _open(data, preprocess, preprocessing, names, limit)  # while the files are being opened
        if not dataset.labelled and reference is None:
            advice = "add y to the .npz, one class index for each row of x; or give a --reference, with which agreement needs no labels"
            raise DataError(f"{data} has no y: nothing says which class each input is", advice)
        classes = _classes(sessions)
        _check_labels(dataset, names, labels, classes)
        dataset, note = quantized_as(dataset, sessions)
        tallies = _stream(dataset, sessions, reference, classes, progress)
    if isinstance(dataset, ArrayFile) and dataset.preprocessing is None:
        said = {}  # of what was not needed
    of_inputs = [*filter(None, [note, *_said_of(dataset)])]
    names_of_files = distinguishing(paths)
    of_file = {path: tally.notes(names_of_files[path], compared=reference is not None) for path, tally in tallies.items()}
    if reference:
        of_inputs += _said_of_reference(names_of_files[reference], manifests[reference])
    others = [reference] if reference and reference not in artifacts else []  # what is known of it concerns every artifact
    return [
        tallies[path].evaluation(
            path,
            tallies[reference] if reference else None,
            (
                *(said[each] for each in (path, *others) if each in said),
                *of_inputs,
                *of_file[path],
                *(line for each in others for line in of_file[each]),
            ),
            labelled=dataset.labelled,
        )
        for path in artifacts
    ]


def _open(data: Path, given: str | None, preprocessing: Preprocessing | None, names: tuple[str, ...] | None, limit: int | None) -> Dataset:
    dataset = open_dataset(data, preprocessing, names, limit, scale_later=True)
    if given is not None and isinstance(dataset, ArrayFile) and dataset.preprocessing is None:
        raise UsageError(f"--preprocess does not apply to {data}, which holds no RGB bytes", "leave it away: x is taken as the model's input")
    return dataset


def _said_of_reference(name: str, manifest: Manifest | None) -> list[str]:
    """What a reader must know of the reference."""
    weights = manifest.recipe_values.get("weights", "float32") if manifest else "float32"
    return [f"the reference {name} has {weights} weights itself: what it lost does not show"] if weights != "float32" else []


def _said_of(dataset: Dataset) -> list[str]:
    """What a reader must know of the data."""
    said = []
    if isinstance(dataset, ImageFolder) and dataset.links_left_out:
        said.append(f"{dataset.links_left_out} symbolic links that lead out of {dataset.path} were left out")
    if not dataset.labelled:
        how = "give --labels FILE and a folder for each class" if isinstance(dataset, ImageFolder) else "add y, one class index for each row of x"
        said.append(f"nothing says which class each input of {dataset.path} is: only the comparison with the reference is made; for top-1 {how}")
    return said


def _wants_logits(reference: Path | None, manifest: Manifest | None) -> bool:
    return reference is not None and (manifest is None or manifest.ends_in_softmax)


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
    names = distinguishing(counts)
    for path, other in rest:
        if other != classes:
            raise DataError(f"{names[first]} has {classes} classes, but {names[path]} has {other}", "evaluate artifacts of the same classes together")
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


def _stream(dataset: Dataset, sessions: dict[Path, Session], reference: Path | None, classes: int, progress: Progress | None) -> dict[Path, Tally]:
    tallies = {path: Tally(session.manifest, session.no_logits) for path, session in sessions.items()}
    waiting: Sample | None = None

    def collect(sample: Sample) -> None:
        answers = {path: _scores(session, classes, sample.name) for path, session in sessions.items()}
        for path, answer in answers.items():
            tallies[path].add(answer, sample.label, answers[reference] if reference else None)
        done = next(iter(tallies.values())).count
        if progress:
            progress(f"{done} of {dataset.count} inputs", done / dataset.count)

    for sample in dataset:  # the next input is decoded while the processes still work on this one
        if waiting is not None:
            collect(waiting)
        for session in sessions.values():
            session.send(sample.x)
        waiting = sample
    if waiting is not None:
        collect(waiting)
    return tallies


def _scores(session: Session, classes: int, name: str) -> Scores:
    answer = session.receive()
    scores = np.asarray(answer.outputs[0], np.float32).reshape(-1)
    if scores.shape != (classes,):
        raise ModelError(f"{session.path} gave {scores.size} scores for {name}, not {classes}", "check the file with `dsmobile inspect`")
    if not np.isfinite(scores).all():
        raise ModelError(f"{session.path} gives scores that are not finite for {name}", "check the weights, and the scale in --preprocess")
    return Scores(scores, None if answer.logits is None else _finite(answer.logits.reshape(-1)), answer.seconds)


def _finite(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Logits where a class that is masked by -inf has the smallest probability that float32 holds."""
    return np.where(np.isfinite(logits), logits, logits.max() + math.log(TINY)).astype(np.float32)
