"""Strangers' text made harmless before any format adds its own escaping: what cannot be seen is written out."""

from __future__ import annotations

import unicodedata

UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories of control codes, direction overrides, lone surrogates and line separators."""


def plain(text: str) -> str:
    r"""The text on one line, with terminal codes, line breaks and direction overrides spelled as in Python (`\x1b`).

    Args:
        text: A file's name, a device's fact, a warning.
    """
    return "".join(_spelled(character) if unicodedata.category(character) in UNSEEN else character for character in text)


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
