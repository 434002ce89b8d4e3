"""What happens to a module, and to what people did to it, when it is written again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from dsmobile.errors import OutputError
from dsmobile.shipping import record
from dsmobile.shipping.record import RECORD, write_module

FIRST = {"a.txt": b"one", "src/b.txt": b"two", "src/deep/c.txt": b"three"}
SECOND = {"a.txt": b"one, newer", "src/b.txt": b"two", "src/d.txt": b"four"}


def read(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != RECORD}


def hashes(folder: Path) -> dict[str, str]:
    document = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    assert document["schema"] == "dsmobile.module/1" and document["package"] == "a.b" and "replacing" not in document
    return dict(document["files"])


def write(folder: Path, files: dict[str, bytes], force: bool = False) -> record.Written:
    return write_module(folder, files, {"package": "a.b"}, force=force)


def test_every_file_is_recorded_with_its_hash(tmp_path: Path) -> None:
    written = write(tmp_path / "m", FIRST)
    assert (set(written.files), written.kept, written.removed) == (set(FIRST), (), ())
    assert read(tmp_path / "m") == FIRST
    assert hashes(tmp_path / "m") == {name: hashlib.sha256(data).hexdigest() for name, data in FIRST.items()}


def test_unchanged_files_are_replaced_and_those_generated_no_more_go(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    written = write(tmp_path, SECOND)
    assert (written.kept, written.removed) == ((), ("src/deep/c.txt",))
    assert read(tmp_path) == SECOND
    assert not (tmp_path / "src/deep").exists()
    assert set(hashes(tmp_path)) == set(SECOND)


def test_a_persons_edits_survive_and_are_named_again_and_again(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    (tmp_path / "a.txt").write_bytes(b"mine")
    (tmp_path / "src/deep/c.txt").write_bytes(b"mine too")
    (tmp_path / "notes.md").write_bytes(b"a person's own")
    for _ in range(3):
        written = write(tmp_path, SECOND)
        assert written.kept == ("a.txt", "src/deep/c.txt") and set(written.files) == {"src/b.txt", "src/d.txt"}
        assert read(tmp_path) == {**SECOND, "a.txt": b"mine", "src/deep/c.txt": b"mine too", "notes.md": b"a person's own"}


def test_force_replaces_edits_but_never_removes_a_persons_work(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    (tmp_path / "a.txt").write_bytes(b"mine")
    (tmp_path / "src/deep/c.txt").write_bytes(b"mine too")
    (tmp_path / "notes.md").write_bytes(b"a person's own")
    written = write(tmp_path, SECOND, force=True)
    assert written.kept == ("src/deep/c.txt",)
    assert read(tmp_path) == {**SECOND, "src/deep/c.txt": b"mine too", "notes.md": b"a person's own"}


def test_an_edit_taken_back_is_ours_again_and_a_deleted_file_comes_back(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    (tmp_path / "a.txt").write_bytes(b"mine")
    assert write(tmp_path, SECOND).kept == ("a.txt",)
    (tmp_path / "a.txt").write_bytes(b"one")
    (tmp_path / "src/b.txt").unlink()
    assert write(tmp_path, SECOND).kept == ()
    assert read(tmp_path) == SECOND


def test_a_file_that_a_person_put_where_ours_would_go_is_kept(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    (tmp_path / "src/d.txt").write_bytes(b"mine")
    assert write(tmp_path, SECOND).kept == ("src/d.txt",)
    assert (tmp_path / "src/d.txt").read_bytes() == b"mine"
    assert "src/d.txt" not in hashes(tmp_path)


def test_a_folder_of_other_people_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "build.gradle.kts").write_bytes(b"theirs")
    with pytest.raises(OutputError, match="did not write"):
        write(tmp_path, FIRST)
    assert read(tmp_path) == {"build.gradle.kts": b"theirs"} and not (tmp_path / RECORD).exists()
    write(tmp_path, FIRST, force=True)
    assert read(tmp_path) == {**FIRST, "build.gradle.kts": b"theirs"}


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema": "dsmobile.module/9"}', '{"schema": "dsmobile.module/1", "files": []}', "\x00"])
def test_a_damaged_record_makes_it_a_folder_of_other_people(tmp_path: Path, damage: str) -> None:
    write(tmp_path, FIRST)
    (tmp_path / RECORD).write_text(damage, encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be read"):
        write(tmp_path, SECOND)
    assert read(tmp_path) == FIRST


def test_a_writing_that_was_killed_is_finished_by_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, FIRST)
    real, calls = record.write_bytes, []

    def killed(path: Path, data: bytes) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(path, data)

    newer = {name: data + b", newer" for name, data in FIRST.items()}
    monkeypatch.setattr(record, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, newer)
    monkeypatch.undo()
    newest = {"a.txt": b"newest", "src/b.txt": b"newest"}
    assert write(tmp_path, newest).kept == ()
    assert read(tmp_path) == newest


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "..\\out.txt", "C:out.txt", ""])
def test_a_record_cannot_lead_out_of_the_module(tmp_path: Path, name: str) -> None:
    module = tmp_path / "m"
    write(module, FIRST)
    outside = tmp_path / "out.txt"
    outside.write_bytes(b"theirs")
    document = json.loads((module / RECORD).read_text(encoding="utf-8"))
    document["files"][name] = hashlib.sha256(b"theirs").hexdigest()
    (module / RECORD).write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(OutputError, match="leads out"):
        write(module, SECOND)
    assert outside.read_bytes() == b"theirs" and read(module) == FIRST


def test_a_link_cannot_lead_out_of_the_module(tmp_path: Path) -> None:
    module, outside = tmp_path / "m", tmp_path / "outside"
    outside.mkdir()
    module.mkdir()
    (module / "src").symlink_to(outside, target_is_directory=True)
    for force in (False, True):
        with pytest.raises(OutputError):
            write(module, FIRST, force=force)
    assert not any(outside.iterdir())


def test_a_file_where_the_folder_should_be_and_a_folder_where_a_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        write(tmp_path / "file", FIRST)
    (tmp_path / "m/a.txt").mkdir(parents=True)
    with pytest.raises(OutputError, match="is a folder where a file"):
        write(tmp_path / "m", FIRST, force=True)


def test_a_pipe_where_a_file_should_be_is_not_waited_for(tmp_path: Path) -> None:
    write(tmp_path / "m", FIRST)
    (tmp_path / "m/a.txt").unlink()
    os.mkfifo(tmp_path / "m/a.txt")
    for force in (False, True):
        with pytest.raises(OutputError, match="is no plain file"):
            write(tmp_path / "m", SECOND, force=force)


def test_a_module_behind_a_link_is_written_where_the_link_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real", target_is_directory=True)
    write(tmp_path / "link", FIRST)
    assert read(tmp_path / "real") == FIRST and (tmp_path / "link").is_symlink()
    (tmp_path / "nowhere").symlink_to("missing", target_is_directory=True)
    with pytest.raises(OutputError, match="is not a folder"):
        write(tmp_path / "nowhere", FIRST)


def test_a_persons_link_is_kept_and_force_never_writes_through_it(tmp_path: Path) -> None:
    module, mine = tmp_path / "m", tmp_path / "mine.txt"
    write(module, FIRST)
    mine.write_bytes(b"mine")
    (module / "a.txt").unlink()
    (module / "a.txt").symlink_to(mine)
    assert write(module, SECOND).kept == ("a.txt",)
    assert write(module, SECOND, force=True).kept == ()
    assert mine.read_bytes() == b"mine" and (module / "a.txt").read_bytes() == SECOND["a.txt"]
