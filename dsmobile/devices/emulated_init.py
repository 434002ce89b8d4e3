"""The first and only program of the emulated machine, as its /init: runs commands of the harness and hands on every line that they print.

Standard library only. What it says goes to the serial line, each line with a mark and a checksum, since the kernel writes there too.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

MARK = "@dsmobile"
SERIAL_LINE = "/dev/ttyAMA0"
COMMANDS = "/run/commands.json"
PYTHON = "/usr/bin/python3"
LOOPS, TRIES = (100_000, 600_000), 8
_MOUNTS = (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp"))  # noqa: S108
_POWER_OFF = 0x4321FEDC
# AArch64: 0: subs x0, x0, #1;  b.ne 0b;  ret
_LOOP = struct.pack("<3I", 0xF1000400, 0x54FFFFE1, 0xD65F03C0)
_LOOP_INSTRUCTIONS = 2


def frame(line: str) -> str:
    """A line as it goes over the serial line.

    Args:
        line: ASCII, without its end.
    """
    return f"{MARK} {zlib.crc32(line.encode()):08x} {line}"


def unframe(line: str) -> str | None:
    """The line in a frame; None where there is no mark in it.

    Raises:
        ValueError: It was damaged on the way.
    """
    before, mark, rest = line.rstrip("\r\n").partition(MARK + " ")
    if not mark:
        return None
    checksum, _, text = rest.partition(" ")
    if before or checksum != f"{zlib.crc32(text.encode()):08x}":
        raise ValueError(f"a line of the emulated machine arrived damaged: {line[:80]!r}")
    return text


def instructions_per_ns() -> float:
    """What this machine's clock counts: two loops of known lengths, in machine code, so that what it costs to call them drops out.

    The best of some tries: the kernel's timer interrupts, whose instructions are counted too, do not fall into all of them.
    """
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(_LOOP)
    loop = ctypes.CFUNCTYPE(None, ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    short_ns, long_ns = (min(_duration_ns(loop, count) for _ in range(TRIES)) for count in LOOPS)
    return _LOOP_INSTRUCTIONS * (LOOPS[1] - LOOPS[0]) / (long_ns - short_ns)


def _duration_ns(loop: Callable[[int], None], count: int) -> int:
    started = time.perf_counter_ns()
    loop(count)
    return time.perf_counter_ns() - started


def run(arguments: list[str], serial: TextIO) -> tuple[int, str]:
    """Runs Python with arguments and hands on each line that it prints.

    Returns:
        Its exit status and the end of what it wrote to standard error.
    """
    environment = {"PATH": "/usr/bin:/usr/sbin", "HOME": "/root", "LC_ALL": "C.UTF-8", "ORT_DISABLE_TELEMETRY": "1"}
    with Path("/tmp/errors").open("w+b") as errors:  # noqa: S108
        child = subprocess.Popen([PYTHON, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd="/root")
        assert child.stdout is not None  # noqa: S101
        for line in child.stdout:
            serial.write(frame(line.decode("utf-8", "replace").rstrip("\n").encode("ascii", "backslashreplace").decode()) + "\n")
            serial.flush()
        status = child.wait()
        errors.seek(0)
        return status, errors.read()[-2000:].decode("utf-8", "replace")


def main() -> None:
    """Mounts what a program expects, runs the commands until one fails, says how it ended, and switches the machine off."""
    libc = ctypes.CDLL(None, use_errno=True)
    for kind, place in _MOUNTS:
        libc.mount(b"none", place.encode(), kind.encode(), 0, None)
    # The serial line's driver is the console already; a writer of its own, so that a traceback cannot stand in the middle of a frame.
    serial = Path(SERIAL_LINE).open("w", encoding="ascii")  # noqa: SIM115

    def say(document: dict[str, Any]) -> None:
        serial.write(frame(json.dumps(document)) + "\n")
        serial.flush()

    try:
        say({"kind": "machine", "state": "booted", "uptime_s": time.clock_gettime(time.CLOCK_BOOTTIME), "instructions_per_ns": instructions_per_ns()})
        status, complaint = 0, ""
        for command in json.loads(Path(COMMANDS).read_text(encoding="utf-8")):
            status, complaint = run(command, serial)
            if status:
                break
        say({"kind": "machine", "state": "done", "status": status, "complaint": complaint})
    except Exception as error:  # noqa: BLE001 - nobody else is there to tell
        say({"kind": "machine", "state": "failed", "complaint": f"{type(error).__name__}: {error}"})
    serial.close()
    os.sync()
    libc.reboot(_POWER_OFF)


if __name__ == "__main__" and sys.argv[0] == "/init":
    main()
