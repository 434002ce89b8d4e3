"""Ctrl-C and SIGTERM end a verb by an exception, and only where an exception can pass.

An exception that is raised while TensorFlow's native code is calling Python aborts the process: C++ ends a program whose exception meets a function
that promises none. So a signal that comes while such a library is at work waits until control is back in dsmobile's own code. A second one does not
wait.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

_OURS = str(Path(__file__).parents[1])
_NATIVE = ("tensorflow", "keras", "ai_edge_litert", "tflite_runtime", "onnxruntime", "onnx")


class Terminated(SystemExit):
    """SIGTERM came; the exit status is the shell's for it."""


def handle_interrupts() -> None:
    """Installs the handlers; a SIGINT that the process was started to ignore stays ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _Handler(KeyboardInterrupt))
    signal.signal(signal.SIGTERM, _Handler(lambda: Terminated(128 + signal.SIGTERM)))


class _Handler:
    """Raises where it is safe, at once from the second signal on."""

    def __init__(self, exception: Callable[[], BaseException]) -> None:
        self.exception = exception
        self.waiting = False

    def __call__(self, _number: int, frame: FrameType | None) -> None:
        ours = None if self.waiting else _ours_below_native(frame)
        if ours is None:
            raise self.exception()
        self.waiting = True
        ours.f_trace = self.back
        sys.settrace(lambda *_: None)  # turns tracing on; frames that begin from now on are not traced

    def back(self, frame: FrameType, _event: str, _argument: Any) -> None:
        """Runs at the next line of the frame that called the library."""
        sys.settrace(None)
        frame.f_trace = None
        self.waiting = False
        raise self.exception()


def _ours_below_native(frame: FrameType | None) -> FrameType | None:
    """The frame of ours that called a native library that is at work now; None where none is."""
    native = False
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        native = native or name.partition(".")[0] in _NATIVE
        if frame.f_code.co_filename.startswith(_OURS):
            return frame if native else None
        frame = frame.f_back
    return None
