"""The Markdown report: for a README, an issue or a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from dsmobile.benchmark.result import Validity
from dsmobile.reporting.entry import Entry
from dsmobile.reporting.over_time import over_time_row
from dsmobile.reporting.rows import (
    DETECTABLE_METHOD,
    MEANINGS,
    SPEEDUP_METHOD,
    THEORY_METHOD,
    ArtifactRow,
    PairRow,
    artifact_row,
    pair_row,
    warning_text,
)
from dsmobile.reporting.text import plain

ARTIFACT_HEADINGS = ("Artifact", "Runtime", "Size", "Load", "First inference", "Median", "95% interval", "Peak memory", "Processes")
PAIR_HEADINGS = (
    "Pair",
    "Runtime",
    "Speed-up",
    "95% interval",
    "Theory (MACs)",
    "Of theory",
    "Verdict",
    "Smallest detectable difference",
    "Blocks",
)


def markdown_text(entries: Sequence[Entry]) -> str:
    """The report as GitHub-flavoured Markdown; every name is inert in it."""
    lines = ["# dsmobile benchmark"]
    for entry in entries:
        lines += ["", *_result(entry)]
    if any(entry.result.pairs for entry in entries):
        lines += ["", f"{SPEEDUP_METHOD} {THEORY_METHOD} {DETECTABLE_METHOD}"]
    return "\n".join(lines) + "\n"


def _result(entry: Entry) -> Iterator[str]:
    result = entry.result
    mark = "" if result.validity is Validity.VALID else "⚠ "
    yield f"## {escaped(entry.name)}: {mark}{result.validity}"
    yield ""
    yield f"**{mark}{result.validity}.** {MEANINGS[result.validity]}"
    if result.warnings:
        yield ""
        yield from (f"- **{escaped(warning.kind)}**: {escaped(warning_text(warning.advice))}" for warning in result.warnings)
    yield ""
    yield f"Device {escaped(result.device)}, measured {escaped(result.started_utc)} with dsmobile {escaped(result.dsmobile_version)}."
    if result.metric == "instructions":
        yield ""
        yield "Counted in instructions per inference on an emulated device: a cost, not a latency."
    if result.pairs:
        rows = [pair_row(pair, result) for pair in result.pairs]
        yield ""
        yield from (f"- {escaped(row.sentence)}" for row in rows)
        yield ""
        yield from _table(PAIR_HEADINGS, map(_pair, rows), text_columns=2)
    if result.sustained:
        yield ""
        yield from (f"- {escaped(over_time_row(found, result).sentence)}" for found in result.sustained)
    yield ""
    yield from _table(ARTIFACT_HEADINGS, (_artifact(artifact_row(artifact, result.metric)) for artifact in result.artifacts), text_columns=2)


def _artifact(row: ArtifactRow) -> tuple[str, ...]:
    figures = (row.size, row.load, row.first_inference, row.median, row.interval, row.peak_memory, row.processes)
    return (code(row.file), escaped(row.runtime), *figures)


def _pair(row: PairRow) -> tuple[str, ...]:
    figures = (row.speedup, row.interval, row.theory, row.share, row.verdict, row.minimum_detectable, row.blocks)
    return (f"{code(row.separable)} against {code(row.twin)}", escaped(row.runtime), *figures)


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, text_columns: int) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * text_columns}{'---:|' * (len(headings) - text_columns)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def escaped(text: str) -> str:
    """Text in which Markdown and HTML find nothing to obey."""
    shown = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = re.sub(r"([\\`*_{}\[\]()#+!|~$])", r"\\\1", shown)
    return re.sub(r"(?i)(https?|ftp|www)(?=[:.])", r"\1&#8203;", shown).replace("@", "@&#8203;")


def code(name: str) -> str:
    """A name as a code span that also stands in a table's cell."""
    shown = plain(name).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    space = " " if shown[:1] in ("`", " ") or shown[-1:] in ("`", " ") or not shown else ""
    return f"{fence}{space}{shown}{space}{fence}"
