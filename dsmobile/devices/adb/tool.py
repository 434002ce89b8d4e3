"""The native `benchmark_model` for phones: where its publishers put it, what it must be, and its copy in the cache with the hash that is pinned.

Neither publisher gives a hash. LiteRT's releases lie under addresses of their own, which do not change with each night as the nightly ones do.
So a file is pinned when it is first brought here: its SHA-256 is shown, kept beside it, and checked at every use.

Source: developers.google.com/edge/litert/next/benchmark; tensorflow.org/lite/performance/measurement (both read in November 2026).
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsmobile.devices.wheels import cache_folder
from dsmobile.errors import DeviceError, ModelError
from dsmobile.files import sha256, write_bytes, write_json

SCHEMA = "dsmobile.phone_tool/1"
NAME = "benchmark_model"
LITERT = "https://storage.googleapis.com/litert/binaries/2.2.0/android_arm64/benchmark_model"
NIGHTLY = "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/nightly/latest/android_{}_benchmark_model"
SOURCES = {
    "arm64-v8a": ((LITERT, "LiteRT's release 2.2.0"), (NIGHTLY.format("aarch64"), "TensorFlow Lite's latest nightly build")),
    "armeabi-v7a": ((NIGHTLY.format("arm"), "TensorFlow Lite's latest nightly build"),),
}
# EI_CLASS and e_machine of ELF: System V ABI, chapter 4; the machines' own supplements.
_ELF = {"arm64-v8a": (2, 183), "armeabi-v7a": (1, 40), "x86_64": (2, 62), "x86": (1, 3)}
_MACHINES = {3: "32-bit x86", 40: "32-bit ARM", 62: "64-bit x86", 183: "64-bit ARM", 243: "RISC-V"}
_INTERPRETERS = ("/system/bin/linker64", "/system/bin/linker")
_SCRIPT = re.compile(rb"#![ \t]*(/[^\s\0]{1,255})")
_EXECUTABLE, _SHARED, _PT_INTERP = 2, 3, 3
_MOST_HEADERS, _LONGEST_NAME, _LARGEST = 256, 4096, 1 << 30


@dataclass(frozen=True)
class Tool:
    """A native tool for one kind of phone.

    Args:
        path: Where it lies here.
        sha256: Its hash.
        size_bytes: Its size.
        pinned_before: Whether this very file was in the cache already.
        starter: What starts it where that is not Android's linker, so that only the device can say whether it runs there: the shell of a
            script, the linker of another system; empty for a program for Android.
    """

    path: Path
    sha256: str
    size_bytes: int
    pinned_before: bool = False
    starter: str = ""


def where_to_get(abi: str) -> str:
    """Who publishes the tool for a kind of phone, as advice; nobody publishes hashes for it."""
    sources = SOURCES.get(abi, ())
    if not sources:
        return f"build benchmark_model for {abi}: nobody publishes it"
    named = ", or ".join(f"{url} ({what})" for url, what in sources)
    return f"download {named}; no hash is published for it, so compare the one that setup shows with another download of yours"


def tools_folder(abi: str) -> Path:
    """The folder of the cache with the tool for a kind of phone."""
    return cache_folder().parent / "tools" / f"android-{abi}"


def cached(abi: str) -> Tool | None:
    """The tool in the cache, its hash checked; None where there is none.

    Raises:
        DeviceError: It is not the file that was pinned.
    """
    path = tools_folder(abi) / NAME
    if not path.is_file():
        return None
    pinned, found = _pin(abi), sha256(path)
    if pinned.get("sha256") != found:
        raise DeviceError(
            f"{path} has changed since it was pinned: its SHA-256 is {found}, and {pinned.get('sha256') or 'none'} was pinned",
            "bring it again with `dsmobile devices setup adb --benchmark-model FILE`",
        )
    return Tool(path, found, path.stat().st_size, pinned_before=True, starter=check_program(path, abi))


def keep(file: Path, abi: str) -> Tool:
    """Proves that a file can be a program for a kind of phone, copies it into the cache, and pins its hash.

    Args:
        file: It.
        abi: The phone's, such as `arm64-v8a`.

    Raises:
        ModelError, DeviceError: See `check_program`.
        OutputError: The cache cannot be written.
    """
    starter = check_program(file, abi)
    digest, path = sha256(file), tools_folder(abi) / NAME
    before = _pin(abi).get("sha256") == digest and path.is_file() and sha256(path) == digest
    if not before:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, file.read_bytes())
        write_json(path.with_suffix(".json"), {"schema": SCHEMA, "abi": abi, "sha256": digest, "size_bytes": file.stat().st_size})
    return Tool(path, digest, path.stat().st_size, pinned_before=before, starter=starter)


def given(file: Path, abi: str) -> Tool:
    """A file that a person names for one run; the cache is left as it is.

    Raises:
        ModelError, DeviceError: See `check_program`.
    """
    starter = check_program(file, abi)
    return Tool(file, sha256(file), file.stat().st_size, starter=starter)


def check_program(path: Path, abi: str) -> str:
    """Proves that a file can be a program for a device of one ABI: an ELF file for its processor, or a script (which may set up libraries, then
    start the tool).

    Args:
        path: The file.
        abi: The phone's.

    Returns:
        What starts it, where that is not Android's linker: see `Tool.starter`.

    Raises:
        ModelError: It cannot be read.
        DeviceError: It is no program, or one for another processor.
    """
    advice = where_to_get(abi)
    if abi not in _ELF:
        raise DeviceError(f"the phone's programs are of the kind {abi or 'unknown'}, which is not supported", "use a phone with an ARM processor")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_LONGEST_NAME)
            script = _SCRIPT.match(head)
            if script:
                return script[1].decode("utf-8", "replace")
            if len(head) < 52 or not head.startswith(b"\x7fELF") or head[4] not in (1, 2) or head[5] != 1 or size > _LARGEST:
                raise DeviceError(f"{path.name} is no program for phones (it begins neither as ELF files do nor as scripts)", advice)
            kind, machine = struct.unpack_from("<HH", head, 16)
            if (head[4], machine) != _ELF[abi]:
                is_for = _MACHINES.get(machine, f"machine {machine}")
                raise DeviceError(f"{path.name} is a program for {is_for}; the phone's programs are {_MACHINES[_ELF[abi][1]]} ({abi})", advice)
            if kind not in (_EXECUTABLE, _SHARED):
                raise DeviceError(f"{path.name} is an ELF file, but no program", advice)
            interpreter = _interpreter(file, head, size)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", "name the file of the benchmark_model with --benchmark-model") from error
    except (struct.error, ValueError, OverflowError) as error:
        raise DeviceError(f"{path.name} is a damaged ELF file", advice) from error
    return interpreter if interpreter and interpreter not in _INTERPRETERS else ""  # without any: a static program, or a library


def not_startable(tool: Tool, abi: str) -> DeviceError:
    """Why a tool cannot run on a device that does not have what starts it."""
    return DeviceError(f"{tool.path.name} is started by {tool.starter!r}, which the phone does not have: it is not for Android", where_to_get(abi))


def _interpreter(file: Any, head: bytes, file_bytes: int) -> str | None:
    """What starts a program: the text of its PT_INTERP header; None where it is static.

    Raises:
        ValueError, struct.error: The file is damaged.
    """

    def within(place: int) -> int:
        if place > file_bytes:
            raise ValueError("a header leads out of the file")
        return place

    if head[4] == 2:
        offset, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
    else:
        offset, size, count = struct.unpack_from("<I", head, 28)[0], *struct.unpack_from("<HH", head, 42)
    for index in range(min(count, _MOST_HEADERS)):
        file.seek(within(offset + index * size))
        header = file.read(size)
        if struct.unpack_from("<I", header)[0] == _PT_INTERP:
            at, length = struct.unpack_from("<Q16xQ", header, 8) if head[4] == 2 else struct.unpack_from("<I8xI", header, 4)
            file.seek(within(at))
            return str(file.read(min(length, _LONGEST_NAME)).split(b"\0")[0].decode("utf-8", "replace"))
    return None


def _pin(abi: str) -> dict[str, Any]:
    try:
        document = json.loads((tools_folder(abi) / NAME).with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) and document.get("schema") == SCHEMA else {}
