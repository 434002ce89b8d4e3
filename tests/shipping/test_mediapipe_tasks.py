"""MediaPipe's own image classifier on the files that we write: what it answers, what it reads, what it refuses and in which words."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile.errors import DsmobileError
from dsmobile.exporters import tflite
from dsmobile.exporters.folded import FoldedModel, Input, Node
from dsmobile.exporters.operators import Reshape
from dsmobile.exporters.planning import float_plan
from dsmobile.preprocessing import Preprocessing, parse
from dsmobile.tflite_metadata.archive import with_files
from dsmobile.tflite_metadata.describing import describe_classifier
from dsmobile.tflite_metadata.normalization import our_input
from dsmobile.tflite_metadata.tables import metadata_buffer
from dsmobile.tflite_metadata.values import ClassifierMetadata, ScoreCalibration, Sigmoid
from dsmobile.tflite_metadata.writing import with_metadata

from .consumer_models import CLASSES, PRECISIONS, SIDE, edited, litert, real, with_sizes, written
from .consumer_packages import MEDIAPIPE, PackagesUnavailableError

pytestmark = pytest.mark.ship

HERE = Path(__file__).parent
LABELS = ("crane", "Große Möwe", "猫", "crane", '🐈 a "b" <c>, d')
COLOURS = np.asarray([[250, 20, 5], [10, 240, 60], [0, 30, 255], [128, 127, 126]])  # with noise, so that they are four kinds of images
IMAGES = np.clip(COLOURS[:, None, None] + np.random.default_rng(3).integers(-90, 91, (4, SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
PLAIN = parse(f"resize={SIDE},scale=-1..1")
WAYS = {"range": "scale=-1..1", "unit": "scale=0..1", "bytes": "scale=0..255", "one pair": "mean=123.675,std=58.395", "odd": "mean=127,std=128"}
Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def packages() -> Any:
    """MediaPipe's wheel; skips where there is none for this machine, and fails on a build server."""
    try:
        MEDIAPIPE.fetched()
    except PackagesUnavailableError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
    return MEDIAPIPE


@pytest.fixture
def ask(packages: Any, tmp_path: Path) -> Ask:
    """Puts images into a model and returns MediaPipe's document."""

    def ask(model: bytes, images: Any = IMAGES) -> dict[str, Any]:
        path = tmp_path / "model.tflite"
        path.write_bytes(model)
        np.save(tmp_path / "images.npy", images)
        done = packages.ask(HERE / "mediapipe_answers.py", str(path), str(tmp_path / "images.npy"))
        assert done.returncode == 0, done.stderr[-2000:]
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    return ask


def described(preprocessing: Preprocessing = PLAIN, labels: tuple[str, ...] = LABELS, **more: Any) -> ClassifierMetadata:
    size = {"height": SIDE, "width": SIDE, "name": "small", "ends_in_softmax": True} | more
    return describe_classifier(preprocessing, labels, **size)


def scores_of(answers: list[dict[str, list[Any]]]) -> Any:
    """The scores in the order of the classes, image by image; float32 as MediaPipe had them."""
    return np.asarray([[answer[str(index)][0] for index in range(len(answer))] for answer in answers], np.float32)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_answers_what_the_interpreter_answers(ask: Ask, precision: str, way: str) -> None:
    preprocessing = parse(f"resize={SIDE},{WAYS[way]}")
    model = written(precision, input_range=preprocessing.input_range)
    metadata = described(preprocessing)
    assert metadata.normalization_error == 0.0
    told = ask(with_metadata(model, metadata))
    expected = np.concatenate(litert(model, [preprocessing(image) for image in IMAGES]))
    assert len(set(expected.argmax(1))) > 1 or np.ptp(expected, 0).max() > 0.01  # the images differ
    assert np.array_equal(scores_of(told["answers"]), expected)
    assert {index: name for index, (_, name) in told["answers"][0].items()} == {str(index): label for index, label in enumerate(LABELS)}


def test_it_puts_raw_bytes_into_an_input_of_bytes(ask: Ask) -> None:
    inside = parse(f"resize={SIDE},scale=0..255")  # what is left of preprocessing where the network rescales
    model = written("int8", io="uint8", input_range=(0.0, 255.0))
    told = ask(with_metadata(model, described(inside, input_dtype="uint8")))
    assert np.array_equal(scores_of(told["answers"]), real(np.concatenate(litert(model, list(IMAGES[:, None]))), model))
    assert [name for _, name in told["answers"][0].values()] != [None] * CLASSES
    bare = ask(model)
    assert np.array_equal(scores_of(bare["answers"]), scores_of(told["answers"]))
    assert [name for _, name in bare["answers"][0].values()] == [None] * CLASSES

    shifted = written("int8", io="uint8")  # its integers lie half a step beside the bytes
    told = ask(with_metadata(shifted, described(PLAIN, input_dtype="uint8")))
    assert np.array_equal(scores_of(told["answers"]), real(np.concatenate(litert(shifted, list(IMAGES[:, None]))), shifted))


