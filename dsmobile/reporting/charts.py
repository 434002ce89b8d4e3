"""The page's charts, as Vega-Lite: drawn by Altair from the result's own figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from dsmobile.benchmark.result import ArtifactResult, PairResult, Replicate, Result, Validity
from dsmobile.reporting.drawing import (
    INK,
    LINE,
    MARK,
    OUTCOME_COLOURS,
    ROLE_COLOURS,
    Chart,
    coloured,
    finite,
    known,
    labelled,
    layered,
    logarithmic,
    places,
)
from dsmobile.reporting.entry import Entry
from dsmobile.reporting.figures import BYTES, Unit, cost_units, quantity, unit_for
from dsmobile.reporting.processes import spread
from dsmobile.reporting.rows import artifact_row, outcome, pair_row
from dsmobile.reporting.text import plain


def by_metric(entries: Iterable[Entry]) -> dict[str, tuple[Entry, ...]]:
    """Results that share an axis: latencies never stand beside instruction counts."""
    groups: dict[str, tuple[Entry, ...]] = {}
    for entry in entries:
        groups[entry.result.metric] = (*groups.get(entry.result.metric, ()), entry)
    return groups


def speedup_chart(entries: Sequence[Entry]) -> Chart | None:
    """Measured speed-up with its interval against the ratio of MACs, a line for each pair; None where nothing was compared."""
    import altair as alt

    pairs = [(entry, pair) for entry in entries for pair in entry.result.pairs if math.isfinite(pair.speedup)]
    rows = [{"order": order, **_speedup(entry, pair, entries)} for order, (entry, pair) in enumerate(pairs)]
    if not rows:
        return None
    y, below = places(), 3 * LINE / 2
    x = alt.X("speedup:Q", title="speed-up (×)", scale=alt.Scale(zero=True, nice=True), axis=alt.Axis(tickCount=8))
    colour = coloured("outcome", OUTCOME_COLOURS, rows, "verdict")
    layers = [
        known([{"one": 1}]).mark_rule(color=INK, opacity=0.5, strokeDash=[3, 3]).encode(x="one:Q"),
        known(rows, "theory").mark_tick(color=INK, thickness=2, size=24, yOffset=below).encode(y=y, x="theory:Q", tooltip="figures:N"),
        known(rows, "low", "high").mark_rule(strokeWidth=3, yOffset=below).encode(y=y, x="low:Q", x2="high:Q", color=colour),
        known(rows).mark_point(size=70, filled=True, opacity=1, yOffset=below).encode(y=y, x=x, color=colour, tooltip="figures:N"),
        labelled(rows, lines=3),
    ]
    return Chart(
        "Speed-up: measured against theory",
        "Dot: measured speed-up; bar through it: 95% interval (a narrow one hides behind the dot). Upright tick: ratio of MACs, the "
        "speed-up in theory. Dashed line: 1×, equally fast.",
        layered(layers, height=(MARK + 3 * LINE) * len(rows)),
        wide=True,
    )


def latency_chart(entries: Sequence[Entry]) -> Chart | None:
    """The median of each artifact as a bar, with its interval; None where nothing was measured."""
    import altair as alt

    shown = [(entry, artifact) for _, entry, artifact in _measured(entries)]
    if not shown:
        return None
    metric, unit = entries[0].result.metric, _cost_unit([artifact for _, artifact in shown], entries)
    rows = [{"order": order, **_latency(entry, artifact, entries, unit)} for order, (entry, artifact) in enumerate(shown)]
    y, below = places(), LINE
    x = alt.X("cost:Q", title=_axis(metric, unit), axis=alt.Axis(tickCount=6))
    colour = coloured("role", ROLE_COLOURS, rows, "role")
    layers = [
        known(rows).mark_bar(height=14, yOffset=below, opacity=0.85).encode(y=y, x=x, color=colour, tooltip="figures:N"),
        known(rows, "low", "high").mark_rule(color=INK, strokeWidth=2, yOffset=below).encode(y=y, x="low:Q", x2="high:Q"),
        labelled(rows, lines=2),
    ]
    return Chart(
        "Instructions per inference" if metric == "instructions" else "Latency",
        "Bar: median over fresh processes, warm-up excluded; line at its end: 95% interval of that median. Less is better.",
        layered(layers, height=(MARK + 2 * LINE) * len(rows)),
    )


def size_chart(entries: Sequence[Entry], first: int = 1) -> Chart | None:
    """The file's size against the median, both axes logarithmic; None where nothing was measured.

    Args:
        entries: Results of one metric.
        first: The number of their first artifact in the table of artifacts.
    """
    import altair as alt

    shown = [(number, entry, artifact) for number, entry, artifact in _measured(entries, first) if artifact.size_bytes > 0]
    if not shown:
        return None
    metric, cost = entries[0].result.metric, _cost_unit([artifact for _, _, artifact in shown], entries)
    size = unit_for(max(artifact.size_bytes for _, _, artifact in shown), BYTES)
    rows: list[dict[str, Any]] = [
        {
            "number": str(number),
            "size": artifact.size_bytes / size.size,
            "cost": artifact.median_latency_ns / cost.size,
            "role": _role(artifact, entry.result),
            "figures": f"{plain(artifact.name)}: {quantity(artifact.size_bytes, BYTES)}, {artifact_row(artifact, metric).median}",
        }
        for number, entry, artifact in shown
    ]
    x = alt.X("size:Q", title=f"file size ({size.name})", **logarithmic([row["size"] for row in rows]))
    y = alt.Y("cost:Q", title=_axis(metric, cost), **logarithmic([row["cost"] for row in rows]))
    colour = coloured("role", ROLE_COLOURS, rows, "role")
    layers = [
        known(rows).mark_point(size=90, filled=True, opacity=0.9).encode(x=x, y=y, color=colour, tooltip="figures:N"),
        known(rows).mark_text(align="left", dx=9, dy=-7, color=INK).encode(x=x, y=y, text="number:N"),
    ]
    return Chart(
        "File size against " + ("instructions" if metric == "instructions" else "latency"),
        "A dot for each artifact, numbered as in the table; both axes are logarithmic; lower left is better.",
        layered(layers, height=280),
    )


def process_chart(entry: Entry, artifact: ArtifactResult) -> Chart | None:
    """Every fresh process of an artifact in the order of the run, its median and the spread of its inferences; None where none ran."""
    import altair as alt

    if not artifact.replicates or not math.isfinite(artifact.median_latency_ns):
        return None
    unit = _cost_unit([artifact], [entry])
    rows = [{"process": number, **_process(replicate, unit)} for number, replicate in enumerate(artifact.replicates, start=1)]
    band = [{"low": finite(artifact.interval_ns[0] / unit.size), "high": finite(artifact.interval_ns[1] / unit.size)}]
    colour = ROLE_COLOURS[_role(artifact, entry.result)]
    axis = alt.Axis(format="d", tickMinStep=1, tickCount=min(len(rows), 8), grid=False)
    x = alt.X("process:Q", title="process, in the order of the run", scale=alt.Scale(domain=[0.5, len(rows) + 0.5], nice=False), axis=axis)
    y = alt.Y("median:Q", title=_axis(entry.result.metric, unit), scale=alt.Scale(zero=False))
    layers = [
        known(band, "low", "high").mark_rect(color=INK, opacity=0.12).encode(y="low:Q", y2="high:Q", x=alt.value(0), x2=alt.value("width")),
        known(rows, "low", "high").mark_rule(color=colour, strokeWidth=1, opacity=0.8).encode(x=x, y="low:Q", y2="high:Q"),
        known(rows, "lower", "upper").mark_rule(color=colour, strokeWidth=4, opacity=0.45).encode(x=x, y="lower:Q", y2="upper:Q"),
        known(rows, "median").mark_point(color=colour, size=34, filled=True, opacity=1).encode(x=x, y=y),
    ]
    warmup = sum(replicate.warmup_count for replicate in artifact.replicates)
    warm = sum(len(replicate.latency_ns) for replicate in artifact.replicates) - warmup
    state = "" if entry.result.validity is Validity.VALID else f" ({entry.result.validity})"
    return Chart(
        f"{artifact.name} · {artifact.runtime}{state}",
        f"{len(rows)} processes, {warm} inferences; {warmup} of warm-up and each process's first are left out.",
        layered(layers, height=170),
    )


def _measured(entries: Sequence[Entry], first: int = 1) -> list[tuple[int, Entry, ArtifactResult]]:
    """Artifacts that have a median, with their number in the table."""
    numbered = enumerate(((entry, artifact) for entry in entries for artifact in entry.result.artifacts), start=first)
    return [(number, entry, artifact) for number, (entry, artifact) in numbered if 0 < artifact.median_latency_ns < math.inf]


def _speedup(entry: Entry, pair: PairResult, entries: Sequence[Entry]) -> dict[str, Any]:
    row = pair_row(pair, entry.result)
    return {
        "label": _label((row.separable, f"against {row.twin}"), pair.runtime, entry, entries),
        "speedup": pair.speedup,
        "low": finite(pair.speedup_interval[0]),
        "high": finite(pair.speedup_interval[1]),
        "theory": pair.macs_ratio,
        "outcome": outcome(pair, entry.result),
        "figures": f"{row.speedup}, interval {row.interval}, theory {row.theory}",
    }


def _latency(entry: Entry, artifact: ArtifactResult, entries: Sequence[Entry], unit: Unit) -> dict[str, Any]:
    row = artifact_row(artifact, entry.result.metric)
    return {
        "label": _label((artifact.name,), artifact.runtime, entry, entries),
        "cost": artifact.median_latency_ns / unit.size,
        "low": finite(artifact.interval_ns[0] / unit.size),
        "high": finite(artifact.interval_ns[1] / unit.size),
        "role": _role(artifact, entry.result),
        "figures": f"{row.median}, interval {row.interval}",
    }


def _process(replicate: Replicate, unit: Unit) -> dict[str, Any]:
    shown = spread(replicate, (10, 25, 75, 90))
    low, lower, upper, high = (None if value is None else value / unit.size for value in shown)
    return {"median": finite(replicate.median_ns / unit.size), "low": low, "lower": lower, "upper": upper, "high": high}


def _label(lines: tuple[str, ...], runtime: str, entry: Entry, entries: Sequence[Entry]) -> str:
    state = "" if entry.result.validity is Validity.VALID else f" · {entry.result.validity}"
    origin = f" · {plain(entry.name)}" if len(entries) > 1 else ""
    return "\n".join([*(plain(line) for line in lines), f"{plain(runtime)}{origin}{state}"])


def _role(artifact: ArtifactResult, result: Result) -> str:
    if result.validity is Validity.INVALID:
        return "INVALID"
    return artifact.role if artifact.role in ROLE_COLOURS else "other"


def _cost_unit(artifacts: list[ArtifactResult], entries: Sequence[Entry]) -> Unit:
    return unit_for(max(artifact.median_latency_ns for artifact in artifacts), cost_units(entries[0].result.metric))


def _axis(metric: str, unit: Unit) -> str:
    return f"instructions per inference ({unit.name})" if metric == "instructions" else f"latency ({unit.name})"
