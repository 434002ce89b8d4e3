"""MediaPipe and TFLite-Micro for the tests: pinned wheels, kept in the cache and never in the environment that the tests run in.

Each is asked by a script in a process of its own, which sees the standard library and these wheels only.
`python tests/shipping/consumer_packages.py` fetches both.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_NUMPY = (  # one hash for each Python
    "numpy==2.3.5"
    " --hash=sha256:8cba086a43d54ca804ce711b2a940b16e452807acebe7852ff327f1ecd49b0d4"
    " --hash=sha256:0d8163f43acde9a73c2a33605353a4f1bc4798745a8b1d73183b28e5b435ae28"
    " --hash=sha256:11e06aa0af8c0f05104d56450d6093ee639e15f24ecf62d417329d06e522e017"
)
_FLATBUFFERS = "flatbuffers==25.12.19 --hash=sha256:7634f50c427838bb021c2d66a3d1168e9d199b0607e6329399f04846d42e20b4"


class PackagesUnavailableError(Exception):
    """There is no wheel for this machine or this Python, or it is not in the cache and cannot be fetched."""


@dataclass(frozen=True)
class Packages:
    """A package and what it needs to be imported.

    Args:
        name: Of the cache's folder.
        requirements: As pip reads them, every wheel with its hash.
    """

    name: str
    requirements: Sequence[str]

    @property
    def folder(self) -> Path:
        """Where they are kept."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "dsmobile-tests" / f"{self.name}-py{sys.version_info.major}{sys.version_info.minor}"

    def fetched(self) -> Path:
        """The folder, filled where it is not there yet.

        Raises:
            PackagesUnavailableError: With the reason.
        """
        if self.folder.is_dir():
            return self.folder
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as temporary:
            listed, site = Path(temporary) / "requirements.txt", Path(temporary) / "site"
            listed.write_text("\n".join(self.requirements) + "\n", encoding="utf-8")
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
            command = [*pip, "--no-compile", "--require-hashes", "--target", str(site), "--requirement", str(listed)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
            if done.returncode:
                raise PackagesUnavailableError(f"{self.name} cannot be fetched: {done.stderr.strip()[-300:]}")
            if not self.folder.is_dir():
                site.rename(self.folder)
        return self.folder

    def ask(self, script: Path, *arguments: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Runs a script that gets the folder as its first argument; neither the tests' environment nor the person's own packages are seen."""
        command = [sys.executable, "-I", "-S", str(script), str(self.fetched()), *arguments]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=seconds, check=False)


MEDIAPIPE = Packages(
    "mediapipe-1.2.2",
    (
        "mediapipe==1.2.2 --hash=sha256:c0b641bf1515dd186036da711df597a514466c0ba97a138f35b698ecc0411a61",
        "certifi==2025.11.12 --hash=sha256:97de8790030bbd5c2d96b7ec782fc2f7820ef8dba6db909ccf95449f2d062d4b",
        _NUMPY,
        _FLATBUFFERS,
    ),
)
TFLITE_MICRO = Packages(
    "tflite-micro-0.dev20261023182759",
    (
        "tflite-micro==0.dev20261023182759 --hash=sha256:15de433ac849d6bc09b314ce455347af480ebdb6335d8680e4fb8c3fd2b59af2",
        _NUMPY,
        _FLATBUFFERS,
    ),
)

if __name__ == "__main__":
    for packages in (MEDIAPIPE, TFLITE_MICRO):
        sys.stdout.write(f"{packages.fetched()}\n")
