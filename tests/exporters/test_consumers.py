"""Who accepts a file: as found out with the programs themselves, known before an export, and the same of the file that is written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile import pipeline
from dsmobile.errors import ModelError, UsageError
from dsmobile.exporters.artifact import TensorInfo
from dsmobile.exporters.consumers import CONSUMERS, acceptances
from dsmobile.exporters.file_facts import FileFacts, Operation
from dsmobile.pipeline import ExportRequest
from dsmobile.preprocessing import parse
from dsmobile.tflite_metadata.values import Obstacle

from .networks import residual, small_mobilenet, squeeze_excite

pytestmark = pytest.mark.long

UNLABELLED = (Obstacle("it has no labels", "give --labels FILE"),)


def _image(dtype: str, shape: tuple[int, ...] = (1, 8, 8, 3), scale: float | None = None, zero_point: int | None = None) -> TensorInfo:
    return TensorInfo("image", shape, dtype, scale, zero_point, "nhwc")


def _scores(dtype: str, shape: tuple[int, ...] = (1, 4)) -> TensorInfo:
    return TensorInfo("scores", shape, dtype)


def _accepted(**facts: Any) -> dict[str, bool]:
    values = {"format": "tflite", "inputs": (_image("float32"),), "outputs": (_scores("float32"),), **facts}
    return {one.consumer: one.accepted for one in acceptances(FileFacts(**values))}


def test_float32_ends_with_metadata_suit_everyone_who_reads_tflite() -> None:
    assert _accepted() == {"mediapipe": True, "litert-kotlin": True, "litert-js": True, "onnxruntime": False, "microcontrollers": True}


def test_mediapipe_wants_metadata_for_float32_only() -> None:
    assert not _accepted(without_metadata=UNLABELLED)["mediapipe"]
    bytes_in = {"inputs": (_image("uint8", scale=1.0, zero_point=0),), "outputs": (_scores("uint8"),)}
    assert _accepted(without_metadata=UNLABELLED, **bytes_in)["mediapipe"]
    (answer,) = (one for one in acceptances(FileFacts("tflite", **bytes_in, without_metadata=UNLABELLED)) if one.consumer == "mediapipe")
    assert answer.why == ("it has no labels",)


def test_mediapipe_puts_bytes_into_uint8_as_they_are() -> None:
    """Tried with MediaPipe: scale=0..1 and scale=-1..1 with the rescaling inside agree to the bit, and outside by half a step; BGR is read as RGB."""

    def answer(scale: float, zero_point: int, *without: Obstacle) -> Any:
        facts = FileFacts(
            "tflite", (_image("uint8", scale=scale, zero_point=zero_point),), (_scores("uint8"),), without_metadata=without
        )  # fmt: skip
        return next(one for one in acceptances(facts) if one.consumer == "mediapipe")

    assert (answer(1.0, 0).accepted, answer(1.0, 0).why) == (True, ())
    assert (answer(1 / 255, 0).accepted, answer(1 / 255, 0).why) == (True, ())
    assert answer(2 / 255, 127).accepted
    assert "half a step" in answer(2 / 255, 127).why[0]
    refused = answer(2 / 255, 127, Obstacle("its colours are BGR", "swap them", misread=True))
    assert (refused.accepted, refused.instead) == (False, ("swap them",))
    assert "wrong" in refused.why[0]


@pytest.mark.parametrize(("way", "rescaling", "mediapipe"), [
    ("scale=-1..1", "inside", True), ("scale=0..1", "inside", True), ("scale=0..1", "outside", True), ("scale=0..255", "outside", True),
    ("scale=-1..1", "outside", True), ("mean=123.675/116.28/103.53,std=58.395/57.12/57.375", "outside", False),
    ("mean=123.675/116.28/103.53,std=58.395/57.12/57.375", "inside", True), ("colour=bgr,scale=0..255", "inside", False),
    ("scale=-0.01,offset=1", "outside", False), ("scale=-0.01,offset=1", "inside", True), ("scale=0.001,offset=0.5", "outside", False),
])  # fmt: skip
def test_a_uint8_file_is_foreseen_with_the_range_of_its_input(tmp_path: Path, way: str, rescaling: str, mediapipe: bool) -> None:
    """Calibration with photographs that are not quite white must not narrow an input that takes every byte."""
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\n")
    pictures = np.random.default_rng(0).integers(60, 200, (8, 32, 32, 3), dtype=np.uint8)
    preprocess = f"resize=32,crop=32,{way}"
    np.savez(tmp_path / "x.npz", x=np.concatenate([parse(preprocess)(one) for one in pictures]))
    request = ExportRequest(
        "mobilenet_v1", alpha=0.25, resolution=32, classes=3, recipes=("int8-plain",), formats=("tflite",), io="uint8", preprocess=preprocess,
        rescaling=rescaling, labels=labels, calibration=str(tmp_path / "x.npz"), out=tmp_path / "out",
    )  # fmt: skip
    (foreseen,) = pipeline.foresee(request)["artifacts"]
    (manifest,) = pipeline.export(request).manifests
    assert foreseen["accepted_by"] == manifest.accepted_by
    assert manifest.accepted_by["mediapipe"]["accepted"] is mediapipe
    assert bool(manifest.metadata) is mediapipe
    low, high = (min(0.0, parse(preprocess).input_range[0]), max(0.0, parse(preprocess).input_range[1])) if rescaling == "outside" else (0, 255)
    assert manifest.inputs[0].scale == pytest.approx((high - low) / 255)


@pytest.mark.parametrize(("dtype", "mediapipe", "kotlin", "web", "micro"), [("uint8", 1, 1, 1, 1), ("int8", 0, 1, 0, 1), ("int16", 0, 0, 0, 1)])
def test_integer_ends(dtype: str, mediapipe: int, kotlin: int, web: int, micro: int) -> None:
    found = _accepted(inputs=(_image(dtype, scale=1.0, zero_point=0),), outputs=(_scores(dtype),))
    assert found == {
        "mediapipe": bool(mediapipe), "litert-kotlin": bool(kotlin), "litert-js": bool(web), "onnxruntime": False, "microcontrollers": bool(micro),
    }  # fmt: skip


@pytest.mark.parametrize(
    "facts",
    [
        {"inputs": (_image("float32", (1, 8, 8, 1)),)},
        {"inputs": (_image("float32"), _image("float32"))},
        {"outputs": (_scores("float32"), _scores("float32"))},
        {"outputs": (_scores("float32", (1, 2, 2, 4)),)},
    ],
)
def test_mediapipe_takes_one_rgb_image_and_gives_one_list_of_scores(facts: dict[str, Any]) -> None:
    found = _accepted(**facts)
    assert not found["mediapipe"]
    assert found["litert-kotlin"]
    assert found["litert-js"]


@pytest.mark.parametrize(
    ("operation", "accepted"),
    [
        (Operation("CONV_2D", "int8", "int8", "int8"), True),
        (Operation("CONV_2D", "float32", "float32", "int8"), False),
        (Operation("DEQUANTIZE", "float16", "float32", of_constant=True), False),
        (Operation("DEQUANTIZE", "int8", "float32", of_constant=True), False),
        (Operation("DEQUANTIZE", "int8", "float32"), True),
        (Operation("GELU", "int8", "int8"), False),
        (Operation("RESIZE_BILINEAR", "int16", "int16"), False),
        (Operation("RESIZE_BILINEAR", "int8", "int8"), True),
    ],
)
def test_microcontrollers_lack_some_operators(operation: Operation, accepted: bool) -> None:
    assert _accepted(operations=(operation,))["microcontrollers"] is accepted


@pytest.mark.parametrize("make", [small_mobilenet, residual, squeeze_excite])
def test_what_is_said_before_is_what_the_files_say(tmp_path: Path, make: Any) -> None:
    model = make()
    model.save(tmp_path / "net.keras")
    height, width, _ = model.inputs[0].shape[1:]
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"class {number}\n" for number in range(model.outputs[0].shape[-1])))
    for io, recipes in (("float32", ("float32", "float16", "dynamic", "int8", "int16x8")), ("int8", ("int8",)), ("uint8", ("int8",))):
        request = ExportRequest(
            str(tmp_path / "net.keras"), recipes=recipes, io=io, preprocess=f"crop={height}x{width},scale=-1..1", labels=labels,
            calibration="synthetic", out=tmp_path / io,
        )  # fmt: skip
        foreseen = {(one["recipe"], one["format"]): one["accepted_by"] for one in pipeline.foresee(request)["artifacts"]}
        assert not (tmp_path / io).exists()
        written = {(one.recipe, one.format): one.accepted_by for one in pipeline.export(request).manifests}
        assert foreseen == written


def test_a_consumer_who_would_take_nothing_is_told_before_anything_is_computed(tmp_path: Path) -> None:
    small = {"alpha": 0.25, "resolution": 64, "classes": 3, "out": tmp_path / "out"}
    with pytest.raises(ModelError, match=r"MediaPipe.*no labels"):
        pipeline.export(ExportRequest("mobilenet_v1", consumers=("mediapipe",), **small))
    with pytest.raises(ModelError, match=r"Micro.*wrong"):
        pipeline.export(ExportRequest("mobilenet_v1", consumers=("litert-js", "microcontrollers"), recipes=("int8",), **small))
    with pytest.raises(UsageError, match="media"):
        pipeline.export(ExportRequest("mobilenet_v1", consumers=("media",), **small))
    assert not (tmp_path / "out").exists()
    assert set(CONSUMERS) == {"mediapipe", "litert-kotlin", "litert-js", "onnxruntime", "microcontrollers"}


@pytest.mark.parametrize("options", [{}, {"formats": ("onnx",), "labels": Path("labels.txt")}])
def test_an_author_without_metadata_is_not_ignored(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="metadata"):
        pipeline.foresee(ExportRequest("mobilenet_v1", author="A", out=tmp_path / "out", **options))


def test_images_of_another_layout_are_not_written_into_a_manifest(tmp_path: Path) -> None:
    """The files' images lie as --layout says; whoever prepares them by the manifest would lay them otherwise."""
    with pytest.raises(UsageError, match="NHWC"):
        pipeline.foresee(ExportRequest("mobilenet_v1", preprocess="resize=224,crop=224,scale=-1..1,layout=nchw", out=tmp_path / "out"))


def test_labels_that_classes_share_are_told(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("crane\nmouse\ncrane\n")
    done = pipeline.export(
        ExportRequest("mobilenet_v1", alpha=0.25, resolution=32, classes=3, recipes=("float32",), labels=labels, out=tmp_path / "out")
    )
    assert any("'crane'" in note for note in done.notes)
