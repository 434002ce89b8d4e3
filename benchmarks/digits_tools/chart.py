"""The chart: accuracy against MACs, and what is lost seed by seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from digits_tools.figures import Estimate
from digits_tools.networks import NETWORKS, NetworkCost
from digits_tools.tables import paired, signed
from digits_tools.training import Run
from dsmobile.files import replacing

COLOURS = {"separable": "#2b87c8", "standard": "#e08214", "same-macs": "#3a9d6e"}
INK = "#333333"
SIDE = {"separable": 1 / 1.25, "standard": 1.25, "same-macs": 1.25}
"""Which way a network's dots lie beside its bar; the two of equal cost stand back to back."""


def write_chart(
    path: Path,
    runs: Sequence[Run],
    costs: dict[str, NetworkCost],
    accuracies: dict[str, Estimate],
    differences: dict[str, Estimate],
) -> None:
    """Writes the chart as SVG, legible on light and on dark pages.

    Args:
        path: The file.
        runs: Every training.
        costs: Of each network.
        accuracies: Mean test accuracy of each network.
        differences: Of test accuracies, separable minus each other network's.
    """
    import altair as alt
    import vl_convert

    chart = (
        alt.hconcat(_against_macs(runs, costs, accuracies), _differences(runs, differences), spacing=40)
        .configure(background="white", padding=12, font="sans-serif")
        .configure_axis(labelColor=INK, titleColor=INK, labelFontSize=12, titleFontSize=12, titleFontWeight="normal")
        .configure_title(color=INK, fontSize=14, anchor="start", subtitleColor=INK, subtitleFontSize=11)
        .configure_view(stroke=None)
    )
    text = vl_convert.vegalite_to_svg(chart.to_dict())
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _against_macs(runs: Sequence[Run], costs: dict[str, NetworkCost], accuracies: dict[str, Estimate]) -> Any:
    import altair as alt

    places = {name: costs[name].macs / 1e6 * SIDE[name] ** 0.3 for name in NETWORKS}
    dots = [
        {"macs": places[name] * SIDE[name] ** (0.9 + 0.45 * rank), "accuracy": accuracy, "network": name}
        for name in NETWORKS
        for accuracy, rank in _ranked(100 * run.test_accuracy for run in runs if run.network == name)
    ]
    means = [
        {
            "macs": places[name],
            "mean": 100 * found.mean,
            "low": 100 * found.low,
            "high": min(100 * found.high, 100),
            "network": name,
            "label": f"{name}\n{100 * found.mean:.2f}%",
        }
        for name, found in accuracies.items()
    ]
    scale = alt.Scale(type="log", domain=[0.1, 25], nice=False)
    x = alt.X("macs:Q", title="million MACs of an inference (logarithmic)", scale=scale, axis=alt.Axis(values=[0.2, 0.5, 1, 2, 5, 10], grid=False))
    y = alt.Y("accuracy:Q", title="test accuracy (%)", scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=6))
    colour = _colour()
    labels = [
        alt.Chart(alt.Data(values=[mean]))
        .mark_text(align="left" if SIDE[mean["network"]] > 1 else "right", dx=42 if SIDE[mean["network"]] > 1 else -42, fontSize=12, lineBreak="\n")
        .encode(x=x, y="mean:Q", text="label:N", color=colour)
        for mean in means
    ]
    return alt.layer(
        alt.Chart(alt.Data(values=dots)).mark_circle(size=30, opacity=0.55).encode(x=x, y=y, color=colour),
        alt.Chart(alt.Data(values=means)).mark_rule(strokeWidth=3).encode(x=x, y="low:Q", y2="high:Q", color=colour),
        alt.Chart(alt.Data(values=means)).mark_point(size=110, filled=True, opacity=1).encode(x=x, y="mean:Q", color=colour),
        *labels,
    ).properties(
        width=340, height=260, title=_title("Accuracy against cost", "Large dot and bar: mean, 95% interval. Small dots beside them: seeds.")
    )


def _differences(runs: Sequence[Run], differences: dict[str, Estimate]) -> Any:
    import altair as alt

    rows = {other: len(differences) - number for number, other in enumerate(differences)}
    dots = [
        {"points": points, "row": rows[other] - 0.14 - 0.07 * rank, "network": other}
        for other in differences
        for points, rank in _ranked(100 * value for value in paired(runs, other))
    ]
    means = [
        {
            "mean": 100 * found.mean,
            "low": 100 * found.low,
            "high": 100 * found.high,
            "row": rows[other],
            "network": other,
            "label": f"minus {other}: {signed(found.mean)}",
        }
        for other, found in differences.items()
    ]
    y = alt.Y("row:Q", axis=None, scale=alt.Scale(domain=[0.3, len(rows) + 0.4], nice=False))
    x = alt.X("points:Q", title="points of accuracy", axis=alt.Axis(grid=False, tickCount=6))
    colour = _colour()
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=INK, strokeDash=[3, 3]).encode(x="zero:Q")
    labels = alt.Chart(alt.Data(values=means)).mark_text(align="left", dy=-16, fontSize=12).encode(x=alt.value(0), y=y, text="label:N", color=colour)
    return alt.layer(
        zero,
        alt.Chart(alt.Data(values=dots)).mark_circle(size=30, opacity=0.55).encode(x=x, y=y, color=colour),
        alt.Chart(alt.Data(values=means)).mark_rule(strokeWidth=3).encode(y=y, x="low:Q", x2="high:Q", color=colour),
        alt.Chart(alt.Data(values=means)).mark_point(size=110, filled=True, opacity=1).encode(y=y, x="mean:Q", color=colour),
        labels,
    ).properties(width=400, height=260, title=_title("Separable minus each twin, seed by seed", "Left of the dashed line the twin is better."))


def _ranked(values: Iterable[float]) -> list[tuple[float, int]]:
    """Values with how many equal ones came before, so that equal dots lie side by side."""
    seen: Counter[float] = Counter()
    ranked = []
    for value in (round(value, 6) for value in values):
        ranked.append((value, seen[value]))
        seen[value] += 1
    return ranked


def _title(text: str, below: str) -> Any:
    import altair as alt

    return alt.Title(text, subtitle=below)


def _colour() -> Any:
    import altair as alt

    return alt.Color("network:N", scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())), legend=None)
