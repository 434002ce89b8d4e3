"""What can be described, and why the rest cannot: each reason with a way out, before anything is exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile.errors import DataError, ModelError
from dsmobile.preprocessing import Preprocessing, parse
from dsmobile.tflite_metadata.describing import describe_classifier, obstacles, repeated
from dsmobile.tflite_metadata.normalization import mediapipe_input, normalization_of, our_input, shift_of_raw_bytes
from dsmobile.tflite_metadata.score_calibration import numbers_of, read_score_calibration, to_text
from dsmobile.tflite_metadata.values import ScoreCalibration, Sigmoid

LABELS = ("tench", "crane", "crane")
PLAIN = parse("resize=32,scale=-1..1")


def described(preprocessing: Preprocessing = PLAIN, labels: tuple[str, ...] = LABELS, **more: Any) -> Any:
    return describe_classifier(preprocessing, labels, **{"height": 32, "width": 32, "name": "net", "ends_in_softmax": True} | more)


def test_nothing_stands_in_the_way_of_a_plain_classifier() -> None:
    assert obstacles(PLAIN, LABELS, classes=3) == ()
    found = described(author="A", license="MIT", version="3", description="d")
    assert (found.mean, found.std, found.input_range, found.channels, found.score_range) == ((127.5,), (127.5,), (-1.0, 1.0), 3, (0.0, 1.0))
    assert described(ends_in_softmax=False).score_range is None
    assert repeated(LABELS) == ("crane",)  # as in ImageNet
    grey = described(parse("resize=32,colour=grey,scale=0..1"))
    assert (grey.channels, grey.mean, grey.std) == (1, (0.0,), (255.0,))
    same = described(Preprocessing(scale=(0.5,) * 3, offset=(-1.0,)))
    assert (same.mean, same.std) == ((2.0,), (2.0,))
    each = described(parse("resize=32,mean=1/2/3,std=4"), input_dtype="int8")
    assert (each.mean, each.std) == ((1.0, 2.0, 3.0), (4.0, 4.0, 4.0))


@pytest.mark.parametrize(
    ("preprocess", "options", "why", "instead"),
    [
        ("resize=32,colour=bgr,scale=0..1", {}, "order BGR", "swap the channels"),
        ("resize=32,mean=1/2/3,std=4/5/6", {}, "normalized differently", "--rescaling inside"),
        ("resize=32,mean=1/2/3,std=4/5/6", {"input_dtype": "uint8"}, "normalized differently", "--rescaling inside"),
        ("resize=32,scale=1..-1", {}, "no positive, finite deviation", "--rescaling inside"),
        ("resize=32,scale=1e-40", {}, "no positive, finite deviation", "--rescaling inside"),
        ("resize=32,scale=-1..1,layout=nchw", {}, "input is NCHW", "layout=nhwc"),
        ("resize=32,scale=-1..1", {"channels": 1}, "gives 3 channels for 1", "colour=grey"),
        ("resize=32,scale=-1..1", {"channels": 4}, "4 channels", "RGB or grey"),
        ("resize=32,scale=-1..1", {"input_dtype": "int16"}, "its input is int16", "--io float32"),
        ("resize=32,scale=-1..1", {"outputs": 2}, "1 inputs and 2 outputs", "one output"),
        ("resize=32,scale=-1..1", {"inputs": 2}, "2 inputs and 1 outputs", "one image"),
        ("resize=32,scale=-1..1", {"classes": 1001}, "3 labels for 1001 classes", "one label per class"),
        ("resize=32,scale=-1..1", {"input_dtype": "uint8", "input_quantization": (4 / 255, 127)}, "up to 64.2 integers off", "--rescaling inside"),
    ],
)
def test_what_stands_in_the_way(preprocess: str, options: dict[str, Any], why: str, instead: str) -> None:
    found = obstacles(parse(preprocess), LABELS, **options)
    assert any(why in one.why and instead in one.instead for one in found), found


def test_no_images_no_labels() -> None:
    why = [one.why for one in obstacles(None, ())]
    assert why == ["nothing says how an image becomes its input", "it has no labels"]


@pytest.mark.parametrize(
    ("label", "why"),
    [
        ("", "label 2 is blank"),
        ("  ", "label 2 is blank"),
        ("\udc80", "no UTF-8"),
        ("a\nb", "line break"),
        ("a\rb", "line break"),
        ("a\u2028b", "line break"),
        ("\x1b[31mred", "control character"),
        ("a\0b", "control character"),
        ("\ufeffa", "control character"),
    ],
)
def test_labels_that_are_no_line_of_text(label: str, why: str) -> None:
    with pytest.raises(DataError, match=why):
        described(labels=("a", label, "c"))


def test_errors_have_their_kind_and_a_way_out() -> None:
    with pytest.raises(ModelError, match="float16") as refused:
        described(input_dtype="float16")
    assert "--io float32" in refused.value.advice
    with pytest.raises(DataError, match=r"author .* no UTF-8"):
        described(author="\ud800")
    with pytest.raises(DataError, match="license has 70000 bytes"):
        described(license="x" * 70000)
    with pytest.raises(DataError, match="more than 8 MiB"):
        described(labels=("x" * (9 << 20),))
    with pytest.raises(ModelError, match="0 x 32 pixels"):
        described(height=0)


@pytest.mark.parametrize(
    ("calibration", "softmax", "why"),
    [
        (ScoreCalibration((None,) * 2), True, "2 lines for 3 classes"),
        (ScoreCalibration((None,) * 3, "sqrt"), True, "'sqrt' is not known"),
        (ScoreCalibration((None,) * 3, "log"), False, "needs probabilities"),
        (ScoreCalibration((Sigmoid(-1, 1, 0), None, None)), True, "the scale -1"),
        (ScoreCalibration((Sigmoid(1, float("nan"), 0), None, None)), True, "not finite"),
        (ScoreCalibration((Sigmoid(1, 1, 0, 1e39), None, None)), True, "not finite"),
        (ScoreCalibration((None,) * 3, default_score=float("inf")), True, "not finite"),
    ],
)
def test_calibrations_that_make_no_sense(calibration: ScoreCalibration, softmax: bool, why: str) -> None:
    with pytest.raises(DataError, match=why):
        described(score_calibration=calibration, ends_in_softmax=softmax)


def test_a_calibration_file(tmp_path: Path) -> None:
    path = tmp_path / "calibration.txt"
    path.write_bytes(b"\xef\xbb\xbf1, 2,3\r\n\r\n0.5,1e-3,-2,0.25\n\n")  # four classes: the last line break ends the last line
    found = read_score_calibration(path, transformation="log", default_score=0.1)
    assert found == ScoreCalibration((Sigmoid(1, 2, 3), None, Sigmoid(0.5, 1e-3, -2, 0.25), None), "log", 0.1)
    path.write_text(to_text(found) + "\n", encoding="utf-8")
    again = read_score_calibration(path)
    assert [sigmoid is None for sigmoid in again.sigmoids] == [False, True, False, True]
    assert numbers_of(again.sigmoids[2]) == pytest.approx(numbers_of(found.sigmoids[2]), rel=1e-7)
    for text, why in (("1,2", "line 1 .* has 2 numbers"), ("1,2,3\nx,y,z", "line 2 .* 'x,y,z'"), ("1,2,3,4,5", "5 numbers")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=why):
            read_score_calibration(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8"):
        read_score_calibration(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_score_calibration(tmp_path / "nowhere")


def test_normalization_meets_the_preprocessing() -> None:
    """Against the definition: (byte - mean) / std, in float64, is within a step of float32 of what both compute."""
    random, exact = np.random.default_rng(0), 0
    for _ in range(200):
        scale, offset = 10 ** random.uniform(-4, 1), random.uniform(-300, 50)
        found = normalization_of(scale, offset * scale)
        real = (np.arange(256) - found.mean) / found.std
        largest = np.abs(real).max()
        assert np.abs(mediapipe_input(found.mean, found.std) - our_input(scale, offset * scale)).max() == found.max_abs_error
        assert found.max_abs_error <= 2 * np.spacing(np.float32(largest))
        assert np.abs(real - our_input(scale, offset * scale)).max() <= 4 * np.spacing(np.float32(largest))
        exact += found.max_abs_error == 0
    assert exact > 100


def test_raw_bytes() -> None:
    assert shift_of_raw_bytes(1, 0, (1.0, 0)) == 0
    assert shift_of_raw_bytes(1 / 127.5, -1, (2 / 255, 127)) == pytest.approx(0.5, abs=1e-4)
    assert shift_of_raw_bytes(1 / 127.5, -1, (2 / 255, 0)) == pytest.approx(127.5, abs=1e-4)
