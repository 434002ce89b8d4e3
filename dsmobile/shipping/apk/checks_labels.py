"""The checks of the labels: those beside the model, and those in its own TFLite metadata."""

from __future__ import annotations

import hashlib

from dsmobile.shipping.apk.archive import Archive, EntryError
from dsmobile.shipping.apk.card import Card
from dsmobile.shipping.apk.looks import Look
from dsmobile.shipping.apk.metadata import label_lines
from dsmobile.shipping.apk.report import FAILED, NOT_CHECKED, PASSED, Check, sentences

_LARGEST_LABELS_BYTES = 8 << 20


def check_labels(archive: Archive, looks: tuple[Look, ...]) -> Check:
    """Whether the labels beside a model are the ones its card names, one for each number that it answers."""
    carded = [(look, look.card) for look in looks if look.card]
    if not carded:
        return Check("labels", NOT_CHECKED, "no card says which file holds the labels", "ship the model with `dsmobile ship android`")
    wrong, right = [], []
    for look, card in carded:
        path, problem = look.beside(card.labels_file), _labels_problem(archive, look, card)
        wrong += [f"{path} {problem}"] if problem else []
        right += [f"{path}: {card.classes} labels, the file that was shipped"]
    if wrong:
        return Check("labels", FAILED, sentences(wrong), "put the labels that were shipped into the app again, and build the APK anew")
    return Check("labels", PASSED, sentences(right))


def _labels_problem(archive: Archive, look: Look, card: Card) -> str:
    try:
        data = _file(archive, look.beside(card.labels_file))
        count = None if data is None else len(label_lines(data))
    except EntryError as error:
        return str(error)
    except ValueError:
        return "is no UTF-8 text"
    if data is None:
        return "is not in the APK"
    if hashlib.sha256(data).hexdigest() != card.labels_sha256:
        return f"is not the file that was shipped: its SHA-256 differs, and it has {count} labels for {card.classes} classes"
    classes = look.metadata.classes if look.metadata else None
    if count != card.classes or classes not in (None, card.classes):
        answered = "" if classes is None else f", and the model answers {classes} numbers"
        return f"has {count} labels, its card says {card.classes} classes{answered}"
    return ""


def check_metadata(archive: Archive, looks: tuple[Look, ...]) -> Check:
    """Whether what a model's own metadata says fits the model, and the labels beside it."""
    wrong, right = [], []
    for look in looks:
        metadata = look.metadata
        if metadata is None:
            continue
        problem = _metadata_problem(archive, look)
        labels = "no labels in it" if metadata.labels is None else f"{len(metadata.labels)} labels"
        wrong += [f"{look.model.path}: {problem}"] if problem else []
        right += [f"{look.model.path}: {labels}"] if metadata.present else []
    if wrong:
        return Check("metadata", FAILED, sentences(wrong), "export the model again with --labels, and ship that file")
    if right:
        return Check("metadata", PASSED, sentences(right))
    return Check("metadata", NOT_CHECKED, "no model holds TFLite metadata, which MediaPipe and ML Kit ask for")


def _metadata_problem(archive: Archive, look: Look) -> str:
    metadata = look.metadata
    if metadata is None or metadata.problem or metadata.labels is None:
        return metadata.problem if metadata else ""
    if metadata.classes is not None and metadata.classes != len(metadata.labels):
        return f"its metadata has {len(metadata.labels)} labels, but it answers {metadata.classes} numbers"
    for export in look.exports:
        if export.labels and export.labels != metadata.labels:
            return f"the labels in its metadata differ from those of {export.said_by}"
    path = look.beside(look.card.labels_file) if look.card else ""
    try:
        data = _file(archive, path)
        beside = metadata.labels if data is None else label_lines(data)
    except (EntryError, ValueError):
        return ""  # the check of the labels says what is wrong with the file
    return "" if beside == metadata.labels else f"the labels in its metadata differ from {path}"


def _file(archive: Archive, path: str) -> bytes | None:
    """A file's bytes; None where it is not in the APK."""
    entry = next((entry for entry in archive.entries if entry.name == path), None)
    return None if entry is None else archive.read(entry, _LARGEST_LABELS_BYTES)
