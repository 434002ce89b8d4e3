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


def test_the_first_word_or_the_whole_line_names_the_folder() -> None:
    names = folder_names(("n01440764 tench", "n01443537\tgoldfish", "cat"))
    assert {word: names[word] for word in ("n01440764", "n01443537", "cat", "n01440764 tench")} == {
        "n01440764": 0, "n01443537": 1, "cat": 2, "n01440764 tench": 0,
    }  # fmt: skip


def test_a_first_word_that_two_lines_share_names_no_folder() -> None:
    assert folder_names(("great shark", "small shark", "great cat")) == {"great shark": 0, "small shark": 1, "great cat": 2, "small": 1}


def test_a_line_that_is_another_lines_first_word_keeps_its_own_class() -> None:
    assert folder_names(("cat house", "cat"))["cat"] == 1


def test_two_equal_lines_are_refused() -> None:
    with pytest.raises(DataError, match="lines 1 and 3 are both 'cat'"):
        folder_names(("cat", "dog", "cat"))


def test_the_classes_of_imagenet(shared_data: Path) -> None:
    names = folder_names(read_labels(shared_data / "photos" / "classes.txt", 1000))
    assert (names["n01440764"], names["n01443537"], names["n15075141"]) == (0, 1, 999)
