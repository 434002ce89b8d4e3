"""An emulated ARM machine as a device: its clock counts instructions, so that the same file costs the same at every run, on anyone's computer.

What it says is never a latency. It sees each instruction that the processor would execute, and nothing of how long one takes: no cache, no
memory that must be waited for, no instructions at once, no vector unit that is wider or narrower. One core, one thread. It finds a change in
the work that a network is on ARM; it cannot tell which of two unlike networks is faster on a real device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from device_bench.records import RunPlan
from dsmobile.devices import emulated_machine
from dsmobile.devices.emulated_image import Image, make_image, present_image, read_setup
from dsmobile.errors import DeviceError, UsageError
from dsmobile.files import write_json

_PLAN, _SAMPLES, _MODELS = "/run/plan.json", "/tmp/samples.jsonl", "/models"  # noqa: S108
_FACTS_SILENCE_S = 60.0
RUNTIMES = ("litert", "onnxruntime")


class EmulatedDevice:
    """A machine with one core and no network; each call of `measure` boots it afresh.

    Args:
        processor: One of `addresses.PROCESSORS`: `cortex-a72` (as in a Raspberry Pi 4) or `cortex-a76` (5).
        python: None: the machine has its own.

    Raises:
        UsageError: A Python is given.
    """

    kind = "emulated"
    metric = "instructions"

    def __init__(self, processor: str, python: str | None = None) -> None:
        if python is not None:
            raise UsageError(f"--python {python} does not apply to the emulated machine, which has its own", "leave it out")
        self._processor = processor
        self._image = Image(Path())
        self._facts: dict[str, Any] = {}
        self._files: dict[str, Path | bytes] = {}

    def __enter__(self) -> Self:
        """Proves that it was set up; it is not booted yet."""
        check_programs()
        self._image = present_image()
        document = read_setup(self._image, self._processor)
        if document is None:
            raise DeviceError(
                f"emulated:{self._processor} is not set up on this machine", f"run `dsmobile devices setup emulated:{self._processor}`, once"
            )
        self._facts = document["facts"]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing is left to end."""

    @property
    def python(self) -> str:
        """The Python in it."""
        return "python3"

    def push(self, files: Sequence[tuple[Path, str]]) -> list[str]:
        """Takes note: the files are in the machine when it boots."""
        places = [f"{_MODELS}/{digest}{path.suffix.lower()}" for path, digest in files]
        self._files |= {place: path for place, (path, _) in zip(places, files, strict=True)}
        return places

    def facts(self) -> dict[str, Any]:
        """What it is, as it said when it was set up, and that it counts instructions."""
        return self._facts

    def measure(self, plan: RunPlan, on_line: Callable[[dict[str, Any]], None]) -> None:
        """Boots it, runs the blocks of a plan, and hands on each sample as it comes; every `_ns` in them counts instructions."""
        if plan.threads != 1:
            raise UsageError(f"--threads {plan.threads}: the emulated machine has one core", "leave --threads at 1")
        wanted: dict[str, Path | bytes] = {artifact.path: self._files[artifact.path] for artifact in plan.artifacts}
        files = {**wanted, _PLAN: emulated_machine.document_bytes(plan.to_json())}

        def hand_on(document: dict[str, Any]) -> None:
            if document.get("kind") == "header":
                document = {**document, "facts": counting(document["facts"], self._processor)}
            on_line(document)

        emulated_machine.run(self._image, self._processor, [[_PLAN, _SAMPLES, "--echo"]], files, hand_on, silence_s=plan.timeout_s)

    def keep(self, governor: str | None, say: Callable[[str], None]) -> contextlib.AbstractContextManager[dict[str, Any]]:  # noqa: ARG002
        """Each run has a machine of its own: there is nobody to wait for."""
        if governor is not None:
            raise UsageError("--governor does not apply to the emulated machine: its clock counts instructions", "leave it out")
        return _kept()

    def settle(self, patience_s: float, say: Callable[[str], None]) -> dict[str, Any]:  # noqa: ARG002
        """It is always quiet and cool."""
        return {"settled": True, "waited_s": 0.0, "reasons": [], "watched": [], "last": {}}

    def check(self) -> dict[str, Any]:
        """In which state it is: the same at every boot."""
        return _answers(self._image, self._processor, [["--check"]])[0][0]


@contextlib.contextmanager
def _kept() -> Iterator[dict[str, Any]]:
    yield {"governor": [], "notes": [], "lost": None}


def _answers(image: Image, processor: str, commands: Sequence[Sequence[str]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What the harness answers to each command, and what the machine said when it had booted."""
    documents: list[dict[str, Any]] = []
    booted = emulated_machine.run(image, processor, commands, {}, documents.append, silence_s=_FACTS_SILENCE_S)
    if len(documents) != len(commands):
        raise DeviceError("the harness on the emulated machine did not answer", "try again")
    return documents, booted


def counting(facts: dict[str, Any], processor: str) -> dict[str, Any]:
    """Facts of the machine, and that what it calls a nanosecond is an instruction."""
    return {**facts, "emulated": True, "counts_instructions": True, "cpu_model": f"{processor} (QEMU)"}


def check_programs() -> None:
    """Proves that this computer can run the machine.

    Raises:
        DeviceError: A program is missing.
    """
    lacking = emulated_machine.missing()
    if lacking:
        raise DeviceError("this computer has no QEMU for ARM machines", f"install {lacking}: on Debian and Ubuntu `sudo apt install {lacking}`")


def set_up(processor: str, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Makes the machine's image in the cache, unless it is there, and boots it once to see that it works.

    Args:
        processor: One of `addresses.PROCESSORS`.
        say: Told what takes time.

    Returns:
        `facts`; `runtimes`: what a tiny model showed of each; `uptime_s` and `instructions_per_ns` as it booted.

    Raises:
        DeviceError: This computer has no apt or QEMU, or something cannot be fetched, or the machine does not boot.
        MeasurementError: Its clock does not count instructions.
    """
    check_programs()
    image = make_image(say)
    document = read_setup(image, processor)
    if document is None:
        say(f"booting emulated:{processor} once, to run a tiny model in each runtime")
        (said, *proofs), booted = _answers(image, processor, [["--facts"], *(["--prove", name] for name in RUNTIMES)])
        proven = [{"name": name, "version": None, "where": None, "error": None, **proof} for name, proof in zip(RUNTIMES, proofs, strict=True)]
        for runtime in proven:
            if runtime["error"]:
                raise DeviceError(f"{runtime['name']} does not work on emulated:{processor}: {runtime['error']}", "report this")
        document = {"schema": "dsmobile.emulated_setup/1", "facts": counting(said, processor), "runtimes": proven, **booted}
        write_json(image.setup_file(processor), document)
    return document
