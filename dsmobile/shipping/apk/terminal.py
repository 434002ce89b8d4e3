"""An APK's report in a terminal of 80 columns: what it is, each check with what was seen, what to do, the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsmobile.evaluation.table import printable
from dsmobile.shipping.apk.report import FAILED, NOT_CHECKED, PASSED

_STYLES = {PASSED: "green", FAILED: "bold red", NOT_CHECKED: "yellow"}


def show_apk_report(document: dict[str, Any]) -> None:
    """Prints what `dsmobile ship check` found.

    Args:
        document: Of `ApkReport.to_json`.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, emoji=False)
    console.print(Text.assemble((printable(Path(document["apk"]).name), "bold"), "  ", printable(_header(document))), soft_wrap=True)
    for model in document["models"]:
        console.print(Text(printable(_model(model))), soft_wrap=True)
    console.print()
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in document["checks"]:
        table.add_row(Text(check["name"].replace("_", " ")), Text(check["status"], _STYLES[check["status"]]), Text(printable(check["detail"])))
    console.print(table)
    console.print()
    for check in document["checks"]:
        if check["advice"]:
            label = "What to do" if check["status"] == FAILED else "To check it"
            console.print(Text.assemble((f"{label}, {check['name'].replace('_', ' ')}: ", "bold"), printable(check["advice"])), soft_wrap=True)
    for warning in document["warnings"]:
        console.print(Text.assemble(("Warning: ", "yellow"), printable(warning)), soft_wrap=True)
    console.print(Text(_verdict(document), "bold"))


def _header(document: dict[str, Any]) -> str:
    if document["package"] is None:
        return "(its manifest cannot be read)"
    levels = f"minSdk {_level(document['min_sdk'])}, targetSdk {_level(document['target_sdk'])}"
    abis = ", ".join(document["abis"]) or "no native libraries"
    return f"{document['package']}, {levels}; {abis}; {'signed by ' + ', '.join(document['signatures']) if document['signatures'] else 'not signed'}"


def _level(value: int | str | None) -> str:
    return "in a resource" if value is None else str(value)


def _model(model: dict[str, Any]) -> str:
    lies = "stored" if model["stored"] else f"deflated to {model['compressed_bytes']:,}"
    return f"{model['path']}: {model['format']}, {model['size_bytes']:,} bytes, {lies}, SHA-256 {model['sha256'] or 'not known'}"


def _verdict(document: dict[str, Any]) -> str:
    counts = {status: sum(check["status"] == status for check in document["checks"]) for status in _STYLES}
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return f"{'Passed' if document['passed'] else 'Failed'}: {said}"
