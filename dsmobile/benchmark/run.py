"""`dsmobile bench`: from model files to a result that says what it is worth."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from device_bench.records import PlannedArtifact
from dsmobile.benchmark.conclusion import conclude
from dsmobile.benchmark.conditions import Kind
from dsmobile.benchmark.measure import Progress, measure
from dsmobile.benchmark.result import Result, Validity, write_result
from dsmobile.benchmark.runtimes import choose
from dsmobile.benchmark.subjects import Subject, against_themselves, gather, pair_up
from dsmobile.devices.addresses import parse_address
from dsmobile.devices.opening import open_device
from dsmobile.errors import ExitCode, ModelError, UsageError
from dsmobile.files import prepare_folder

DEFAULT_OUT = Path("dsmobile-out")
LONGEST_BUDGET_S = 24 * 3600.0


def silently(_text: str, _share: float) -> None:
    """Progress that nobody watches."""


def bench(
    artifacts: Sequence[Path],
    *,
    device: str = "local",
    threads: int = 1,
    budget_s: float = 60.0,
    pairs: Sequence[tuple[Path, Path]] = (),
    self_test: bool = False,
    out: Path = DEFAULT_OUT,
    seed: int = 0,
    python: str | None = None,
    keep_invalid: bool = False,
    interactive: bool = False,
    progress: Progress = silently,
) -> tuple[Result, Path | None]:
    """Measures model files on a device, in blocks of fresh processes.

    Args:
        artifacts: `.tflite` and `.onnx` files; what a manifest beside them says of pairs is used.
        device: ADDRESS.
        threads: Threads of the runtime.
        budget_s: Seconds for the measurement.
        pairs: (A, B) for strangers' files: the speed-up of A over B.
        self_test: Measure each file against itself, where no difference is the truth.
        out: The result goes to its folder `results`.
        seed: Of the order within the blocks.
        python: The Python on the device; None takes this one, or `python3` over SSH.
        keep_invalid: Write the result even where it is INVALID.
        interactive: Whether ssh may ask for a password or a passphrase.
        progress: Told what is done and which share of the budget is spent, only while nothing is being timed.

    Returns:
        The result and its file; None where it is INVALID and therefore not written.

    Raises:
        UsageError: The options do not fit together.
        ModelError: A file is missing, damaged, or refused by its runtime.
        DeviceError: The device cannot be reached, lacks something, or failed.
        OutputError: The result cannot be written.
    """
    address = parse_address(device)
    if threads < 1:
        raise UsageError(f"--threads {threads} is less than 1", "give the number of threads of the runtime")
    if not 0 < budget_s <= LONGEST_BUDGET_S:
        raise UsageError(f"--budget {budget_s:g} is not between 0 and {LONGEST_BUDGET_S:g} seconds", "give the seconds that the measurement may take")
    if self_test and pairs:
        raise UsageError("--self-test measures files against themselves, --pair against others", "give one of the two")
    subjects = gather(artifacts, pairs)
    compared = pair_up(subjects, pairs)
    if self_test:
        subjects, compared = against_themselves(subjects)
    results, journals = prepare_folder(out / "results"), prepare_folder(out / "samples")
    started = datetime.now(UTC)
    stamp = started.strftime("%Y%m%dT%H%M%S%fZ")
    journal = journals / f"{stamp}.jsonl"
    with _ends_tidily(), open_device(address, python=python, interactive=interactive) as machine:
        facts = machine.facts()
        runtimes, notes = choose(subjects, facts, machine.python)
        if facts["cores"] and threads > facts["cores"]:
            raise UsageError(f"--threads {threads} is more than the device's {facts['cores']} cores", "give at most as many threads as cores")
        progress("pushing the files", 0.0)
        places = machine.push([(subject.path, subject.sha256) for subject in subjects])
        planned = [_planned(subject, place, runtimes) for subject, place in zip(subjects, places, strict=True)]
        try:
            measured = measure(
                machine, subjects, planned, compared, threads=threads, budget_s=budget_s, seed=seed, journal=journal, progress=progress
            )
        except ModelError:
            journal.unlink()  # nothing was measured
            raise
    settings = {"budget_s": budget_s, "threads": threads, "seed": seed}
    result = conclude(subjects, compared, runtimes, measured, notes, settings=settings, device=machine.kind, started=started)
    if result.validity is Validity.INVALID and not keep_invalid:
        return result, None
    path = results / f"{stamp}-{_short_hash(result)}.json"
    write_result(path, result)
    journal.unlink()
    with suppress(OSError):  # others may be there
        journals.rmdir()
    return result, path


def to_document(result: Result, path: Path | None) -> dict[str, Any]:
    """The verb's JSON document.

    Args:
        result: The result.
        path: Its file; None where it was not written.
    """
    document = result.to_json()
    for artifact in document["artifacts"]:
        del artifact["replicates"]
    keys = ("metric", "validity", "warnings", "artifacts", "pairs")
    return {"result": str(path) if path else None, **{key: document[key] for key in keys}}


def exit_code(result: Result) -> int:
    """6 where the measurement is INVALID, 7 where a file was found faster than itself, else 0."""
    if result.validity is Validity.INVALID:
        return int(ExitCode.INVALID_MEASUREMENT)
    return int(ExitCode.CHECK_FAILED if any(warning.kind == Kind.SELF_TEST.label for warning in result.warnings) else ExitCode.DONE)


def _planned(subject: Subject, place: str, runtimes: dict[str, str]) -> PlannedArtifact:
    low, high = subject.input_range
    return PlannedArtifact(place, runtimes[subject.format], subject.seed, low, high, subject.layout, subject.reduced_range)


def _short_hash(result: Result) -> str:
    return hashlib.sha256(json.dumps(result.to_json(), sort_keys=True).encode()).hexdigest()[:8]


@contextmanager
def _ends_tidily() -> Iterator[None]:
    """Lets a SIGTERM end the measurement as Ctrl-C does, so that nothing goes on running, where this is a program's main thread."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
