"""A line of `devices doctor`, and from when on something is worth one, on every kind of device."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

BUSY_CPU = 0.3
LITTLE_MEMORY = 0.1
SKEW_S = 60.0


class State(StrEnum):
    """How a line of the examination ends."""

    OK = "ok"
    NOTE = "note"
    FIX = "fix"


@dataclass(frozen=True)
class Check:
    """One line.

    Args:
        name: What was looked at.
        state: `ok`; `note`: good to know, or it makes figures noisy; `fix`: figures would be wrong, or nothing can be measured.
        seen: What was found.
        advice: What to do; empty where nothing need be done.
    """

    name: str
    state: State
    seen: str
    advice: str = ""
