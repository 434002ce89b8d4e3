"""The checks of the archive itself: what a careless reader would be tricked or choked by."""

from __future__ import annotations

import re

from dsmobile.shipping.apk.archive import Archive, Entry
from dsmobile.shipping.apk.models import Contents
from dsmobile.shipping.apk.report import FAILED, PASSED, Check, named, sentences

_REBUILD = "build the APK anew: none of Android's build tools writes this"


def check_archive(archive: Archive, contents: Contents) -> Check:
    """Whether Android's own reader takes the archive, and every entry is whole."""
    problems = [*archive.problems, *contents.damaged]
    if problems:
        return Check("archive", FAILED, sentences(problems), _REBUILD)
    read = (
        "none was read" if contents.too_large else "each whole" if not contents.bombs else f"each whole but {len(contents.bombs)} that were not read"
    )
    return Check("archive", PASSED, f"{len(archive.entries)} entries, {read}")


def check_paths(archive: Archive) -> Check:
    """Whether an entry's path leads out of the folder it is unpacked into, or is a link."""
    wrong = [f"{entry.name!r} {problem}" for entry in archive.entries if (problem := _path_problem(entry))]
    if wrong:
        return Check("paths", FAILED, sentences(wrong), "find out who put it there, and build the APK anew without it")
    return Check("paths", PASSED, "all lead to places inside")


def check_sizes(archive: Archive, contents: Contents) -> Check:
    """Whether anything inflates out of all proportion."""
    total = sum(entry.size_bytes for entry in archive.entries)
    if contents.bombs:
        worst = max(contents.bombs, key=lambda entry: entry.size_bytes)
        detail = f"{worst.compressed_bytes} bytes would become {worst.size_bytes}: {named(entry.name for entry in contents.bombs)}"
        return Check("sizes", FAILED, detail, "look at what it is: real files shrink to a hundredth only where they are empty")
    if contents.too_large:
        return Check("sizes", FAILED, f"its entries would become {total} bytes", "no phone takes an app of this size: build the APK anew")
    return Check("sizes", PASSED, f"its entries are {total} bytes when inflated")


def _path_problem(entry: Entry) -> str:
    name = entry.name
    if not name or "\N{REPLACEMENT CHARACTER}" in name or re.search("[\x00-\x1f\x7f]", name):
        return "is no readable path"
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        return "is an absolute path"
    if "\\" in name:
        return "holds a backslash"
    if ".." in name.split("/"):
        return "climbs out"
    return "is a link or a device" if entry.special else ""
