"""What a run without a pause shows, in words: first minute against last, heat and clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dsmobile.benchmark.result import Result, Second, Sustained, Verdict
from dsmobile.reporting.drawing import ROLE_COLOURS, Chart, known, layered
from dsmobile.reporting.entry import Entry
from dsmobile.reporting.figures import NONE, TIMES, percent, quantity, ratio, unit_for
from dsmobile.reporting.rows import artifact_name

METHOD = (
    "One process ran without a pause; the beginning and the end are compared by the medians of six batches each (Welch's t on their logarithms). "
    "Throttling is what such a run looks for, so it does not make it INVALID."
)


@dataclass(frozen=True)
class OverTimeRow:
    """One artifact's run without a pause, ready to print; every field is text."""

    name: str
    window: str
    first: str
    last: str
    slowdown: str
    interval: str
    temperature: str
    frequency: str
    sentence: str


def over_time_row(found: Sustained, result: Result) -> OverTimeRow:
    """One artifact's run without a pause, in words."""
    name = artifact_name(found.path, result)
    slowdown, interval = ratio(found.slowdown, found.slowdown_interval)
    temperatures = [second.temperature_c for second in found.seconds if second.temperature_c is not None]
    clocks = [second.frequency_khz / 1e6 for second in found.seconds if second.frequency_khz]
    window = "minute" if found.window_s == 60 else f"{found.window_s:.0f} s"
    how = {
        Verdict.SLOWER: f"is slower in its last {window} than in its first: it takes {slowdown} as long ({interval})",
        Verdict.FASTER: f"is faster in its last {window} than in its first: it takes {slowdown} as long ({interval})",
        Verdict.NO_DIFFERENCE_SHOWN: f"shows no difference between its first and its last {window}: {slowdown} ({interval}); it would have shown "
        f"one of {percent(found.minimum_detectable)}",
    }[found.verdict]
    heat = f"; {temperatures[0]:.0f} °C at first, {max(temperatures):.0f} °C at most" if temperatures else ""
    return OverTimeRow(
        name=name,
        window=window,
        first=quantity(found.first_ns, TIMES),
        last=quantity(found.last_ns, TIMES),
        slowdown=slowdown,
        interval=interval,
        temperature=f"{temperatures[0]:.0f} to {max(temperatures):.0f} °C" if temperatures else NONE,
        frequency=f"{min(clocks):.2f} to {max(clocks):.2f} GHz" if clocks else NONE,
        sentence=f"{name} {how}{heat}.",
    )


MOST_POINTS = 600


def over_time_charts(entry: Entry, found: Sustained) -> Iterator[Chart]:
    """Latency, temperature and clock over time; what the device does not tell has no chart."""
    unit = unit_for(max(second.p90_ns for second in found.seconds), TIMES)
    step = -(-len(found.seconds) // MOST_POINTS)
    seconds = found.seconds[::step]
    name = artifact_name(found.path, entry.result)
    rows = [{**_point(second), "median": second.median_ns / unit.size, "p90": second.p90_ns / unit.size} for second in seconds]
    caption = "Line: median of each second; pale line: its 90th percentile. The scale does not begin at zero."
    yield _line(f"{name}: latency over time", caption, rows, ("p90", "median"), f"latency ({unit.name})")
    told = (
        ("temperature", "temperature (°C)", "The processor's hottest place."),
        ("clock", "clock (GHz)", "The processor's clock at the end of each second."),
    )
    for field, title, says in told:
        if any(row[field] is not None for row in rows):
            yield _line(f"{name}: {field} over time", says, rows, (field,), title)


def _point(second: Second) -> dict[str, float | None]:
    return {
        "minutes": second.at_s / 60,
        "temperature": second.temperature_c,
        "clock": second.frequency_khz / 1e6 if second.frequency_khz else None,
    }


def _line(title: str, caption: str, rows: list[dict[str, float | None]], fields: tuple[str, ...], axis: str) -> Chart:
    import altair as alt

    x = alt.X("minutes:Q", title="minutes", axis=alt.Axis(tickCount=6, grid=False))
    layers = []
    for field in fields:
        y = alt.Y(f"{field}:Q", title=axis, scale=alt.Scale(zero=False))
        pale = field == "p90"
        layers.append(
            known(rows, field)
            .mark_line(color=ROLE_COLOURS["separable"], opacity=0.35 if pale else 1.0, strokeWidth=1 if pale else 2)
            .encode(x=x, y=y)
        )
    return Chart(title, caption, layered(layers, height=200))
