"""The readers of an APK on whole, spoiled and random bytes: they say what is wrong, and read nothing that is not there."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsmobile.errors import DataError
from dsmobile.shipping.apk.archive import Archive, EntryError
from dsmobile.shipping.apk.axml import AxmlError, read_axml
from dsmobile.shipping.apk.elf import ElfError, read_elf
from dsmobile.shipping.apk.manifest import AppManifest, read_manifest
from dsmobile.shipping.apk.signatures import read_signatures

from . import apk_builder as apks

Part = apks.Part
GOOD = (Part(b"a.txt", b"abc" * 1000, deflated=True), Part(b"dir/b.bin", bytes(range(256)), align=4096), Part(b"c", b""))


def opened(tmp_path: Path, data: bytes) -> Archive:
    path = tmp_path / "x.apk"
    path.write_bytes(data)
    return Archive(path)


def contents(archive: Archive) -> dict[str, bytes]:
    return {entry.name: archive.read(entry, 1 << 24) for entry in archive.entries}


def test_an_archive_is_read_as_pythons_own_reader_reads_it(tmp_path: Path) -> None:
    data = apks.raw_zip(*GOOD)
    with opened(tmp_path, data) as archive, zipfile.ZipFile(io.BytesIO(data)) as other:
        assert contents(archive) == {name: other.read(name) for name in other.namelist()}
        assert archive.problems == []
        assert [entry.data_offset % 4096 for entry in archive.entries][1] == 0


def test_what_pythons_own_writer_writes_is_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as other:
        other.writestr("ünïcode ✓.txt", "x" * 300_000)
        with other.open("streamed", "w") as file:  # sizes follow the data
            file.write(bytes(100_000))
        other.comment = b"a comment"
    with opened(tmp_path, buffer.getvalue()) as archive:
        assert archive.problems == []
        assert contents(archive) == {"ünïcode ✓.txt": b"x" * 300_000, "streamed": bytes(100_000)}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (apks.raw_zip(Part(b"a", b"1"), Part(b"a", b"2")), "twice"),
        (apks.raw_zip(Part(b"a", b"1" * 100), Part(b"b", b"1" * 100, offset=0)), "two ways"),
        (apks.raw_zip(Part(b"a", b"1" * 100), Part(b"a", b"1" * 100, offset=0)), "overlaps"),
        (apks.raw_zip(Part(b"a", b"1", local_name=b"b")), "two ways"),
        (apks.raw_zip(Part(b"a", b"1", deflated=True, local_size=7)), "two ways"),
        (apks.raw_zip(Part(b"a", b"1", flags=0x801)), "encrypted"),
        (apks.raw_zip(Part(b"a", b"1", method=12)), "method 12"),
        (apks.raw_zip(Part(b"a", b"1", offset=1000)), "no header"),
        (apks.raw_zip(Part(b"a", b"1"), before=b"dex\n035\0" + bytes(50)), "before the first entry"),
        (b"junk" + apks.raw_zip(Part(b"a", b"1")), "from where"),
        (apks.raw_zip(Part(b"a", b"1"), behind=b"junk"), "follow the archive"),
        (apks.raw_zip(Part(b"a", b"12345", size=3)), "stored with"),
        (apks.raw_zip(Part(b"a", b"1"))[:-2] + struct.pack("<H", 40) + b"PK\5\6".ljust(40), "stands there twice"),
    ],
)
def test_what_androids_reader_would_not_take_is_named(tmp_path: Path, data: bytes, problem: str) -> None:
    with opened(tmp_path, data) as archive:
        assert any(problem in found for found in archive.problems), archive.problems


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        (Part(b"a", b"1" * 1000, deflated=True, size=10), "longer than"),
        (Part(b"a", b"1" * 1000, deflated=True, size=2000), "1000 bytes where"),
        (Part(b"a", b"1" * 1000, crc=5), "CRC"),
        (Part(b"a", b"no deflate stream", method=8), "inflated"),
        (Part(b"a", b"1", flags=0x801), "cannot be read"),
    ],
)
def test_contents_that_are_not_what_the_directory_says_are_refused(tmp_path: Path, part: object, problem: str) -> None:
    with opened(tmp_path, apks.raw_zip(part)) as archive, pytest.raises(EntryError, match=problem):
        archive.read(archive.entries[0], 1 << 20)


def test_no_more_is_inflated_than_was_asked_for(tmp_path: Path) -> None:
    with opened(tmp_path, apks.raw_zip(Part(b"a", bytes(1 << 24), deflated=True, size=100))) as archive:
        given_out = 0
        with pytest.raises(EntryError):
            for piece in archive.pieces(archive.entries[0]):
                given_out += len(piece)
        assert given_out <= 100


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\3\4",
        b"not a zip" * 100,
        apks.raw_zip(*GOOD)[:-30],
        apks.raw_zip(*GOOD)[:2000],
        struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0),
        struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 9, 9, 0, 0, 0),
        struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 9, 9, 1000, 0, 0),
    ],
)
def test_what_is_no_archive_or_cut_short_is_bad_input(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError):
        opened(tmp_path, data)


def test_zip64_is_bad_input(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as other:
        for number in range(70_000):
            other.writestr(str(number), b"")
    with pytest.raises(DataError, match="ZIP64"):
        opened(tmp_path, buffer.getvalue())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_mutation_makes_the_readers_crash(tmp_path: Path, data: st.DataObject) -> None:
    block = struct.pack("<QQI4sQ16s", 40, 8, 0x7109871A, b"good", 40, b"APK Sig Block 42")
    raw = bytearray(apks.raw_zip(*GOOD[::2], block=block))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 30))
    try:
        with opened(tmp_path, bytes(raw[: len(raw) - cut])) as archive:
            read_signatures(archive)
            for entry in archive.entries:
                archive.read(entry, 1 << 20)
    except (DataError, EntryError):
        return


@pytest.mark.parametrize("utf8", [True, False])
def test_a_manifest_in_either_encoding_is_read(utf8: bool) -> None:
    found = read_manifest(apks.manifest_xml(24, 35, utf8=utf8, extractNativeLibs=False, debuggable=True))
    assert found == AppManifest("com.acme.vision", "", 24, 35, False, True)


def test_levels_that_are_no_numbers_and_missing_ones() -> None:
    assert read_manifest(apks.manifest_xml("VanillaIceCream", "VanillaIceCream")).min_sdk == "VanillaIceCream"
    bare = read_manifest(apks.binary_xml(("manifest", {"package": "com.acme.vision"})))
    assert (bare.min_sdk, bare.target_sdk, bare.extract_native_libs, bare.debuggable) == (1, 1, None, False)  # Android's own defaults


@pytest.mark.parametrize(
    "data",
    [b"", b"<?xml version='1.0'?><manifest/>", b"\3\0\x08\0\xff\xff\xff\x7f", apks.manifest_xml()[:-8], apks.binary_xml(("application", {}))],
)
def test_what_is_no_manifest_is_named(data: bytes) -> None:
    with pytest.raises(AxmlError):
        read_manifest(data)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_mutation_makes_the_manifest_reader_crash(data: st.DataObject) -> None:
    raw = bytearray(apks.manifest_xml(utf8=data.draw(st.booleans()), debuggable=True))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    for reader in (read_axml, read_manifest):
        try:
            reader(bytes(raw[: len(raw) - data.draw(st.integers(0, 40))]))
        except AxmlError:
            continue


@pytest.mark.parametrize("abi", ["arm64-v8a", "x86_64", "armeabi-v7a", "x86"])
@pytest.mark.parametrize("alignment", [1, 4096, 16384, 65536])
def test_a_librarys_head_is_read(abi: str, alignment: int) -> None:
    data = apks.shared_object(abi, alignment)
    found = read_elf(lambda start, size: data[start : start + size])
    assert (found.machine, found.page_alignment_bytes) == (abi, alignment)


def test_a_library_of_this_machine_is_read_as_readelf_reads_it() -> None:
    import shutil
    import subprocess

    library = next(Path("/lib/x86_64-linux-gnu").glob("libm.so.*"), None)
    if library is None or shutil.which("readelf") is None:
        pytest.skip("needs readelf and an x86-64 Linux")
    lines = subprocess.run(["readelf", "-lW", library], capture_output=True, text=True, check=True).stdout.splitlines()
    alignments = [int(line.split()[-1], 16) for line in lines if line.split()[:1] == ["LOAD"]]
    data = library.read_bytes()
    found = read_elf(lambda start, size: data[start : start + size])
    assert (found.machine, found.page_alignment_bytes) == ("x86_64", min(alignments))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_mutation_makes_the_elf_reader_crash(data: st.DataObject) -> None:
    raw = bytearray(apks.shared_object(data.draw(st.sampled_from(["arm64-v8a", "x86"])), size=300))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, 100))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    try:
        read_elf(lambda start, size: bytes(raw[start : start + size]))
    except ElfError:
        return
