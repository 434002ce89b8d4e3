"""Writing a module again without losing what people did to it: every generated file is recorded with its hash.

A file is ours as long as it has the hash we recorded. Ours are replaced, or removed where they are generated no more; what a person changed
or added is kept and named, unless forced.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from dsmobile.errors import OutputError
from dsmobile.files import explained, prepare_folder, sha256, write_bytes, write_json

RECORD = "dsmobile-module.json"
SCHEMA = "dsmobile.module/1"


@dataclass(frozen=True)
class Written:
    """What happened to the files of a module, by their paths in it.

    Args:
        files: Every generated file that is now there as generated.
        kept: Files left alone since a person changed them.
        removed: Files of ours that are generated no more.
    """

    files: tuple[str, ...]
    kept: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True)
class _Record:
    """The hashes under which a file is ours: as recorded, and as it was when a writing that never ended began."""

    hashes: dict[str, str] = field(default_factory=dict)
    replacing: dict[str, str] = field(default_factory=dict)

    def owns(self, name: str, digest: str) -> bool:
        return digest in (self.hashes.get(name), self.replacing.get(name))


def write_module(folder: Path, files: Mapping[str, bytes], facts: Mapping[str, Any], *, force: bool = False) -> Written:
    """Writes a module's files and its record.

    Args:
        folder: The module.
        files: Bytes by path in the module, with `/`.
        facts: What the record says besides: the package, the model's hash.
        force: Replace also what a person changed, as long as it is still generated.

    Raises:
        OutputError: The folder holds files that are not of a module, leads out of itself, or cannot be written.
    """
    record = _read_record(folder, force=force)
    folder = prepare_folder(folder)
    for name in [*files, *record.hashes]:
        _refuse_leading_out(folder, name)
    new = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    now = {name: _digest(folder / name) for name in {*files, *record.hashes}}
    changed = {name for name, digest in now.items() if digest and digest != new.get(name) and not record.owns(name, digest)}
    kept = sorted(name for name in changed if not force or name not in files)  # what is generated no more is never forced away
    write = [name for name in files if name not in kept and now[name] != new[name]]
    removed = sorted(name for name in record.hashes if name not in files and name not in kept and now[name])
    ours = {name: record.hashes[name] if name in kept else new[name] for name in sorted(new) if name not in kept or name in record.hashes}
    left = {name: record.hashes[name] for name in kept if name in record.hashes and name not in files}
    document = {"schema": SCHEMA, **facts, "files": dict(sorted((ours | left).items()))}
    # A writing that is killed leaves both hashes, so that the next one still knows its own files.
    write_json(folder / RECORD, {**document, "replacing": {name: now[name] for name in [*write, *removed] if now[name]}})
    for name in write:
        with explained(folder / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / name, files[name])
    for name in removed:
        _remove(folder, name)
    write_json(folder / RECORD, document)
    return Written(tuple(name for name in files if name not in kept), tuple(kept), tuple(removed))


def _digest(path: Path) -> str:
    """The file's hash; empty where there is none."""
    if not path.exists():
        return ""
    if not path.is_file():  # a pipe would be waited for
        what = "a folder" if path.is_dir() else "no plain file"
        raise OutputError(f"{path} is {what} where a file of the module belongs", "move it away, or name another folder with --out")
    with explained(path):
        return sha256(path)


def _remove(folder: Path, name: str) -> None:
    path = folder / name
    with explained(path):
        path.unlink()
        for parent in path.parents:
            if parent == folder or any(parent.iterdir()):
                break
            parent.rmdir()


def _refuse_leading_out(folder: Path, name: str) -> None:
    """Raises where a path, or a link on its way, leads out of the module."""
    parts = PurePosixPath(name).parts
    inside = parts and not PurePosixPath(name).is_absolute() and not any(part == ".." or "\\" in part or ":" in part for part in parts)
    if not inside or not (folder / name).parent.resolve().is_relative_to(folder):
        raise OutputError(f"{name!r} leads out of {folder}", "replace the link by a folder, or name an empty folder with --out")


def _read_record(folder: Path, *, force: bool) -> _Record:
    """The record of a module that is already there; an empty one for a folder that is new or empty.

    Raises:
        OutputError: The folder holds something else, and `force` is not given.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file", "name a folder with --out")
    if not folder.exists() or not any(folder.iterdir()):
        return _Record()
    try:
        document = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise ValueError(f"its schema is {document['schema']!r}")
        hashes, replacing = ({str(name): str(digest) for name, digest in document.get(key, {}).items() if digest} for key in ("files", "replacing"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if force:
            return _Record()
        why = f"its {RECORD} cannot be read" if (folder / RECORD).exists() else f"it has no {RECORD}"
        raise OutputError(
            f"{folder} holds files that dsmobile did not write ({why})",
            "name an empty folder with --out; --force writes there all the same and replaces files of the same names",
        ) from error
    return _Record(hashes, replacing)
