"""What a model says of itself, read in a process of its own since the model may be anybody's: its outputs, and the labels in its TFLite metadata."""

from __future__ import annotations

import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsmobile.inspection.process import ask
from dsmobile.tflite_metadata.reading import DAMAGED_ARCHIVE, DAMAGED_METADATA

_READ_S = 60.0
_READ_MEMORY_BYTES = 4 << 30
_LARGEST_LABELS_BYTES = 8 << 20


@dataclass(frozen=True)
class Metadata:
    """What was found.

    Args:
        classes: Numbers that the model answers; None where its file does not say.
        present: Whether it holds TFLite metadata.
        labels: The labels packed into it; None where there are none.
        problem: What is wrong with it, or why it could not be read; empty where nothing is.
    """

    classes: int | None
    present: bool
    labels: tuple[str, ...] | None = None
    problem: str = ""


def read_metadata(model: Path) -> Metadata:
    """Reads a model's outputs and TFLite metadata.

    Args:
        model: A `.tflite` file.
    """
    outcome = ask("read", model, "tflite", seconds=_READ_S, memory_bytes=_READ_MEMORY_BYTES)
    facts = outcome.said.get("facts")
    if facts is None or outcome.ending:
        error = outcome.said.get("error", {}).get("message", "nothing was said")
        return Metadata(None, False, None, f"the process that read it {outcome.ending}" if outcome.ending else f"it cannot be read: {error}")
    shape = facts["outputs"][0]["shape"] if facts["outputs"] else None
    classes = math.prod(shape) if shape and all(isinstance(size, int) and size > 0 for size in shape) else None
    damaged = next((note for note in facts["notes"] if note in (DAMAGED_METADATA, DAMAGED_ARCHIVE)), "")
    found: dict[str, Any] = facts["metadata"]
    if damaged:
        return Metadata(classes, True, None, damaged.rstrip("."))
    if not any(key in found for key in ("model", "inputs", "outputs")):
        return Metadata(classes, False)
    name = _labels_file(found.get("outputs", [])[:1])
    labels, problem = _labels(model, name) if name else (None, "")
    return Metadata(classes, True, labels, problem)


def _labels_file(outputs: list[dict[str, Any]]) -> str:
    """The packed file with the first output's labels; another one may hold how its scores are calibrated."""
    texts = [name for output in outputs for name in output.get("files", ()) if name.endswith(".txt") and "calibration" not in name]
    return next((name for name in texts if "label" in name.lower()), texts[0] if texts else "")


def _labels(model: Path, name: str) -> tuple[tuple[str, ...] | None, str]:
    """The lines of the labels' file, which lies in an archive behind the model, or why they cannot be read."""
    try:
        with zipfile.ZipFile(model) as archive, archive.open(name) as file:
            data = file.read(_LARGEST_LABELS_BYTES + 1)
        if len(data) > _LARGEST_LABELS_BYTES:
            return None, f"its labels are larger than {_LARGEST_LABELS_BYTES >> 20} MiB"
        return label_lines(data), ""
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, NotImplementedError, zlib.error) as error:
        return None, f"its labels {name[:80]!r} cannot be read: {str(error)[:120]}"


def label_lines(data: bytes) -> tuple[str, ...]:
    """The labels of a file's bytes: one a line, blank lines at its end left out.

    Raises:
        ValueError: It is no UTF-8.
    """
    lines = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return tuple(lines)
