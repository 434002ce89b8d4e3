"""The ways that `dsmobile bench` goes: measure now, write a bundle that measures elsewhere, import what came back or what somebody's tool printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsmobile.benchmark.bundle import how_to_run, write_bundle
from dsmobile.benchmark.log_import import import_log
from dsmobile.benchmark.measure import Progress
from dsmobile.benchmark.result import Result
from dsmobile.benchmark.run import DEFAULT_BUDGET_S, DEFAULT_OUT, bench, exit_code, import_samples, to_document
from dsmobile.benchmark.sustained import duration_s
from dsmobile.devices.phone_options import PhoneOptions
from dsmobile.errors import UsageError


@dataclass(frozen=True)
class Options:
    """What a person asked for; None where an option was not given. See `benchmark.run.bench`."""

    artifacts: tuple[Path, ...]
    pairs: tuple[tuple[Path, Path], ...] = ()
    device: str = "local"
    threads: int | None = None
    budget_s: float | None = None
    self_test: bool = False
    sustained: str | None = None
    governor: str | None = None
    runtime: str | None = None
    bundle: Path | None = None
    bundle_for: str | None = None
    import_samples: Path | None = None
    import_logs: tuple[Path, ...] = ()
    models: tuple[Path, ...] = ()
    python: str | None = None
    keep_invalid: bool = False
    phone: PhoneOptions = field(default_factory=PhoneOptions)
    out: Path = DEFAULT_OUT


def follow(options: Options, *, interactive: bool, progress: Progress) -> tuple[dict[str, Any], int, Result | None]:
    """Does what was asked for.

    Args:
        options: What.
        interactive: Whether ssh may ask for a password or a passphrase.
        progress: Told what is done.

    Returns:
        The verb's JSON document, its exit code, and the result; None where a bundle was written.

    Raises:
        UsageError: The options do not fit together.
        DsmobileError: As `bench`, `import_samples` and `write_bundle` do.
    """
    _check(options)
    sustained_s = duration_s(options.sustained) if options.sustained is not None else None
    budget_s = DEFAULT_BUDGET_S if options.budget_s is None else options.budget_s
    threads = 1 if options.threads is None else options.threads
    if options.bundle is not None:
        bundle = write_bundle(
            options.bundle,
            options.artifacts,
            threads=threads,
            budget_s=budget_s,
            pairs=options.pairs,
            self_test=options.self_test,
            sustained_s=sustained_s,
            system=options.bundle_for,
            say=lambda text: progress(text, 0.0),
        )
        return {"bundle": str(bundle.path), "files": list(bundle.files), "how": how_to_run(bundle)}, 0, None
    if options.import_samples is not None:
        result, path = import_samples(
            options.import_samples, options.artifacts, pairs=options.pairs, out=options.out, keep_invalid=options.keep_invalid
        )
        return to_document(result, path), exit_code(result), result
    if options.import_logs:
        result, path = import_log(
            options.import_logs, (*options.models, *options.artifacts), pairs=options.pairs, out=options.out, keep_invalid=options.keep_invalid,
            threads=options.threads, delegate=options.phone.delegate,
        )  # fmt: skip
        return to_document(result, path), exit_code(result), result
    result, path = bench(
        options.artifacts,
        device=options.device,
        threads=threads,
        budget_s=budget_s,
        pairs=options.pairs,
        self_test=options.self_test,
        sustained_s=sustained_s,
        governor=options.governor,
        runtime=options.runtime,
        out=options.out,
        python=options.python,
        keep_invalid=options.keep_invalid,
        interactive=interactive,
        phone=options.phone,
        progress=progress,
    )
    return to_document(result, path), exit_code(result), result


def _check(options: Options) -> None:
    if options.sustained is not None and options.budget_s is not None:
        raise UsageError("--budget does not apply: --sustained says how long each file runs", "give one of the two")
    if options.bundle is not None and options.import_samples is not None:
        raise UsageError("--bundle and --import-samples are two ends of one way", "write the bundle first, import its samples later")
    if options.import_logs and (options.bundle is not None or options.import_samples is not None):
        raise UsageError("--import-log does not apply beside --bundle and --import-samples", "give one of the three")
    if options.import_logs and not (options.models or options.artifacts or options.pairs):
        raise UsageError("which file ran is not said", "give it with --model FILE.tflite")
    if options.models and not options.import_logs:
        raise UsageError("--model does not apply without --import-log", "name the files to measure without --model")
    if options.bundle_for is not None and options.bundle is None:
        raise UsageError("--bundle-for does not apply without --bundle", "give --bundle too, or leave it away")
    ways = {"--bundle": options.bundle is not None, "--import-samples": options.import_samples is not None, "--import-log": bool(options.import_logs)}
    elsewhere = next((name for name, taken in ways.items() if taken), "")
    if not elsewhere:
        return
    given = {
        "--device": options.device != "local",
        "--python": options.python is not None,
        "--governor": options.governor is not None,
        "--runtime": options.runtime is not None,
        **dict.fromkeys(options.phone.given(), True),
    }
    if elsewhere == "--import-log":
        given["--delegate"] = False  # it and --threads choose among the runs
    if elsewhere != "--bundle":
        given |= {
            "--threads": elsewhere == "--import-samples" and options.threads is not None,
            "--budget": options.budget_s is not None,
            "--self-test": options.self_test,
            "--sustained": options.sustained is not None,
        }
    else:
        given["--keep-invalid"] = options.keep_invalid
    wrong = [name for name, value in given.items() if value]
    if wrong:
        raise UsageError(f"{wrong[0]} does not apply: with {elsewhere} nothing is measured now", f"leave {wrong[0]} away")
