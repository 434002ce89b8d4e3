"""The lock, and fetching by it: a real pip, and an index that is a folder."""

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dsmobile.devices import far_side, wheels
from dsmobile.devices.wheels import LOCK, Wheel, fetch, locked
from dsmobile.errors import DeviceError


def test_the_lock_holds_hashes_and_names_and_no_address() -> None:
    text = LOCK.read_text(encoding="utf-8")
    assert "://" not in text
    assert re.search(r"\b[a-z0-9-]+\.(org|com|io|net)\b", text) is None
    for wheel in locked():
        assert re.fullmatch(r"[0-9a-f]{64}", wheel.sha256)
        name = wheel.file.removesuffix(".whl").split("-")
        assert name[:4] == [wheel.package.replace("-", "_"), wheel.version, wheel.python, wheel.python]
        assert wheel.platform.endswith(wheel.architecture)
        assert 1_000_000 < wheel.size_bytes < wheel.unpacked_bytes < 200_000_000
        assert (2, 17) <= wheel.glibc <= (2, 34)
        assert bool(wheel.numpy) == (wheel.package != "numpy")


def make_wheel(folder: Path, members: dict[str, bytes] | None = None) -> Wheel:
    python = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    path = folder / f"tiny-1.0-{python}-{python}-manylinux_2_17_x86_64.whl"
    files = members or {
        "tiny/__init__.py": b"",
        "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Wheel("tiny", "1.0", python, "x86_64", (2, 17), "", path.name, digest, path.stat().st_size, sum(map(len, files.values())))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only place from which pip takes packages."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": os.devnull, "EXTRA_INDEX_URL": ""}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("DSMOBILE_CACHE", str(tmp_path / "cache with 'spaces'"))
    return folder


def test_fetches_once_and_then_needs_nobody(index: Path, monkeypatch) -> None:
    wheel = make_wheel(index)
    (path,) = fetch([wheel])
    assert path.read_bytes() == (index / wheel.file).read_bytes()
    assert [entry.name for entry in path.parent.iterdir()] == [wheel.file]
    (index / wheel.file).unlink()
    monkeypatch.setattr(subprocess, "run", None)
    assert fetch([wheel]) == [path]


def test_a_damaged_file_in_the_cache_is_fetched_again(index: Path) -> None:
    wheel = make_wheel(index)
    (path,) = fetch([wheel])
    path.write_bytes(b"x" * wheel.size_bytes)
    assert hashlib.sha256(fetch([wheel])[0].read_bytes()).hexdigest() == wheel.sha256


def test_another_hash_than_the_lock_is_refused_and_not_kept(index: Path) -> None:
    wheel = make_wheel(index)
    with zipfile.ZipFile(index / wheel.file, "a") as archive:
        archive.writestr("tiny/evil.py", b"import os")
    with pytest.raises(DeviceError, match="another hash than the lock") as caught:
        fetch([wheel])
    assert "do not install it" in caught.value.advice
    assert list(wheels.cache_folder().iterdir()) == []


def test_a_wheel_that_is_not_offered_is_named(index: Path) -> None:
    wheel = make_wheel(index)
    (index / wheel.file).unlink()
    with pytest.raises(DeviceError, match=re.escape(wheel.file)) as caught:
        fetch([wheel])
    assert str(wheels.cache_folder()) in caught.value.advice


def test_no_pip_is_one_sentence(index: Path, tmp_path: Path, monkeypatch) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    with pytest.raises(DeviceError, match="has no pip") as caught:
        fetch([make_wheel(index)])
    assert "ensurepip" in caught.value.advice


def test_a_cache_that_cannot_be_written(index: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DSMOBILE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DeviceError, match="cannot be written"):
        fetch([make_wheel(index)])


@pytest.mark.parametrize("given", ["DSMOBILE_CACHE", "XDG_CACHE_HOME"])
def test_where_wheels_are_kept(given, tmp_path, monkeypatch) -> None:
    for name in ("DSMOBILE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(given, str(tmp_path))
    assert wheels.cache_folder() == (tmp_path / "wheels" if given == "DSMOBILE_CACHE" else tmp_path / "dsmobile" / "wheels")


@pytest.fixture
def device_cache(tmp_path: Path, monkeypatch) -> Path:
    folder = tmp_path / "far" / ".cache" / "dsmobile"
    (folder / "wheels").mkdir(parents=True)
    monkeypatch.setattr(far_side, "CACHE", folder)
    return folder


def make_site(device_cache: Path, monkeypatch, wheel: Path, unpacked_bytes: int) -> dict:
    order = [{"path": f"wheels/{wheel.name}", "sha256": far_side.sha256(wheel), "unpacked_bytes": unpacked_bytes}]
    (device_cache / "order").write_text(json.dumps(order), encoding="utf-8")
    with (device_cache / "order").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        return far_side.make_site("sites/0123")


def write_zip(path: Path, *members: tuple[str, bytes], mode: int = 0) -> int:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data)
    return sum(len(data) for _, data in members)


def test_a_whole_wheel_becomes_a_folder(device_cache: Path, monkeypatch) -> None:
    wheel = device_cache / "wheels" / "a.whl"
    size = write_zip(wheel, ("tiny/__init__.py", b"x = 1\n"), ("tiny/lib/data.bin", b"\0" * 5000))
    answer = make_site(device_cache, monkeypatch, wheel, size)
    assert answer == {"ok": str(device_cache / "sites/0123")}
    assert (device_cache / "sites/0123/tiny/__init__.py").read_bytes() == b"x = 1\n"
    assert not wheel.exists()
    assert far_side.site_whole("sites/0123") == {"whole": True}
    (device_cache / "sites/0123/tiny/lib/data.bin").unlink()
    assert far_side.site_whole("sites/0123") == {"whole": False}
    assert far_side.site_whole("sites/other") == {"whole": False}


@pytest.mark.parametrize(
    ("members", "mode"),
    [
        ([("../outside.py", b"x")], 0),
        ([("a/../../outside.py", b"x")], 0),
        ([("/outside.py", b"x")], 0),
        ([("C:/outside.py", b"x")], 0),
        ([("a\\..\\outside.py", b"x")], 0),
        ([("a//b.py", b"x")], 0),
        ([("./b.py", b"x")], 0),
        ([("link", b"/etc/passwd")], stat.S_IFLNK | 0o777),
        ([("pipe", b"")], stat.S_IFIFO | 0o666),
        ([("twice.py", b"x"), ("twice.py", b"y")], 0),
        ([(far_side.CONTENTS, b"{}")], 0),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_wants_something_else_is_refused_whole(device_cache: Path, monkeypatch, members, mode) -> None:
    wheel = device_cache / "wheels" / "a.whl"
    size = write_zip(wheel, ("good.py", b"good"), *members, mode=mode)
    before = {path for path in device_cache.parent.parent.rglob("*") if path.is_file()}
    answer = make_site(device_cache, monkeypatch, wheel, size)
    assert answer["error"] == "WHEEL"
    assert {path for path in device_cache.parent.parent.rglob("*") if path.is_file()} - before == {device_cache / "order"}


@pytest.mark.parametrize("off", [-1, 1, -4000])
def test_more_or_fewer_bytes_than_the_lock_says(device_cache: Path, monkeypatch, off) -> None:
    wheel = device_cache / "wheels" / "a.whl"
    size = write_zip(wheel, ("a.bin", b"\0" * 5000))
    assert make_site(device_cache, monkeypatch, wheel, size + off)["error"] == "WHEEL"
    assert list((device_cache / "sites").iterdir()) == []


def test_a_wheel_that_arrived_damaged(device_cache: Path, monkeypatch) -> None:
    wheel = device_cache / "wheels" / "a.whl"
    wheel.write_bytes(b"PK no archive")
    assert make_site(device_cache, monkeypatch, wheel, 10)["error"] == "WHEEL"


def test_a_record_of_another_python_or_a_broken_one_is_not_believed(device_cache: Path, monkeypatch) -> None:
    wheel = device_cache / "wheels" / "a.whl"
    make_site(device_cache, monkeypatch, wheel, write_zip(wheel, ("a.py", b"")))
    assert far_side.site_in_use() == ""
    far_side.use_site("sites/0123")
    assert far_side.site_in_use() == str(device_cache / "sites/0123")
    (record,) = (device_cache / "pythons").iterdir()
    good = json.loads(record.read_text())
    for text in ("", "[]", "{}", json.dumps({**good, "abi": "cpython-309-arm-linux-gnueabihf 3.9"}), json.dumps({**good, "site": "sites/gone"})):
        record.write_text(text, encoding="utf-8")
        assert far_side.site_in_use() == ""
