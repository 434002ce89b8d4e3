"""Labels: what a file may look like, and what of it names a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsmobile.errors import DataError
from dsmobile.labels import folder_names, read_labels


@pytest.fixture
def write(tmp_path: Path):
    def write(content: bytes) -> Path:
        path = tmp_path / "labels.txt"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("content", [b"cat\ndog", b"cat\ndog\n", b"cat\r\ndog\r\n", b"\xef\xbb\xbfcat\ndog\n\n\n", b" cat \n\tdog"])
def test_line_ends_marks_and_blanks_at_the_end_do_not_count(write, content: bytes) -> None:
    assert read_labels(write(content), 2) == ("cat", "dog")


def test_labels_are_utf8(write) -> None:
    assert read_labels(write("café\n猫".encode())) == ("café", "猫")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"cat\n\ndog", "line 2"),
        (b"\xff\xfec\0a\0t\0", "not UTF-8"),
        (b"cat\ndog\nbird", "3 lines, but the model has 2"),
    ],
)
def test_what_names_no_classes_is_a_data_error(write, content: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says) as raised:
        read_labels(write(content), 2)
    assert raised.value.advice


def test_a_missing_file_a_folder_and_a_huge_file_are_data_errors(tmp_path: Path) -> None:
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(9 << 20)
    for path in (tmp_path / "none.txt", tmp_path, tmp_path / "huge.txt"):
        with pytest.raises(DataError, match="labels: "):
            read_labels(path)


def test_the_first_word_names_the_folder() -> None:
    assert folder_names(("n01440764 tench", "n01443537\tgoldfish", "cat")) == {"n01440764": 0, "n01443537": 1, "cat": 2}


def test_two_lines_with_the_same_first_word_are_refused() -> None:
    with pytest.raises(DataError, match="lines 1 and 3 begin with the same word 'great'"):
        folder_names(("great shark", "small shark", "great cat"))


def test_the_classes_of_imagenet(shared_data: Path) -> None:
    names = folder_names(read_labels(shared_data / "photos" / "classes.txt", 1000))
    assert (names["n01440764"], names["n01443537"], names["n15075141"]) == (0, 1, 999)
