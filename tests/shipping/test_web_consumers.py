"""LiteRT.js and MediaPipe Web in headless Chromium, on files that dsmobile exports, against Python's interpreter.

Both run XNNPACK compiled to WebAssembly. With relaxed SIMD it multiplies and adds in one rounding, as this machine does; without
(the `compat` build, and MediaPipe's) in two: sums of float32 then differ in their last bits, integers nowhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile.exporters.artifact import Manifest, read_manifest
from dsmobile.exporters.runners import dequantize, quantize
from dsmobile.preprocessing import Preprocessing, parse
from dsmobile.shipping.goldens import synthetic_image
from dsmobile.tflite_metadata.archive import start_of_archive, with_files
from dsmobile.tflite_metadata.describing import describe_classifier
from dsmobile.tflite_metadata.values import LABELS_FILE
from dsmobile.tflite_metadata.writing import with_metadata

pytestmark = pytest.mark.ship

SIDE = 96
LABELS = ("crane", "Große Möwe", "猫", 'a "b" <c>')
IMAGES = [synthetic_image(SIDE, SIDE, seed) for seed in range(3)]
WAYS = {
    "range": "scale=-1..1",
    "unit": "scale=0..1",
    "bytes": "scale=0..255",
    "imagenet": "mean=123.675/116.28/103.53,std=58.395/57.12/57.375",
    "bgr": "colour=bgr,scale=1,offset=-103.939/-116.779/-123.68",
    "grey": "colour=grey,scale=-1..1",
}
BUILDS = ("default", "compat", "threads")
FLOAT_ERROR = 1e-5  # of the largest score: sums of a few hundred float32 products over 28 layers, in another order of rounding
PERTURBATION = 1e-6


@dataclass(frozen=True)
class Export:
    """A file and what is known of it."""

    data: bytes
    manifest: Manifest

    @property
    def preprocessing(self) -> Preprocessing:
        assert self.manifest.preprocessing is not None
        return self.manifest.preprocessing

    def stored(self, image: Any) -> Any:
        """What the file's input takes, of an image's bytes."""
        return quantize(self.preprocessing(image), self.manifest.inputs[0])


def export(out: Path, way: str = "range", labels: bool = True, **options: Any) -> dict[str, Export]:
    """A small network's files by their recipes."""
    from dsmobile import pipeline

    lines = out / "labels.txt"
    lines.write_text("\n".join(LABELS), encoding="utf-8")
    request = pipeline.ExportRequest(
        "mobilenet_v1", alpha=0.25, resolution=SIDE, classes=len(LABELS), formats=("tflite",), head="softmax", out=out, calibration="synthetic",
        preprocess=f"resize={SIDE},crop={SIDE},{WAYS[way]}", labels=lines if labels else None, **options,
    )  # fmt: skip
    files = {}
    for path in pipeline.export(request).paths:
        manifest = read_manifest(path)
        assert manifest is not None
        files[manifest.recipe] = Export(path.read_bytes(), manifest)
    return files


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Export]:
    """One network in every recipe, with float32 ends."""
    return export(tmp_path_factory.mktemp("float-ends"), recipes=("float32", "float16", "dynamic", "int8", "int16x8"))


@pytest.fixture(scope="session")
def integer_exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Export]:
    """The network in int8 with integer ends; `bytes` takes bytes as they are."""
    ends = {"uint8": {"io": "uint8"}, "int8": {"io": "int8"}, "bytes": {"io": "uint8", "rescaling": "inside"}}
    return {name: export(tmp_path_factory.mktemp("integer-ends"), recipes=("int8",), **options)["int8"] for name, options in ends.items()}


@pytest.fixture(scope="session")
def odd_exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Export]:
    """float32 files that not everybody takes."""
    odd: dict[str, dict[str, Any]] = {
        "no labels": {"labels": False}, "by channel": {"way": "imagenet"}, "by channel, inside": {"way": "imagenet", "rescaling": "inside"},
        "bgr": {"way": "bgr"}, "grey": {"way": "grey", "channels": 1},
    }  # fmt: skip
    return {name: export(tmp_path_factory.mktemp("odd"), recipes=("float32",), **options)["float32"] for name, options in odd.items()}