def test_raw_bytes_are_refused_where_they_mean_something_else() -> None:
    model = written("int8", io="uint8", input_range=(-2.0, 2.0))
    with pytest.raises(DsmobileError, match=r"raw bytes .* 6\d.* integers off"):
        with_metadata(model, described(PLAIN, input_dtype="uint8"))


def numbers(side: int) -> bytes:
    """A network that answers its input."""
    count = side * side * 3
    nodes = (Node("flat", Reshape(), ("image",), (count,)),)
    return tflite.write(float_plan(FoldedModel("numbers", (Input("image", (side, side, 3)),), nodes, ("flat",))))


@pytest.mark.parametrize(
    "scale",
    ["-1..1", "0..1", "0..255", "-128..127", "-0.5..0.5", "-2..3", "0.017,offset=-2.1", "0.3,offset=15.2", "0.00123,offset=-0.0517", "3,offset=-700"],
)
def test_every_byte_becomes_the_number_that_ours_becomes(ask: Ask, scale: str) -> None:
    preprocessing = parse(f"resize=16,scale={scale}")
    metadata = described(preprocessing, tuple(f"number {index}" for index in range(768)), height=16, width=16, ends_in_softmax=False)
    image = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    found = scores_of(ask(with_metadata(numbers(16), metadata), image[None])["answers"]).reshape(256, 3)
    ours = our_input(preprocessing.scale[0], preprocessing.offset[0])
    assert np.array_equal(found[:, 0], found[:, 1]) and np.array_equal(found[:, 0], found[:, 2])
    assert np.abs(found[:, 0] - ours).max() == metadata.normalization_error
    assert metadata.normalization_error <= 2 * np.spacing(np.abs(ours).max())  # steps of float32, where it is not 0
    assert np.array_equal(preprocessing(image).reshape(256, 3)[:, 0], ours)


def test_it_reads_what_was_written(ask: Ask) -> None:
    calibration = ScoreCalibration((Sigmoid(1, 2, 3),) * CLASSES, "log", 0.25)
    texts = {"name": "Small – net", "description": "d" * 3000, "version": "1.2", "author": "Å. Müller", "license": "Apache-2.0"}
    read = ask(with_metadata(written("float32"), described(score_calibration=calibration, **texts)))["read"]
    assert {key: read[key] for key in texts} == texts
    (graph,) = read["subgraphMetadata"]
    (image,), (scores,) = graph["inputTensorMetadata"], graph["outputTensorMetadata"]
    assert image["content"] == {
        "contentPropertiesType": 2,  # ImageProperties
        "contentProperties": {"colorSpace": 1, "defaultSize": {"width": SIDE, "height": SIDE}},  # RGB
        "range": None,
    }
    assert image["processUnits"] == [{"optionsType": 1, "options": {"mean": [127.5], "std": [127.5]}}]  # NormalizationOptions
    assert (image["stats"], scores["stats"]) == ({"max": [1.0], "min": [-1.0]}, {"max": [1.0], "min": [0.0]})
    assert scores["processUnits"] == [{"optionsType": 2, "options": {"scoreTransformation": 1, "defaultScore": 0.25}}]  # ScoreCalibrationOptions, LOG
    assert [(file["name"], file["type"]) for file in scores["associatedFiles"]] == [("labels.txt", 2), ("score_calibration.txt", 4)]
    assert read["minParserVersion"] == "1.0.0"


SIGMOIDS = (Sigmoid(1, 1.5, 0.3), Sigmoid(0.8, 2, 0, 0.17), None, Sigmoid(0.5, -1, 1e-7), Sigmoid(2, 1 / 3, 0.1, 1e6))


@pytest.mark.parametrize("transformation", ["identity", "log", "inverse_logistic"])
def test_it_calibrates_scores_as_the_schema_says(ask: Ask, transformation: str) -> None:
    calibration = ScoreCalibration(SIGMOIDS, transformation, 0.125)
    plain = scores_of(ask(with_metadata(written("float32"), described()))["answers"]).astype(np.float64)
    found = scores_of(ask(with_metadata(written("float32"), described(score_calibration=calibration)))["answers"])
    transformed = {"identity": plain, "log": np.log(plain), "inverse_logistic": np.log(plain) - np.log1p(-plain)}[transformation]
    for index, sigmoid in enumerate(SIGMOIDS):
        if sigmoid is None:
            expected = np.full(len(plain), 0.125)
        else:
            expected = sigmoid.scale / (1 + np.exp(-(sigmoid.slope * transformed[:, index] + sigmoid.offset)))
            if sigmoid.min_score is not None:
                expected[~(plain[:, index] > sigmoid.min_score)] = 0.125
        assert found[:, index] == pytest.approx(expected, rel=2e-6), (index, sigmoid)


def test_logits_stay_logits(ask: Ask) -> None:
    model = written("float32", softmax=False)
    found = scores_of(ask(with_metadata(model, described(ends_in_softmax=False)))["answers"])
    assert np.array_equal(found, np.concatenate(litert(model, [PLAIN(image) for image in IMAGES])))
    assert found.min() < 0


