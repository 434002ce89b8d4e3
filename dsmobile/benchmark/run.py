"""`dsmobile bench`: from model files to a result that says what it is worth."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from device_bench.records import PlannedArtifact, RunPlan
from dsmobile.benchmark import result as result_records
from dsmobile.benchmark.calls import Calls, holds_measurements
from dsmobile.benchmark.conclusion import conclude
from dsmobile.benchmark.conditions import Kind
from dsmobile.benchmark.importing import read_imported
from dsmobile.benchmark.instructions import INSTRUCTIONS, count_instructions
from dsmobile.benchmark.measure import Progress, measure
from dsmobile.benchmark.printed import as_printed
from dsmobile.benchmark.result import Result, Validity, write_result
from dsmobile.benchmark.runtimes import choose, ran
from dsmobile.benchmark.subjects import Subject, against_themselves, gather, pair_up
from dsmobile.benchmark.sustained import SUSTAINED, run_sustained
from dsmobile.devices.adb.cores import parse_cores
from dsmobile.devices.adb.delegate import DELEGATES
from dsmobile.devices.adb.device import AdbDevice
from dsmobile.devices.addresses import Address, parse_address
from dsmobile.devices.opening import open_device
from dsmobile.devices.phone_options import PhoneOptions
from dsmobile.errors import ExitCode, UsageError, nearest
from dsmobile.files import prepare_folder

DEFAULT_OUT = Path("dsmobile-out")
DEFAULT_BUDGET_S = 60.0
EMULATED, ADB = "emulated", "adb"
MOST_THREADS = 1024
LONGEST_BUDGET_S = 24 * 3600.0


def silently(_text: str, _share: float) -> None:
    """Progress that nobody watches."""


def bench(
    artifacts: Sequence[Path],
    *,
    device: str = "local",
    threads: int = 1,
    budget_s: float = DEFAULT_BUDGET_S,
    pairs: Sequence[tuple[Path, Path]] = (),
    self_test: bool = False,
    sustained_s: float | None = None,
    governor: str | None = None,
    runtime: str | None = None,
    out: Path = DEFAULT_OUT,
    seed: int = 0,
    python: str | None = None,
    keep_invalid: bool = False,
    interactive: bool = False,
    phone: PhoneOptions | None = None,
    progress: Progress = silently,
) -> tuple[Result, Path | None]:
    """Measures model files on a device, in blocks of fresh processes.

    Args:
        artifacts: `.tflite` and `.onnx` files; what a manifest beside them says of pairs is used.
        device: ADDRESS.
        threads: Threads of the runtime.
        budget_s: Seconds for the measurement, which ends before where everything is known well enough.
        pairs: (A, B) for strangers' files: the speed-up of A over B.
        self_test: Measure each file against itself, where no difference is the truth.
        sustained_s: Run each file without a pause for so long, in place of blocks.
        governor: The frequency governor to set on the device meanwhile; None changes nothing there.
        runtime: The runtime for `.tflite` files; None takes the best that the device has.
        out: The result goes to its folder `results`.
        seed: Of the order within the blocks.
        python: The Python on the device; None takes this one, or `python3` over SSH.
        keep_invalid: Write the result even where it is INVALID.
        interactive: Whether ssh may ask for a password or a passphrase.
        phone: The cores, the delegate and the tool, where the device is a phone; refused elsewhere.
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
    check_settings(threads, budget_s)
    if address.kind == EMULATED and (self_test or sustained_s is not None or runtime):
        raise UsageError("--self-test, --sustained and --runtime do not apply to an emulated machine, which counts instructions", "leave them away")
    if sustained_s is not None and (self_test or pairs):
        raise UsageError("--sustained compares a file's end with its own beginning, not two files", "leave --pair and --self-test away")
    _check_phone(address, phone, sustained_s, governor)
    subjects, compared = whom_to_compare(artifacts, pairs, self_test=self_test)
    compared = () if sustained_s else compared
    results, journals = prepare_folder(out / "results"), prepare_folder(out / "samples")
    started = datetime.now(UTC)
    stamp = started.strftime("%Y%m%dT%H%M%S%fZ")
    journal = journals / f"{stamp}.jsonl"
    settings: dict[str, Any] = {"budget_s": budget_s, "threads": threads, "seed": seed, "sustained_s": sustained_s, "governor": governor}

    def say(text: str) -> None:
        progress(text, 0.0)

    chosen = replace(phone or PhoneOptions(), threads=threads)
    with _ends_tidily(), open_device(address, python=python, interactive=interactive, phone=chosen) as machine, machine.keep(governor, say) as held:
        for note in held["notes"]:
            say(note)
        facts = machine.facts()
        if isinstance(machine, AdbDevice):
            settings |= machine.settings()
            say(f"measuring on the cores {settings['cores']} with the delegate {settings['delegate']}")
        runtimes, notes = choose(subjects, facts, machine.python, address=str(address), wanted=runtime)
        if facts["cores"] and threads > facts["cores"]:
            raise UsageError(f"--threads {threads} is more than the device's {facts['cores']} cores", "give at most as many threads as cores")
        say("pushing the files")
        places = machine.push([(subject.path, subject.sha256) for subject in subjects])
        planned = tuple(planned_artifact(subject, place, runtimes) for subject, place in zip(subjects, places, strict=True))
        try:
            with Calls(machine, RunPlan(planned, (), threads=threads), journal) as calls:
                if machine.metric == INSTRUCTIONS:
                    measured = count_instructions(subjects, calls, seed=seed, progress=progress)
                elif sustained_s:
                    measured = run_sustained(machine, subjects, calls, seconds=sustained_s, progress=progress)
                else:
                    measured = measure(machine, subjects, compared, calls, budget_s=budget_s, seed=seed, progress=progress)
        except BaseException as error:
            if not holds_measurements(journal):
                journal.unlink(missing_ok=True)
            elif not isinstance(error, Exception):
                say(f"what was measured so far is in {journal}: --import-samples makes a result of it")
            raise
        warnings = (*notes, *of_the_rest(measured.rests), *_of_the_lock(held))
    if held.get("unrestored"):
        left = (Kind.FIXED_PERFORMANCE_LEFT, "the fixed-performance mode") if address.kind == ADB else (Kind.GOVERNOR_LEFT, "the governor")
        warnings = (*warnings, left[0].warning(f"{left[1]} was not put back: {held['unrestored']}"))
    name = str(address) if address.kind == EMULATED else machine.kind  # of a person's own device only its kind is told
    result = conclude(subjects, compared, runtimes, measured, warnings, settings=settings, device=name, started=started)
    result = as_printed(result, measured.samples, compared)
    path = write_unless_invalid(result, results, stamp, keep_invalid=keep_invalid)
    if path:
        journal.unlink()
        with suppress(OSError):  # others may be there
            journals.rmdir()
    return result, path


