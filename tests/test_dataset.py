"""Data sets: which inputs a folder or an `.npz` holds, in which order, with which labels; and what is refused."""

from __future__ import annotations

import io
import os
import pickle
import threading
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dsmobile.dataset import ArrayFile, ImageFolder, open_dataset, spread
from dsmobile.errors import DataError, UsageError
from dsmobile.preprocessing import parse

P = parse("crop=4,scale=0..255")
LABELS = ("ant an insect", "bee", "cat")


def image(path: Path, value: int = 0, size: tuple[int, int] = (6, 5)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for value, name in enumerate(["bee/2.png", "bee/1.PNG", "ant/deep/er/x.bmp", "ant/a.webp", "cat/b.jpeg"]):
        image(root / name, 10 * value)
    for name in (".hidden/x.png", "bee/.y.png", "cat/notes.txt", "README"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"no image")
    return root


def test_images_are_found_in_order_with_the_labels_of_their_folders(folder: Path) -> None:
    dataset = open_dataset(folder, P, LABELS)
    assert isinstance(dataset, ImageFolder)
    assert (dataset.kind, dataset.count, len(dataset), dataset.labelled) == ("images", 5, 5, True)
    samples = list(dataset)
    assert [(sample.name, sample.label) for sample in samples] == [
        ("ant/a.webp", 0),
        ("ant/deep/er/x.bmp", 0),
        ("bee/1.PNG", 1),
        ("bee/2.png", 1),
        ("cat/b.jpeg", 2),
    ]
    assert {(sample.x.shape, sample.x.dtype.name) for sample in samples} == {((1, 4, 4, 3), "float32")}
    np.testing.assert_array_equal(samples[1].x, 20)


def test_inputs_are_nhwc_even_for_an_nchw_model(folder: Path) -> None:
    nchw = open_dataset(folder, parse("crop=4,scale=0..255,layout=nchw"), LABELS)
    for sample, other in zip(nchw, open_dataset(folder, P, LABELS), strict=True):
        np.testing.assert_array_equal(sample.x, other.x)


def test_without_labels_any_folder_will_do(folder: Path) -> None:
    image(folder / "top.png")
    dataset = open_dataset(folder, P)
    assert dataset.count == 6
    assert not dataset.labelled
    assert {sample.label for sample in dataset} == {None}


def test_a_data_set_survives_pickling_and_can_be_read_twice(folder: Path) -> None:
    dataset = pickle.loads(pickle.dumps(open_dataset(folder, P, LABELS)))
    for one, two in zip(dataset, dataset, strict=True):
        np.testing.assert_array_equal(one.x, two.x)


def test_the_digest_changes_with_names_bytes_and_the_choice_alone(folder: Path, tmp_path: Path) -> None:
    digest = open_dataset(folder, P, LABELS).digest
    assert digest == open_dataset(folder, parse("crop=2,scale=0..1"), LABELS).digest
    assert digest != open_dataset(folder, P, LABELS, limit=2).digest
    (folder / "bee/2.png").rename(folder / "bee/3.png")
    renamed = open_dataset(folder, P, LABELS).digest
    image(folder / "bee/3.png", 99)
    assert len({digest, renamed, open_dataset(folder, P, LABELS).digest}) == 3
    folder.rename(tmp_path / "elsewhere")
    assert len(open_dataset(tmp_path / "elsewhere", P, LABELS).digest) == 64


def test_links_that_lead_out_are_not_followed(folder: Path, tmp_path: Path) -> None:
    image(tmp_path / "secret" / "s.png")
    (folder / "bee" / "out.png").symlink_to(tmp_path / "secret" / "s.png")
    (folder / "cat" / "out").symlink_to(tmp_path / "secret", target_is_directory=True)
    (folder / "cat" / "round").symlink_to(folder, target_is_directory=True)
    (folder / "cat" / "gone.png").symlink_to(folder / "nothing.png")
    (folder / "cat" / "within.png").symlink_to(folder / "bee" / "2.png")
    dataset = open_dataset(folder, P, LABELS)
    assert isinstance(dataset, ImageFolder)
    assert {file.name for file in dataset.files} >= {"cat/within.png"}
    assert dataset.count == 6
    assert dataset.links_left_out == 3
    for name in ("bee/2.png", "bee/1.PNG", "ant/deep/er/x.bmp", "ant/a.webp", "cat/b.jpeg"):
        (folder / name).unlink()
    with pytest.raises(DataError, match="3 symbolic links that lead out of it were not followed"):
        open_dataset(folder, P, LABELS)


def test_a_pipe_with_an_images_name_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "bee" / "pipe.png")
    assert open_dataset(folder, P, LABELS).count == 5


