"""Names that become Kotlin, folders and assets: checked or rebuilt, never escaped."""

from __future__ import annotations

import re

from dsmobile.errors import UsageError

# PackageParser refuses longer package names: they become file names on the device.
_LONGEST_PACKAGE = 223
_LONGEST_ASSET = 100
_SEGMENT = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_JAVA = """abstract assert boolean break byte case catch char class const continue default do double else enum extends final finally float
for goto if implements import instanceof int interface long native new package private protected public return short static strictfp super
switch synchronized this throw throws transient try void volatile while true false null"""
_KOTLIN = """as break class continue do else false for fun if in interface is null object package return super this throw true try typealias
typeof val var when while"""
KEYWORDS = frozenset(_JAVA.split()) | frozenset(_KOTLIN.split())
# Windows keeps these for devices, whatever their ending.
DEVICE_NAMES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))})
# Folders that an app's project has already, or that Gradle deletes.
PROJECT_FOLDERS = frozenset({"app", "build", "buildsrc", "gradle", "out", "src"})
# Their class loaders and compilers keep these for themselves.
RESERVED_ROOTS = frozenset({"java", "javax", "kotlin", "android"})


def checked_package(package: str) -> str:
    """The package itself, if both Java and Kotlin take it.

    Args:
        package: `com.acme.vision`.

    Raises:
        UsageError: It is no package name that Java, Kotlin and Android all accept.
    """
    problem = _problem(package)
    if problem:
        raise UsageError(
            f"--package {package[:300]!r}: {problem}",
            "give two or more words of letters, digits and underscores, joined by dots, none a Java or Kotlin keyword: com.acme.vision",
        )
    return package


def _problem(package: str) -> str:
    if len(package) > _LONGEST_PACKAGE:
        return f"it has {len(package)} characters, Android allows {_LONGEST_PACKAGE}"
    segments = package.split(".")
    for segment in segments:
        if not _SEGMENT.fullmatch(segment):
            return f"{segment!r} is not a letter followed by letters, digits or underscores"
        if segment in KEYWORDS:
            return f"{segment!r} is a keyword"
        if segment.lower() in DEVICE_NAMES:
            return f"{segment!r} is no folder's name on Windows"
    if len(segments) < 2:
        return "it has only one word"
    if segments[0] in RESERVED_ROOTS:
        return f"packages that begin with {segments[0]!r} are reserved"
    return ""


def asset_stem(name: str) -> str:
    """A file name without its ending that is safe in an APK, on a disk and in a Kotlin string.

    Args:
        name: Any text; what is not an ASCII letter, digit, `.`, `_` or `-` becomes `_`.
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", name)
    stem = re.sub(r"\.{2,}", ".", stem)[:_LONGEST_ASSET].strip("._-")  # aapt leaves out names that begin with a dot
    if stem.partition(".")[0].lower() in DEVICE_NAMES:
        stem = f"model_{stem}"[:_LONGEST_ASSET].rstrip("._-")
    return stem or "model"


def gradle_name(package: str) -> str:
    """The module's folder and Gradle project in an app: `com.acme.vision` gives `vision`, and `com.acme.app` gives `app_classifier`.

    Args:
        package: A checked package.
    """
    word = package.rpartition(".")[2]
    return f"{word}_classifier" if word.lower() in PROJECT_FOLDERS else word


def catalog_name(package: str) -> str:
    """The module's version catalog in Gradle, which takes letters and digits only: `com.acme.my_vision` gives `myvisionLibs`.

    Args:
        package: A checked package.
    """
    word = package.rpartition(".")[2].replace("_", "")
    return f"{word[0].lower()}{word[1:]}Libs"