def answers(data: bytes, tensor: Any) -> Any:
    """What Python's interpreter answers: the first output."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tensor)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]


def tolerance(recipe: str, model: Export, scores: Any) -> float:
    """How far another machine's scores may lie.

    The recipe `dynamic` rounds activations to integers whose scale it takes from the activations themselves, so a last bit moves whole
    steps: as far as Python's own answer moves when the input's last bits do.
    """
    if recipe != "dynamic":
        return float(FLOAT_ERROR * np.abs(scores).max())
    noise, moved = np.random.default_rng(0), 0.0
    for image in IMAGES:
        tensor = model.preprocessing(image)
        own = answers(model.data, tensor)
        for _ in range(12):
            shaken = (tensor * (1 + noise.uniform(-PERTURBATION, PERTURBATION, tensor.shape))).astype(np.float32)
            moved = max(moved, float(np.abs(answers(model.data, shaken) - own).max()))
    return moved


def images(*arrays: Any) -> list[dict[str, Any]]:
    return [{"rgb": array.tobytes(), "width": array.shape[1], "height": array.shape[0]} for array in arrays]


def litert_job(asked: Export, build: str = "default", **fields: Any) -> dict[str, Any]:
    """A job for the page of LiteRT.js."""
    tensor = asked.manifest.inputs[0]
    job = {"model": asked.data, "images": images(*IMAGES), "preprocessing": asked.preprocessing.to_json(), "shape": list(tensor.shape)}
    if tensor.dtype == "uint8":
        job["quantization"] = {"scale": tensor.scale, "zero_point": tensor.zero_point}
    return {**job, "build": build, "tell": False, **fields}


def tflite(shape: tuple[int | None, ...], ends: str = "float32") -> bytes:
    """A stranger's small network, as TensorFlow's converter writes it."""
    import tensorflow as tf

    kernel = tf.constant(np.sin(np.arange(3 * 3 * 3 * 4, dtype=np.float32)).reshape(3, 3, 3, 4))

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])  # type: ignore[untyped-decorator]
    def network(image: Any) -> Any:
        return tf.reduce_mean(tf.nn.relu6(tf.nn.conv2d(image, kernel, 2, "SAME")), [1, 2])

    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
    if ends == "int16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([parse("scale=-1..1")(image)] for image in IMAGES)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int16
    data: bytes = converter.convert()
    return data


def test_javascript_prepares_images_bit_for_bit(chromium: Any, exports: dict[str, Export]) -> None:
    model = exports["float32"]
    ways = [parse(way) for name, way in WAYS.items() if name != "grey"]
    jobs = [litert_job(model, preprocessing=way.to_json(), images=images(IMAGES[0]), tell=True) for way in ways]
    for way, answered in zip(ways, chromium.ask("litert.html", jobs), strict=True):
        told = np.asarray(answered["runs"][0]["tensor"], np.float32)
        assert told.tobytes() == way(IMAGES[0]).tobytes()


def test_litert_js_gives_pythons_scores(chromium: Any, exports: dict[str, Export]) -> None:
    asked = [(recipe, build) for recipe in ("float32", "float16", "dynamic", "int8", "int16x8") for build in BUILDS]
    told = chromium.ask("litert.html", [litert_job(exports[recipe], build) for recipe, build in asked])
    for (recipe, build), answered in zip(asked, told, strict=True):
        model = exports[recipe]
        assert answered.get("error") is None, (recipe, build, answered)
        assert answered["inputs"] == [{"name": "image", "dtype": "float32", "shape": [1, SIDE, SIDE, 3]}]
        assert answered["outputs"] == [{"name": "scores", "dtype": "float32", "shape": [1, len(LABELS)]}]
        for image, run in zip(IMAGES, answered["runs"], strict=True):
            scores = answers(model.data, model.stored(image))
            allowed = tolerance(recipe, model, scores)
            assert len(run["outputs"]) == 1
            assert np.abs(np.asarray(run["outputs"][0]) - scores).max() <= allowed, (recipe, build)
            assert np.argmax(run["outputs"][0]) == np.argmax(scores)
            assert -np.diff(np.sort(scores)[::-1])[0] > 2 * allowed, "the best score stands out, so that the line above says something"


def test_litert_js_gives_pythons_integers(chromium: Any, integer_exports: dict[str, Export]) -> None:
    asked = [(integer_exports[name], build) for name in ("uint8", "bytes") for build in BUILDS]
    told = chromium.ask("litert.html", [litert_job(model, build, tell=True) for model, build in asked])
    for (model, _), answered in zip(asked, told, strict=True):
        assert answered.get("error") is None, answered
        assert [answered["inputs"][0]["dtype"], answered["outputs"][0]["dtype"]] == ["uint8", "uint8"]
        for image, run in zip(IMAGES, answered["runs"], strict=True):
            stored = model.stored(image)
            assert run["tensor"] == stored.ravel().tolist()
            assert run["outputs"] == [answers(model.data, stored).tolist()]


def test_litert_js_refuses_what_it_cannot_run_and_goes_on(chromium: Any, exports: dict[str, Export], integer_exports: dict[str, Export]) -> None:
    good = exports["float32"]
    refused = {
        r"Element type INT8 is not supported": {"model": integer_exports["int8"].data},
        r"Element type INT16 is not supported": {"model": tflite((1, SIDE, SIDE, 3), "int16")},
        r"does not match expected ranked tensor type Float32\[-1, 96, 96, 3\]": {"model": tflite((None, SIDE, SIDE, 3))},
        r"(?i)fail|invalid|error": {"model": good.data[: len(good.data) // 3]},
    }
    told = chromium.ask("litert.html", [litert_job(good, **changed) for changed in refused.values()] + [litert_job(good)])
    for text, answered in zip(refused, told[:-1], strict=True):
        assert re.search(text, answered["error"]), answered
        assert answered.get("runs", []) == []
    assert [answered["stage"] for answered in told] == ["compile", "compile", "run", "compile", "done"]
    assert told[-1].get("error") is None


def compare(run: list[list[dict[str, Any]]], scores: Any, allowed: float) -> None:
    """One head, every class, the best first, each with its label and Python's score."""
    (categories,) = run
    assert sorted(category["index"] for category in categories) == list(range(len(scores)))
    assert [category["categoryName"] for category in categories] == [LABELS[category["index"]] for category in categories]
    told = [category["score"] for category in categories]
    assert told == sorted(told, reverse=True)
    assert np.abs(told - scores[[category["index"] for category in categories]]).max() <= allowed
    assert categories[0]["index"] == np.argmax(scores)