@given(st.integers(1, 500), st.integers(1, 500))
def test_a_subset_is_even(count: int, limit: int) -> None:
    chosen = spread(count, limit)
    assert len(chosen) == len(set(chosen)) == min(count, limit)
    assert chosen == sorted(chosen)
    assert all(0 <= index < count for index in chosen)
    if limit < count:
        gaps = np.diff([-1 - chosen[0], *chosen])  # mirrored at the start
        assert np.diff(chosen).max(initial=0) - np.diff(chosen).min(initial=count) <= 1
        assert gaps.max() <= 2 * (count // limit + 1)


def test_a_limit_takes_of_every_class(tmp_path: Path) -> None:
    for label in ("ant", "bee", "cat"):
        for number in range(10):
            image(tmp_path / label / f"{number}.png")
    dataset = open_dataset(tmp_path, P, LABELS, limit=6)
    assert Counter(sample.label for sample in dataset) == {0: 2, 1: 2, 2: 2}
    assert [sample.name for sample in dataset] == [sample.name for sample in open_dataset(tmp_path, P, LABELS, limit=6)]
    assert open_dataset(tmp_path, P, LABELS, limit=1000).count == 30


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_a_usage_error(folder: Path, limit: int) -> None:
    with pytest.raises(UsageError, match=str(limit)):
        open_dataset(folder, P, LABELS, limit=limit)


def refused(says: str, path: Path, *arguments: Any, **options: Any) -> DataError:
    with pytest.raises(DataError, match=says) as raised:
        list(open_dataset(path, *arguments, **options))
    assert raised.value.advice
    assert int(raised.value.exit_code) == 3
    return raised.value


def test_images_need_preprocessing(folder: Path) -> None:
    assert "--preprocess" in refused("nothing says how", folder, None, LABELS).advice


def test_paths_that_hold_nothing(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused("holds no images", tmp_path / "empty", P)
    refused("does not exist", tmp_path / "none", P)
    refused("neither a folder", folder / "bee" / "2.png", P)
    refused("neither a folder", folder / "README", P)


def test_folders_that_are_no_classes_are_named_with_the_nearest(folder: Path) -> None:
    (folder / "bee").rename(folder / "beee")
    refused("beee is no class.*the nearest is 'bee'", folder, P, LABELS)
    refused("photos is no class", folder.parent, P, LABELS)


def test_images_at_the_top_have_no_class(folder: Path) -> None:
    image(folder / "top.png")
    refused("top.png lies in no class's folder", folder, P, LABELS)


def test_a_folder_without_images_need_not_be_a_class(folder: Path) -> None:
    (folder / "notes").mkdir()
    assert open_dataset(folder, P, LABELS).count == 5


def test_a_corrupt_image_is_named_when_it_is_reached(folder: Path) -> None:
    (folder / "bee" / "1.PNG").write_bytes((folder / "bee" / "1.PNG").read_bytes()[:40])
    dataset = open_dataset(folder, P, LABELS)
    refused(r"1\.PNG cannot be read as an image", folder, P, LABELS)
    assert next(iter(dataset)).name == "ant/a.webp"


def test_images_come_in_order_up_to_the_one_that_cannot_be_read(folder: Path) -> None:
    """They are read ahead by several threads."""
    for number in range(30):
        image(folder / "cat" / f"c{number:02}.png", number, (200 - 6 * number, 200 - 6 * number))
    dataset = open_dataset(folder, P, LABELS)
    assert isinstance(dataset, ImageFolder)
    names = [file.name for file in dataset.files]
    assert [sample.name for sample in dataset] == names
    assert [sample.x.max() for sample in dataset][-30:] == list(range(30))
    (folder / "cat" / "c20.png").write_bytes(b"nothing")
    came = []
    with pytest.raises(DataError, match=r"c20\.png cannot be read"):
        for sample in dataset:
            came.append(sample.name)
    assert came == names[: names.index("cat/c20.png")]


def test_no_thread_is_left_when_one_stops_early(folder: Path) -> None:
    threads = threading.active_count()
    inputs = iter(open_dataset(folder, P, LABELS))
    next(inputs)
    assert threading.active_count() > threads
    inputs.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads


def test_a_preprocessing_that_does_not_fit_the_model_is_refused_before_anything_is_decoded(folder: Path) -> None:
    with pytest.raises(DataError, match=r"\(1, 4, 4, 3\), but the model takes \(any, 8, 8, 3\)"):
        open_dataset(folder, P, LABELS, input_shape=(None, 8, 8, 3))
    refused(r"a\.webp gives an input of shape \(1, 5, 6, 3\)", folder, parse("scale=0..1"), LABELS, input_shape=(1, 8, 8, 3))
    assert open_dataset(folder, P, LABELS, input_shape=(None, 4, 4, 3)).count == 5


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **{key: np.asarray(value) for key, value in arrays.items()})
    return path


X = np.arange(24, dtype=np.float32).reshape(6, 2, 2, 1)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ">f4"])
def test_rows_equal_what_numpy_loads(tmp_path: Path, save: Any, dtype: Any) -> None:
    save(tmp_path / "d.npz", x=X.astype(dtype), y=[0, 1, 2, 0, 1, 2])
    dataset = open_dataset(tmp_path / "d.npz")
    assert (dataset.kind, dataset.count, dataset.labelled) == ("npz", 6, True)
    assert [(sample.name, sample.label) for sample in dataset] == [(str(row), row % 3) for row in range(6)]
    np.testing.assert_array_equal(np.concatenate([sample.x for sample in dataset]), X)
    assert {sample.x.dtype.name for sample in dataset} == {"float32"}


