"""The archive of the emulated machine's first file system, as another implementation reads it."""

import io
import shutil
import subprocess
from pathlib import Path

import pytest

from dsmobile.devices.emulated_init import frame, unframe
from dsmobile.devices.initial_ram_disk import Archive


def test_cpio_reads_what_was_written(tmp_path: Path) -> None:
    cpio = shutil.which("cpio") or shutil.which("bsdtar") or pytest.skip("needs cpio or bsdtar")
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a folder/below").mkdir(parents=True)
    target.mkdir()
    (source / "a folder/below/odd.txt").write_bytes(b"12345")
    (source / "program").write_bytes(b"\x7fELF")
    (source / "program").chmod(0o700)
    (source / "link").symlink_to("a folder/below/odd.txt")
    with (tmp_path / "archive").open("wb") as file:
        archive = Archive(file)
        archive.tree(source)
        archive.text("note", b"text")
        archive.close()
    options = ["-idm"] if cpio.endswith("cpio") else ["-xf", "-"]
    subprocess.run([cpio, *options], stdin=(tmp_path / "archive").open("rb"), cwd=target, check=True, capture_output=True)
    assert (target / "link").read_bytes() == b"12345"
    assert (target / "program").stat().st_mode & 0o777 == 0o755
    assert (target / "note").read_text() == "text"


def test_headers_are_as_linux_expects_them() -> None:
    """Two archives one behind the other, each entry at a multiple of four bytes (Linux, driver-api/early-userspace/buffer-format)."""
    file = io.BytesIO()
    for name in ("first", "second"):
        archive = Archive(file)
        archive.text(name, name.encode())
        archive.device("console", 5, 1)
        archive.close()
    data, place, names = file.getvalue(), 0, []
    while place < len(data):
        assert data[place : place + 6] == b"070701"
        fields = [int(data[place + 6 + 8 * number : place + 14 + 8 * number], 16) for number in range(13)]
        size, length = fields[6], fields[11]
        names.append(data[place + 110 : place + 110 + length - 1].decode())
        if names[-1] == "console":
            assert (fields[1] & 0o170000, fields[9], fields[10]) == (0o020000, 5, 1)
        place += 110 + length
        place += -place % 4
        place += size
        place += -place % 4
    assert names == ["first", "console", "TRAILER!!!", "second", "console", "TRAILER!!!"]


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345678")
    real = Path.open

    def cut(self, *arguments, **options):
        if self == path:
            with real(path, "wb") as file:
                file.write(b"12")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", cut)
    with pytest.raises(OSError, match="became shorter"):
        Archive(io.BytesIO()).copy("file", path)


def test_a_line_between_the_kernels() -> None:
    line = '{"kind": "replicate", "latency_ns": [1, 2]}'
    assert unframe(frame(line) + "\r\n") == line
    assert unframe("[    1.5] reboot: Power down") is None
    for damaged in (frame(line).replace("1, 2", "1, 3"), frame(line)[:-3], "[   1.0] " + frame(line)):
        with pytest.raises(ValueError, match="arrived damaged"):
            unframe(damaged)
