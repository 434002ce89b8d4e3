"""Values of a TOML file in the sentences that speak of them, and one kind of value that has a grammar of its own."""

from __future__ import annotations

import re
from typing import Any


def as_toml(value: Any) -> str:
    """A value as a TOML file has it, cut where it is long."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    return cut(str(value).lower() if isinstance(value, bool) else repr(value))


def is_scale(value: Any) -> bool:
    """Whether a value is `none`, or LOW..HIGH with the first below the second."""
    number = r"-?\d{1,9}(?:\.\d{1,9})?"
    ends = re.fullmatch(rf"({number})\.\.({number})", value) if isinstance(value, str) else None
    return value == "none" or (ends is not None and float(ends[1]) < float(ends[2]))


def cut(text: str) -> str:
    """A text of 80 characters at most."""
    return text if len(text) <= 80 else f"{text[:77]}..."


def rather(value: Any) -> str:
    """What to do about a number that is none."""
    if isinstance(value, str):
        return "write a number, without quotes"
    return "give a number in that range" if type(value) in (int, float) else "give a number"


def most_key_parts(text: str) -> int:
    """At least how many parts the longest dotted key of a TOML text has, in one pass; a little more where texts hold dots."""
    most = 0
    for line in text.splitlines():
        for piece in line.split("="):
            bare = re.split("[\"']", piece)[-1].count(".")
            quoted = piece.count('".') + piece.count("'.")
            most = max(most, bare + 1, quoted + 1)
    return most
