"""Which network a text names: one that comes with dsmobile, or a file of a person's own."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from dsmobile.architectures.reading import read
from dsmobile.architectures.spec import ArchitectureSpec
from dsmobile.errors import SpecError, nearest
from dsmobile.files import recipes_folder


def names() -> list[str]:
    """The networks that come with dsmobile: its architecture files' names, or those of their variants."""
    return sorted(name for path in recipes_folder("models").glob("*.toml") for name in _variants(path) or (path.stem,))


def spec_of(source: str) -> ArchitectureSpec:
    """The network that a text names.

    Args:
        source: A name of `names`, the path of an architecture file, or `PATH:VARIANT`.

    Raises:
        SpecError: There is none of that name (its message names the nearest), or its file is wrong.
    """
    file, toml, variant = source.rpartition(".toml")
    if toml and (not variant or variant.startswith(":")):
        return read(Path(f"{file}.toml"), variant[1:] or None)
    if re.fullmatch(r"[A-Za-z0-9_.-]+", source):
        for path in sorted(recipes_folder("models").glob("*.toml")):
            variants = _variants(path)
            if source in (variants or (path.stem,)):
                return read(path, source if variants else None)
    raise SpecError(*_unknown(source))


def _unknown(source: str) -> tuple[str, str]:
    """What to say of a SOURCE that is none: message and advice."""
    path, (name, _, variant) = Path(source), source.partition(":")
    if path.is_dir():
        return f"{source} is a folder", "give the path of an architecture file in it, which ends in .toml"
    if Path(f"{source}.toml").is_file():
        return f"there is no architecture {source!r}", f"there is a file {source}.toml: a file is named by its whole path"
    if path.is_file():
        return f"{source} is no architecture file by its name", "an architecture file ends in .toml, a Keras model in .keras, .h5 or .hdf5"
    if variant and Path(f"{name}.toml").is_file():
        return f"there is no architecture {source!r}", f"a variant of a file is named {name}.toml:{variant}"
    return f"there is no architecture {source!r}", f"{nearest(source, names())} A file of your own is named by its path, which ends in .toml."


def _variants(path: Path) -> tuple[str, ...]:
    return tuple(tomllib.loads(path.read_text(encoding="utf-8")).get("variants", {}))
