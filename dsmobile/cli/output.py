"""How every verb speaks: one JSON document on stdout or a table for people, progress on stderr, one sentence for an error, one exit code."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from dsmobile.cli.interrupts import handle_interrupts

if TYPE_CHECKING:
    from rich.console import Console


# What makes a terminal do something, or shows letters in another order than they stand: controls (C0 but line feed and tab, DEL, C1), halves of
# characters, line separators, and marks of writing direction.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Text without what would act on a terminal: a name in a stranger's model or on a stranger's device may hold anything."""
    return _UNPRINTABLE.sub("", text)


def console(*, stderr: bool = True) -> Console:
    """Where text for people goes, without control characters: progress, notes and errors to stderr; a verb's answer to stdout."""
    from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
    from rich.measure import Measurement
    from rich.segment import Segment

    class Plain:
        def __init__(self, inner: ConsoleRenderable) -> None:
            self.inner = inner

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for segment in console.render(self.inner, options):
                yield segment if segment.control else Segment(plain(segment.text), segment.style)

        def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
            return Measurement.get(console, options, self.inner)

    class Plainly(RenderHook):
        def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
            return [Plain(renderable) for renderable in renderables]

    out = Console(stderr=stderr, highlight=False, emoji=False)
    out.push_render_hook(Plainly())
    return out


def interactive(*, as_json: bool) -> bool:
    """Whether a person can be asked: never under `--json`, nor where standard input is closed or no terminal."""
    return not as_json and sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


@contextmanager
def progress(*, as_json: bool) -> Iterator[Callable[[str, float], None]]:
    """A progress bar on stderr, drawn only when something happens; silent under `--json` and where stderr is no terminal.

    Yields:
        A function of what is being done and the fraction that is finished.
    """
    out = console()
    if as_json or not out.is_terminal:
        yield lambda _stage, _fraction: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), console=out, transient=True, auto_refresh=False
    ) as bar:
        task = bar.add_task("", total=1.0)

        def advance(stage: str, fraction: float) -> None:
            bar.update(task, description=plain(stage)[:60], completed=fraction, refresh=True)

        yield advance


def run(action: Callable[[], tuple[dict[str, Any], int]], *, as_json: bool, show: Callable[[dict[str, Any]], None]) -> NoReturn:
    """Runs a verb and ends the process.

    Args:
        action: Does the work; returns the JSON document and the exit code.
        as_json: Whether the document goes to stdout; else `show` tells people.
        show: Prints the document for people.
    """
    _open_standard_streams()
    stdout = _libraries_write_to_stderr()
    handle_interrupts()
    try:
        document, code = action()
        if not as_json:
            os.dup2(stdout, 1)
            show(document)
            sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
        kind, message, advice, code = _described(error)
        document = {"error": {"kind": kind, "message": message, "advice": advice}}
        if not as_json:
            _tell(message, advice)
    if as_json:
        os.write(stdout, (to_json(document) + "\n").encode())
    sys.stdout.flush()
    sys.exit(code)


def to_json(document: dict[str, Any]) -> str:
    """A document on one line; what would act on a terminal is written as its number."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(document, ensure_ascii=False))


def _described(error: BaseException) -> tuple[str, str, str, int]:
    """An error's kind, message, advice and exit code."""
    from dsmobile.errors import DsmobileError, ExitCode

    if isinstance(error, DsmobileError):
        return error.kind, error.message, error.advice, int(error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted", "interrupted; nothing half-written was left", "", int(ExitCode.INTERRUPTED)
    if isinstance(error, ModuleNotFoundError):
        return "MissingExtraError", f"{error.name} is not installed", "run: pip install 'dsmobile[export,device,report]'", int(ExitCode.BAD_INPUT)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "free some space there; where it is a temporary file, TMPDIR may name a folder on another disk"
        return "OutputError", f"this machine is full: {error}", advice, int(ExitCode.BAD_INPUT)
    if os.environ.get("DSMOBILE_DEBUG"):
        traceback.print_exception(error)
    advice = "this is a fault in dsmobile: run again with DSMOBILE_DEBUG=1 and report what it prints"
    return "Unforeseen", f"{type(error).__name__}: {error}", advice, int(ExitCode.UNFORESEEN)


def _open_standard_streams() -> None:
    """Puts something in the place of standard streams that were closed, or the next files that are opened would be taken for them."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))


def _libraries_write_to_stderr() -> int:
    """Points file descriptor 1 at stderr, since native libraries print there, and returns the real stdout's."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    return stdout


def _tell(message: str, advice: str) -> None:
    from rich.text import Text

    out = console()
    out.print(Text.assemble(("Error: ", "bold red"), message), soft_wrap=True)
    if advice:
        out.print(Text.assemble(("What to do: ", "bold"), advice), soft_wrap=True)
