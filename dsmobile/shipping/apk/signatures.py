"""By which schemes an APK is signed, read from its own bytes; whether the signature holds, by Google's `apksigner` where it is installed.

Source: source.android.com, "APK Signature Scheme v2", v3 and v3.1 (the signing block and its ids); v1 is the JAR signature in META-INF.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dsmobile.shipping.apk.archive import Archive

_MAGIC = b"APK Sig Block 42"
_SCHEMES = {0x7109871A: "v2", 0xF05368C0: "v3", 0x1B93AD61: "v3.1"}
_LARGEST_BLOCK_BYTES = 64 << 20
_MOST_PAIRS = 1000
_APKSIGNER_S = 120.0
_LONGEST_WORDS = 1 << 16


@dataclass(frozen=True)
class Signatures:
    """What is there.

    Args:
        schemes: `v1`, `v2`, `v3`, `v3.1`.
        problem: Why the signing block cannot be read; empty where it can or there is none.
    """

    schemes: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True)
class Verification:
    """What `apksigner` said.

    Args:
        holds: Whether the signature holds; None where nobody could say.
        words: Its reason, or why nobody could say.
        signer: The certificate's subject.
    """

    holds: bool | None
    words: str
    signer: str = ""


def read_signatures(archive: Archive) -> Signatures:
    """The schemes that are present; nothing is verified."""
    names = {entry.name for entry in archive.entries}
    blocks = {name.rpartition(".")[0] for name in names if re.fullmatch(r"META-INF/[^/]+\.(RSA|DSA|EC)", name)}
    jar = "META-INF/MANIFEST.MF" in names and any(f"{stem}.SF" in names for stem in blocks)
    block, problem = _signing_block(archive)
    return Signatures((*(["v1"] if jar else []), *block), problem)


def _signing_block(archive: Archive) -> tuple[list[str], str]:
    """The schemes of the block that stands before the central directory."""
    end = archive.directory_offset
    footer = archive.at(end - 24, 24) if end >= 32 else b""
    if footer[8:] != _MAGIC:
        return [], ""
    size = struct.unpack_from("<Q", footer)[0]
    start = end - size - 8
    if not 24 <= size <= _LARGEST_BLOCK_BYTES or start < 0 or archive.at(start, 8) != footer[:8]:
        return [], "its signing block is damaged: its two sizes differ"
    block = archive.at(start + 8, size - 24)
    found, at = set(), 0
    for _ in range(_MOST_PAIRS):
        if at + 12 > len(block):
            break
        length, number = struct.unpack_from("<QI", block, at)
        if length < 4 or at + 8 + length > len(block):
            return [], "its signing block is damaged: a part leads out of it"
        found.add(number)
        at += 8 + length
    if at != len(block):
        return [], "its signing block is damaged: its parts do not fill it"
    return [scheme for number, scheme in _SCHEMES.items() if number in found], ""


def verify(apk: Path, apksigner: str | None = None) -> Verification:
    """Asks `apksigner verify`.

    Args:
        apk: The file.
        apksigner: The program; None takes the one on the PATH.
    """
    program = apksigner or shutil.which("apksigner")
    if program is None:
        return Verification(None, "present, not verified: apksigner is not installed")
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                [program, "verify", "--verbose", "--print-certs", str(apk.resolve())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_APKSIGNER_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Verification(None, f"apksigner did not answer within {_APKSIGNER_S:g} s")
        except OSError as error:
            return Verification(None, f"apksigner cannot be started: {error.strerror}")
        output.seek(0)
        words = output.read(_LONGEST_WORDS).decode("utf-8", "replace")
    return _said(words, done.returncode)


def _said(words: str, code: int) -> Verification:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    signer = next((line.partition("DN: ")[2] for line in lines if line.startswith("Signer #1") and "DN: " in line), "")
    if code == 0 and "Verifies" in lines:
        schemes = [found[1] for line in lines if (found := re.match(r"Verified using (v[\d.]+) scheme .*: true$", line))]
        return Verification(True, f"apksigner verifies {', '.join(schemes) or 'it'}", signer)
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    if "DOES NOT VERIFY" in lines or errors:
        return Verification(False, "apksigner: " + "; ".join(error[:200] for error in errors[:3] or ["does not verify"]))
    return Verification(None, f"apksigner ended with exit code {code}: {next((line for line in reversed(lines)), 'nothing was said')[:200]}")
