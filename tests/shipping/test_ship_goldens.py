"""Golden vectors: the same everywhere, what preprocessing says, and telling one preprocessing from another."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from dsmobile.errors import DataError, ModelError
from dsmobile.preprocessing import Preprocessing, parse
from dsmobile.shipping.artifact_check import Shippable, open_shippable
from dsmobile.shipping.goldens import golden_files, golden_sizes, make_goldens, synthetic_image


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
    files = golden_files(shippable, goldens, "m.tflite")
    index = json.loads(files["index.json"])
    assert index["schema"] == "dsmobile.goldens/1" and index["model_sha256"] == shippable.manifest.sha256
    assert Preprocessing.from_json(index["preprocessing"]) == preprocessing
    assert len(files) == 1 + 3 * len(index["goldens"])
    largest = 0.0
    for entry in index["goldens"]:
        assert all(hashlib.sha256(files[entry[key]]).hexdigest() == entry[f"{key}_sha256"] for key in ("rgb", "tensor", "outputs"))
        image = np.frombuffer(files[entry["rgb"]], np.uint8).reshape(entry["height"], entry["width"], 3)
        tensor = np.frombuffer(files[entry["tensor"]], "<f4").reshape(index["tensor_shape"])
        assert np.array_equal(tensor, preprocessing(image))
        outputs = np.frombuffer(files[entry["outputs"]], "<f4")
        assert np.array_equal(outputs, run(tensor)[0][0])
        assert entry["best"] == sorted(range(7), key=lambda index: (-outputs[index], index))[:5]
        largest = max(largest, float(np.abs(outputs).max()))
    assert index["tolerance"] == pytest.approx(largest / 1000, rel=1e-6)
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
