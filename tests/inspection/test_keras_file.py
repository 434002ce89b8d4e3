"""Keras files described by their configuration alone: code in them is named and never run, links are not followed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_models import keras_archive, keras_config, keras_h5, layer

from dsmobile.errors import ModelError
from dsmobile.inspection.inspect import inspect
from dsmobile.inspection.keras_file import read_keras

KERNEL = {"dense/kernel": np.zeros((8, 3), np.float32), "dense/bias": np.zeros(3, np.float16)}
WRITERS = {"keras": keras_archive, "h5": keras_h5}


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_layers_inputs_and_stored_numbers(tmp_path: Path, kind: str) -> None:
    config = keras_config([layer("Dense", name="a"), layer("Sequential", layers=[layer("Dense"), layer("ReLU")]), layer("Dense", name="last")])
    facts = read_keras(WRITERS[kind](tmp_path / f"m.{kind}", config, KERNEL), kind)
    assert facts.operators == {"Dense": 3, "ReLU": 1}
    assert [(end.name, end.shape, end.dtype) for end in facts.inputs] == [("x", (None, 8), "float32")]
    assert [end.name for end in facts.outputs] == ["last"]
    assert facts.parameters == 27
    assert {dtype: (entry.parameters, entry.size_bytes) for dtype, entry in facts.weight_precision.items()} == {
        "float32": (24, 96),
        "float16": (3, 6),
    }
    assert not facts.holds_code


def test_an_optimizers_state_is_no_parameter(tmp_path: Path) -> None:
    weights = {**KERNEL, "optimizer/vars/0": np.zeros((8, 3), np.float32), "layers/dropout/seed_generator/vars/0": np.zeros(2, np.uint32)}
    facts = read_keras(keras_archive(tmp_path / "m.keras", keras_config([layer("Dense")]), weights), "keras")
    assert facts.parameters == 27
    assert any("optimizer" in note for note in facts.notes)


def test_code_is_named_and_never_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    code = {"class_name": "__lambda__", "config": {"code": f"import pathlib; pathlib.Path({str(marker)!r}).touch()"}}
    config = keras_config([layer("Lambda", function=code), layer("TFOpLambda", function="math.exp"), layer("keras.layers>Dense")])
    assert read_keras(keras_archive(tmp_path / "m.keras", config, KERNEL), "keras").holds_code
    found = inspect(keras_h5(tmp_path / "m.h5", config, KERNEL)).to_json()
    assert found["holds_code"]
    assert {"Lambda", "TFOpLambda"} <= set(found["custom_operators"])
    assert found["operators"] == {"Lambda": 1, "TFOpLambda": 1, "keras.layers>Dense": 1}
    assert found["macs"] is None
    assert found["macs_unknown"]
    assert not found["runtimes"][0]["takes"]
    assert not marker.exists()


def test_a_lambda_under_its_long_name_is_code(tmp_path: Path) -> None:
    assert read_keras(keras_h5(tmp_path / "m.h5", keras_config([layer("keras.layers>Lambda")]), KERNEL), "h5").holds_code


def test_own_classes(tmp_path: Path) -> None:
    config = {"module": "acme.nets", "class_name": "Net", "registered_name": "Net", "config": {"name": "net"}}
    facts = read_keras(keras_archive(tmp_path / "m.keras", config, KERNEL), "keras")
    assert facts.custom_operators == ("Net",)
    assert any("class Net" in note for note in facts.notes)


def test_weights_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="weights without a model: 27 numbers") as raised:
        read_keras(keras_h5(tmp_path / "m.h5", None, KERNEL), "h5")
    assert "--weights" in raised.value.advice


def test_links_are_not_followed(tmp_path: Path) -> None:
    import h5py

    other = keras_h5(tmp_path / "other.h5", None, {"secret": np.zeros(1000, np.float32)})
    path = keras_h5(tmp_path / "m.h5", keras_config([layer("Dense")]), KERNEL)
    with h5py.File(path, "r+") as file:
        file["model_weights/outside"] = h5py.ExternalLink(str(other), "secret")
        file["model_weights/around"] = h5py.SoftLink("/model_weights")
        file["model_weights/dense/itself"] = file["model_weights/dense"]
    assert read_keras(path, "h5").parameters == 27


@pytest.mark.parametrize("config", [[], "text", {"class_name": 3}, {"config": {}}, {"class_name": "Functional", "config": {"layers": {"a": 1}}}])
def test_configurations_that_make_no_sense(tmp_path: Path, config: object) -> None:
    path = keras_h5(tmp_path / "m.h5", config, KERNEL)
    try:
        facts = read_keras(path, "h5")
    except ModelError as error:
        assert "describes no model" in error.message
    else:
        assert facts.parameters == 27


def test_a_configuration_nested_without_end(tmp_path: Path) -> None:
    import h5py

    path = keras_h5(tmp_path / "m.h5", keras_config([]), KERNEL)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = "[" * 20000
    with pytest.raises(ModelError, match="broken configuration"):
        read_keras(path, "h5")
