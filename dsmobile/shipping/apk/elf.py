"""The head of a native library: for which processor it is, and which page size its segments are laid out for.

Source: System V ABI, chapter 5 (program header); Android's rule for 16 KB pages: `p_align` of every PT_LOAD is at least 16384.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

_LOAD = 1
_MOST_SEGMENTS = 1024
MACHINES = {3: "x86", 40: "armeabi-v7a", 62: "x86_64", 183: "arm64-v8a", 243: "riscv64"}


class ElfError(ValueError):
    """Bytes that are no ELF file, or a damaged one."""


@dataclass(frozen=True)
class Elf:
    """What a library's head says.

    Args:
        machine: The Android ABI of its processor; `machine N` for one that Android does not run on.
        page_alignment_bytes: The smallest alignment among its loaded segments.
    """

    machine: str
    page_alignment_bytes: int


def read_elf(read: Callable[[int, int], bytes]) -> Elf:
    """Reads a library's head.

    Args:
        read: Gives so many bytes from an offset on, fewer where the file ends.

    Raises:
        ElfError: It is no ELF file, or its program headers lead out of it.
    """
    head = read(0, 64)
    if head[:4] != b"\x7fELF":
        raise ElfError("is no ELF file")
    if len(head) < 52 or head[4] not in (1, 2) or head[5] not in (1, 2) or (head[4] == 2 and len(head) < 64):
        raise ElfError("is a damaged ELF file")
    order, wide = "<" if head[5] == 1 else ">", head[4] == 2
    machine = struct.unpack_from(f"{order}H", head, 18)[0]
    table = struct.unpack_from(f"{order}Q" if wide else f"{order}I", head, 32 if wide else 28)[0]
    step, count = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)
    if not 0 < count <= _MOST_SEGMENTS or step < (56 if wide else 32):
        raise ElfError(f"is a damaged ELF file: it says {count} program headers of {step} bytes")
    headers = read(table, step * count)
    if len(headers) < step * count:
        raise ElfError("is a damaged ELF file: its program headers lead out of it")
    alignments = [
        struct.unpack_from(f"{order}Q" if wide else f"{order}I", headers, at + (48 if wide else 28))[0]
        for at in range(0, step * count, step)
        if struct.unpack_from(f"{order}I", headers, at)[0] == _LOAD
    ]
    if not alignments:
        raise ElfError("is a damaged ELF file: nothing of it is loaded")
    return Elf(MACHINES.get(machine, f"machine {machine}"), min(alignments))
