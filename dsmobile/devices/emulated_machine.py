"""A whole ARM machine in QEMU whose clock counts instructions: booted to run the harness, switched off when that has ended."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dsmobile.devices.device import document_in, harness_files, last_line
from dsmobile.devices.emulated_image import SITE, Image
from dsmobile.devices.emulated_init import COMMANDS, unframe
from dsmobile.devices.initial_ram_disk import Archive
from dsmobile.errors import DeviceError, MeasurementError

QEMU = "qemu-system-aarch64"
MEMORY_MB = 3072
HARNESS = "/harness/device_bench"
# Address spaces, hash tables and the kernel lie at the same places at every boot. No line of the kernel's below a panic goes to the serial line.
_KERNEL_COMMAND_LINE = "console=ttyAMA0 quiet loglevel=1 panic=-1 nokaslr norandmaps PYTHONHASHSEED=0 rdinit=/init"
CLOCK_TOLERANCE = 0.01
SLOWEST = 50.0
"""Seconds that a second of the machine's own may take: a billion instructions."""
_BOOT_TIMEOUT_S = 120.0


def missing() -> str:
    """What this computer lacks to run the machine; empty where it lacks nothing."""
    programs = {QEMU: "qemu-system-arm", "setpriv": "util-linux"}
    return " and ".join(package for program, package in programs.items() if shutil.which(program) is None)


def run(
    image: Image,
    processor: str,
    commands: Sequence[Sequence[str]],
    files: dict[str, Path | bytes],
    on_document: Callable[[dict[str, Any]], None],
    *,
    silence_s: float,
) -> dict[str, Any]:
    """Boots the machine, runs the harness in it, and hands on each JSON object that it prints.

    However this ends, QEMU has ended too; it also ends when this process is killed.

    Args:
        image: What to boot.
        processor: One of `addresses.PROCESSORS`.
        commands: The harness's arguments, for each time that it runs, one after the other.
        files: What the run adds to the image: an absolute path there, and a file here or its contents.
        on_document: Takes each object.
        silence_s: Seconds of the machine's own clock after which it counts as stuck if it says nothing.

    Returns:
        What the machine said when it had booted: `uptime_s`, `instructions_per_ns`.

    Raises:
        DeviceError: The machine did not boot, broke down, or the harness failed.
        MeasurementError: Its clock does not count instructions.
    """
    with tempfile.TemporaryDirectory(prefix="dsmobile-emulated-") as name:
        disk = Path(name) / "initrd"
        _write_disk(disk, image, commands, files)
        booted: dict[str, Any] = {}
        last = ""
        with _started(image, processor, disk, Path(name) / "errors") as process:
            for line in _lines(process, silence_s * SLOWEST + _BOOT_TIMEOUT_S):
                document = document_in(_unframed(line) or "")
                if document is None:
                    last = last_line(line) or last
                elif document.get("kind") != "machine":
                    on_document(document)
                elif document["state"] == "booted":
                    booted = _checked(document)
                elif document["state"] == "done" and not document["status"]:
                    return booted
                else:
                    raise DeviceError(f"the harness on the emulated machine failed: {last_line(document['complaint'])}", "measure again")
        complaint = last_line((Path(name) / "errors").read_text(errors="replace")) or last
        raise DeviceError(f"the emulated machine ended before its work was done: {complaint or 'it said nothing'}", "see whether memory is left here")


def _write_disk(disk: Path, image: Image, commands: Sequence[Sequence[str]], files: dict[str, Path | bytes]) -> None:
    with disk.open("wb") as file, image.base.open("rb") as base:
        shutil.copyfileobj(base, file, 1 << 20)
        added = Archive(file)
        everything: dict[str, Path | bytes] = {f"{HARNESS}/{path.name}": path for path in harness_files()}
        everything |= {**files, COMMANDS: document_bytes([[HARNESS, "--site", f"/{SITE}", *arguments] for arguments in commands])}
        made = {""}
        for name, content in everything.items():
            _folders(added, Path(name.lstrip("/")).parent, made)
            if isinstance(content, bytes):
                added.text(name.lstrip("/"), content)
            else:
                added.copy(name.lstrip("/"), content.resolve())
        added.close()


def document_bytes(document: Any) -> bytes:
    """A JSON document as it lies in a file."""
    return json.dumps(document).encode()


def _folders(archive: Archive, folder: Path, made: set[str]) -> None:
    """Adds a folder and those above it, each once."""
    for place in (*reversed(folder.parents), folder):
        name = place.as_posix().removeprefix(".")
        if name not in made:
            made.add(name)
            archive.folder(name)


@contextlib.contextmanager
def _started(image: Image, processor: str, disk: Path, errors: Path) -> Iterator[subprocess.Popen[bytes]]:
    """QEMU, as long as the block lasts. `shift=0`: an instruction takes a nanosecond; `sleep=off`: waiting takes none of ours."""
    command = [
        *("setpriv", "--pdeathsig", "KILL", QEMU, "-M", "virt", "-cpu", processor, "-m", str(MEMORY_MB), "-smp", "1"),
        *("-icount", "shift=0,sleep=off", "-rtc", "base=2025-01-01,clock=vm", "-no-reboot"),
        *("-nodefaults", "-nic", "none", "-display", "none", "-serial", "stdio"),
        *("-kernel", str(image.kernel), "-initrd", str(disk), "-append", _KERNEL_COMMAND_LINE),
    ]
    with errors.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _lines(process: subprocess.Popen[bytes], silence_s: float) -> Iterator[str]:
    """Each line of the serial line until it is closed.

    Raises:
        DeviceError: Nothing came for too long.
    """
    assert process.stdout is not None  # noqa: S101
    descriptor, left = process.stdout.fileno(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        deadline = time.monotonic() + silence_s
        while True:
            if not selector.select(max(deadline - time.monotonic(), 0)):
                raise DeviceError(f"the emulated machine has said nothing for {silence_s:.0f} s", "measure a smaller model")
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                yield left.decode("utf-8", "replace")
                return
            deadline = time.monotonic() + silence_s
            *whole, left = (left + piece).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "replace")


def _unframed(line: str) -> str | None:
    try:
        return unframe(line)
    except ValueError as error:
        raise DeviceError(str(error), "measure again") from error


def _checked(document: dict[str, Any]) -> dict[str, Any]:
    """Raises where the clock does not count instructions: a loop of known length says so at every boot."""
    found = float(document["instructions_per_ns"])
    if abs(found - 1.0) > CLOCK_TOLERANCE:
        raise MeasurementError(
            f"the emulated machine's clock counts {found:.3f} instructions in a nanosecond, not 1", "install another version of QEMU"
        )
    return {"uptime_s": float(document["uptime_s"]), "instructions_per_ns": found}
