"""What the emulated machine boots: Debian's kernel for ARM, a small Debian root, the locked wheels; made once and kept in the cache."""

from __future__ import annotations

import compileall
import hashlib
import json
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsmobile.devices import arm_root, emulated_init, initial_ram_disk
from dsmobile.devices.arm_root import Root, alone, download, make_root
from dsmobile.devices.initial_ram_disk import Archive
from dsmobile.devices.userland import Userland, choose_wheels
from dsmobile.devices.wheels import Wheel, cache_folder, fetch
from dsmobile.errors import DeviceError
from dsmobile.files import write_json

SUITE, PYTHON, GLIBC = "bookworm", (3, 11), (2, 36)
ROOT = Root("arm64", SUITE, ("base-files", "libstdc++6", "python3"))
KERNEL = Root("arm64", SUITE, ("linux-image-cloud-arm64",))
SITE = "opt/site"


@dataclass(frozen=True)
class Image:
    """An image in the cache.

    Args:
        folder: Where it lies.
    """

    folder: Path

    @property
    def kernel(self) -> Path:
        """Linux."""
        return self.folder / "kernel"

    @property
    def base(self) -> Path:
        """The first file system, without what a run adds."""
        return self.folder / "base.cpio"

    def setup_file(self, processor: str) -> Path:
        """What the machine said of itself when it was set up; it is there only if that went well."""
        return self.folder / f"{processor}.json"


def present_image() -> Image:
    """The image that belongs to this version; it need not be there."""
    recipe = hashlib.sha256("\0".join([ROOT.key, KERNEL.key, *(wheel.sha256 for wheel in _wheels())]).encode())
    for module in (arm_root, emulated_init, initial_ram_disk):
        recipe.update(Path(str(module.__file__)).read_bytes())
    recipe.update(Path(__file__).read_bytes())
    return Image(cache_folder().parent / "emulated" / recipe.hexdigest()[:12])


def make_image(say: Callable[[str], None] = lambda _: None) -> Image:
    """Makes the image, unless it is there.

    Args:
        say: Told what takes time.

    Returns:
        The image.

    Raises:
        DeviceError: This machine has no apt, or packages or wheels cannot be fetched.
    """
    image = present_image()
    with alone(image.folder.parent):
        if not image.folder.is_dir():
            temporary = Path(tempfile.mkdtemp(dir=image.folder.parent, prefix=arm_root.UNFINISHED))
            try:
                _make(temporary, say)
                (temporary / "image").replace(image.folder)
            finally:
                shutil.rmtree(temporary)
    return image


def _wheels() -> tuple[Wheel, ...]:
    return choose_wheels(Userland("Linux", "aarch64", 64, PYTHON, glibc=GLIBC)).wheels


def _make(temporary: Path, say: Callable[[str], None]) -> None:
    image = temporary / "image"
    image.mkdir()
    say("fetching Linux for ARM")
    version = _fetch_kernel(temporary, image / "kernel")
    say("making a Debian root for ARM")
    make_root(ROOT, temporary / "root")
    site = temporary / "root" / SITE
    site.mkdir(parents=True)
    for wheel in fetch(_wheels(), say):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    if sys.version_info[:2] == PYTHON:  # else the machine compiles what it imports, at every start
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(site, quiet=2, stripdir=str(site), prependdir=f"/{SITE}", invalidation_mode=unchecked)
    with (image / "base.cpio").open("wb") as file:
        base = Archive(file)
        base.tree(temporary / "root")
        base.device("dev/console", 5, 1)  # Linux opens it for the first program
        base.device("dev/urandom", 1, 9)  # Python wants it before anything is mounted
        base.text("init", b"#!/usr/bin/python3 -I\n" + Path(emulated_init.__file__).read_bytes(), executable=True)
        base.close()
    wheels = [f"{wheel.package} {wheel.version}" for wheel in _wheels()]
    write_json(image / "image.json", {"schema": "dsmobile.emulated_image/1", "suite": SUITE, "kernel": version, "wheels": wheels})


def _fetch_kernel(temporary: Path, place: Path) -> str:
    """Takes the kernel out of its package; returns the package's name."""
    state = temporary / "apt"
    state.mkdir()
    packages = [path for path in download(KERNEL, state) if path.name.startswith("linux-image-") and path.stat().st_size > 1_000_000]
    if len(packages) != 1:
        raise DeviceError(f"Debian {SUITE} offers {len(packages)} kernels in place of one", "try again with another mirror (DSMOBILE_DEBIAN_MIRROR)")
    done = subprocess.run(["dpkg-deb", "-x", packages[0], temporary / "kernel"], capture_output=True, text=True, check=False)
    found = list((temporary / "kernel/boot").glob("vmlinuz-*"))
    if done.returncode or len(found) != 1:
        raise DeviceError(f"{packages[0].name} cannot be unpacked: {done.stderr.strip()[-300:]}", "see whether the disk is full, then try again")
    found[0].replace(place)
    return packages[0].stem


def read_setup(image: Image, processor: str) -> dict[str, Any] | None:
    """What the machine said of itself when it was set up; None where it was not."""
    try:
        document: dict[str, Any] = json.loads(image.setup_file(processor).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document
