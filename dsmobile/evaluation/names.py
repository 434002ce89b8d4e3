"""What files are called beside each other: files of one name lie in several folders where several exports are compared."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def distinguishing(paths: Iterable[Path]) -> dict[Path, str]:
    """Each file's name, with as many of its folders before it as tell it from the others; the whole path where it stands there twice.

    Args:
        paths: Of files; what symbolic links lead to is not looked up.
    """
    parts = {path: path.absolute().parts for path in paths}
    found = {}
    for path, own in parts.items():
        others = [other for each, other in parts.items() if each != path]
        needed = next((count for count in range(1, len(own)) if all(other[-count:] != own[-count:] for other in others)), None)
        found[path] = str(path.absolute()) if needed is None else str(Path(*own[-needed:]))
    return found