def import_samples(
    samples: Path,
    artifacts: Sequence[Path],
    *,
    pairs: Sequence[tuple[Path, Path]] = (),
    out: Path = DEFAULT_OUT,
    keep_invalid: bool = False,
) -> tuple[Result, Path | None]:
    """Makes a result of samples that a bundle brought back, or that a run which was interrupted left in OUT/samples.

    Args:
        samples: The file.
        artifacts: The model files that were measured, in any order.
        pairs: As for `bench`.
        out: The result goes to its folder `results`.
        keep_invalid: Write the result even where it is INVALID.

    Returns:
        The result and its file; None where it is INVALID and therefore not written.

    Raises:
        DataError: The samples cannot be read, hold no whole process, or are of other files.
        UsageError, ModelError, DeviceError, OutputError: As for `bench`.
    """
    imported = read_imported(samples, gather(artifacts, pairs))
    over_time = imported.measured.stopped_by == SUSTAINED
    compared = () if over_time else imported.compared or pair_up(imported.subjects, pairs)
    results = prepare_folder(out / "results")
    runtimes, notes = ran(imported.subjects, imported.measured.samples)
    notes = (*notes, *imported.notes, *of_the_rest(imported.measured.rests))
    settings = {"threads": imported.measured.samples.threads, "imported": True}
    result = conclude(imported.subjects, compared, runtimes, imported.measured, notes, settings=settings, device="imported", started=imported.started)
    result = as_printed(result, imported.measured.samples, compared)
    stamp = imported.started.strftime("%Y%m%dT%H%M%S%fZ")
    return result, write_unless_invalid(result, results, stamp, keep_invalid=keep_invalid)