def test_integers_become_real_numbers_by_their_scale(tmp_path: Path) -> None:
    stored = np.array([[-128, 0], [83, 127]], np.int8)
    dataset = open_dataset(npz(tmp_path / "d.npz", x=stored, scale=0.5, zero_point=83))
    np.testing.assert_array_equal(np.concatenate([sample.x for sample in dataset]), [[-105.5, -41.5], [0, 22]])
    assert not dataset.labelled


def test_integers_without_a_scale_are_refused_or_left_to_the_caller(tmp_path: Path) -> None:
    path = npz(tmp_path / "d.npz", x=np.zeros((2, 3), np.int8))
    refused("holds int8, and nothing says which real numbers", path)
    dataset = open_dataset(path, scale_later=True)
    assert isinstance(dataset, ArrayFile)
    assert dataset.needs_quantization
    with pytest.raises(DataError, match="nothing says"):
        list(dataset)


def test_rgb_bytes_in_an_npz_are_preprocessed(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 6, 5, 3), np.uint8)
    dataset = open_dataset(npz(tmp_path / "d.npz", x=pictures), P, input_shape=(1, 4, 4, 3))
    np.testing.assert_array_equal(np.concatenate([sample.x for sample in dataset]), pictures[:, 1:5, 0:4])


def test_a_limit_on_rows_is_spread_over_y(tmp_path: Path) -> None:
    path = npz(tmp_path / "d.npz", x=np.arange(60.0).reshape(30, 2), y=np.tile([2, 0, 1], 10))
    dataset = open_dataset(path, limit=5)  # every sixth row would be of one class
    assert sorted(Counter(sample.label for sample in dataset).values()) == [1, 2, 2]
    for sample in dataset:
        np.testing.assert_array_equal(sample.x, [[2 * int(sample.name), 2 * int(sample.name) + 1]])
    assert dataset.digest != open_dataset(path).digest


