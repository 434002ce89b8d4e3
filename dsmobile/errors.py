"""The errors a person can meet: what failed, with which value, and what to do next; each kind has its exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What `dsmobile` returns to the shell."""

    DONE = 0
    UNFORESEEN = 1
    USAGE = 2
    BAD_INPUT = 3
    CONVERSION = 4
    DEVICE = 5
    INVALID_MEASUREMENT = 6
    CHECK_FAILED = 7
    INTERRUPTED = 130


class DsmobileError(Exception):
    """Something that a person can put right.

    Args:
        message: What failed and the value that made it fail, in one sentence.
        advice: What to do next, in one sentence; empty where the message says it all.
    """

    exit_code = ExitCode.UNFORESEEN

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __reduce__(self) -> tuple[type[DsmobileError], tuple[str, str]]:
        return type(self), (self.message, self.advice)

    @property
    def kind(self) -> str:
        """The error's name in JSON."""
        return type(self).__name__


class UsageError(DsmobileError):
    """The options do not fit together, or one does not apply here."""

    exit_code = ExitCode.USAGE


class SpecError(DsmobileError):
    """An architecture or recipe that does not exist or cannot be built."""

    exit_code = ExitCode.BAD_INPUT


class ModelError(DsmobileError):
    """A model file that cannot be read, is not trusted, or holds what we do not support."""

    exit_code = ExitCode.BAD_INPUT


class DataError(DsmobileError):
    """Images, labels or arrays that are missing, unreadable or do not fit the model."""

    exit_code = ExitCode.BAD_INPUT


class OutputError(DsmobileError):
    """An output folder or file that cannot be written, or that holds something we would overwrite."""

    exit_code = ExitCode.BAD_INPUT


class MissingExtraError(DsmobileError):
    """A part of dsmobile whose libraries are not installed."""

    exit_code = ExitCode.BAD_INPUT


class ConversionError(DsmobileError):
    """A network that a converter could not write."""

    exit_code = ExitCode.CONVERSION


class ParityError(DsmobileError):
    """A written file that does not compute what the network computes."""

    exit_code = ExitCode.CONVERSION


class DeviceError(DsmobileError):
    """A device that cannot be reached or lacks what is needed."""

    exit_code = ExitCode.DEVICE


class MeasurementError(DsmobileError):
    """A measurement that means something else than it says."""

    exit_code = ExitCode.INVALID_MEASUREMENT


class CheckError(DsmobileError):
    """A check that a person asked for did not hold."""

    exit_code = ExitCode.CHECK_FAILED


def nearest(name: str, allowed: Iterable[str]) -> str:
    """A sentence that names the nearest allowed values, then all of them.

    Args:
        name: What the person wrote.
        allowed: What they could have written.
    """
    allowed = sorted(allowed)
    near = difflib.get_close_matches(name, allowed, n=3, cutoff=0.5)
    guess = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"{guess}Allowed: {', '.join(allowed)}."
