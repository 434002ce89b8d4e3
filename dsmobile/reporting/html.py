"""The HTML report: one file, charts included, that opens anywhere without a network and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from dsmobile.benchmark.result import ArtifactResult, Result, Validity
from dsmobile.errors import MissingExtraError
from dsmobile.reporting import rows
from dsmobile.reporting.charts import by_metric, latency_chart, process_chart, size_chart, speedup_chart
from dsmobile.reporting.drawing import Chart
from dsmobile.reporting.entry import Entry
from dsmobile.reporting.figures import BYTES, NONE, quantity
from dsmobile.reporting.over_time import METHOD, over_time_charts, over_time_row
from dsmobile.reporting.text import plain

LONGEST_LIST = 12
"""How many members of a list (a processor's features) the page shows; the JSON report has all."""
SEVERITY = (Validity.INVALID, Validity.DEGRADED, Validity.VALID)


@dataclass(frozen=True)
class Group:
    """Results of one metric, which share their charts.

    Args:
        metric: `latency` or `instructions`.
        invalid: Whether one of them is INVALID.
        charts: Overview charts.
        processes: A chart for each artifact.
    """

    metric: str
    invalid: bool
    charts: tuple[Chart, ...]
    processes: tuple[Chart, ...]


def html_text(entries: Sequence[Entry]) -> str:
    """The report as one HTML page.

    Raises:
        MissingExtraError: The libraries that draw are not installed.
    """
    bundle = _bundle()
    from jinja2 import Environment, StrictUndefined

    groups = list(_groups(entries))
    charts = [chart for group in groups for chart in (*group.charts, *group.processes)]
    script = _script(bundle)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_visible)
    page: str = environment.from_string(_part("page.html")).render(
        entries=entries,
        worst=next(validity for validity in SEVERITY if any(entry.result.validity is validity for entry in entries)),
        groups=groups,
        number={id(chart): number for number, chart in enumerate(charts)},
        identity=id,
        specifications=[_ours(_data(chart)) for chart in charts],
        artifacts=list(_artifacts(entries)),
        pairs=[(entry, rows.pair_row(pair, entry.result)) for entry in entries for pair in entry.result.pairs],
        over_time=[over_time_row(found, entry.result) for entry in entries for found in entry.result.sustained],
        over_time_method=METHOD,
        texts=rows,
        facts=lambda values: list(_flat(values)),
        snapshots=_snapshots,
        sentence=rows.warning_text,
        style=_ours(_part("page.css")),
        script=_ours(script),
        policy=_policy(script),
    )
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def _bundle() -> str:
    """Vega and the few lines that draw our charts with it, as one script."""
    try:
        import altair  # noqa: F401
        import jinja2  # noqa: F401
        import vl_convert
    except ImportError as error:
        raise MissingExtraError(f"the HTML report needs {error.name}, which is not installed", "pip install 'dsmobile[report]'") from error
    return str(vl_convert.javascript_bundle(_part("page.js")))


def _part(name: str) -> str:
    return (resources.files("dsmobile.reporting") / "page" / name).read_text(encoding="utf-8")


def _groups(entries: Sequence[Entry]) -> Iterator[Group]:
    first = 1
    for metric, group in by_metric(entries).items():
        over_time = [chart for entry in group for found in entry.result.sustained for chart in over_time_charts(entry, found)]
        charts = (speedup_chart(group), *over_time, latency_chart(group), size_chart(group, first))
        processes = [None if entry.result.sustained else process_chart(entry, artifact) for entry in group for artifact in entry.result.artifacts]
        invalid = any(entry.result.validity is Validity.INVALID for entry in group)
        yield Group(metric, invalid, tuple(chart for chart in charts if chart), tuple(chart for chart in processes if chart))
        first += len(processes)


def _artifacts(entries: Sequence[Entry]) -> Iterator[tuple[int, Entry, rows.ArtifactRow]]:
    """Artifacts in the order of the groups, with the numbers that the charts show."""
    ordered = [entry for group in by_metric(entries).values() for entry in group]
    members: list[tuple[Entry, ArtifactResult]] = [(entry, artifact) for entry in ordered for artifact in entry.result.artifacts]
    for number, (entry, artifact) in enumerate(members, start=1):
        yield number, entry, rows.artifact_row(artifact, entry.result.metric)


def _snapshots(result: Result) -> list[tuple[str, str, str]]:
    """What the conditions were in the first and in the last snapshot, one line for each property."""
    if not result.conditions:
        return []
    before, after = (dict(_flat(snapshot)) for snapshot in (result.conditions[0], result.conditions[-1]))
    return [(key, before.get(key, NONE), after.get(key, NONE)) for key in dict.fromkeys([*before, *after])]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            shown = ", ".join(f"{item:.4g}" if isinstance(item, float) else str(item) for item in value[:LONGEST_LIST])
            yield name, f"{shown} and {len(value) - LONGEST_LIST} more" if len(value) > LONGEST_LIST else shown or NONE
        elif name.endswith("_bytes") and isinstance(value, int | float):
            yield name, quantity(value, BYTES)
        elif isinstance(value, float):
            yield name, f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0f}"
        else:
            yield name, NONE if value is None or value == "" else str(value)


def _ours(text: str) -> Any:
    """Text that the template prints as it is: our own files, and JSON that `_data` has made inert."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704


def _visible(value: Any) -> Any:
    """What the template prints: every text on one line with nothing unseen in it; what is ours already stays."""
    return plain(value) if type(value) is str else value


def _data(chart: Chart) -> str:
    """A chart, with a description for those who cannot see it, as JSON that cannot end the element it stands in.

    Source: HTML Living Standard, "Restrictions for contents of script elements".
    """
    specification = {**chart.specification, "description": plain(f"{chart.title}. {chart.caption}")}
    text = json.dumps(specification, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _script(source: str) -> str:
    """JavaScript that cannot end the element it stands in, with the line ends a browser will hash."""
    return source.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(script: str) -> str:
    """A content security policy: no network at all, and no script but this one."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