def test_a_column_of_labels_is_as_good_as_a_row(tmp_path: Path) -> None:
    dataset = open_dataset(npz(tmp_path / "d.npz", x=X, y=np.arange(6).reshape(6, 1)))
    assert [sample.label for sample in dataset] == list(range(6))


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"images": X, "y": [1]}, "has no x; it holds images, y"),
        ({"x": np.float32(3)}, "shape"),
        ({"x": X[:, 0, 0, 0]}, "shape"),
        ({"x": X[:0]}, "shape"),
        ({"x": X.astype(complex)}, "complex64|complex128"),
        ({"x": X > 3}, "bool"),
        ({"x": np.array([["a", "b"]])}, "not numbers"),
        ({"x": np.zeros((2, 2), [("a", "f4")])}, "objects"),
        ({"x": np.asfortranarray(X.reshape(6, 4))}, "column by column"),
        ({"x": X, "y": [0, 1]}, "not one class index for each of the 6"),
        ({"x": X, "y": [0.0] * 6}, "float64"),
        ({"x": X, "y": np.eye(6, dtype=int)}, r"shape \(6, 6\)"),
        ({"x": X, "y": [0, 1, 2, 3, 4, -1]}, "-1"),
        ({"x": X, "y": [0, 1, 2, 3, 4, 3]}, "class index 4, but there are 3 labels"),
        ({"x": X, "y": [0] * 6, "extra": 1, "scale": [1, 2]}, None),  # a scale does not matter to real numbers
        ({"x": X.astype(np.int8), "scale": [1, 2]}, "one number each"),
        ({"x": X.astype(np.int8), "scale": 0.0, "zero_point": 3}, "do not quantize"),
        ({"x": X.astype(np.int8), "scale": np.nan}, "do not quantize"),
        ({"x": X.astype(np.int8), "scale": 0.5, "zero_point": 0.5}, "do not quantize"),
        ({"x": np.full((2, 2), np.nan)}, "row 0 .* not finite"),
    ],
)
def test_arrays_that_make_no_data_set(tmp_path: Path, arrays: dict[str, Any], says: str | None) -> None:
    path = npz(tmp_path / "d.npz", **arrays)
    if says is None:
        assert open_dataset(path, labels=LABELS).count == 6
    else:
        refused(says, path, labels=LABELS)


def test_a_shape_that_does_not_fit_the_model_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\(1, 2, 2, 1\), but the model takes \(1, 4\)"):
        open_dataset(npz(tmp_path / "d.npz", x=X), input_shape=(1, 4))


class Trap:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch sprung",)


def test_python_objects_are_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for key in ("x", "y"):
        arrays = {"x": X, "y": np.zeros(6, int), key: np.array([Trap()] * 6, object)}
        np.savez(tmp_path / "d.npz", **arrays, allow_pickle=True)
        refused("objects", tmp_path / "d.npz")
    assert not (tmp_path / "sprung").exists()


def member(shape: tuple[int, ...], data: bytes, descr: str = "<f4") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + data


@pytest.mark.parametrize("shape", [(6, 1 << 40), (1 << 62, 4), (6, 5), (6, -4), (2**31, 2**31, 2**31)])
def test_a_header_that_lies_about_its_size_is_caught_without_taking_the_memory(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "d.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", member(shape, bytes(96)))
        archive.writestr("y.npy", member((6,), bytes(48), "<i8"))
    tracemalloc.start()
    refused(r"x|row", path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", member((6, 4), bytes(96)))
        archive.writestr("y.npy", member(shape, bytes(48), "<i8"))
    refused("y|npz", path)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


def test_a_large_array_is_never_held_whole(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "d.npz", x=np.zeros((400, 64, 64, 12), np.float32))  # 75 MiB
    tracemalloc.start()
    assert sum(1 for _ in open_dataset(tmp_path / "d.npz")) == 400
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_damaged_archives_are_data_errors(tmp_path: Path) -> None:
    path = npz(tmp_path / "d.npz", x=X, y=range(6))
    whole = path.read_bytes()
    for content in (b"", b"PK\x03\x04", whole[: len(whole) // 2], whole[:-30], whole.replace(b"NUMPY", b"NUMBY")):
        path.write_bytes(content)
        refused("d.npz", path)
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(50, 40)))
    damaged = bytearray(path.read_bytes())
    damaged[2000:2100] = bytes(100)
    path.write_bytes(damaged)
    refused("d.npz", path)


def test_keyword_spotting_inputs(shared_data: Path) -> None:
    dataset = open_dataset(shared_data / "kws" / "kws_mfcc_int8_1000.npz", scale_later=True)
    assert isinstance(dataset, ArrayFile)
    assert (dataset.count, dataset.shape, dataset.needs_quantization) == (1000, (1000, 49, 10, 1), True)


def test_imagenet_photographs(shared_data: Path) -> None:
    labels = tuple((shared_data / "photos" / "classes.txt").read_text().splitlines())
    preprocessing = parse("resize=256,crop=224,scale=-1..1")
    assert open_dataset(shared_data / "photos" / "validation", preprocessing, labels).count == 400
    assert open_dataset(shared_data / "photos" / "calibration", preprocessing, labels).count == 100
    dataset = open_dataset(shared_data / "photos" / "validation", preprocessing, labels, limit=40)
    assert len({sample.label for sample in dataset}) == 40
