"""Golden vectors: the same everywhere, what preprocessing says, and telling one preprocessing from another."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile.errors import DataError, ModelError, OutputError
from dsmobile.preprocessing import Preprocessing, parse
from dsmobile.shipping.apk.card import read_card
from dsmobile.shipping.artifact_check import Shippable, open_shippable
from dsmobile.shipping.card import write_card
from dsmobile.shipping.golden_folder import write_goldens
from dsmobile.shipping.goldens import golden_files, golden_sizes, make_goldens, synthetic_image

LABELS = ["red", 'a "quote"', "🐈‍⬛", "\u200fעברית", "$x", "6", "7"]


def plain_image(height: int, width: int, seed: int) -> list[int]:
    """The synthetic image in Python's own whole numbers."""
    mask = 0xFFFFFFFF
    values = []
    for y in range(height):
        for x in range(width):
            ramps = (x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x // 7 + y // 5) % 2 * 255)
            for channel in range(3):
                noise = (x * 73856093 ^ y * 19349663 ^ channel * 83492791 ^ (seed * 97 + 1)) & mask
                noise = (noise ^ noise >> 13) * 0x5BD1E995 & mask
                noise ^= noise >> 15
                values.append(noise & 255 if (2 * x > width) != (2 * y > height) else ramps[channel])
    return values


@pytest.mark.parametrize("height, width, seed", [(1, 1, 0), (13, 29, 1), (64, 7, 3)])
def test_synthetic_images_are_whole_number_arithmetic(height: int, width: int, seed: int) -> None:
    image = synthetic_image(height, width, seed)
    assert image.dtype == np.uint8 and image.shape == (height, width, 3)
    assert image.ravel().tolist() == plain_image(height, width, seed)


def test_synthetic_images_reach_both_ends_and_differ_by_channel_and_seed() -> None:
    image = synthetic_image(57, 91, 0)
    assert image.min() == 0 and image.max() == 255 and len(np.unique(image)) > 200
    assert not np.array_equal(image[..., 0], image[..., 2])
    assert not np.array_equal(image, synthetic_image(57, 91, 1))


@pytest.mark.parametrize(
    "preprocessing, names",
    [
        (parse("resize=40,crop=32,scale=-1..1"), {"exact", "landscape", "portrait", "narrow"}),
        (Preprocessing(crop=(32, 32)), {"exact", "landscape"}),
        (Preprocessing(), {"exact"}),
        (Preprocessing(resize=32), {"exact"}),
    ],
)
def test_goldens_are_what_preprocessing_and_the_interpreter_say(artifact: Any, preprocessing: Preprocessing, names: set[str]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    shippable = open_shippable(artifact(preprocessing))
    interpreter = Interpreter(model_path=str(shippable.path))
    interpreter.allocate_tensors()

    def run(x: Any) -> list[Any]:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        return [interpreter.get_tensor(interpreter.get_output_details()[0]["index"])]

    goldens = make_goldens(shippable, run)
    assert names == {golden.name for golden in goldens} >= set(golden_sizes(shippable)) - {"narrow"}
    files = golden_files(shippable, LABELS, goldens, "m.tflite")
    index = json.loads(files["index.json"])
    assert index["schema"] == "dsmobile.goldens/1" and index["model_sha256"] == shippable.manifest.sha256
    assert Preprocessing.from_json(index["preprocessing"]) == preprocessing
    assert len(files) == 1 + 3 * len(index["goldens"])
    for entry in index["goldens"]:
        assert all(hashlib.sha256(files[entry[key]]).hexdigest() == entry[f"{key}_sha256"] for key in ("rgb", "tensor", "outputs"))
        image = np.frombuffer(files[entry["rgb"]], np.uint8).reshape(entry["height"], entry["width"], 3)
        tensor = np.frombuffer(files[entry["tensor"]], "<f4").reshape(index["formats"]["tensor"]["shape"])
        assert np.array_equal(tensor, preprocessing(image))
        outputs = np.frombuffer(files[entry["outputs"]], "<f4")
        assert np.array_equal(outputs, run(tensor)[0][0])
        best = sorted(range(7), key=lambda index: (-outputs[index], index))[:5]
        assert entry["top"] == [{"index": index, "label": LABELS[index], "score": outputs[index]} for index in best]
        assert entry["tolerance"] == pytest.approx(np.abs(outputs).max() / 1000, rel=1e-6)
        assert np.array_equal(image, synthetic_image(entry["height"], entry["width"], entry["seed"]))
    formats = index["formats"]
    assert formats["tensor"] == {"dtype": "float32", "byte_order": "little", "shape": list(tensor.shape)} and formats["outputs"]["shape"] == [7]
    assert index["goldens"][0]["name"] == "exact"
    assert index["goldens"][0]["height"] == shippable.height and index["goldens"][0]["width"] == shippable.width


def test_odd_sizes_are_odd(artifact: Any) -> None:
    sizes = golden_sizes(open_shippable(artifact()))
    assert all(height % 2 and width % 2 for name, (height, width) in sizes.items() if name != "exact")


@pytest.mark.parametrize(
    "other",
    ["resize=40,crop=32,colour=bgr,scale=-1..1", "resize=41,crop=32,scale=-1..1", "resize=40,crop=32,scale=0..1", "crop=32,scale=-1..1"],
)
def test_goldens_tell_another_preprocessing(artifact: Any, other: str) -> None:
    """A golden that a wrong preprocessing passes proves nothing."""
    right = parse("resize=40,crop=32,scale=-1..1")
    for name, (height, width) in golden_sizes(open_shippable(artifact(right))).items():
        image = synthetic_image(height, width, 0)
        try:
            wrong = parse(other)(image)
        except DataError:
            continue
        assert not np.array_equal(wrong, right(image)), name


def _answering(answer: Any) -> Any:
    return lambda x: [np.asarray(answer, np.float32)]


@pytest.mark.parametrize("answer", [[[1.0] * 6], [[1.0] * 6 + [np.nan]], [[np.inf] * 7]])
def test_an_artifact_that_answers_something_else_is_refused(artifact: Any, answer: Any) -> None:
    with pytest.raises(ModelError, match="answered"):
        make_goldens(open_shippable(artifact()), _answering(answer))


def test_a_preprocessing_that_no_image_passes_is_refused(artifact: Any) -> None:
    shippable: Shippable = open_shippable(artifact(Preprocessing(resize=40)))
    with pytest.raises(ModelError, match="no image becomes 32 x 32") as caught:
        make_goldens(shippable, _answering([[0.0] * 7]))
    assert "crop=32x32" in caught.value.advice


def photograph(path: Path, height: int, width: int) -> Any:
    """A picture saved as a person's would be; its bytes."""
    from PIL import Image

    image = synthetic_image(height, width, 9)
    Image.fromarray(image).save(path)
    return image


@pytest.mark.parametrize("preprocess", ["resize=40,crop=32,scale=-1..1", "resize=40,crop=32,colour=grey,scale=0..1", "crop=32,scale=-1..1"])
def test_goldens_of_photographs_are_small_and_lose_nothing(artifact: Any, labels: Path, tmp_path: Path, preprocess: str) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    pictures = {"my cat": photograph(photos / "my cat.png", 301, 447), "exact": photograph(photos / "exact.png", 97, 55)}
    (photos / "notes.txt").write_text("no picture", encoding="utf-8")
    path = artifact(preprocess)
    written = write_goldens(path, labels, tmp_path / "out", photos)
    assert written.goldens[-2:] == ("exact-2", "my_cat") and written.goldens[0] == "exact"
    index = json.loads((written.folder / "index.json").read_text(encoding="utf-8"))
    entries = {entry["name"]: entry for entry in index["goldens"]}
    preprocessing = parse(preprocess)
    for name, picture in (("my_cat", pictures["my cat"]), ("exact-2", pictures["exact"])):
        entry = entries[name]
        image = np.fromfile(written.folder / entry["rgb"], np.uint8).reshape(entry["height"], entry["width"], 3)
        assert min(image.shape[:2]) == (preprocessing.resize or 32) and "seed" not in entry
        tensor = np.fromfile(written.folder / entry["tensor"], "<f4")
        assert np.array_equal(tensor, preprocessing(image).ravel()) and np.array_equal(tensor, preprocessing(picture).ravel())
        assert [best["label"] for best in entry["top"]] == [f"class {best['index']}" for best in entry["top"]]
    assert {path.name for path in written.files} == {path.name for path in written.folder.iterdir()}


def test_goldens_are_written_anew_only_when_asked(artifact: Any, labels: Path, tmp_path: Path) -> None:
    path = artifact()
    first = write_goldens(path, labels, tmp_path / "out")
    before = {file: file.read_bytes() for file in first.files}
    with pytest.raises(OutputError, match="would be overwritten"):
        write_goldens(path, labels, tmp_path / "out")
    assert write_goldens(path, labels, tmp_path / "out", force=True) == first
    assert {file: file.read_bytes() for file in first.files} == before
    assert first.model_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_default_folder_of_goldens_has_the_artifacts_name(artifact: Any, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = artifact()
    monkeypatch.chdir(tmp_path)
    assert write_goldens(path, labels).folder == tmp_path / "dsmobile-out/goldens/tiny-model-float32"


def test_photographs_that_cannot_serve_are_named(artifact: Any, labels: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    with pytest.raises(DataError, match="photos is not a folder"):
        write_goldens(artifact(), labels, tmp_path / "out", photos)
    photos.mkdir()
    with pytest.raises(DataError, match="holds 0 photographs"):
        write_goldens(artifact(), labels, tmp_path / "out", photos)
    (photos / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.jpg cannot be read as an image"):
        write_goldens(artifact(), labels, tmp_path / "out", photos)
    (photos / "broken.jpg").unlink()
    photograph(photos / "small.png", 31, 90)
    with pytest.raises(DataError, match=r"small\.png: an image of 31 x 90 pixels does not become") as caught:
        write_goldens(artifact("crop=32,scale=0..1"), labels, tmp_path / "out", photos)
    assert "resize" in caught.value.advice and not (tmp_path / "out").exists()


def test_the_card_says_what_a_checker_reads_and_its_golden_is_drawn_again_from_it(artifact: Any, labels: Path) -> None:
    from dsmobile.exporters.runners import open_runner

    shippable = open_shippable(artifact())
    run = open_runner(shippable.path, inputs=shippable.manifest.inputs, outputs=shippable.manifest.outputs).run
    golden = make_goldens(shippable, run)[0]
    words = write_card(shippable, labels.read_bytes(), "m.tflite", "m.labels.txt", golden)
    assert words == write_card(shippable, labels.read_bytes(), "m.tflite", "m.labels.txt", golden)
    card = read_card(words)
    assert (card.model, card.labels_file, card.classes, card.name, card.recipe) == ("m.tflite", "m.labels.txt", 7, "tiny", "float32")
    assert (card.sha256, card.size_bytes) == (hashlib.sha256(shippable.data).hexdigest(), len(shippable.data))
    assert card.labels_sha256 == hashlib.sha256(labels.read_bytes()).hexdigest() and card.preprocessing == shippable.preprocessing
    image = synthetic_image(card.golden.height, card.golden.width, card.golden.seed)
    assert hashlib.sha256(image.tobytes()).hexdigest() == card.golden.image_sha256
    tensor = card.preprocessing(image)
    assert hashlib.sha256(tensor.astype("<f4").tobytes()).hexdigest() == card.golden.tensor_sha256
    assert np.array_equal(run(tensor)[0][0], np.asarray(card.golden.outputs, np.float32)) and card.golden.tolerance == golden.tolerance
    document = json.loads(words)
    assert document["schema"] == "dsmobile.shipped/1" and document["input"] == {"height": 32, "width": 32, "channels": 3, "dtype": "float32"}
