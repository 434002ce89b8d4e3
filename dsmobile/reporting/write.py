"""Writing a report: from result files, or from results in memory, to a file or to a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsmobile.benchmark.result import Result
from dsmobile.errors import DataError, OutputError, UsageError, nearest
from dsmobile.files import prepare_folder, refuse_overwriting, write_bytes
from dsmobile.reporting.document import json_text
from dsmobile.reporting.entry import Entry, entries, read_entries
from dsmobile.reporting.html import html_text
from dsmobile.reporting.markdown import markdown_text
from dsmobile.reporting.tidy import csv_text

FORMATS: dict[str, Callable[[Sequence[Entry]], str]] = {"html": html_text, "md": markdown_text, "csv": csv_text, "json": json_text}
HTML_FILE = "dsmobile-report.html"
"""Where an HTML report goes that was given no name: a page is for opening, not for a terminal."""


@dataclass(frozen=True)
class Report:
    """A report.

    Args:
        format: `html`, `md`, `csv` or `json`.
        path: The file's absolute path; None where nothing was written.
        content: The report itself.
    """

    format: str
    path: Path | None
    content: str

    def to_json(self) -> dict[str, Any]:
        """The JSON form: `report`, its path or null, and `format`; `content` only where no file holds it."""
        document: dict[str, Any] = {"report": None if self.path is None else str(self.path), "format": self.format}
        return document if self.path else {**document, "content": self.content}


def write_report(paths: Sequence[Path], format: str = "html", out: Path | None = None, force: bool = False) -> Report:  # noqa: A002
    """Reports result files.

    Args:
        paths: Files that `dsmobile bench` wrote, or folders of them; several stand side by side.
        format: `html`, `md`, `csv` or `json`.
        out: The file to write. None writes HTML to `dsmobile-report.html` in the current folder, and the other formats to no file.
        force: Whether a file that is there may be replaced.

    Returns:
        The report: where it was written, and its text.

    Raises:
        DataError: A result is missing, damaged, or none of ours.
        MissingExtraError: HTML, and the libraries that draw are not installed.
        OutputError: The file is there already, or cannot be written.
        UsageError: There is no such format, or no result.
    """
    files = [file for path in paths for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    if paths and not files:
        raise DataError(f"{paths[0]} holds no results", "give OUT/results, or files from it that `dsmobile bench` wrote")
    read = read_entries(files)
    target = _target(format, out, force=force)
    if target and target.resolve() in {path.resolve() for path in files}:
        raise UsageError(f"{target} is a result that this report is made from", "name another file with --out")
    return _write(read, format, target)


def write_results(
    results: Sequence[Result],
    format: str = "html",  # noqa: A002
    out: Path | None = None,
    force: bool = False,
    *,
    names: Sequence[str] | None = None,
) -> Report:
    """Reports results in memory: as `write_report`, with a name for each result where `names` gives them."""
    target = _target(format, out, force=force)
    return _write(entries(results, names), format, target)


def _target(format: str, out: Path | None, *, force: bool) -> Path | None:  # noqa: A002
    if format not in FORMATS:
        raise UsageError(f"there is no report format {format!r}", nearest(format, FORMATS))
    target = Path(HTML_FILE) if out is None and format == "html" else out
    if target is None:
        return None
    if target.is_dir():
        raise OutputError(f"{target} is a folder", f"name a file in it with --out, such as {target / f'report.{format}'}")
    refuse_overwriting([target], force=force)
    return target


def _write(entries: tuple[Entry, ...], format: str, target: Path | None) -> Report:  # noqa: A002
    content = FORMATS[format](entries)
    if target is None:
        return Report(format, None, content)
    path = prepare_folder(target.parent) / target.name
    write_bytes(path, content.encode("utf-8"))
    return Report(format, path, content)
