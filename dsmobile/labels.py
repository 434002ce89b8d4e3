"""Labels: one class a line, the line's number from 0 is the class's index; a folder of images is named by the line's first word."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from dsmobile.errors import DataError

_LARGEST_BYTES = 8 << 20


def read_labels(path: Path, classes: int | None = None) -> tuple[str, ...]:
    """Reads a labels file.

    Args:
        path: A text file in UTF-8.
        classes: How many lines the model asks for; None takes any number.

    Raises:
        DataError: It cannot be read, has blank lines, or another number of lines.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise DataError(f"labels: {path} is larger than 8 MiB", "give a text file with one class a line")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"labels: {path} cannot be read: {error.strerror}", "give a text file with one class a line") from error
    except UnicodeDecodeError as error:
        raise DataError(f"labels: {path} is not UTF-8 text", "give a text file with one class a line") from error
    labels = tuple(line.strip() for line in lines)
    while labels and not labels[-1]:
        labels = labels[:-1]
    if not labels:
        raise DataError(f"labels: {path} is empty", "give a text file with one class a line")
    if "" in labels:
        raise DataError(f"labels: line {labels.index('') + 1} of {path} is blank", "every line is a class: its number is the class's index")
    if classes is not None:
        require_count(labels, classes, path)
    return labels


def require_count(labels: tuple[str, ...], classes: int, path: Path) -> None:
    """Raises where there is not one label per class.

    Raises:
        DataError: With both numbers.
    """
    if len(labels) != classes:
        raise DataError(
            f"labels: {path} has {len(labels)} lines, but the model has {classes} classes", "give one line per class, in the model's order"
        )


def folder_names(labels: tuple[str, ...]) -> dict[str, int]:
    """The class's index by what its folder may be called: its whole line, or the line's first word where no other line begins with it.

    Raises:
        DataError: Two lines are the same.
    """
    names: dict[str, int] = {}
    for index, label in enumerate(labels):
        if label in names:
            raise DataError(f"labels: lines {names[label] + 1} and {index + 1} are both {label!r}", "give each class a line of its own")
        names[label] = index
    words = [label.split()[0] for label in labels]
    lines = Counter(words)
    for index, word in enumerate(words):
        if lines[word] == 1:
            names.setdefault(word, index)
    return names
