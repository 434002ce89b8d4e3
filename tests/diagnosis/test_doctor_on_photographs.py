"""A real network with real weights on real photographs: each calibration's own fault comes first."""

from pathlib import Path

import numpy as np
import pytest

from dsmobile.diagnosis.diagnosis import Diagnosis
from dsmobile.diagnosis.doctor import doctor
from dsmobile.pipeline import ExportRequest, export

PREPROCESS = "resize=256,crop=224,scale=-1..1"

pytestmark = pytest.mark.slow


def _look(shared_data: Path, recipe: str, calibration: Path | None = None, preprocess: str = PREPROCESS) -> Diagnosis:
    return doctor(
        str(shared_data / "models" / "mobilenet_v1_0.25_224_imagenet.h5"),
        data=shared_data / "photos" / "validation",
        calibration=str(calibration or shared_data / "photos" / "calibration"),
        preprocess=preprocess,
        recipe=recipe,
        limit=40,
    )


def test_plain_int8_has_shifted_means(shared_data: Path) -> None:
    """What is published of this network: its loss is a mean shift, which correction takes back (to 23 to 24 dB, from 13)."""
    plain, corrected = _look(shared_data, "int8-plain"), _look(shared_data, "int8")
    assert plain.causes[0].kind == "mean_shift"
    assert corrected.causes == ()
    assert plain.measured.final.sqnr_db == pytest.approx(13.0, abs=2.0)
    assert corrected.measured.final.sqnr_db == pytest.approx(23.5, abs=2.0)


def test_calibration_with_noise(shared_data: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (40, 224, 224, 3)).astype(np.float32)
    np.savez(tmp_path / "noise.npz", x=noise)
    found = _look(shared_data, "int8-plain", tmp_path / "noise.npz")  # whose logits are integers, so that they are clipped
    assert [cause.kind for cause in found.causes] == ["unlike_training", "calibration_unlike_data"]


def test_calibration_with_another_scale(shared_data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "int8.toml"
    recipe.write_text('description = ""\nweights = "int8"\nactivations = "int8"\nformats = ["tflite"]\n')
    photos = shared_data / "photos"
    exported = export(
        ExportRequest(
            str(shared_data / "models" / "mobilenet_v1_0.25_224_imagenet.h5"),
            calibration=str(photos / "calibration"),
            preprocess="resize=256,crop=224,scale=0..255",
            recipes=("float32", str(recipe)),
            formats=("tflite",),
            out=tmp_path,
        )
    )
    found = doctor(str(exported.paths[1]), data=photos / "validation", preprocess=PREPROCESS, limit=20)
    assert [cause.kind for cause in found.causes] == ["unlike_training", "wrong_input_scale"]


def test_another_scale_for_both(shared_data: Path) -> None:
    """The integers are as near to the float network as with the right scale: only what it remembers of its training tells."""
    found = _look(shared_data, "int8", preprocess="resize=256,crop=224,scale=0..255")
    assert [cause.kind for cause in found.causes] == ["unlike_training"]
    assert found.measured.final.sqnr_db == pytest.approx(24.0, abs=3.0)
