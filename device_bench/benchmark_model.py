"""What the two native tools called `benchmark_model` print, as numbers.

TensorFlow Lite's prints microseconds, LiteRT's (on its CompiledModel) milliseconds, and so does LiteRT's Python script `litert-benchmark`:
which of them spoke shows in the words. Neither prints single inferences. Lines may carry the prefix of a logger.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Dict, List, Optional, Tuple

from .records import Summary

_NUMBER = r"([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)"
_COUNT = re.compile(r"\bcount=[0-9]+ ")
_FIELD = re.compile(r"\b(count|first|curr|min|max|avg|std|p5|median|p95)=" + _NUMBER)
_END = re.compile(r"Inference timings in us: Init: {0}, First inference: {0}, Warmup \(avg\): {0}, Inference \(avg\): {0}".format(_NUMBER))
_OLD_END = re.compile(r"Average inference timings in us: Warmup: {0}, Init: {0}, no stats: {0}".format(_NUMBER))
_MILLISECONDS = re.compile(r"(Model initialization|Warmup|Inference)(?: \((first|avg|min|max|median|std|p5|p95)\))?: +" + _NUMBER + r"(?: ms|\s*$)")
_RUNS = re.compile(r"\(([0-9]+) runs\)")
_REPLACED = re.compile(r"Replacing ([0-9]+) out of ([0-9]+) node\(s\) with delegate \((\w+)\).*yielding ([0-9]+) partitions")
_DELEGATE = re.compile(r"(?:Created TensorFlow Lite (?=XNNPACK)|Explicitly applied )(\w+) delegate")
_NAMES = {"mean_ns": "avg", "median_ns": "median", "min_ns": "min", "max_ns": "max", "std_ns": "std", "p5_ns": "p5", "p95_ns": "p95"}
_US, _MS = 1000, 1000000


@dataclass(frozen=True)
class Report:
    """One run of a tool.

    Args:
        summary: Its inferences.
        load_ns: Opening the model until it can run.
        first_inference_ns: The first inference; None where it is not printed.
        delegate: `XNNPACK`, `GPU`, `NNAPI`; empty where none is named.
        nodes: How many of the model's nodes the delegate took, of how many, in how many partitions; None where it is not printed.
    """

    summary: Summary
    load_ns: Optional[float] = None
    first_inference_ns: Optional[float] = None
    delegate: str = ""
    nodes: Optional[Tuple[int, int, int]] = None


@dataclass
class _Run:
    """What has been read of a run so far; figures as they stand in the text."""

    statistics: List[Dict[str, str]] = field(default_factory=list)
    milliseconds: Dict[str, str] = field(default_factory=dict)
    runs: Optional[int] = None
    delegate: str = ""
    nodes: Optional[Tuple[int, int, int]] = None
    report: Optional[Report] = None


def parse(text: str) -> List[Report]:
    """Reads the output of a tool.

    Args:
        text: What it printed: standard output and standard error together, or a log that holds several runs.

    Returns:
        A report of each run that came to its end, in order; a run that was cut off gives none.
    """
    runs = [_Run()]
    for line in text.splitlines():
        if "STARTING!" in line or (runs[-1].report and "BENCHMARK RESULTS" in line and runs[-1].milliseconds):
            runs.append(_Run())
        _read(line, runs[-1])
    for run in runs:
        if "Inference avg" in run.milliseconds:
            run.report = _in_milliseconds(run)
    return [run.report for run in runs if run.report and run.report.summary.latency_ns > 0]


def _read(line: str, run: _Run) -> None:
    """Takes from a line what it says."""
    end, old_end = _END.search(line), _OLD_END.search(line)
    if end:
        run.report = _in_microseconds(run, mean=end[4], load=end[1], first=end[2])
    elif old_end:
        warmup = run.statistics[0] if len(run.statistics) > 1 else {}
        run.report = _in_microseconds(run, mean=old_end[3], load=old_end[2], first=warmup.get("first", warmup.get("curr")))
    elif _COUNT.search(line):
        run.statistics.append(dict(_FIELD.findall(line)))
    else:
        _read_milliseconds(line, run)
    replaced, applied = _REPLACED.search(line), _DELEGATE.search(line)
    if replaced:
        run.nodes = (int(replaced[1]), int(replaced[2]), int(replaced[4]))
    if applied:
        run.delegate = applied[1]


def _read_milliseconds(line: str, run: _Run) -> None:
    found = _MILLISECONDS.search(line)
    if found:
        run.milliseconds[(found[1] + " " + (found[2] or "")).strip()] = found[3]
        counted = _RUNS.search(line)
        if found[1] == "Inference" and counted:
            run.runs = int(counted[1])


def _in_microseconds(run: _Run, *, mean: str, load: str, first: Optional[str]) -> Report:
    """TensorFlow Lite's: the last statistics before the end are the benchmark's, those before them the warm-up's."""
    last = run.statistics[-1] if run.statistics else {}
    if last.get("count") == "1":
        last = {"avg": last["curr"], "median": last["curr"], **last}
    texts = last if last.get("avg") == mean else {"avg": mean}
    return _report(run, "tflite", texts, _US, load=load, first=first, count=int(texts["count"]) if "count" in texts else None)


def _in_milliseconds(run: _Run) -> Report:
    """LiteRT's: two decimals of a millisecond, unless the same run was also told in microseconds."""
    read = run.milliseconds
    load, first = read.get("Model initialization"), read.get("Warmup first")
    fine = run.statistics[-1] if run.statistics else {}
    if "avg" in fine and abs(float(fine["avg"]) / 1000 - float(read["Inference avg"])) <= 0.0051:
        texts = {name: fine[name] for name in fine if name != "count"}
        report = _report(run, "litert", texts, _US, load=None, first=None, count=int(fine["count"]))
    else:
        texts = {name: read["Inference " + name] for name in _NAMES.values() if "Inference " + name in read}
        report = _report(run, "litert", texts, _MS, load=None, first=None, count=run.runs)
    return Report(report.summary, _ns(load, _MS), _ns(first, _MS), report.delegate, report.nodes)


def _report(run: _Run, tool: str, texts: Dict[str, str], unit: int, *, load: Optional[str], first: Optional[str], count: Optional[int]) -> Report:
    statistic = "median" if "median" in texts else "avg"
    figures = {name: _ns(texts.get(word), unit) for name, word in _NAMES.items()}
    summary = Summary(
        tool=tool,
        statistic="median" if statistic == "median" else "mean",
        latency_ns=float(Decimal(texts[statistic]) * unit),
        count=count,
        resolution_ns=_step(texts[statistic]) * unit,
        **figures,
    )
    return Report(summary, _ns(load, unit), _ns(first, unit), run.delegate, run.nodes)


def _ns(text: Optional[str], unit: int) -> Optional[float]:
    return float(Decimal(text) * unit) if text is not None else None


def _step(text: str) -> float:
    """What the last digit of a number is worth: 10 for 2.71985e+06."""
    exponent = Decimal(text).as_tuple().exponent
    return float(Decimal(10) ** exponent) if isinstance(exponent, int) else 1.0
