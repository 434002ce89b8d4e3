"""What the two native tools called `benchmark_model` print, as numbers.

TensorFlow Lite's prints microseconds, LiteRT's (on its CompiledModel) milliseconds, and so does LiteRT's Python script `litert-benchmark`:
which of them spoke shows in the words. None prints single inferences. Lines may carry the prefix of a logger, and runs may follow one another
or, in the log of a phone, be mixed with each other and with what else writes there: lines are told apart by their process where it is named.
"""

from __future__ import annotations

import re
from typing import Dict, Iterable, List, Optional, Tuple

from .benchmark_figures import FiguresError, statistics_of
from .benchmark_reading import OpenRun, end_of
from .benchmark_runs import Report as Report
from .benchmark_runs import Run as Run
from .benchmark_runs import Setup as Setup

_OPTION = re.compile(
    r"(cpu w/ ([0-9]{1,4}) threads(?: \((xnnpack)[\w-]*\))?|gpu(?:-[\w-]+|\([\w-]+\)[\w-]*)?|nnapi(?:\([^()]*\))?|dsp w/ hexagon|coreml): +count="
)
_OPTION_DELEGATES = {"gpu": "GPU", "nnapi": "NNAPI", "dsp": "HEXAGON", "coreml": "COREML"}
_PID = re.compile(
    r"\s*(?:[VDIWEF](?:/[^(]{0,80})?\(\s*(?P<brief>[0-9]{1,9})(?::\s*[0-9]+)?\)"
    r"|(?:[0-9]{4}-)?[0-9]{2}-[0-9]{2} [0-9:]{8}\.[0-9]{3,9}(?: [+-][0-9]{4})?\s+(?:[VDIWEF]/[^(]{0,80}\(\s*(?P<time>[0-9]{1,9})\)"
    r"|(?:\w+\s+)?(?P<threadtime>[0-9]{1,9})(?:-|\s+)[0-9]{1,9}[\s/]))"
)
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
_WORTH_READING = re.compile(
    r"count=|STARTING!|timings in us|pplied [\w.+-]+ delegate|Though [\w.+-]+ delegate|Replacing [0-9]|nodes delegated|Created TensorFlow Lite"
    r"|is unsupported on this|ould not be |ould not create|Going to apply"
    r"|Graph: \[|oaded model|oading model from|_model: Model:|odel file size|Model size:"
    r"|hreads: |threads used|Use \w+ ?: \[|External delegate|--(?:use_|num_threads|graph|model|external|enable_op)|line flags?: |Accelerators: "
    r"|Fully accelerated|footprint|Peak memory|nitialized session|Running benchmark for|Log parameter|Model initialization|Warmup|Inference"
    r"|BENCHMARK RESULTS|\bERROR\b|\bFATAL\b|ailed|Aborted|Segmentation fault|CPU fallback|op profiling|rofiling Info|Use profiler|Error while"
)
_MARKS = (
    ("command", "--graph"),
    ("command", "--model"),
    ("command", "--use_"),
    ("command", "--num_threads"),
    ("start", "STARTING!"),
    ("parameters", "Log parameter values"),
    ("graph", "Graph: ["),
    ("model", "_model: Model: "),
    ("loaded", "Loaded model"),
    ("loaded", "Loading model from"),
    ("session", "Initialized session"),
    ("size", "input model file size"),
    ("warm-up", "Running benchmark for"),
    ("setting", "Num threads: ["),
    ("setting", "#threads used"),
    ("setting", "Use gpu"),
)
_AFTER_AN_END = ("Created TensorFlow Lite", "Replacing ", "delegate is explicitly applied", "xplicitly applied", "Going to apply")
_LONGEST_LINE = 65536


def parse(text: str) -> List[Report]:
    """Reads the output of a tool.

    Args:
        text: What it printed: standard output and standard error together, or a log that holds several runs.

    Returns:
        A report of each run that came to its end, in order; a run that was cut off or failed gives none.
    """
    return [run.report for run in parse_runs(text.splitlines(keepends=True)) if run.report]


