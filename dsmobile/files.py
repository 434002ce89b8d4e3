"""Files that are whole or not there: written under a temporary name, then renamed; and their hashes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dsmobile.errors import OutputError


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what the operating system says of an output path into one sentence and a way out.

    Raises:
        OutputError: The disk is full, or the path cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(f"no space is left for {path}", "free some space, or name another folder with --out") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise OutputError(f"{path} cannot be written: {error.strerror}", "name a folder of your own with --out") from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOENT, errno.ELOOP, errno.EINVAL):
            raise OutputError(f"{path} cannot be written: {error.strerror}", "name another folder with --out") from error
        raise


def prepare_folder(path: Path) -> Path:
    """Makes a folder and proves that it can be written to, before anything expensive begins.

    Returns:
        The folder's absolute path.

    Raises:
        OutputError: It is a file, or cannot be made or written to.
    """
    with explained(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            there = next((place for place in (path, *path.parents) if os.path.lexists(place) and not place.is_dir()), path)
            raise OutputError(f"{there} is not a folder", "name another folder with --out") from error
        with tempfile.NamedTemporaryFile(dir=path, prefix=".dsmobile-") as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    return path.resolve()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which takes its name if the block ends well and vanishes otherwise.

    Raises:
        OutputError: The disk is full, or the path cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with explained(path):
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a whole file or none."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Writes a JSON document, whole or not at all."""
    write_bytes(path, (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def refuse_overwriting(paths: list[Path], *, force: bool) -> None:
    """Raises where a file that we are about to write is already there.

    Raises:
        OutputError: One of `paths` exists and `force` is not given.
    """
    there = [path for path in paths if path.exists()]
    if there and not force:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise OutputError(f"{there[0]}{more} would be overwritten", "give --force to replace them, or name another folder with --out")


def recipes_folder(kind: str) -> Path:
    """The folder with the files that people edit: `models` or `export`, in an installed wheel or in a checkout.

    Args:
        kind: `models` or `export`.
    """
    installed = Path(__file__).parent / "_recipes" / kind
    return installed if installed.is_dir() else Path(__file__).parent.parent / kind
