"""Calls of the harness on a device: every sample is appended to one journal as it comes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from device_bench.records import Block, ReplicateSample, RunPlan, Samples, read_samples, to_line
from dsmobile.benchmark.subjects import Subject
from dsmobile.devices.device import Device
from dsmobile.errors import DeviceError, ModelError

TRIAL_TIMEOUT_S = 300.0
TRIAL = -1
KEPT = ("replicate", "conditions", "moment", "begun")
_NOT_INSTALLED = ("ImportError", "ModuleNotFoundError")


class Calls:
    """Calls of the harness, whose lines go to one journal with one header.

    Args:
        device: Where.
        plan: What is to be run; `plan` may be changed between calls.
        journal: The journal's file (JSON Lines).
    """

    def __init__(self, device: Device, plan: RunPlan, journal: Path) -> None:
        """Takes note."""
        self.plan = plan
        self._device = device
        self._path = journal
        self._begun = False
        self._notes: list[str] = []

    def __enter__(self) -> Self:
        """Begins the journal."""
        self._journal = self._path.open("w", encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes it; it stays, whatever happened."""
        self._journal.close()

    def note(self, kind: str, document: dict[str, Any]) -> None:
        """Appends what only this side knows, so that it is not lost with this process.

        Args:
            kind: `rest`: what came of waiting.
            document: It.
        """
        self._notes.append(to_line({**document, "kind": kind}))
        if self._begun:
            self._write_notes()

    def _write_notes(self) -> None:
        self._journal.writelines(self._notes)
        self._journal.flush()
        self._notes.clear()

    def samples(self) -> Samples:
        """All that was answered so far.

        Raises:
            DeviceError: Some of it makes no sense.
        """
        try:
            return read_samples(self._path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DeviceError(f"the device answered with something that makes no sense: {error}", "measure again") from error

    def run(self, blocks: Sequence[Block], **changes: Any) -> list[ReplicateSample]:
        """Runs some blocks.

        Args:
            blocks: Which.
            changes: What differs from the plan.

        Returns:
            Their processes.

        Raises:
            DeviceError: The device failed.
        """
        replicates = []

        def keep(document: dict[str, Any]) -> None:
            kind = document.get("kind")
            if kind == "replicate":
                replicates.append(_sample(document))
            if kind in KEPT or (kind == "header" and not self._begun):
                self._journal.write(to_line(document))
                self._journal.flush()
            if kind == "header":
                self._begun = True
                self._write_notes()

        self._device.measure(replace(self.plan, blocks=tuple(blocks), **changes), keep)
        if len(replicates) != sum(len(block.order) for block in blocks):
            raise DeviceError("the device stopped answering before its blocks were done", "measure again")
        return replicates

    def warm_up(self, artifacts: int) -> list[ReplicateSample]:
        """Runs every artifact once, briefly; its figures are not used, and a process that fails here is no reason to end."""
        return self.run([Block(TRIAL, tuple(range(artifacts)))], measure_s=0.1, min_count=3, max_count=100, timeout_s=TRIAL_TIMEOUT_S)

    def trial(self, subjects: Sequence[Subject]) -> tuple[list[ReplicateSample], float]:
        """Runs every artifact once, briefly: it shows what can be run and what it costs, and warms the device up.

        Returns:
            The processes, and what a call costs besides them, in seconds.

        Raises:
            ModelError: The runtime cannot run a file.
            DeviceError: The device failed.
        """
        started = time.monotonic()
        replicates = self.warm_up(len(subjects))
        elapsed_s = time.monotonic() - started
        for replicate in replicates:
            if replicate.error:
                raise _cannot_run(subjects[replicate.artifact], replicate.error)
        return replicates, max(elapsed_s - sum(replicate.wall_ns for replicate in replicates) / 1e9, 0.0)


def _sample(document: dict[str, Any]) -> ReplicateSample:
    try:
        return ReplicateSample.from_json(document)
    except (ValueError, TypeError, KeyError) as error:
        raise DeviceError(f"the device answered with a sample that makes no sense: {error}", "measure again, with the device's own Python") from error


def holds_measurements(journal: Path) -> bool:
    """Whether a journal holds anything that was measured, beyond the trial.

    Args:
        journal: Its file; it need not exist.
    """
    try:
        text = journal.read_text(encoding="utf-8")
    except OSError:
        return False
    if not text:
        return False
    try:
        samples = read_samples(text)
    except ValueError:
        return True  # what cannot be read may still be worth something to a person
    return bool(samples.moments) or any(replicate.block >= 0 for replicate in samples.replicates)


def _cannot_run(subject: Subject, error: str) -> DeviceError | ModelError:
    if error.startswith(_NOT_INSTALLED):
        return DeviceError(
            f"the device's runtime for {subject.path.name} does not load: {error}",
            "bring one that fits its Python with `dsmobile devices setup ADDRESS`, or install it again there",
        )
    if "did not finish within" in error or "SIGKILL" in error:
        return DeviceError(f"{subject.path.name} cannot be measured there: {error}", "use a device with more memory, or a smaller model")
    return ModelError(f"{subject.path} cannot be run: {error}", "check the file: the runtime refuses it")
