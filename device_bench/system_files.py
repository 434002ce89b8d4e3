"""Files of /sys and /proc; the environment variable DEVICE_BENCH_ROOT puts a made-up tree in their place, for tests."""

from __future__ import annotations

import glob
import os
import re
from typing import List, Optional

ROOT = "DEVICE_BENCH_ROOT"


def at(path: str) -> str:
    """Where a file of the system lies: below DEVICE_BENCH_ROOT, if that is set."""
    return os.environ.get(ROOT, "") + path


def read(path: str) -> Optional[str]:
    """A small text file of the system; None where there is none or it may not be read."""
    try:
        with open(at(path), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def word(path: str) -> Optional[str]:
    """A file's text without the space around it; None where there is none."""
    text = read(path)
    return (text.strip("\0 \t\r\n") or None) if text is not None else None


def number(path: str) -> Optional[int]:
    """A file that holds a whole number; None where it holds anything else."""
    return whole(word(path))


def whole(text: Optional[str]) -> Optional[int]:
    """A whole number from a text; None where it is something else."""
    return int(text) if text is not None and re.fullmatch(r"-?[0-9]+", text) else None


def matching(pattern: str) -> List[str]:
    """The system's files that match a pattern, sorted as people count (policy2 before policy10), without the root."""
    root = os.environ.get(ROOT, "")
    found = [path[len(root) :] for path in glob.glob(glob.escape(root) + pattern)]
    return sorted(found, key=lambda path: [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", path)])


def meminfo(key: str) -> Optional[int]:
    """A figure of /proc/meminfo in bytes."""
    for line in (read("/proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    return None
