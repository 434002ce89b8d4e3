"""A folder of packages that was pushed to the device: put before the device's own packages, for this process and those it starts."""

from __future__ import annotations

import os
import sys
from typing import List, Sequence

VARIABLE = "DEVICE_BENCH_SITE"


def enter(arguments: Sequence[str]) -> List[str]:
    """Takes `--site FOLDER` off the front of the arguments and makes the folder importable.

    The folder stands before the device's own packages and behind the standard library, so that nothing in it can take that one's place. A
    process inherits it from the one that started it.

    Args:
        arguments: As the program got them.

    Returns:
        What is left of them.
    """
    left = list(arguments)
    if left[:1] == ["--site"] and len(left) > 1:
        os.environ[VARIABLE] = os.path.abspath(left[1])
        left = left[2:]
    folder = os.environ.get(VARIABLE)
    if folder and folder not in sys.path:
        sys.path.insert(_before_packages(sys.path), folder)
    return left


def _before_packages(path: Sequence[str]) -> int:
    names = ("site-packages", "dist-packages")
    return next((place for place, folder in enumerate(path) if os.path.basename(folder) in names), len(path))