@pytest.mark.parametrize("sizes", [[1, 1, 1, CLASSES], [1, 1, CLASSES], [CLASSES]])
def test_it_takes_scores_of_any_rank(ask: Ask, sizes: list[int]) -> None:
    plain = written("float32", softmax=False)
    told = ask(with_metadata(with_sizes(plain, "outputs", sizes), described(ends_in_softmax=False)))
    assert np.allclose(scores_of(told["answers"]), np.concatenate(litert(plain, [PLAIN(image) for image in IMAGES])), atol=1e-6)


def test_it_takes_an_open_batch(ask: Ask) -> None:
    model = written("float32")
    left_open = with_sizes(model, "inputs", [1, SIDE, SIDE, 3], [-1, SIDE, SIDE, 3])
    told = ask(with_metadata(left_open, described()))
    assert np.array_equal(scores_of(told["answers"]), np.concatenate(litert(model, [PLAIN(image) for image in IMAGES])))


def unchecked(model: bytes, metadata: ClassifierMetadata, files: dict[str, bytes] | None = None) -> bytes:
    """Metadata that we would refuse to write, by LiteRT's own accessors."""

    def change(tables: Any) -> None:
        from ai_edge_litert import schema_py_generated as schema

        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = np.frombuffer(metadata_buffer(metadata), np.uint8)
        entry.name, entry.buffer = b"TFLITE_METADATA", len(tables.buffers)
        tables.buffers.append(buffer)
        tables.metadata = [*(tables.metadata or []), entry]

    return with_files(edited(model, change), {"labels.txt": "\n".join(metadata.labels).encode()} if files is None else files)


def grey() -> bytes:
    return unchecked(written("float32", channels=1), replace(described(), channels=1))


def two_outputs() -> bytes:
    def change(tables: Any) -> None:
        tables.subgraphs[0].outputs = np.asarray([*tables.subgraphs[0].outputs, tables.subgraphs[0].operators[0].outputs[0]], np.int32)
        tables.signatureDefs = None

    return unchecked(edited(written("float32"), change), described())


ONE_PAIR_EACH = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "no metadata": (lambda: written("float32"), "Input tensor has type float32: it requires specifying NormalizationOptions metadata"),
    "int8 input": (
        lambda: with_metadata(written("int8", io="int8"), described(input_dtype="int8")),
        "Requested one of these types: uint8/float32, got INT8.",
    ),
    "batch of two": (
        lambda: unchecked(with_sizes(written("float32"), "inputs", [2, SIDE, SIDE, 3]), described()),
        f"The input tensor should have dimensions 1 x height x width x depth, where depth = 3 or 4. Got 2 x {SIDE} x {SIDE} x 3.",
    ),
    "grey": (grey, "Only RGB color space is supported for now."),
    "two outputs": (two_outputs, "Mismatch between number of output tensors (2) and output tensors metadata (1)."),
    "a label short": (lambda: unchecked(written("float32"), described(labels=LABELS[:4])), "num_classes == GetLabelMap(cc).size() (5 vs. 4)"),
    "a blank last label": (
        lambda: unchecked(written("float32"), replace(described(), labels=(*LABELS[:4], ""))),
        "num_classes == GetLabelMap(cc).size() (5 vs. 4)",
    ),
    "no labels in the file": (lambda: unchecked(written("float32"), described(), {"labels.txt": b""}), "Expected non-empty labels file."),
    "a pair for each channel": (
        lambda: unchecked(written("float32"), replace(described(), mean=ONE_PAIR_EACH[0], std=ONE_PAIR_EACH[1])),
        "Per-channel image normalization is not available.",
    ),
    "a deviation of 0": (lambda: unchecked(written("float32"), replace(described(), std=(0.0,))), "NormalizationOptions.std_values can't be 0."),
    "a negative deviation": (lambda: unchecked(written("float32"), replace(described(), std=(-1.0,))), "output_tensor_float_range().min() <"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_refuses(ask: Ask, case: str) -> None:
    make, words = REFUSED[case]
    told = ask(make())
    assert words in told["message"], told


def test_we_refuse_first_what_it_would_refuse() -> None:
    """Where our writer has a say, a person hears it before the app does."""
    channels = parse(f"resize={SIDE},mean=123.675/116.28/103.53,std=58.395/57.12/57.375")
    with pytest.raises(DsmobileError, match="one mean and deviation"):
        described(channels)
    for labels, words in ((LABELS[:4], "4 labels for its output of 1 x 5"), ((*LABELS[:4], ""), "label 5 is blank"), ((), "no labels")):
        with pytest.raises(DsmobileError, match=words):
            with_metadata(written("float32"), described(labels=labels))
    with pytest.raises(DsmobileError, match=f"its input is 2 x {SIDE} x {SIDE} x 3"):
        with_metadata(with_sizes(written("float32"), "inputs", [2, SIDE, SIDE, 3]), described())
