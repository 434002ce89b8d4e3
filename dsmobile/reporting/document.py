"""The JSON report: the results as they were measured, raw samples included, fit to be shared."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from dsmobile.reporting.entry import Entry

SCHEMA = "dsmobile.report/1"


def json_document(entries: Sequence[Entry]) -> dict[str, Any]:
    """The report as a JSON document.

    Returns:
        `schema`, and `results`: for each its `name` and its `result`, in the form of `dsmobile.result/1`. A number that is not finite is
        null, since JSON has no word for it.
    """
    return {"schema": SCHEMA, "results": [{"name": entry.name, "result": _finite(entry.result.to_json())} for entry in entries]}


def json_text(entries: Sequence[Entry]) -> str:
    """The document as text; a name that is no Unicode keeps its bytes as escapes."""
    text = json.dumps(json_document(entries), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
