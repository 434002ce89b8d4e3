"""The last step of preprocessing inside the file: bytes go in as numbers, and the answers stay the network's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile import pipeline
from dsmobile.errors import UsageError
from dsmobile.exporters.runners import open_runner
from dsmobile.pipeline import ExportRequest
from dsmobile.preprocessing import parse

from .networks import small_mobilenet

pytestmark = pytest.mark.long

PER_CHANNEL = "crop=64,mean=123.675/116.28/103.53,std=58.395/57.12/57.375"


def _bytes(count: int = 6) -> Any:
    images = np.random.default_rng(3).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
    images[0], images[1] = 0, 255
    return images


@pytest.fixture(scope="module", params=["resize=64,scale=-1..1", PER_CHANNEL])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str, Any, Any]:
    """The network, how its images are prepared, its files that are given numbers, and those that are given bytes."""
    folder = tmp_path_factory.mktemp("rescaling")
    model = small_mobilenet()
    model.save(folder / "net.keras")
    options = {"preprocess": request.param, "recipes": ("float32", "int8"), "calibration": "synthetic"}
    outside, inside = (
        pipeline.export(ExportRequest(str(folder / "net.keras"), out=folder / place, rescaling=place, **options)) for place in ("outside", "inside")
    )
    return model, request.param, outside, inside


def _answers(path: Path, manifest: Any, tensors: list[Any]) -> Any:
    runner = open_runner(path, inputs=manifest.inputs, outputs=manifest.outputs)
    return np.stack([np.ravel(runner.run(tensor)[0]) for tensor in tensors])


def test_bytes_give_the_answers_that_scaled_numbers_give(both: tuple[Any, str, Any, Any]) -> None:
    model, preprocess, _, inside = both
    scaled = [parse(preprocess).numbers(image) for image in _bytes()]
    expected = np.asarray(model(np.concatenate(scaled)))
    raw = [image.astype(np.float32)[None] for image in _bytes()]
    seen = 0
    for path, manifest in zip(inside.paths, inside.manifests, strict=True):
        if manifest.recipe == "float32":
            np.testing.assert_allclose(_answers(path, manifest, raw), expected, atol=1e-4 * np.abs(expected).max())
            seen += 1
    assert seen == 2


def test_int8_is_as_good_with_the_scaling_inside(both: tuple[Any, str, Any, Any]) -> None:
    _, _, outside, inside = both
    before, after = ([m.parity.sqnr_db for m in done.manifests if m.recipe == "int8"] for done in (outside, inside))
    assert min(after) > min(before) - 3


def test_the_manifest_says_what_is_left_to_do(both: tuple[Any, str, Any, Any]) -> None:
    _, preprocess, outside, inside = both
    for manifest in inside.manifests:
        assert (manifest.preprocessing.scale, manifest.preprocessing.offset) == ((1.0,), (0.0,))
        assert manifest.preprocessing.crop == parse(preprocess).crop
        assert manifest.recipe_values["rescaling"] == "inside"
    assert all(manifest.preprocessing == parse(preprocess) for manifest in outside.manifests)
    assert not any("Not folded" in note for note in inside.notes)


@pytest.mark.parametrize("preprocess", ["resize=64,scale=-1..1", "resize=64,scale=0..1", PER_CHANNEL])
def test_a_camera_s_bytes_are_the_input_of_a_uint8_file(tmp_path: Path, preprocess: str) -> None:
    done = pipeline.export(
        ExportRequest(
            "mobilenet_v1", alpha=0.25, resolution=64, classes=3, recipes=("int8",), io="uint8", rescaling="inside", preprocess=preprocess,
            out=tmp_path,
        )
    )  # fmt: skip
    for manifest in done.manifests:
        assert (manifest.inputs[0].dtype, manifest.inputs[0].scale, manifest.inputs[0].zero_point) == ("uint8", 1.0, 0)


def test_the_scale_must_be_known(tmp_path: Path) -> None:
    small_mobilenet().save(tmp_path / "net.keras")
    with pytest.raises(UsageError, match="scale"):
        pipeline.export(ExportRequest(str(tmp_path / "net.keras"), rescaling="inside", out=tmp_path / "out"))
    with pytest.raises(UsageError, match="rescaling"):
        pipeline.export(ExportRequest(str(tmp_path / "net.keras"), rescaling="somewhere", out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_arrays_that_calibrate_are_what_the_network_takes_not_bytes(tmp_path: Path) -> None:
    model = small_mobilenet()
    model.save(tmp_path / "net.keras")
    images = _bytes(12)
    np.savez(tmp_path / "x.npz", x=np.concatenate([parse("crop=64,scale=-1..1").numbers(image) for image in images]))
    done = pipeline.export(
        ExportRequest(
            str(tmp_path / "net.keras"), preprocess="crop=64,scale=-1..1", recipes=("int8",), formats=("tflite",), rescaling="inside",
            calibration=str(tmp_path / "x.npz"), out=tmp_path / "out",
        )
    )  # fmt: skip
    assert done.manifests[0].calibration["kind"] == "npz"
    assert done.manifests[0].parity.sqnr_db > 10
