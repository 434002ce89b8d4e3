"""The CSV report: a tidy table, one row for each fresh process, which any data frame loads without options.

The process is what was observed, so it is the row; what is known of its artifact and its result stands beside it in every row. An artifact
that ran no process has one row whose process columns are empty, so nothing is lost. Times are nanoseconds (instructions where `metric`
says so), sizes bytes, an unknown value is an empty cell. The speed-up of a pair follows from the rows: in each result, for two artifacts,
`exp(mean over block of log(second's median_ns / first's median_ns))`; the pairs themselves, and every single inference, are in the JSON
report.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

from dsmobile.benchmark.result import ArtifactResult, Replicate
from dsmobile.reporting.entry import Entry
from dsmobile.reporting.processes import spread
from dsmobile.reporting.text import plain

FORMULA_STARTS = ("=", "+", "-", "@")
"""What a spreadsheet takes for the beginning of a formula.

Source: OWASP, "CSV Injection"; tabs and line breaks, which it names too, are spelled out before.
"""


def csv_text(entries: Sequence[Entry]) -> str:
    """The report as CSV (RFC 4180 quoting, UTF-8, lines ending in a line feed)."""
    rows = [row for entry in entries for row in _rows(entry)]
    file = io.StringIO()
    writer = csv.DictWriter(file, fieldnames=list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _cell(value) for column, value in row.items()} for row in rows)
    return file.getvalue()


COLUMNS = (
    "result", "validity", "warnings", "metric", "device", "started_utc", "artifact", "file", "sha256", "format", "recipe", "role",
    "pair_id", "runtime", "runtime_version", "threads", "size_bytes", "macs", "parameters", "artifact_median_ns", "artifact_low_ns",
    "artifact_high_ns", "block", "position", "median_ns", "p10_ns", "p90_ns", "inferences", "warmup_count", "load_ns",
    "first_inference_ns", "peak_memory_bytes",
)  # fmt: skip
"""`warnings` are the kinds, parted by semicolons; `artifact_low_ns` and `artifact_high_ns` are the median's 95% interval; `p10_ns` and
`p90_ns` are percentiles of the process's inferences after the warm-up; `inferences` counts those after the first, warm-up included."""


def _rows(entry: Entry) -> Iterator[dict[str, Any]]:
    result = entry.result
    about = {
        "result": entry.name,
        "validity": str(result.validity),
        "warnings": ";".join(dict.fromkeys(warning.kind for warning in result.warnings)),
        "metric": result.metric,
        "device": result.device,
        "started_utc": result.started_utc,
    }
    for artifact in result.artifacts:
        known = about | _artifact(artifact)
        if not artifact.replicates:
            yield known
        for replicate in artifact.replicates:
            yield known | _process(replicate)


def _artifact(artifact: ArtifactResult) -> dict[str, Any]:
    same = ("sha256", "format", "recipe", "role", "pair_id", "runtime", "runtime_version", "threads", "size_bytes", "macs", "parameters")
    return {
        "artifact": artifact.name,
        "file": artifact.path,
        **{field: getattr(artifact, field) for field in same},
        "artifact_median_ns": artifact.median_latency_ns,
        "artifact_low_ns": artifact.interval_ns[0],
        "artifact_high_ns": artifact.interval_ns[1],
    }


def _process(replicate: Replicate) -> dict[str, Any]:
    same = ("block", "position", "median_ns", "warmup_count", "load_ns", "first_inference_ns", "peak_memory_bytes")
    low, high = spread(replicate, (10, 90))
    told = {field: getattr(replicate, field) for field in same}
    told |= {field: told[field] or None for field in ("load_ns", "first_inference_ns")}  # 0 where nobody told it
    return {**told, "inferences": len(replicate.latency_ns), "p10_ns": low, "p90_ns": high}


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        text = plain(value)
        return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) else text
    return None if isinstance(value, float) and not math.isfinite(value) else value
