"""Which model each run in a log is of, and under which settings it ran: nothing is compared or put together that did not run alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from device_bench.benchmark_delegates import CPU, PARTLY
from device_bench.benchmark_model import Report, Run
from dsmobile.benchmark import result
from dsmobile.benchmark.kinds import Kind
from dsmobile.benchmark.subjects import Subject
from dsmobile.errors import DataError

TOOLS = {"tflite": "TensorFlow Lite", "litert": "LiteRT"}
DEFAULT_THREADS = 1  # of both tools, where --num_threads is not given
ON_CPU = "cpu"


@dataclass(frozen=True)
class Told:
    """A run, and the log that it stands in.

    Args:
        log: The log's name.
        run: What it says.
    """

    log: str
    run: Run

    @property
    def name(self) -> str:
        """The model's file name as the tool saw it; empty where it does not say."""
        return "" if self.run.setup.model.startswith("fd:") else re.split(r"[/\\]", self.run.setup.model)[-1]

    @property
    def threads(self) -> int:
        """Its threads; the tools' default where it does not say."""
        return self.run.setup.threads or DEFAULT_THREADS

    @property
    def request(self) -> Request:
        """What was asked of the tool, besides the model."""
        setup = self.run.setup
        asked = [name for name, _ in self.run.report.extents] if self.run.report else [name for name in setup.requested if name != CPU]
        return Request(self.threads, tuple(sorted(asked)), "on" if CPU in setup.requested else "off" if CPU in setup.forbidden else "")


@dataclass(frozen=True)
class Request:
    """What was asked of the tool, besides the model.

    Args:
        threads: Of the CPU.
        delegates: Those that were asked for, XNNPACK excepted.
        xnnpack: `on`, `off`, or empty for the tool's default.
    """

    threads: int
    delegates: tuple[str, ...]
    xnnpack: str


@dataclass(frozen=True)
class Group:
    """Runs of one model under one setting.

    Args:
        subject: An index into the models.
        tool: `tflite` or `litert`.
        request: What was asked for: see `Told.request`.
        delegate: What truly ran it; `GPU+CPU` where a delegate ran a part only.
        extents: How much of the model each delegate that was asked for ran.
    """

    subject: int
    tool: str
    request: Request
    delegate: str
    extents: tuple[tuple[str, str], ...]

    @property
    def version(self) -> str:
        """What ran it, in words that follow `benchmark_model`."""
        asked = [CPU] if self.request.xnnpack == "on" else list(self.request.delegates)
        on = (
            f"on {self.delegate}" if self.delegate else f"asked for {'+'.join(asked)}" if asked else "without XNNPACK" if self.request.xnnpack else ""
        )
        return f"of {TOOLS[self.tool]} {on}".strip()

    @property
    def words(self) -> str:
        """The setting, for a person."""
        return f"{self.version}, {self.request.threads} thread{'' if self.request.threads == 1 else 's'}"


def group_of(subject: int, told: Told, report: Report) -> Group:
    """The group that a run belongs to."""
    partly = dict(report.extents).get(report.delegate) == PARTLY
    return Group(subject, report.summary.tool, told.request, f"{report.delegate}+CPU" if partly else report.delegate, report.extents)


def chosen(runs: Sequence[Told], threads: int | None, delegate: str | None) -> list[Told]:
    """The runs with some threads, or on some delegate.

    Args:
        runs: All of them.
        threads: How many; a run that does not say takes them for told. None takes all.
        delegate: `cpu`, `gpu`, ... as it was asked for; None takes all.

    Raises:
        DataError: There is none.
    """
    kept = [told for told in runs if threads is None or told.run.setup.threads in (None, threads)]
    if delegate is not None:
        kept = [told for told in kept if (not told.request.delegates if delegate.lower() == ON_CPU else delegate.upper() in told.request.delegates)]
    if not kept:
        settings = sorted({f"{told.threads} thread{'s' if told.threads > 1 else ''} on {'+'.join(told.request.delegates) or 'CPU'}" for told in runs})
        raise DataError(f"no run in the log was asked for that; there are runs with {'; '.join(settings)}", "leave --threads and --delegate away")
    return kept


