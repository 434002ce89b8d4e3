"""The wheels that `dsmobile devices setup` brings to a device: locked by hash, fetched by this machine's own pip, kept in the cache."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsmobile.errors import DeviceError
from dsmobile.files import sha256

LOCK = Path(__file__).parent / "wheels.lock.toml"
DOWNLOAD_TIMEOUT_S = 1800.0
PACKAGES = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime", "onnxruntime": "onnxruntime"}
_NO_NETWORK = (
    "temporary failure in name resolution",
    "name or service not known",
    "failed to establish a new connection",
    "nodename nor servname",
    "getaddrinfo failed",
    "network is unreachable",
    "connection refused",
    "proxyerror",
    "connecttimeouterror",
    "read timed out",
    "max retries exceeded",
)


@dataclass(frozen=True)
class Wheel:
    """A wheel in the lock.

    Args:
        package: Its name.
        version: Its version.
        python: The Python it was built for, such as `cp311`.
        architecture: The architecture it was built for: `aarch64`, `armv7l` or `x86_64`.
        glibc: The oldest glibc that has every symbol its libraries ask for, as read from them; what its name says may be more or less.
        numpy: The oldest numpy that a runtime takes; empty for numpy itself.
        file: Its file name.
        sha256: Its hash.
        size_bytes: Its size.
        unpacked_bytes: What its files hold together.
    """

    package: str
    version: str
    python: str
    architecture: str
    glibc: tuple[int, int]
    numpy: str
    file: str
    sha256: str
    size_bytes: int
    unpacked_bytes: int

    @property
    def platform(self) -> str:
        """One of the platforms that its file name gives, as pip's `--platform` takes it."""
        return self.file.removesuffix(".whl").rpartition("-")[2].partition(".")[0]


@functools.cache
def locked(path: Path = LOCK) -> tuple[Wheel, ...]:
    """Every wheel in the lock.

    Args:
        path: The lock.
    """
    with path.open("rb") as file:
        rows = tomllib.load(file)["wheel"]
    return tuple(Wheel(**{**row, "glibc": numbers(row["glibc"])}) for row in rows)


def numbers(version: str) -> tuple[int, int]:
    """The first two parts of a version."""
    found = [int(part) for part in re.findall(r"[0-9]+", version)[:2]]
    return (found[0], found[1] if len(found) > 1 else 0)


def cache_folder() -> Path:
    """Where wheels are kept: `$DSMOBILE_CACHE`, else `dsmobile` in the person's cache folder."""
    given = os.environ.get("DSMOBILE_CACHE")
    if given:
        return Path(given) / "wheels"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dsmobile" / "wheels"


def fetch(wheels: Sequence[Wheel], say: Callable[[str], None] = lambda _text: None) -> list[Path]:
    """Brings wheels into the cache, unless they are there already; without a network that is enough.

    Args:
        wheels: What is wanted.
        say: Told what is being fetched.

    Returns:
        The file of each, its hash checked.

    Raises:
        DeviceError: pip is missing, there is no network, or what came is not what the lock says.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, wheel in enumerate(wheels):
            place = folder / wheel.file
            if not _is_there(place, wheel):
                say(f"fetching {wheel.file} ({wheel.size_bytes / 1e6:.0f} MB, {number + 1} of {len(wheels)})")
                _download(wheel, folder)
    except OSError as error:
        raise DeviceError(f"{folder} cannot be written: {error.strerror}", "free some space, or name another folder with DSMOBILE_CACHE") from error
    return [folder / wheel.file for wheel in wheels]


def _is_there(place: Path, wheel: Wheel) -> bool:
    return place.is_file() and place.stat().st_size == wheel.size_bytes and sha256(place) == wheel.sha256


def _download(wheel: Wheel, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as name:
        temporary = Path(name)
        requirements = temporary / "requirements.txt"
        requirements.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:", "--retries=2"),
            *("--platform", wheel.platform, "--python-version", wheel.python.removeprefix("cp")[0] + "." + wheel.python.removeprefix("cp")[1:]),
            *("--implementation", "cp", "--abi", wheel.python, "--dest", str(temporary), "--requirement", str(requirements)),
        ]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=DOWNLOAD_TIMEOUT_S, env=_without_questions(), check=False
            )
        except subprocess.TimeoutExpired as error:
            raise DeviceError(f"{wheel.file} was not fetched within {DOWNLOAD_TIMEOUT_S:g} s", "try again where the network is faster") from error
        if done.returncode:
            raise _explained(wheel, done.stderr.decode("utf-8", "replace"), folder)
        arrived = temporary / wheel.file
        if not _is_there(arrived, wheel):
            raise DeviceError(f"pip brought another file than {wheel.file}", "see which package index your pip is configured to use")
        arrived.replace(folder / wheel.file)


def _without_questions() -> dict[str, str]:
    return {**os.environ, "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def _explained(wheel: Wheel, complaint: str, folder: Path) -> DeviceError:
    """What pip said, as an error with a way out."""
    said = complaint.lower()
    lines = [line.strip() for line in complaint.splitlines() if line.strip().startswith("ERROR:")]
    last = "".join(c for c in (lines or complaint.splitlines() or ["it said nothing"])[-1] if c.isprintable())
    if "no module named pip" in said:
        how = f"run `{sys.executable} -m ensurepip`, then try again"
        return DeviceError("this machine's Python has no pip, which fetches the device's wheels", how)
    if "do not match the hashes" in said or "expected sha256" in said:
        return DeviceError(
            f"{wheel.file}: what the package index offers has another hash than the lock",
            "do not install it: see which package index your pip is configured to use, and whether there is a newer dsmobile",
        )
    if any(words in said for words in _NO_NETWORK):
        return DeviceError(
            f"{wheel.file} is not in the cache, and there is no network to fetch it",
            f"try again with a network, or put the file into {folder}: a setup with everything there needs none",
        )
    if "no matching distribution" in said or "could not find a version" in said:
        return DeviceError(
            f"the package index of this machine's pip does not offer {wheel.file}",
            f"check the network and pip's configuration, or put the file into {folder}",
        )
    return DeviceError(f"pip could not fetch {wheel.file}: {last}", f"check pip's configuration, or put the file into {folder}")
