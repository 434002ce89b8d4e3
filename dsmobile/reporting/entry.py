"""What a report is about: results, each with the name it goes by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsmobile.benchmark.result import Result, read_result
from dsmobile.errors import UsageError
from dsmobile.reporting.shareable import shareable


@dataclass(frozen=True)
class Entry:
    """A result, fit to be shared, and its name in the report.

    Args:
        name: The file's name, without folder and ending; `result 1` for a value that came from no file.
        result: The result, without anything that identifies.
    """

    name: str
    result: Result


def entries(results: Sequence[Result], names: Sequence[str] | None = None) -> tuple[Entry, ...]:
    """Names results and takes out of them what must not be shared.

    Args:
        results: At least one.
        names: One for each; numbered where two are alike.

    Raises:
        UsageError: There is no result.
    """
    if not results:
        raise UsageError("there is no result to report", "name at least one file from OUT/results")
    given = list(names) if names is not None else [f"result {number}" for number in range(1, len(results) + 1)]
    seen: Counter[str] = Counter()
    named = []
    for name, result in zip(given, results, strict=True):
        seen[name] += 1
        named.append(Entry(name if seen[name] == 1 else f"{name} ({seen[name]})", shareable(result)))
    return tuple(named)


def read_entries(paths: Sequence[Path]) -> tuple[Entry, ...]:
    """Reads result files, which must all be there and whole.

    Raises:
        DataError: One is missing, damaged, or no result.
        UsageError: No path is given.
    """
    return entries([read_result(path) for path in paths], [path.stem for path in paths])