def assign(runs: Sequence[Told], subjects: Sequence[Subject]) -> tuple[list[tuple[int, Told]], list[result.Warning]]:
    """Says which model each run is of: by the file's name, else by its size.

    Args:
        runs: In order.
        subjects: The models.

    Returns:
        Indices into the models with their runs, in order, and what a reader must know of them.

    Raises:
        DataError: None is of these models, or nobody can tell.
    """
    found = [(_best(told, subjects), told) for told in runs]
    placed = [(index, told) for index, told in found if index is not None]
    notes: list[result.Warning] = []
    if not placed and len(subjects) == 1:
        names = sorted({told.name or _size(told) for told in runs} - {""})
        if len(names) > 1:
            raise DataError(f"the log holds runs of {_listed(names)}, and none of {subjects[0].path.name}", "name the model that ran")
        placed = [(0, told) for told in runs]
        notes.append(_doubt(runs, subjects[0]))
    elif not placed:
        names = sorted({told.name or _size(told) or "models that it does not name" for told in runs})
        raise DataError(f"the log holds runs of {_listed(names)}, and of none of the models given", "name the models that ran")
    elif any(_fits(told, subjects[index])[1] is False for index, told in placed):
        index = next(index for index, told in placed if _fits(told, subjects[index])[1] is False)
        notes.append(_doubt([told for where, told in placed if where == index], subjects[index]))
    left = [told for index, told in found if index is None]
    if left and len(placed) < len(runs):
        names = sorted({told.name or "a model that the log does not name" for told in left})
        notes.append(Kind.LEFT_OUT.warning(f"{len(left)} of {len(runs)} runs are left out: of {_listed(names)}"))
    return placed, notes


def _best(told: Told, subjects: Sequence[Subject]) -> int | None:
    """The only model that a run can be of; None where there is none, or nobody can tell."""
    fits = [_fits(told, subject) for subject in subjects]
    named = [index for index, (name, _) in enumerate(fits) if name]
    sized = [index for index, (_, size) in enumerate(fits) if size]
    both = [index for index in named if index in sized]
    return next((one[0] for one in (both, named, sized) if len(one) == 1), None)


def _fits(told: Told, subject: Subject) -> tuple[bool, bool | None]:
    """Whether a run has a file's name, and its size; None where no size is printed."""
    bounds = told.run.setup.model_bytes
    named = bool(told.name) and told.name.casefold() == subject.path.name.casefold()
    return named, None if bounds is None else bounds[0] <= subject.size_bytes <= bounds[1]


def _doubt(runs: Sequence[Told], subject: Subject) -> result.Warning:
    """What is wrong with taking runs for those of a file."""
    other = next((told for told in runs if _fits(told, subject)[1] is False), None)
    if other is not None:
        name = f" ({other.name})" if other.name else ""
        return Kind.OTHER_FILE.warning(f"the log is of a file{name} of {_size(other)}, and {subject.path.name} has {subject.size_bytes / 1e6:.6g} MB")
    name = next((told.name for told in runs if told.name), "")
    return Kind.FILE_UNCONFIRMED.warning(
        f"the log names {name}, and not {subject.path.name}" if name else f"the log does not say that it is of {subject.path.name}"
    )


def _size(told: Told) -> str:
    bounds = told.run.setup.model_bytes
    return f"{sum(bounds) / 2e6:.6g} MB" if bounds else ""


def _listed(names: Sequence[str]) -> str:
    shown = [name if len(name) <= 80 else f"{name[:80]}..." for name in names[:4]]
    return f"{', '.join(shown)}{f' and {len(names) - 4} more' if len(names) > 4 else ''}"
