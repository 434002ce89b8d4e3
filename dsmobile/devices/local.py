"""This machine as a device: the harness runs as its own process, TensorFlow is never imported."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from device_bench.records import RunPlan
from dsmobile.devices.answers import checked_facts, checked_state
from dsmobile.devices.device import HARNESS_PYTHON, document_in, harness_files, last_line
from dsmobile.devices.harness_process import FULL, cannot_write, environment_without, stream
from dsmobile.devices.keeping import kept, settled
from dsmobile.devices.leftovers import make_folder
from dsmobile.errors import DeviceError

_FACTS_TIMEOUT_S = 60.0
_TEMPORARY = "or set TMPDIR to a folder on another disk"


class LocalDevice:
    """This machine.

    Args:
        python: The Python that runs the harness.
    """

    kind = "local"
    metric = "latency"

    def __init__(self, python: str) -> None:
        """Takes note; nothing runs yet."""
        self._python = python
        self._folder = Path()

    def __enter__(self) -> Self:
        """Makes a temporary folder to run in."""
        found = shutil.which(self._python)
        if found is None:
            raise DeviceError(f"--python {self._python} is no program on this machine", "give the path of a Python")
        self._python = str(Path(found).absolute())  # not resolved: a virtual environment's Python is a link
        with _space_for_files():
            self._folder = make_folder("dsmobile-")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Removes it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def python(self) -> str:
        """The Python that runs the harness."""
        return self._python

    def push(self, files: Sequence[tuple[Path, str]]) -> list[str]:
        """The files are here already."""
        return [str(path.resolve()) for path, _ in files]

    def facts(self) -> dict[str, Any]:
        """What this machine is and which runtimes it has."""
        return checked_facts(self._answer("--facts"), "this machine")

    def check(self) -> dict[str, Any]:
        """In which state this machine is."""
        return checked_state(self._answer("--check"), "this machine")

    def keep(self, governor: str | None, say: Callable[[str], None]) -> AbstractContextManager[dict[str, Any]]:
        """Holds this machine for one benchmark: a second one waits."""
        environment = environment_without("PYTHONSAFEPATH")
        return kept(self._harness(), governor, say, lost=_lost, heartbeat=False, environment=environment, folder=self._folder)

    def settle(self, patience_s: float, say: Callable[[str], None]) -> dict[str, Any]:
        """Waits until this machine is quiet and cool, or the patience is spent."""
        return settled(self._harness(), patience_s, say, lost=_lost, environment=environment_without("PYTHONSAFEPATH"), folder=self._folder)

    def _answer(self, option: str) -> dict[str, Any]:
        try:
            done = subprocess.run(
                [*self._harness(), option],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd=self._folder,
                env=environment_without("PYTHONSAFEPATH"),
                timeout=_FACTS_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeviceError(f"{self._python} does not run: {error}", "give another Python with --python") from error
        facts = document_in(done.stdout.decode("utf-8", "replace"))
        if done.returncode or facts is None:
            needed = ".".join(map(str, HARNESS_PYTHON))
            raise DeviceError(
                f"{self._python} cannot run the harness: {last_line(done.stderr.decode('utf-8', 'replace'))}",
                f"give a Python of version {needed} or newer with --python",
            )
        return facts

    def measure(self, plan: RunPlan, on_line: Callable[[dict[str, Any]], None]) -> None:
        """Runs the blocks of a plan and hands on each sample as it comes."""
        plan_path, samples_path = self._folder / "plan.json", self._folder / "samples.jsonl"
        with _space_for_files():
            plan_path.write_text(json.dumps(plan.to_json()), encoding="utf-8")
            samples_path.unlink(missing_ok=True)
        command = [*self._harness(), str(plan_path), str(samples_path), "--echo", "--lifeline"]
        status, errors = stream(command, on_line, environment=environment_without("PYTHONSAFEPATH"), folder=self._folder)
        if status:
            raise _lost(status, errors)

    def _harness(self) -> list[str]:
        return [self._python, str(harness_files()[0].parent)]


@contextlib.contextmanager
def _space_for_files() -> Iterator[None]:
    """Explains a folder for temporary files that cannot be used."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise cannot_write("this machine", error.strerror or "", _TEMPORARY) from error
        raise DeviceError(f"temporary files cannot be written: {error}", "set TMPDIR to a folder that can be") from error


def _lost(status: int, complaint: str) -> DeviceError:
    if status == FULL:
        return cannot_write("this machine", complaint, _TEMPORARY)
    said = last_line(complaint) or f"it said nothing; is the folder of temporary files {tempfile.gettempdir()} full?"
    return DeviceError(f"the harness ended with exit status {status}: {said}", "measure again")
