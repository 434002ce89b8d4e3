"""What runs on a device over SSH before the harness is there: a script for its Python, passed by `-c`.

Standard library only, Python 3.9 or newer. Files are content-addressed below ~/.cache/dsmobile: written under a temporary name, checked by
hash, renamed. The answer is a single line of JSON.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import shutil
import stat
import sys
import sysconfig
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CACHE = Path.home() / ".cache" / "dsmobile"
STALE_S = 24 * 3600
CONTENTS = ".contents.json"  # in a site: path to size and hash; it is written last
_PIECE = 1 << 20


def main(arguments: list[str]) -> None:
    """Does what the first argument names and prints one line."""
    actions: dict[str, Callable[..., dict[str, Any]]] = {
        "begin": begin,
        "missing": missing,
        "put": put,
        "unpack": unpack,
        "write": write,
        "set_mode": set_mode,
        "discard": discard,
        "site_whole": site_whole,
        "make_site": make_site,
        "use_site": use_site,
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
    if not held():
        for path in runs.iterdir():
            if time.time() - last_written(path) > STALE_S:
                shutil.rmtree(path, ignore_errors=True)
    return {"cache": str(CACHE), "run": tempfile.mkdtemp(dir=runs), "site": site_in_use()}


def held() -> bool:
    """Whether a benchmark holds this device: its clock may jump by years while it runs, so that no time tells whether a folder is old."""
    try:
        import fcntl
    except ImportError:
        return True
    folder = Path(os.environ.get("DSMOBILE_CACHE") or CACHE)  # as device_bench.lock.cache_folder
    try:
        descriptor = os.open(folder / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def last_written(folder: Path) -> float:
    """When a folder or one of its files was written last, in seconds since the epoch; a run appends to its samples all the time."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except OSError:  # another connection is removing it
        return time.time()


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
        with alone():
            put_in_place(temporary, place, lambda: folder_digest(place) == digest)
    except tarfile.TarError as error:
        return refusal("HASH", f"the harness arrived damaged: {error}")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return {"ok": str(place)}


def put_in_place(temporary: Path, place: Path, whole: Callable[[], bool]) -> None:
    """Renames a folder, unless another connection has put the same there meanwhile: what is whole may be in use and is never removed.

    Args:
        temporary: The folder.
        place: Its name from now on; what lies there and is not whole is removed.
        whole: Tells whether all that should be there is there already.

    Raises:
        OSError: It could not be done.
    """
    if whole():
        return
    if place.exists():
        damaged = Path(tempfile.mkdtemp(dir=place.parent, suffix=".part"))
        place.replace(damaged)
        shutil.rmtree(damaged, ignore_errors=True)
    try:
        temporary.replace(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not whole():  # where there are no locks
            raise


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Lets only one connection at a time make something in the cache; the kernel takes the lock back whatever becomes of it."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(CACHE, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def set_mode(path: str, mode: str) -> dict[str, Any]:
    """Sets the permissions of a file below the cache.

    Args:
        path: The file.
        mode: Octal, such as 755.
    """
    (CACHE / path).chmod(int(mode, 8))
    return {"ok": str(CACHE / path)}


def discard(path: str) -> dict[str, Any]:
    """Removes a file below the cache."""
    (CACHE / path).unlink()
    return {"ok": path}


def site_in_use() -> str:
    """The folder of packages that belongs to this Python, as it is now; empty where there is none."""
    try:
        record = json.loads(_record().read_text(encoding="utf-8"))
        folder = CACHE / record["site"]
        return str(folder) if record["abi"] == _abi() and (folder / CONTENTS).is_file() else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def use_site(name: str) -> dict[str, Any]:
    """Notes that a folder of packages belongs to this Python.

    Args:
        name: The folder below the cache.
    """
    record = _record()
    record.parent.mkdir(parents=True, exist_ok=True)
    temporary = record.with_suffix(".part")
    temporary.write_text(json.dumps({"python": sys.executable, "abi": _abi(), "site": name}), encoding="utf-8")
    temporary.replace(record)
    return {"site": str(CACHE / name)}


def _record() -> Path:
    return CACHE / "pythons" / (hashlib.sha256(os.fsencode(sys.executable)).hexdigest()[:16] + ".json")


def _abi() -> str:
    """What compiled packages must have been built for: an upgrade of the system changes it."""
    return f"{sysconfig.get_config_var('SOABI') or sys.implementation.cache_tag} {sys.version_info[0]}.{sys.version_info[1]} {sys.maxsize}"


def site_whole(name: str) -> dict[str, Any]:
    """Whether a folder of packages is there with every byte.

    Args:
        name: The folder below the cache.
    """
    folder = CACHE / name
    try:
        contents = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"whole": False}
    return {"whole": all(sha256(folder / path) == digest for path, digest in contents.items())}