def _check_phone(address: Address, phone: PhoneOptions | None, sustained_s: float | None, governor: str | None) -> None:
    """Proves that the options for phones are given for a phone, and no others.

    Raises:
        UsageError: They are not.
    """
    if address.kind != ADB:
        if phone is not None and phone.given():
            raise UsageError(f"{phone.given()[0]} does not apply to {address}: it is for phones", "leave it away, or give --device adb[:SERIAL]")
        return
    if sustained_s is not None:
        raise UsageError("--sustained does not apply to a phone: benchmark_model tells no single inference", "measure in blocks, without --sustained")
    if governor is not None:
        raise UsageError("--governor does not apply to a phone, whose governor only root may set", "give --fixed-performance")
    if phone is not None and phone.delegate not in (None, *DELEGATES):
        raise UsageError(f"--delegate {phone.delegate!r} is not known", nearest(phone.delegate, DELEGATES))
    if phone is not None and phone.cores is not None and phone.cores not in ("big", "little", "all"):
        parse_cores(phone.cores)


def check_settings(threads: int, budget_s: float) -> None:
    """Proves that they can be.

    Raises:
        UsageError: They cannot.
    """
    if not 1 <= threads <= MOST_THREADS:
        raise UsageError(f"--threads {threads} is not between 1 and {MOST_THREADS}", "give the number of threads of the runtime")
    if not 0 < budget_s <= LONGEST_BUDGET_S:
        raise UsageError(f"--budget {budget_s:g} is not between 0 and {LONGEST_BUDGET_S:g} seconds", "give the seconds that the measurement may take")


def whom_to_compare(
    artifacts: Sequence[Path], pairs: Sequence[tuple[Path, Path]], *, self_test: bool
) -> tuple[tuple[Subject, ...], tuple[tuple[int, int], ...]]:
    """The files, and pairs of indices into them.

    Raises:
        UsageError: The options do not fit together.
        ModelError: A file is missing or damaged.
    """
    if self_test and pairs:
        raise UsageError("--self-test measures files against themselves, --pair against others", "give one of the two")
    subjects = gather(artifacts, pairs)
    return against_themselves(subjects) if self_test else (subjects, pair_up(subjects, pairs))


def planned_artifact(subject: Subject, place: str, runtimes: dict[str, str]) -> PlannedArtifact:
    """How a file is run on a device.

    Args:
        subject: The file.
        place: Where it lies there.
        runtimes: Format to runtime.
    """
    low, high = subject.input_range
    return PlannedArtifact(place, runtimes[subject.format], subject.seed, low, high, subject.layout, subject.reduced_range, subject.sha256)


def write_unless_invalid(result: Result, results: Path, stamp: str, *, keep_invalid: bool) -> Path | None:
    """Writes a result, if it may be.

    Args:
        result: The result.
        results: The folder.
        stamp: The beginning of its name.
        keep_invalid: Write it even where it is INVALID.

    Returns:
        Its file; None where it was not written.
    """
    if result.validity is Validity.INVALID and not keep_invalid:
        return None
    path = results / f"{stamp}-{_short_hash(result)}.json"
    write_result(path, result)
    return path


def of_the_rest(rests: Sequence[dict[str, Any]]) -> list[result_records.Warning]:
    """A warning where the device did not come to rest.

    Args:
        rests: What came of waiting, each time.
    """
    amiss = [rest for rest in rests if not rest["settled"]]
    if not amiss:
        return []
    return [Kind.NOT_SETTLED.warning(f"the device did not come to rest within {amiss[0]['waited_s']:.0f} s: {'; '.join(amiss[0]['reasons'])}")]


def _of_the_lock(held: dict[str, Any]) -> list[result_records.Warning]:
    return [Kind.NOT_HELD.warning(f"the device was not held for this benchmark alone: {held['lost']}")] if held["lost"] else []


def to_document(result: Result, path: Path | None) -> dict[str, Any]:
    """The verb's JSON document.

    Args:
        result: The result.
        path: Its file; None where it was not written.
    """
    document = result.to_json()
    for artifact in document["artifacts"]:
        del artifact["replicates"]
        for name in ("load_ns", "first_inference_ns"):
            artifact[name] = artifact[name] or None  # 0 where nobody told it
    for found in document["sustained"]:
        del found["seconds"]
    keys = ("metric", "validity", "warnings", "artifacts", "pairs")
    over_time = {"sustained": document["sustained"]} if result.sustained else {}
    return {"result": str(path) if path else None, **{key: document[key] for key in keys}, **over_time}


def exit_code(result: Result) -> int:
    """6 where the measurement is INVALID, 7 where a file was found faster than itself, else 0."""
    if result.validity is Validity.INVALID:
        return int(ExitCode.INVALID_MEASUREMENT)
    return int(ExitCode.CHECK_FAILED if any(warning.kind == Kind.SELF_TEST.label for warning in result.warnings) else ExitCode.DONE)


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
