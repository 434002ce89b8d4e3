"""What runs on a device over SSH before the harness is there: a script for its Python, passed by `-c`.

Standard library only, Python 3.9 or newer. Files are content-addressed below ~/.cache/dsmobile: written under a temporary name, checked by
hash, renamed. The answer is a single line of JSON.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CACHE = Path.home() / ".cache" / "dsmobile"
STALE_S = 24 * 3600
_PIECE = 1 << 20


def main(arguments: list[str]) -> None:
    """Does what the first argument names and prints one line."""
    actions: dict[str, Callable[..., dict[str, Any]]] = {
        "begin": begin,
        "missing": missing,
        "put": put,
        "unpack": unpack,
        "write": write,
        "remove": remove,
    }
    try:
        answer = actions[arguments[0]](*arguments[1:])
    except OSError as error:
        answer = refusal(errno.errorcode.get(error.errno or 0, "OSError"), str(error))
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def refusal(kind: str, message: str) -> dict[str, Any]:
    """Why something was not done, and the space that is left."""
    return {"error": kind, "message": message, "free_bytes": free_bytes()}


def free_bytes() -> int:
    """Space left where the cache is."""
    place = CACHE
    while not place.is_dir():
        place = place.parent
    return shutil.disk_usage(place).free


def begin() -> dict[str, Any]:
    """Makes a folder for one run, and clears away what broken runs left behind."""
    runs = CACHE / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    for path in runs.iterdir():
        if time.time() - path.stat().st_mtime > STALE_S:
            shutil.rmtree(path, ignore_errors=True)
    return {"cache": str(CACHE), "run": tempfile.mkdtemp(dir=runs)}


def sha256(path: Path) -> str:
    """A file's hash; empty where there is no such file."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for piece in iter(lambda: file.read(_PIECE), b""):
                digest.update(piece)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()


def folder_digest(folder: Path) -> str:
    """The hash of a folder's Python files, names included; empty where there is no such folder."""
    if not folder.is_dir():
        return ""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def missing(wanted: str) -> dict[str, Any]:
    """Which of the wanted paths are not here with the right contents.

    Args:
        wanted: JSON: a list of [path below the cache, hash, "file" or "folder"].
    """
    hashes = {"file": sha256, "folder": folder_digest}
    return {"missing": [path for path, digest, kind in json.loads(wanted) if hashes[kind](CACHE / path) != digest]}


def put(path: str, digest: str, size: str) -> dict[str, Any]:
    """Takes a file from standard input."""
    place = CACHE / path
    place.parent.mkdir(parents=True, exist_ok=True)
    if free_bytes() < int(size):
        return refusal("ENOSPC", os.strerror(errno.ENOSPC))
    descriptor, name = tempfile.mkstemp(dir=place.parent, suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, _PIECE)
            file.flush()
            os.fsync(file.fileno())
        if sha256(temporary) != digest:
            return refusal("HASH", "what arrived is not what was sent")
        temporary.replace(place)
    finally:
        if temporary.exists():
            temporary.unlink()
    return {"ok": str(place)}


def unpack(path: str, digest: str) -> dict[str, Any]:
    """Takes a tar of plain files from standard input and makes it a folder."""
    place = CACHE / path
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=place.parent, suffix=".part"))
    try:
        with tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read())) as archive:
            for member in archive.getmembers():
                source = archive.extractfile(member)
                if source is not None and Path(member.name).name == member.name:
                    (temporary / member.name).write_bytes(source.read())
        if folder_digest(temporary) != digest:
            return refusal("HASH", "the harness arrived damaged")
        shutil.rmtree(place, ignore_errors=True)
        temporary.replace(place)
    except tarfile.TarError as error:
        return refusal("HASH", f"the harness arrived damaged: {error}")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return {"ok": str(place)}


def write(path: str) -> dict[str, Any]:
    """Takes a small file of this run from standard input."""
    Path(path).write_bytes(sys.stdin.buffer.read())
    return {"ok": path}


def remove(path: str) -> dict[str, Any]:
    """Removes a run's folder."""
    if Path(path).parent == CACHE / "runs":
        shutil.rmtree(path, ignore_errors=True)
    return {"ok": path}


if __name__ == "__main__":
    main(sys.argv[1:])
