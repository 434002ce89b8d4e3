"""What every device can do: take files, run the harness, say what it is, and be left clean."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from device_bench import records

HARNESS_PYTHON = (3, 9)
LONGEST_LINE = 64 << 20


class Device(Protocol):
    """A machine that measures. Used as a context manager: whatever happens, nothing of ours goes on running there."""

    kind: str
    metric: str
    """What it measures: `latency`, or `instructions` where its clock counts them."""

    def __enter__(self) -> Self:
        """Connects."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends what runs there and removes what was temporary."""

    @property
    def python(self) -> str:
        """The Python on the device, as a person there would write it."""

    def push(self, files: Sequence[tuple[Path, str]]) -> list[str]:
        """Brings model files to the device, unless they are there already.

        Args:
            files: Path and SHA-256 of each.

        Returns:
            Where each lies on the device, absolute.
        """

    def facts(self) -> dict[str, Any]:
        """What the device is and which runtimes it has: see `device_bench.machine.facts`."""

    def measure(self, plan: records.RunPlan, on_line: Callable[[dict[str, Any]], None]) -> None:
        """Runs the blocks of a plan and hands on each sample as it comes.

        Raises:
            DeviceError: The harness or the connection failed.
        """

    def keep(self, governor: str | None, say: Callable[[str], None]) -> AbstractContextManager[dict[str, Any]]:
        """Holds the device for one benchmark: a second one waits; see `devices.keeping.kept`.

        Args:
            governor: The frequency governor to set meanwhile, put back on every way out; None changes nothing.
            say: Told what is being waited for, and what was found and done.

        Raises:
            DeviceError: The device cannot be held, or the governor cannot be set.
        """

    def settle(self, patience_s: float, say: Callable[[str], None]) -> dict[str, Any]:
        """Waits until the device is quiet and cool, or the patience is spent; see `device_bench.settle.settle`.

        Args:
            patience_s: The longest wait.
            say: Told every few seconds what is being waited for.

        Returns:
            `settled`, `waited_s`, `reasons`, `watched`, `last`.

        Raises:
            DeviceError: The device was lost.
        """

    def check(self) -> dict[str, Any]:
        """In which state the device is: see `device_bench.check.check`. What a killed benchmark left changed is put back.

        Raises:
            DeviceError: The device cannot be reached, or the harness does not run.
        """


def harness_files() -> list[Path]:
    """The harness's modules, in a fixed order."""
    return sorted(Path(records.__file__).parent.glob("*.py"))


def document_in(line: str) -> dict[str, Any] | None:
    """The JSON object in a line of output; None where it is something else that the device printed."""
    if not line.startswith("{") or len(line) > LONGEST_LINE:
        return None
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def last_line(text: str) -> str:
    """The last line that says something, without control characters."""
    lines = ["".join(character for character in line if character.isprintable()).strip() for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), "")
