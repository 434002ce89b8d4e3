"""`dsmobile bench --import-log`: a result of what `benchmark_model` printed on a device that nobody here has seen.

One run of the tool is one process, and one block. Runs of two networks in turn are blocks of both, and carry an interval of their ratio; runs
one after the other carry none, since whatever the device did between them would count as a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from device_bench.benchmark_delegates import NOT, PARTLY, UNTOLD
from device_bench.benchmark_model import Run
from dsmobile.benchmark import result
from dsmobile.benchmark.kinds import Kind
from dsmobile.benchmark.log_conclusion import Placed, conclude_logs
from dsmobile.benchmark.log_runs import DEFAULT_THREADS, Group, Told, assign, chosen, group_of
from dsmobile.benchmark.log_text import Log, read_log
from dsmobile.benchmark.plan import ENOUGH_BLOCKS
from dsmobile.benchmark.result import Result
from dsmobile.benchmark.run import DEFAULT_OUT, write_unless_invalid
from dsmobile.benchmark.subjects import Subject, gather, pair_up
from dsmobile.errors import DataError, UsageError
from dsmobile.files import prepare_folder

_LEAST_PAIRED = 2


def import_log(
    logs: Sequence[Path],
    models: Sequence[Path],
    *,
    pairs: Sequence[tuple[Path, Path]] = (),
    out: Path = DEFAULT_OUT,
    keep_invalid: bool = False,
    threads: int | None = None,
    delegate: str | None = None,
) -> tuple[Result, Path | None]:
    """Makes a result of logs.

    Args:
        logs: Files, in the order in which the tool ran; each holds one run or several, of one model or several.
        models: The `.tflite` files that ran.
        pairs: As for `bench`.
        out: The result goes to its folder `results`.
        keep_invalid: Write the result even where it is INVALID.
        threads: Take only runs with so many; what a log does not say of its threads is taken to be this. None takes all.
        delegate: Take only runs that were asked for on `cpu`, `gpu`, `nnapi`, ...; None takes all.

    Returns:
        The result and its file; None where it is INVALID and therefore not written. Each model appears once for every setting under which it
        ran to its end.

    Raises:
        UsageError: There is no log or no model, or a model is not a `.tflite` file.
        DataError: A log cannot be read or holds no run, or nobody can tell which model its runs are of, or what is to be compared.
        ModelError, OutputError: As for `bench`.
    """
    if not logs:
        raise UsageError("there is no log to import", "give --import-log FILE")
    subjects = gather(models, pairs)
    foreign = next((subject for subject in subjects if subject.format != "tflite"), None)
    if foreign is not None:
        raise UsageError(f"{foreign.path.name} is no .tflite file, and benchmark_model runs no other", "name the .tflite file that ran")
    results = prepare_folder(out / "results")
    read = [read_log(path) for path in logs]
    told, notes = _without_repeats(read)
    told = chosen(told, threads, delegate)
    if threads is not None:
        told = [replace(one, run=replace(one.run, setup=replace(one.run.setup, threads=threads))) for one in told]
    of_models, doubts = assign(told, subjects)
    groups, placed, failures = _place(of_models, subjects)
    compared, untold = _compared(groups, placed, subjects, pairs)
    notes = [*_of_all(placed), *notes, *doubts, *failures, *_of_groups(groups, placed, subjects), *untold]
    started = datetime.now(UTC)
    concluded = conclude_logs(groups, placed, subjects, compared, notes, read, started)
    stamp = started.strftime("%Y%m%dT%H%M%S%fZ")
    return concluded, write_unless_invalid(concluded, results, stamp, keep_invalid=keep_invalid)


def _without_repeats(logs: Sequence[Log]) -> tuple[list[Told], list[result.Warning]]:
    """The same run told twice, by a file that was given twice or as text and as JSON, is one run."""
    files = list({log.sha256: log for log in logs}.values())
    told = {_of_a_run(run) for log in files if not log.is_json for run in log.runs if run.report}
    again = [log for log in files if log.is_json and all(_of_a_run(run) in told for run in log.runs)]
    count = len(logs) - len(files) + len(again)
    notes = [Kind.LEFT_OUT.warning(f"{count} of {len(logs)} logs tell again what another tells, and count once")] if count else []
    return [Told(log.name, run) for log in files if log not in again for run in log.runs], notes


def _of_a_run(run: Run) -> tuple[Any, ...]:
    """What text and JSON both tell of a run."""
    return run.setup.model, run.setup.threads, run.report and (run.report.summary, run.report.load_ns, run.report.first_inference_ns)


def _place(of_models: Sequence[tuple[int, Told]], subjects: Sequence[Subject]) -> tuple[list[Group], list[Placed], list[result.Warning]]:
    """Groups of runs that ran alike, and blocks: a new one begins when a group comes again.

    Raises:
        DataError: No run of one of the models came to its end.
    """
    groups: list[Group] = list(dict.fromkeys(group_of(index, told, told.run.report) for index, told in of_models if told.run.report))
    for index, subject in enumerate(subjects):
        mine = [told for where, told in of_models if where == index]
        if not any(told.run.report for told in mine):
            why = (
                f"no run of {subject.path.name} in the log came to its end: {mine[-1].run.error}"
                if mine
                else f"the log holds no run of {subject.path.name}"
            )
            raise DataError(why, "run the tool again, and give everything that it wrote" if mine else "name only models that ran")
    placed: list[Placed] = []
    homeless: list[Told] = []
    block, inside = 0, set[int]()
    for index, told in of_models:
        place = _group_index(groups, index, told)
        if place is None:
            homeless.append(told)
            continue
        if place in inside:
            block, inside = block + 1, set()
        placed.append(Placed(told, place, block, len(inside)))
        inside.add(place)
    failures = [Kind.LEFT_OUT.warning(f"{len(homeless)} runs did not come to their end: {homeless[0].run.error}")] if homeless else []
    return groups, placed, failures


def _group_index(groups: Sequence[Group], subject: int, told: Told) -> int | None:
    """Where a run belongs; one that failed, to the runs that were asked for the same."""
    if told.run.report:
        return groups.index(group_of(subject, told, told.run.report))
    return next((place for place, group in enumerate(groups) if (group.subject, group.request) == (subject, told.request)), None)


def _compared(
    groups: Sequence[Group], placed: Sequence[Placed], subjects: Sequence[Subject], pairs: Sequence[tuple[Path, Path]]
) -> tuple[list[tuple[int, int]], list[result.Warning]]:
    """Which groups are compared with which: those of two models, under one setting, that ran in turn.

    Raises:
        DataError: Two models ran under several settings.
    """
    found: list[tuple[int, int]] = []
    notes: list[result.Warning] = []
    for first, second in pair_up(subjects, pairs):
        names = f"{subjects[first].path.name} and {subjects[second].path.name}"
        alike = [
            (a, b)
            for a, one in enumerate(groups)
            for b, other in enumerate(groups)
            if (one.subject, other.subject) == (first, second) and (one.tool, one.request) == (other.tool, other.request)
        ]
        if len(alike) > 1:
            raise DataError(f"{names} ran under several settings, and a comparison needs one", "choose it with --threads N or --delegate NAME")
        shared = [_blocks_of(placed, a) & _blocks_of(placed, b) for a, b in alike]
        if alike and len(shared[0]) >= _LEAST_PAIRED:
            found += alike
        elif not alike:
            notes.append(Kind.NOT_IN_TURNS.warning(f"{names} are not compared: they did not run under the same setting"))
        else:
            counts = f"{len(shared[0])} time{'' if len(shared[0]) == 1 else 's'}"
            notes.append(
                Kind.NOT_IN_TURNS.warning(f"{names} are not compared: they ran next to each other {counts}, and it takes {_LEAST_PAIRED} at least")
            )
    return found, notes


def _blocks_of(placed: Sequence[Placed], group: int) -> set[int]:
    return {one.block for one in placed if one.group == group and one.told.run.report}


def _of_all(placed: Sequence[Placed]) -> Iterable[result.Warning]:
    """What is to be said of every log, and of how it was written."""
    reports = [one.told.run.report for one in placed if one.told.run.report]
    assumed = any(one.told.run.setup.threads is None for one in placed)
    tail = f"; where it does not say with how many threads, {DEFAULT_THREADS} is assumed, the tool's own default" if assumed else ""
    yield Kind.UNSEEN.warning(f"the log does not tell the device's heat, clocks, power and load, nor the model's answers{tail}")
    if any(report.summary.median_ns is None for report in reports):
        yield Kind.MEANS.warning("the figures are the means of each run's inferences: the tool told no medians")
    if any(report.setup.profiled for report in reports):
        yield Kind.PROFILED.warning("the tool timed every operator, which is part of the latency that it tells")
    if any(report.setup.of_one_process for report in reports):
        yield Kind.ONE_PROCESS.warning("the runs share one process, in which each leaves its memory and heat to the next")


def _of_groups(groups: Sequence[Group], placed: Sequence[Placed], subjects: Sequence[Subject]) -> Iterable[result.Warning]:
    """What is to be said of the runs of one model under one setting: how many there are, and what truly ran them."""
    for index, group in enumerate(groups):
        name = subjects[group.subject].path.name
        reports = [one.told.run.report for one in placed if one.group == index and one.told.run.report]
        if len(reports) == 1:
            summary = reports[0].summary
            known = summary.min_ns is not None and summary.max_ns is not None
            shown = (
                "its interval here is that from its fastest to its slowest inference"
                if known
                else "its interval is unknown: here it holds everything"
            )
            yield Kind.FEW_RUNS.warning(f"there is one run of {name} ({group.words}): how runs differ cannot be seen in it, and {shown}")
        elif len(reports) < ENOUGH_BLOCKS:
            yield Kind.FEW_RUNS.warning(f"there are {len(reports)} runs of {name} ({group.words}), fewer than {ENOUGH_BLOCKS}")
        taken = " and ".join(extent for wanted, extent in group.extents if extent in (PARTLY, "wholly"))
        for wanted, extent in group.extents:
            if extent == NOT and not taken:
                ran = f"{group.delegate} on the CPU" if group.delegate else "the CPU's plain kernels"
                yield Kind.WRONG_DELEGATE.warning(f"{name} was to run on {wanted}, which took nothing of it: {ran} ran it")
            elif extent == PARTLY:
                nodes = next((report.nodes for report in reports if report.nodes), None)
                part = f"{nodes[0]} of its {nodes[1]} operators" if nodes else "a part"
                yield Kind.PARTLY_DELEGATED.warning(
                    f"{wanted} ran {part} of {name}, and the CPU the rest" if not nodes else f"{wanted} ran {part} of {name}"
                )
            elif extent == UNTOLD and not taken:
                yield Kind.DELEGATE_UNTOLD.warning(f"{name} was to run on {wanted}, and the log does not tell whether it did")