def make_site(name: str) -> dict[str, Any]:
    """Unpacks wheels into a folder of packages: all of it or nothing.

    Args:
        name: The folder below the cache. Standard input: JSON, a list of wheels: `path` below the cache, `sha256`, `unpacked_bytes`.
    """
    wheels = json.loads(sys.stdin.buffer.read())
    folder = CACHE / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with alone():
        answer = {"ok": str(folder)} if site_whole(name)["whole"] else _unpack_wheels(wheels, folder, lambda: bool(site_whole(name)["whole"]))
    if "ok" in answer:
        for wheel in wheels:
            with contextlib.suppress(FileNotFoundError):  # another connection set the same device up
                (CACHE / wheel["path"]).unlink()
    return answer


def _unpack_wheels(wheels: list[dict[str, Any]], folder: Path, whole: Callable[[], bool]) -> dict[str, Any]:
    for left in folder.parent.glob("*.part"):  # of a setup that was cut off
        if time.time() - left.stat().st_mtime > STALE_S:
            shutil.rmtree(left, ignore_errors=True)
    if free_bytes() < 1.1 * sum(wheel["unpacked_bytes"] for wheel in wheels):
        return refusal("ENOSPC", os.strerror(errno.ENOSPC))
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, suffix=".part"))
    try:
        contents: dict[str, str] = {}
        for wheel in wheels:
            if sha256(CACHE / wheel["path"]) != wheel["sha256"]:
                return refusal("HASH", f"{wheel['path']} arrived damaged")
            unpack_wheel(CACHE / wheel["path"], temporary, wheel["unpacked_bytes"], contents)
        (temporary / CONTENTS).write_text(json.dumps(contents), encoding="utf-8")
        temporary.chmod(0o755)
        if hasattr(os, "sync"):
            os.sync()  # a power cut must not leave a folder with a right name and empty files
        put_in_place(temporary, folder, whole)
    except (ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        return refusal("WHEEL", str(error))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return {"ok": str(folder)}


def unpack_wheel(wheel: Path, folder: Path, unpacked_bytes: int, contents: dict[str, str]) -> None:
    """Unpacks a wheel; plain files only, below the folder only, none twice, and exactly as many bytes as promised.

    Args:
        wheel: The file.
        folder: Where to.
        unpacked_bytes: What its files hold together.
        contents: Takes path and hash of each file.

    Raises:
        ValueError: The archive wants something else.
    """
    left = unpacked_bytes
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            name = member.filename
            parts = name.rstrip("/").split("/")
            kind = stat.S_IFMT(member.external_attr >> 16)
            odd = "\\" in name or ":" in parts[0] or "\0" in name or any(part in ("", ".", "..") for part in parts)
            if odd or kind not in (0, stat.S_IFREG, stat.S_IFDIR) or member.flag_bits & 1:
                raise ValueError(f"{wheel.name} holds {name!r}, which is no plain file of its own")
            if member.is_dir():
                continue
            if name in contents or name == CONTENTS:
                raise ValueError(f"{wheel.name} holds {name!r}, which is there already")
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            with archive.open(member) as source, target.open("xb") as file:
                for piece in iter(lambda: source.read(_PIECE), b""):
                    left -= len(piece)
                    if left < 0:
                        raise ValueError(f"{wheel.name} holds more than the {unpacked_bytes} bytes it should")
                    digest.update(piece)
                    file.write(piece)
            contents[name] = digest.hexdigest()
    if left:
        raise ValueError(f"{wheel.name} holds {left} bytes fewer than it should")


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
