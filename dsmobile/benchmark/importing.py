"""Samples that come from elsewhere: from a bundle that ran on a device out of reach, or from a run that was interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from device_bench.documents import NEEDED_FACTS
from device_bench.records import Samples, read_samples
from dsmobile.benchmark import result
from dsmobile.benchmark.kinds import Kind
from dsmobile.benchmark.measure import Measured
from dsmobile.benchmark.subjects import Subject
from dsmobile.benchmark.sustained import SUSTAINED
from dsmobile.errors import DataError

MOST_BYTES = 1 << 30
IMPORTED = "imported"


@dataclass(frozen=True)
class Imported:
    """What samples from elsewhere hold.

    Args:
        subjects: The files, in the order of the samples.
        compared: Pairs of indices, where each file was measured against itself; otherwise empty.
        measured: The samples.
        notes: What a reader must know of them.
        started: When the run began, by the device's clock.
    """

    subjects: tuple[Subject, ...]
    compared: tuple[tuple[int, int], ...]
    measured: Measured
    notes: tuple[result.Warning, ...]
    started: datetime


def read_imported(path: Path, given: Sequence[Subject]) -> Imported:
    """Reads samples and finds the files that they are of.

    Args:
        path: The samples (JSON Lines).
        given: The files that were named; more than were measured is one too many.

    Raises:
        DataError: They cannot be read, hold no whole block, or are of other files.
    """
    samples = _read(path)
    by_hash = {subject.sha256: subject for subject in given}
    unknown = [index for index, digest in enumerate(samples.files) if digest not in by_hash]
    if unknown:
        raise DataError(
            f"{path} holds samples of {len(set(samples.files))} files, and {len(unknown)} of them were not named or have changed since",
            "name every file that was measured, unchanged, beside --import-samples",
        )
    surplus = [subject.path.name for digest, subject in by_hash.items() if digest not in samples.files]
    if surplus:
        raise DataError(f"{path} holds no samples of {', '.join(surplus)}", "name only files that were measured")
    count = len(samples.files)
    twice = count > 1 and samples.files[::2] == samples.files[1::2]
    samples = _ended_early(samples)
    done = sorted({replicate.artifact for replicate in samples.replicates if replicate.block >= 0 and not replicate.error})
    if not done:
        raise DataError(f"{path} holds no process that was measured, only the trial before", "let it run longer")
    absent = [by_hash[samples.files[index]].path.name for index in range(count) if index not in done]
    notes = [Kind.REPLICATE_FAILED.warning(f"no process of {', '.join(dict.fromkeys(absent))} ended well, which is left out")] if absent else []
    samples = _only(samples, done)
    blocks = {replicate.block for replicate in samples.replicates if replicate.block >= 0}
    times = [snapshot["time_s"] for snapshot in samples.conditions if snapshot.get("time_s")]
    return Imported(
        subjects=tuple(by_hash[digest] for digest in samples.files),
        compared=tuple((index, index + 1) for index in range(0, count, 2)) if twice and not absent else (),
        measured=Measured(
            samples, len(blocks), None, max(times) - min(times) if times else 0.0, SUSTAINED if samples.moments else IMPORTED, samples.rests
        ),
        notes=tuple(notes),
        started=datetime.fromtimestamp(min(times), UTC) if times else datetime.now(UTC),
    )


def _ended_early(samples: Samples) -> Samples:
    """A process that ran without a pause and was ended before its time counts with what it told until then."""
    whole = {(replicate.block, replicate.artifact) for replicate in samples.replicates if replicate.block >= 0}
    told = {(moment.block, moment.artifact) for moment in samples.moments}
    early = [begun for begun in samples.begun if (begun.block, begun.artifact) in told - whole]
    return replace(samples, replicates=(*samples.replicates, *early))


def _only(samples: Samples, kept: Sequence[int]) -> Samples:
    """The samples of some artifacts, numbered anew."""
    number = {old: new for new, old in enumerate(kept)}
    return replace(
        samples,
        files=tuple(samples.files[old] for old in kept),
        replicates=tuple(replace(one, artifact=number[one.artifact]) for one in samples.replicates if one.artifact in number),
        moments=tuple(replace(one, artifact=number[one.artifact]) for one in samples.moments if one.artifact in number),
        begun=tuple(replace(one, artifact=number[one.artifact]) for one in samples.begun if one.artifact in number),
    )


def _read(path: Path) -> Samples:
    how = "give the samples.jsonl that a bundle wrote, or a file of OUT/samples"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} is larger than {MOST_BYTES >> 30} GB", how)
        samples = read_samples(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", how) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} does not hold samples: it is no UTF-8 text", how) from error
    except ValueError as error:
        raise DataError(f"{path} does not hold samples: {error}", how) from error
    if not samples.files or not all(samples.files) or not samples.threads:
        raise DataError(f"{path} does not say which files were measured, and with how many threads", how)
    absent = [fact for fact in NEEDED_FACTS if fact not in samples.facts]
    if absent and samples.replicates:
        raise DataError(f"{path} does not hold samples: line 1: facts.{absent[0]} is missing", how)
    return samples