def test_mediapipe_gives_pythons_labels_and_scores(chromium: Any, exports: dict[str, Export]) -> None:
    asked = [(recipe, canvas) for recipe in ("float32", "float16", "dynamic", "int8", "int16x8") for canvas in (False, True)]
    jobs = [{"model": exports[recipe].data, "images": images(*IMAGES), "canvas": canvas} for recipe, canvas in asked]
    for (recipe, _), answered in zip(asked, chromium.ask("mediapipe.html", jobs), strict=True):
        assert answered.get("error") is None, (recipe, answered)
        model = exports[recipe]
        for image, run in zip(IMAGES, answered["runs"], strict=True):
            scores = answers(model.data, model.stored(image))
            compare(run, scores, tolerance(recipe, model, scores))


def test_mediapipe_prepares_images_as_python_does(chromium: Any, artifact: Any) -> None:
    ways = {name: parse(f"resize=32,crop=32,{WAYS[name]}") for name in ("range", "unit", "bytes")}
    models = {name: artifact(way, name=name, classes=len(LABELS)).read_bytes() for name, way in ways.items()}
    small = [synthetic_image(32, 32, seed) for seed in range(3)]
    jobs = []
    for name, way in ways.items():
        metadata = describe_classifier(way, LABELS, height=32, width=32, name=name, ends_in_softmax=False)
        jobs.append({"model": with_metadata(models[name], metadata), "images": images(*small), "canvas": False})
    for (name, way), answered in zip(ways.items(), chromium.ask("mediapipe.html", jobs), strict=True):
        assert answered.get("error") is None, (name, answered)
        for image, run in zip(small, answered["runs"], strict=True):
            scores = answers(models[name], way(image))
            compare(run, scores, FLOAT_ERROR * np.abs(scores).max())


