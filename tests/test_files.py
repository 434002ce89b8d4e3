"""Files that are whole or not there, and what is said where they cannot be written."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from dsmobile.errors import OutputError
from dsmobile.files import explained, prepare_folder, recipes_folder, refuse_overwriting, replacing, sha256, write_bytes, write_json


def test_sha256_equals_hashlib(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "x").write_bytes(data)
    assert sha256(tmp_path / "x") == hashlib.sha256(data).hexdigest()
    (tmp_path / "empty").touch()
    assert sha256(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # FIPS 180-4's empty message


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]
    assert path.read_bytes() == b"old"


def test_a_block_that_ends_well_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_bytes(path, b"one")
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_json_is_read_back(tmp_path: Path) -> None:
    document = {"name": "é", "values": [1, 2.5, None]}
    write_json(tmp_path / "x.json", document)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == document


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.ENOSPC, "no space"),
        (errno.EDQUOT, "no space"),
        (errno.EACCES, "cannot be written"),
        (errno.EROFS, "cannot be written"),
        (errno.ENOTDIR, "cannot be"),
    ],
)
def test_what_the_system_says_becomes_one_sentence_and_a_way_out(code: int, says: str) -> None:
    with pytest.raises(OutputError, match=says) as raised, explained(Path("/some/where")):
        raise OSError(code, os.strerror(code))
    assert "--out" in raised.value.advice


def test_other_errors_of_the_system_stay_what_they_are() -> None:
    with pytest.raises(OSError, match="I/O"), explained(Path("x")):
        raise OSError(errno.EIO, "I/O error")


def test_a_folder_is_made_with_its_parents_and_left_empty(tmp_path: Path) -> None:
    folder = prepare_folder(tmp_path / "a" / "b")
    assert folder.is_absolute()
    assert list(folder.iterdir()) == []


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    for path in (tmp_path / "x", tmp_path / "x" / "y"):
        with pytest.raises(OutputError, match=f"{tmp_path / 'x'} is not a folder"):
            prepare_folder(path)
    assert (tmp_path / "x").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_device_is_not_a_folder() -> None:
    with pytest.raises(OutputError, match="/dev/full is not a folder"):
        prepare_folder(Path("/dev/full"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    (tmp_path / f".x.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="no space"):
        write_bytes(tmp_path / "x", b"data")
    assert not (tmp_path / "x").exists()


def test_overwriting_needs_force(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    refuse_overwriting(paths, force=False)
    for path in paths[:2]:
        path.touch()
    with pytest.raises(OutputError, match="and 1 more"):
        refuse_overwriting(paths, force=False)
    refuse_overwriting(paths, force=True)


@pytest.mark.parametrize("kind", ["models", "export"])
def test_the_files_that_people_edit_are_found(kind: str) -> None:
    assert list(recipes_folder(kind).glob("*.toml"))
