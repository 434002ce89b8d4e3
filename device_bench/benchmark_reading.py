"""One run of the native `benchmark_model`, read line by line until its figures can be told.

The statistics of TensorFlow Lite's tool come twice, of the warm-up and of the benchmark, without saying which is which; its last line holds
the means of both. Only those statistics count whose mean that line repeats, and a run that failed on the way has no figures, whatever it printed.

Source: tensorflow/lite/tools/benchmark/benchmark_model.cc, litert/tools/benchmark_litert_model.h, ai_edge_litert/tools/benchmark_litert_model.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, List, Optional

from .benchmark_delegates import CPU, UNTOLD, WHOLLY, Delegates
from .benchmark_figures import MS, NUMBER, US, FiguresError, duration_ns, same, statistics_of, summary_of
from .benchmark_runs import Report, Run, Setup
from .benchmark_settings import Setting
from .records import Summary

_END = re.compile(r"Inference timings in us: Init: {0}, First inference: {0}, Warmup \(avg\): {0}, Inference \(avg\): {0}(?!,)".format(NUMBER))
_OF_2018 = re.compile(r"Average inference timings in us: Warmup: {0}, Init: {0}, no stats: {0}(?!,)".format(NUMBER))
_GLUED = NUMBER.replace("A-Za-z.", "a-z.,")  # the app put its memory behind it, without a space
_OF_THE_2019_APP = re.compile(r"Average inference timings in us: Warmup: {0}, Init: {0}, Inference: {1}".format(NUMBER, _GLUED))
_OF_2017 = re.compile(r"Average inference timings in us: {0} , Warmup: {0}".format(NUMBER))
_NOT_LITE = re.compile(r"Average inference timings in us: (?:Warmup: [0-9]+, no stats|\s*$)")
_MILLISECONDS = re.compile(
    r"\b(Model initialization|Warmup|Inference)(?: \((first|avg|min|max|median|p5|p95)\))?: +{0} ms\b"
    r"|\bInference \((std)\): +{0}(?: ms\b|\s*$)".format(NUMBER)
)  # without its unit a number may be cut off; LiteRT's own tool prints none behind its deviation
_RUNS = re.compile(r"\(([0-9]{1,12}) runs\)")
_MEMORY = re.compile(
    r"(?:Memory footprint delta from the start of the tool|Peak memory footprint) \(MB\): init={0} overall={0}"
    r"|Overall peak memory footprint \(MB\) via periodic monitoring: {0}"
    r"|\b(Init footprint|Overall footprint|Peak memory): +{0} MB".format(NUMBER)
)
_UNKNOWN_FLAGS = re.compile(r"(?:nconsumed cmdline flags?|unrecognized commandline flag): (.*)")
_FATAL = re.compile(r"ailed to invoke|Benchmarking failed|Error while running|\bRun failed")
_TROUBLE = re.compile(r"\bERROR\b|\bFATAL\b|Failed to|Aborted|Segmentation fault|Disallowed CPU fallback")
_PLACE = re.compile(r"(?:\b[A-Za-z]:)?[\\/](?:[^\s\\/\[\]]+[\\/])+")
_LOGGER = re.compile(r"^[0-9].{0,160}?\s[VDIWEF](?:/\S+\s*\([\s0-9]*\):|\s+(?:\S+\s*:)?)\s+")
_ANOTHER_TOOL = "these are figures of TensorFlow's own benchmark_model, which runs frozen graphs, not of TensorFlow Lite's"
_OF_A_RUN = {"start", "parameters", "graph", "model", "session", "size", "warm-up"}  # any app may speak of a model that it loaded
_STATISTICS = ("avg", "median", "min", "max", "std", "p5", "p95")
_LONGEST_REASON, _MIB = 200, 1 << 20


@dataclass
class OpenRun:
    """What has been read of a run so far; figures as they stand in the text.

    Args:
        settings: What it was asked for.
        delegates: Who ran it.
        statistics: Those in microseconds.
        milliseconds: The figures in milliseconds, by their words.
        end: TensorFlow Lite's last line.
        runs: How many inferences LiteRT says.
        warmup_runs: How many of its warm-up.
        memory: `init`, `overall`, `peak`, in MiB.
        seen: The parts of a run that were seen: see `benchmark_model`.
        trouble: The last line that speaks of an error.
        fatal: One after which no figures count.
        broken: Why a line of figures cannot be read.
    """

    settings: Setting = field(default_factory=Setting)
    delegates: Delegates = field(default_factory=Delegates)
    statistics: List[Dict[str, str]] = field(default_factory=list)
    milliseconds: Dict[str, str] = field(default_factory=dict)
    end: Optional[Dict[str, str]] = None
    runs: Optional[int] = None
    warmup_runs: Optional[int] = None
    memory: Dict[str, str] = field(default_factory=dict)
    seen: List[str] = field(default_factory=list)
    trouble: str = ""
    fatal: str = ""
    broken: str = ""

    @property
    def ended(self) -> bool:
        """Whether its figures were told."""
        return self.end is not None or "Inference avg" in self.milliseconds

    def read(self, line: str) -> None:
        """Takes from a line what it says."""
        unknown, end = _UNKNOWN_FLAGS.search(line), end_of(line)
        if unknown:
            self.delegates.lacks(self.settings.read(unknown[1]))
        elif end is not None:
            self.end = self.end or end
        elif _NOT_LITE.search(line):
            self.fatal = _ANOTHER_TOOL
        elif not (self._read_statistics(line) or self._read_milliseconds(line) or self._read_memory(line)):
            self._read_trouble(line)
            if not self.delegates.read(line):
                self.settings.read(line)

    def _read_statistics(self, line: str) -> bool:
        try:
            found = statistics_of(line)
        except FiguresError as error:
            self.broken = str(error)
            return True
        if found is not None and not self.ended:
            self.statistics.append(found)
        return found is not None

    def _read_milliseconds(self, line: str) -> bool:
        found, counted = _MILLISECONDS.search(line), _RUNS.search(line)
        if not found:
            return False
        name = "Inference std" if found[4] else (found[1] + " " + (found[2] or "")).strip()
        if name == "Inference avg" and not counted and "Model initialization" not in self.milliseconds:
            return False  # somebody's own words
        self.milliseconds[name] = found[3] or found[5]
        if counted and name == "Inference avg":
            self.runs = int(counted[1])
        if counted and name == "Warmup avg":
            self.warmup_runs = int(counted[1])
        return True

    def _read_memory(self, line: str) -> bool:
        found = _MEMORY.search(line)
        if not found:
            return False
        init, overall, peak, name, value = found.groups()
        if name:
            self.memory[{"I": "init", "O": "overall", "P": "peak"}[name[0]]] = value
        else:
            self.memory.update({key: text for key, text in (("init", init), ("overall", overall), ("peak", peak)) if text})
        return True

    def _read_trouble(self, line: str) -> None:
        if _FATAL.search(line):
            self.fatal = self.fatal or self.trouble or _plain(line)
        elif _TROUBLE.search(line):
            self.trouble = _plain(line)

    def doubt_the_last_line(self) -> None:
        """A last line without its end may have been cut off within a number: it counts where the statistics before it say the same."""
        if self.end is not None and not any(statistics["avg"] == self.end["avg"] for statistics in self.statistics):
            self.end, self.broken = None, "its last line is cut off"
        if list(self.milliseconds)[-1:] == ["Inference std"]:  # the only one that may end without its unit
            del self.milliseconds["Inference std"]

    def close(self) -> Optional[Run]:
        """What came of it; None for lines that are of no run."""
        setup = self._setup()
        if not self.ended:
            begun = self.statistics or self.broken or _OF_A_RUN & set(self.seen) or self.fatal == _ANOTHER_TOOL
            reason = self.fatal or self.trouble or self.broken or "its log ends before its figures"
            return Run(setup, None, reason) if begun else None
        if self.fatal:
            return Run(setup, None, self.fatal)
        try:
            return Run(setup, self._in_milliseconds(setup) if self.end is None else self._in_microseconds(self.end, setup))
        except FiguresError as error:
            return Run(setup, None, str(error))

    def _setup(self) -> Setup:
        told = self.settings
        return Setup(
            model=told.model,
            model_bytes=told.model_bytes,
            threads=told.threads,
            requested=tuple(dict.fromkeys(told.requested)),
            forbidden=tuple(dict.fromkeys(told.forbidden)),
            profiled=told.profiled,
            delegations=self.delegates.all(),
            fully_accelerated=told.fully_accelerated,
            of_one_process=told.of_one_process,
        )

    def _in_microseconds(self, end: Dict[str, str], setup: Setup) -> Report:
        """TensorFlow Lite's: of the statistics before the end, those with its mean are the benchmark's, those before them the warm-up's."""
        if self.broken:
            raise FiguresError(self.broken)
        mine = [statistics for statistics in self.statistics if same(end["avg"], statistics["avg"])]
        warmup = [statistics for statistics in self.statistics if "warm-up" in end and same(end["warm-up"], statistics["avg"])]
        other = [statistics for statistics in self.statistics if statistics not in mine and statistics not in warmup]
        if other:
            raise FiguresError("its figures contradict one another: the mean is %s at its end and %s before" % (end["avg"], other[-1]["avg"]))
        texts = mine[-1] if mine else {"avg": end["avg"]}
        first = end.get("first") or (warmup[0].get("first", warmup[0].get("curr")) if warmup else None)
        summary = summary_of("tflite", texts, US, int(texts["count"]) if mine else None)
        return self._report(setup, summary, US, load=end.get("init"), first=first, warmup=int(warmup[0]["count"]) if warmup else None)

    def _in_milliseconds(self, setup: Setup) -> Report:
        """LiteRT's: two decimals of a millisecond, unless the same run was also told in microseconds."""
        read = self.milliseconds
        mine = [statistics for statistics in self.statistics if same(statistics["avg"], read["Inference avg"], 1000)]
        if mine and (self.runs is None or mine[-1]["count"] == str(self.runs)):
            summary = summary_of("litert", mine[-1], US, int(mine[-1]["count"]))
        else:
            texts = {name: read["Inference " + name] for name in _STATISTICS if "Inference " + name in read}
            summary = summary_of("litert", texts, MS, self.runs)
        load, first = read.get("Model initialization"), read.get("Warmup first")
        return self._report(setup, summary, MS, load=load, first=first, warmup=self.warmup_runs)

    def _report(self, setup: Setup, summary: Summary, unit: int, *, load: Optional[str], first: Optional[str], warmup: Optional[int]) -> Report:
        wanted = [name for name in dict.fromkeys([*setup.requested, *self.delegates.asked()]) if name != CPU]
        extents = {name: self.delegates.extent_of(name) for name in wanted}
        if setup.fully_accelerated and self.settings.only == wanted and len(wanted) == 1 and extents[wanted[0]] == UNTOLD:
            extents[wanted[0]] = WHOLLY  # there was no other accelerator
        running = [name for name in wanted if extents[name] not in ("not", UNTOLD)]
        delegate = running[0] if running else self.delegates.ran(setup.forbidden, tuple(wanted))
        return Report(
            summary=summary,
            load_ns=duration_ns(load, unit),
            first_inference_ns=duration_ns(first, unit),
            delegate=delegate,
            nodes=next((found.nodes for found in setup.delegations if found.name == delegate), None),
            setup=setup,
            extents=tuple(extents.items()),
            warmup_count=warmup,
            init_memory_bytes=_bytes(self.memory.get("init")),
            overall_memory_bytes=_bytes(self.memory.get("overall")),
            peak_memory_bytes=_bytes(self.memory.get("peak")),
        )


def end_of(line: str) -> Optional[Dict[str, str]]:
    """The last line of TensorFlow Lite's tool, as it was worded over the years; None for any other line."""
    end, old, oldest = _END.search(line), _OF_2018.search(line) or _OF_THE_2019_APP.search(line), _OF_2017.search(line)
    if end:
        return {"init": end[1], "first": end[2], "warm-up": end[3], "avg": end[4]}
    if old:
        return {"warm-up": old[1], "init": old[2], "avg": old[3]}
    return {"avg": oldest[1], "warm-up": oldest[2]} if oldest else None


def _bytes(text: Optional[str]) -> Optional[int]:
    value = float(text) if text is not None and text.lstrip("-") not in ("nan", "inf") else 0.0
    return int(value * _MIB) if 0 < value < 1 << 30 else None


def _plain(line: str) -> str:
    """A line without its logger's prefix, control characters and folders, and short."""
    text = _LOGGER.sub("", "".join(character for character in line.strip() if character.isprintable()))
    text = _PLACE.sub("", text)
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "..."