def test_mediapipe_puts_raw_bytes_into_uint8(chromium: Any, integer_exports: dict[str, Export]) -> None:
    assert np.array_equal(integer_exports["bytes"].stored(IMAGES[0])[0], IMAGES[0]), (
        "with the rescaling inside, raw bytes are what preprocessing gives"
    )
    models = [integer_exports["uint8"], integer_exports["bytes"]]
    jobs = [{"model": model.data, "images": images(*IMAGES), "canvas": False} for model in models]
    for model, answered in zip(models, chromium.ask("mediapipe.html", jobs), strict=True):
        assert answered.get("error") is None, answered
        for image, run in zip(IMAGES, answered["runs"], strict=True):
            compare(run, dequantize(answers(model.data, image[None]), model.manifest.outputs[0]), 1e-7)


def test_mediapipe_refuses_what_it_cannot_run_and_goes_on(
    chromium: Any, exports: dict[str, Export], integer_exports: dict[str, Export], odd_exports: dict[str, Export]
) -> None:
    plain, whole = odd_exports["no labels"].data, exports["float32"].data
    metadata = describe_classifier(exports["float32"].preprocessing, LABELS, height=SIDE, width=SIDE, name="tiny", ends_in_softmax=True)
    by_channel = replace(metadata, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
    refused = {
        "Input tensor has type float32: it requires specifying NormalizationOptions metadata": plain,
        "Requested one of these types: uint8/float32, got INT8": integer_exports["int8"].data,
        "Requested one of these types: uint8/float32, got INT16": tflite((1, SIDE, SIDE, 3), "int16"),
        "Per-channel image normalization is not available": with_metadata(plain, by_channel),
        "(4 vs. 3)": with_files(whole[: start_of_archive(whole)], {LABELS_FILE: "\n".join(LABELS[:3]).encode()}),
    }
    told = chromium.ask("mediapipe.html", [{"model": data, "images": images(*IMAGES), "canvas": False} for data in (*refused.values(), whole)])
    for text, answered in zip(refused, told[:-1], strict=True):
        assert text in answered["error"]
        assert answered.get("runs", []) == []
    assert [answered["stage"] for answered in told] == [*["create"] * 4, "classify", "done"]


def test_manifests_say_who_accepts_a_file(
    chromium: Any, exports: dict[str, Export], integer_exports: dict[str, Export], odd_exports: dict[str, Export]
) -> None:
    files = {**exports, **{f"{name} ends": model for name, model in integer_exports.items()}, **odd_exports}
    jobs = {
        "litert-js": [litert_job(model, images=[]) for model in files.values()],
        "mediapipe": [{"model": model.data, "images": images(IMAGES[0]), "canvas": False} for model in files.values()],
    }
    for consumer, page in {"litert-js": "litert.html", "mediapipe": "mediapipe.html"}.items():
        told = {name: answered["stage"] == "done" for name, answered in zip(files, chromium.ask(page, jobs[consumer]), strict=True)}
        assert told == {name: model.manifest.accepted_by[consumer]["accepted"] for name, model in files.items()}
        assert set(told.values()) == {True, False}
