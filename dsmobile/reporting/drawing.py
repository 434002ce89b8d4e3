"""What the page's charts share: colours, labels, axes; legible on light and on dark paper, as wide as the page.

Labels stand above their bars instead of on an axis, so that long names leave the bars room on a telephone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

INK = "currentColor"
"""The page's own text colour, whichever that is."""
INVALID_COLOUR = "#d62839"
ROLE_COLOURS = {"separable": "#2b87c8", "twin": "#e08214", "model": "#3a9d6e", "other": "#8a8f98", "INVALID": INVALID_COLOUR}
OUTCOME_COLOURS = {"faster": "#2b87c8", "slower": "#e08214", "no difference shown": "#8a8f98", "INVALID": INVALID_COLOUR}
LINE = 16
"""Height of a line of a label, in pixels."""
MARK = 30
"""Height of a bar or a dot below its label, with the space around them."""


@dataclass(frozen=True)
class Chart:
    """A chart and the words around it.

    Args:
        title: What is shown.
        caption: How to read it, and what is left out.
        specification: Vega-Lite, with its data inside.
        wide: Whether it takes the page's whole width.
    """

    title: str
    caption: str
    specification: dict[str, Any]
    wide: bool = False


def known(rows: list[dict[str, Any]], *fields: str) -> Any:
    """A chart of the rows in which every one of these fields is known; Vega would draw an unknown one at zero."""
    import altair as alt

    return alt.Chart(alt.InlineData(values=[row for row in rows if all(row[field] is not None for field in fields)]))


def finite(value: float) -> float | None:
    """The value, or None where JSON has no word for it."""
    return value if math.isfinite(value) else None


def labelled(rows: list[dict[str, Any]], *, lines: int) -> Any:
    """The labels, above what they belong to."""
    import altair as alt

    top = -(lines * LINE + MARK) / 2 + 4
    text = known(rows).mark_text(
        align="left", baseline="line-top", lineBreak="\n", lineHeight=LINE, yOffset=top, color=INK, limit=0
    )  # fmt: skip
    return text.encode(y=places(), x=alt.value(4), text="label:N")


def places() -> Any:
    """One place for each row, from the top, without an axis."""
    import altair as alt

    return alt.Y("order:O", axis=None, sort="ascending")


def coloured(field: str, colours: dict[str, str], rows: list[dict[str, Any]], title: str) -> Any:
    """Colours by a field, with a legend of those that occur; none where there is nothing to tell apart."""
    import altair as alt

    shown = [name for name in colours if any(row[field] == name for row in rows)]
    scale = alt.Scale(domain=shown, range=[colours[name] for name in shown])
    legend = None if shown == ["other"] else alt.Legend(orient="top", direction="horizontal", columns=2)
    return alt.Color(f"{field}:N", scale=scale, title=title, legend=legend)


def logarithmic(values: list[float]) -> dict[str, Any]:
    """A logarithmic scale with room around the values, and an axis with a handful of round ticks."""
    import altair as alt

    low, high = min(values) / 1.6, max(values) * 1.6
    return {"scale": alt.Scale(type="log", domain=[low, high], nice=False), "axis": alt.Axis(values=round_ticks(low, high), format="~r")}


def round_ticks(low: float, high: float) -> list[float]:
    """Round values between two positive ones: 1, 2 and 5 times powers of ten, evenly spaced ones where those are fewer than three."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) < 5 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
    if len(ticks) >= 3:
        return ticks
    wanted = (high - low) / 8  # a step is at most 2.5 times the wanted one: two ticks at least, nine at most
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next((factor * power for factor in (1, 2, 5) if factor * power >= wanted), 10 * power)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def layered(layers: Iterable[Any], *, height: int) -> dict[str, Any]:
    """The layers that hold a row, one above the other, as Vega-Lite.

    Args:
        layers: Charts with their own data.
        height: In pixels; the width is the page's.
    """
    import altair as alt

    chart = alt.layer(*(layer for layer in layers if layer.data.values))
    chart = chart.properties(width="container", height=height, autosize={"type": "fit-x", "contains": "padding"}, background="transparent")
    colours = {"labelColor": INK, "titleColor": INK}
    sizes = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
    lines = {"domainColor": INK, "tickColor": INK, "gridColor": INK, "gridOpacity": 0.12, "domainOpacity": 0.4, "tickOpacity": 0.4}
    chart = chart.configure(font="system-ui, sans-serif").configure_view(stroke=None).configure_text(fontSize=12.5)
    specification: dict[str, Any] = chart.configure_axis(**colours, **sizes, **lines).configure_legend(**colours, **sizes).to_dict()
    return specification
