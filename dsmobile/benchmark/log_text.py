"""A file that somebody redirected a `benchmark_model`'s output into, on whatever system: its runs, or why it is none."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_bench.benchmark_model import Run, parse_runs
from device_bench.reading import parsed
from dsmobile.errors import DataError
from dsmobile.files import sha256

MOST_BYTES, MOST_JSON_BYTES = 1 << 30, 1 << 20
_HEAD_BYTES, _LONGEST_LINE = 1 << 16, 1 << 16
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_TOO_MANY_CONTROLS, _MANY_ZEROS = 0.05, 0.3
_WHAT = "give what benchmark_model or litert-benchmark printed, as text, or the JSON that litert-benchmark --result_json wrote"
_FIGURES = (
    ("Model initialization", "init_ms", ""),
    ("Warmup (first)", "warmup_first_ms", ""),
    ("Warmup (avg)", "warmup_avg_ms", "num_warmup_runs"),
    ("Inference (avg)", "avg_ms", "num_runs"),
    ("Inference (min)", "min_ms", ""),
    ("Inference (max)", "max_ms", ""),
    ("Inference (median)", "median_ms", ""),
    ("Inference (std)", "std_ms", ""),
    ("Inference (p5)", "p5_ms", ""),
    ("Inference (p95)", "p95_ms", ""),
)


@dataclass(frozen=True)
class Log:
    """What a file holds.

    Args:
        name: Its name, without its folder.
        sha256: Its hash.
        runs: In order, those that failed or were cut off among them.
        is_json: Whether it is litert-benchmark's JSON, which tells one run that its output tells as well.
    """

    name: str
    sha256: str
    runs: tuple[Run, ...]
    is_json: bool


def read_log(path: Path) -> Log:
    """Reads a log: UTF-8, UTF-16 (as PowerShell's `>` writes it) or Windows-1252, with any line ends, or litert-benchmark's JSON.

    Args:
        path: The file.

    Raises:
        DataError: It cannot be read, is no text, or holds no run.
    """
    try:
        if not path.is_file():
            raise DataError(f"{path} is {'a folder' if path.is_dir() else 'not there' if not path.exists() else 'no ordinary file'}", _WHAT)
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise DataError(f"{path} is larger than {MOST_BYTES >> 30} GB", "cut out the part that holds the runs")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        encoding = _encoding(path, head)
        told = _of_json(path, encoding) if size <= MOST_JSON_BYTES else None
        runs = parse_runs(_lines(path, encoding)) if told is None else told
        digest = sha256(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", _WHAT) from error
    if not runs:
        raise DataError(f"{path} holds no run of benchmark_model", _WHAT)
    return Log(path.name, digest, tuple(runs), told is not None)


def _encoding(path: Path, head: bytes) -> str:
    """How a file is written, by its first bytes.

    Raises:
        DataError: It is empty, or no text.
    """
    if not head.strip():
        raise DataError(f"{path} is empty", _WHAT)
    if head.startswith((b"\x1f\x8b", b"PK\x03\x04")):
        raise DataError(f"{path} is an archive", "unpack it first")
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    zeros = [head[start::2].count(0) / max(len(head[start::2]), 1) for start in (0, 1)]
    if max(zeros) > _MANY_ZEROS > min(zeros):
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    controls = sum(byte < 32 and byte not in b"\t\n\r\x0b\x0c\x1b\x08" for byte in head)
    if controls > _TOO_MANY_CONTROLS * len(head):
        raise DataError(f"{path} is no text", _WHAT)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """The lines of a file, those left out that are longer than any that a tool prints; memory does not grow with the file."""
    with path.open(encoding=encoding, errors="replace") as file:
        inside = False
        while chunk := file.readline(_LONGEST_LINE):
            ends = chunk.endswith("\n")
            if not inside and (ends or len(chunk) < _LONGEST_LINE):
                yield chunk
            inside = not ends


def _of_json(path: Path, encoding: str) -> list[Run] | None:
    """The run of litert-benchmark's JSON; None for what is no JSON.

    Raises:
        DataError: It is JSON, but not that.
    """
    text = path.read_text(encoding=encoding, errors="replace").lstrip("\ufeff").strip()
    if not text.startswith(("{", "[")):
        return None
    try:
        document = parsed(text)
    except ValueError:
        return None  # a log may begin with a bracket
    latency = document.get("latency") if isinstance(document, dict) else None
    if not isinstance(latency, dict) or _number(latency.get("avg_ms")) is None:
        raise DataError(f"{path} is JSON, but not the result of litert-benchmark", _WHAT)
    return parse_runs(_in_words(document, latency))


def _in_words(document: dict[str, Any], latency: dict[str, Any]) -> Iterator[str]:
    """The same as litert-benchmark prints it: two decimals of a millisecond, to which its JSON is rounded, too."""
    model, size, threads = document.get("model"), _number(document.get("model_size_mb")), document.get("num_threads")
    accelerators, fully = document.get("accelerators"), document.get("fully_accelerated")
    if isinstance(model, str):
        yield f"benchmark_litert_model: Model: {' '.join(model.split())}\n"
    if size is not None:
        yield f"Model size: {size:.2f} MB\n"
    if isinstance(accelerators, list):
        yield f"Accelerators: {' | '.join(str(name) for name in accelerators)}\n"
    if isinstance(threads, int):
        yield f"Num threads: {threads}\n"
    for words, name, counter in _FIGURES:
        value, count = _number(latency.get(name)), latency.get(counter)
        if value is not None:
            yield f"{words}: {value:.2f} ms{f' ({count} runs)' if isinstance(count, int) else ''}\n"
    if isinstance(fully, bool):
        yield f"Fully accelerated: {fully}\n"


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e18 or not math.isfinite(value):
        return None
    return float(value)