def parse_runs(lines: Iterable[str]) -> List[Run]:
    """Reads a log line by line: it may be long.

    Args:
        lines: With their ends, by which a last line that was cut off is known.

    Returns:
        Every run that was begun, in the order in which they began.
    """
    begun: List[OpenRun] = []
    options: List[OpenRun] = []
    current: Dict[str, OpenRun] = {}
    last: Optional[OpenRun] = None
    whole = True
    for raw in lines:
        last, whole = None, raw.endswith(("\n", "\r"))
        if len(raw) > _LONGEST_LINE or not _WORTH_READING.search(raw):
            continue
        line = _ESCAPE.sub("", raw) if "\x1b" in raw else raw
        option = _OPTION.search(line)
        if option:
            options += _of_an_option(option, line)
            continue
        mark, process = _mark(line), _process(line)
        if process not in current or _begins_another(current[process], mark, line):
            current[process] = OpenRun()
            begun.append(current[process])
        last = current[process]
        last.seen += [mark] if mark else []
        last.read(line)
    if last is not None and not whole:
        last.doubt_the_last_line()
    done = [run for run in (each.close() for each in begun) if run is not None]
    return done + [run for run in (each.close() for each in options) if run is not None and not _told_before(run, done)]


def _mark(line: str) -> str:
    """What part of a run a line opens; empty for the others."""
    if "nconsumed" in line or "nrecognized" in line:
        return ""
    return next((mark for mark, words in _MARKS if words in line), "")


def _process(line: str) -> str:
    """The process that wrote a line of Android's log; empty for any other line."""
    prefix = _PID.match(line)
    return next((number for number in prefix.groups() if number), "") if prefix else ""


def _begins_another(run: OpenRun, mark: str, line: str) -> bool:
    """Whether a line is of a run that follows the one that is being read."""
    if run.ended:
        if mark or any(words in line for words in _AFTER_AN_END):
            return True
        end = end_of(line)
        if end:
            return end != run.end  # two listeners print the same
        if "BENCHMARK RESULTS" in line or "Model initialization:" in line:
            return "Inference avg" in run.milliseconds
        return "count=" in line and _holds_statistics(line)
    if mark == "command":
        return set(run.seen) > {"command"} or bool(run.statistics)
    if mark in ("start", "parameters", "graph", "model", "loaded"):
        return mark in run.seen or "session" in run.seen or bool(run.statistics)
    return mark in ("session", "size") and mark in run.seen


def _holds_statistics(line: str) -> bool:
    try:
        return statistics_of(line) is not None
    except FiguresError:
        return True


def _of_an_option(option: re.Match[str], line: str) -> List[OpenRun]:
    """A line of the table that `benchmark_tflite_performance_options` ends with."""
    try:
        statistics = statistics_of(line)
    except FiguresError:
        return []
    if statistics is None:
        return []
    run = OpenRun(end={"avg": statistics["avg"]}, statistics=[statistics])
    name = "XNNPACK" if option[3] else next((known for word, known in _OPTION_DELEGATES.items() if option[1].startswith(word)), "")
    run.settings.threads = int(option[2]) if option[2] else None
    run.settings.requested = [name] if name else []
    run.settings.forbidden = [] if name else ["XNNPACK"]  # which the tool switches off for every other option
    run.settings.of_one_process = True
    return [run]


def _told_before(run: Run, done: List[Run]) -> bool:
    """Whether the figures of a line of the table were printed by the run itself."""
    return any(run.report and other.report and _figures(run.report) == _figures(other.report) for other in done)


def _figures(report: Report) -> Tuple[Optional[float], ...]:
    summary = report.summary
    return (summary.count, summary.mean_ns, summary.min_ns, summary.max_ns, summary.std_ns)
