"""Each ailing network or calibration has its own cause named first, a healthy one has none; files and sources give the same figures."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import ailing_networks as networks
import numpy as np
import pytest

from dsmobile import pipeline
from dsmobile.diagnosis import process
from dsmobile.diagnosis.causes import KINDS, find_causes
from dsmobile.diagnosis.diagnosis import Diagnosis, Origin, Softmax
from dsmobile.diagnosis.doctor import doctor
from dsmobile.diagnosis.terminal import ONLY_THE_DIFFERENCE, nothing_found, show_diagnosis, verdict
from dsmobile.errors import DataError, ModelError, UsageError
from dsmobile.exporters.artifact import write_manifest
from dsmobile.pipeline import ExportRequest

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three networks; data, and other data to calibrate with."""
    found = tmp_path_factory.mktemp("doctor")
    for name, model in (
        ("healthy", networks.healthy()),
        ("certain", networks.healthy(softmax=True)),
        ("uneven", networks.uneven()),
        ("shifted", networks.shifted()),
        ("remembering", networks.remembering()),
    ):
        model.save(found / f"{name}.keras")
    calibration = networks.pictures(60, 2)
    networks.saved(found / "data.npz", networks.pictures(60, 1))
    networks.saved(found / "calibration.npz", calibration)
    networks.saved(found / "bytes.npz", 127.5 * calibration + 127.5)
    networks.saved(found / "pale.npz", networks.pale(60, 3))
    return found


@pytest.fixture(scope="module")
def artifacts(folder: Path) -> dict[str, Path]:
    """The healthy network's TFLite files and an int8 ONNX file."""
    request = ExportRequest(
        str(folder / "healthy.keras"), calibration=str(folder / "calibration.npz"), preprocess="crop=12,scale=-1..1", out=folder / "out"
    )
    exported = pipeline.export(request)
    return {f"{manifest.recipe}.{manifest.format}": path for path, manifest in zip(exported.paths, exported.manifests, strict=True)}


def _look(folder: Path, network: str, data: str = "data", calibration: str = "calibration", **options: Any) -> Diagnosis:
    return doctor(str(folder / f"{network}.keras"), data=folder / f"{data}.npz", calibration=str(folder / f"{calibration}.npz"), **options)


def _kinds(found: Diagnosis) -> list[str]:
    return [cause.kind for cause in found.causes]


# causes


def test_a_healthy_network_has_no_cause(folder: Path) -> None:
    found = _look(folder, "healthy")
    assert found.causes == ()
    assert found.measured.final.top1_agreement is not None
    assert found.measured.final.top1_agreement > 0.9


def test_other_scales_come_first(folder: Path) -> None:
    """Calibrated with 0..255 and given -1..1, or the other way round, as people do it."""
    found = _look(folder, "healthy", calibration="bytes")
    assert _kinds(found) == ["wrong_input_scale"]
    assert "scale=-1..1" in found.causes[0].advice
    assert "scale=0..255" in found.causes[0].advice
    assert _kinds(_look(folder, "healthy", data="bytes"))[0] == "wrong_input_scale"


def test_half_of_the_range_is_another_scale_too(folder: Path, tmp_path: Path) -> None:
    data = networks.saved(tmp_path / "half.npz", (networks.pictures(40, 5) + 1) / 2)
    found = doctor(str(folder / "healthy.keras"), data=data, calibration=str(folder / "calibration.npz"))
    assert _kinds(found) == ["wrong_input_scale"]
    assert "scale=0..1" in found.causes[0].advice


def test_calibration_with_pale_pictures_clips(folder: Path) -> None:
    found = _look(folder, "healthy", calibration="pale")
    assert _kinds(found) == ["calibration_unlike_data"]
    assert "beyond" in found.causes[0].message
    assert "first_convolution" in found.causes[0].layers


def test_calibration_with_stronger_pictures_leaves_levels_empty(folder: Path) -> None:
    found = _look(folder, "healthy", data="pale")
    assert _kinds(found) == ["calibration_unlike_data"]
    assert "levels is empty" in found.causes[0].message


def test_rounding_that_shifts_the_means(folder: Path) -> None:
    """All weights of one layer lie just below half a step: only correction can put that right, and it does."""
    found = _look(folder, "shifted", recipe="int8-plain")
    assert _kinds(found) == ["mean_shift"]
    assert found.causes[0].layers[0] == "shifting"
    assert _look(folder, "shifted", recipe="int8").causes == ()


def test_what_helps_against_a_shift_depends_on_what_the_export_did(folder: Path) -> None:
    """Who has a corrected file is not told to correct it."""
    found = _look(folder, "shifted", recipe="int8-plain")
    assert "--recipe int8 and" in found.causes[0].advice
    advice = {}
    for name, correction in {
        "shipped": {"shipped": "rounding", "held_out": 20},
        "tried": {"shipped": "plain", "held_out": 20},
        "few": {"shipped": "plain", "held_out": 0},
        "mixed": {"shipped": "bias", "held_out": 20, "mixed": {}},
    }.items():
        (cause,) = find_causes(found.measured, Origin("int8", correction))
        assert cause.kind == "mean_shift"
        assert "--recipe int8 " not in cause.advice
        assert "calibrate with about 100 inputs like these" in cause.advice
        advice[name] = cause.advice
    assert len(set(advice.values())) == 4
    assert "--recipe mixed" not in advice["mixed"]
    (cause,) = find_causes(found.measured, Origin("int8", {"shipped": "bias", "held_out": 9}, same_inputs=True))
    assert "calibrate with" not in cause.advice
    (cause,) = find_causes(found.measured, Origin())
    assert "export the Keras model" in cause.advice


def test_inputs_that_the_network_was_not_trained_on(folder: Path, tmp_path: Path) -> None:
    """Data and calibration are equally wrong: the integers are as near to the float network as ever, and only its memory tells."""
    right = _look(folder, "remembering")
    assert _kinds(right) == []
    assert right.origin.data is not None
    assert right.origin.calibration is not None
    wrong = _look(folder, "remembering", data="bytes", calibration="bytes")
    assert wrong.measured.final.sqnr_db == pytest.approx(right.measured.final.sqnr_db, abs=10)
    assert _kinds(wrong)[0] == "unlike_training"
    assert "of the data" in wrong.causes[0].message
    assert "of what it was calibrated with" in wrong.causes[0].message
    assert "--preprocess" in wrong.causes[0].advice
    assert wrong.causes[0].layers == ("remembers",)
    assert wrong.to_json()["familiarity"]["data"]["unlike"] is True
    alone = doctor(str(folder / "remembering.keras"), data=folder / "bytes.npz")
    assert _kinds(alone) == ["unlike_training"]
    assert "calibrated with" not in alone.causes[0].message
    assert _look(folder, "healthy", data="bytes", calibration="bytes").origin.data is None  # it remembers nothing


def test_a_file_repeats_what_its_manifest_says_of_the_calibration(folder: Path, tmp_path: Path) -> None:
    for name, expected in (("calibration", []), ("bytes", ["unlike_training"])):
        exported = pipeline.export(
            ExportRequest(
                str(folder / "remembering.keras"),
                calibration=str(folder / f"{name}.npz"),
                preprocess="crop=12,scale=-1..1",
                formats=("tflite",),
                out=tmp_path / name,
            )
        )
        manifest = exported.manifests[1]
        found = doctor(str(exported.paths[1]), data=folder / f"{name}.npz")
        assert _kinds(found) == expected
        assert found.to_json()["familiarity"] == {"data": None, "calibration": manifest.calibration["familiarity"]}
    del manifest.calibration["familiarity"]["ratio"]
    write_manifest(exported.paths[1], manifest)
    with pytest.raises(ModelError, match="damaged"):
        doctor(str(exported.paths[1]), data=folder / "data.npz")


def test_one_layer_needs_more_bits(folder: Path) -> None:
    """One channel a thousand times as wide leaves the others no levels; with 16 bits they have enough."""
    found = _look(folder, "uneven")
    assert _kinds(found) == ["layer_needs_more_bits", "uneven_channels"]
    assert found.causes[0].layers == ("wide",)
    assert "wide" in found.causes[1].layers
    assert _look(folder, "uneven", recipe="int16x8").causes == ()


def test_an_int8_softmax_ties(folder: Path, tmp_path: Path) -> None:
    """Probabilities of an untrained network are near 1/10: 256 levels do not tell ten classes apart."""
    options: dict[str, Any] = {"formats": ("tflite",), "calibration": str(folder / "calibration.npz"), "preprocess": "crop=12,scale=-1..1"}
    plain = pipeline.export(ExportRequest(str(folder / "certain.keras"), recipes=("float32",), out=tmp_path, **options))
    tied = pipeline.export(ExportRequest(str(folder / "certain.keras"), recipes=("int8",), io="int8", out=tmp_path / "int8", **options))
    found = doctor(str(tied.paths[0]), data=folder / "data.npz", reference=plain.paths[0])
    assert "softmax_ties" in _kinds(found)
    assert found.measured.softmax is not None
    assert found.measured.softmax.precision == "int8"
    untied = replace(found.measured, softmax=Softmax("float32", found.measured.softmax.ties))
    assert "softmax_ties" not in [cause.kind for cause in find_causes(untied, found.origin)]


def test_every_cause_says_what_to_do_and_is_on_the_list(folder: Path) -> None:
    causes = [*_look(folder, "uneven").causes, *_look(folder, "healthy", calibration="bytes").causes]
    assert len({cause.kind for cause in causes}) == 3
    assert {cause.kind for cause in causes} <= set(KINDS)
    assert all(cause.message.endswith(".") and cause.advice.endswith(".") for cause in causes)


# figures


def test_shares_are_those_of_plans_with_one_layer_in_integers(folder: Path) -> None:
    """Another way to the same figure: the file of a plan in which all other layers compute in float32."""
    from dsmobile.exporters.integers import run_float, run_plan
    from dsmobile.exporters.recipe import read_recipe
    from dsmobile.exporters.sensitivity import integer_layers, noise_of_each

    exporter, inputs = _exporter(folder, "uneven")
    base = exporter.planner.base(read_recipe("int8-plain"))
    samples = list(inputs.samples())
    reference = run_float(base.model, samples)
    noise = noise_of_each(base.plan, integer_layers(base.plan), base.leaving, lambda plan: run_plan(plan, samples), reference)
    found = _look(folder, "uneven", data="calibration", recipe="int8-plain", limit=20)
    shares = {layer.name: layer.share for layer in found.measured.layers if layer.weights}
    assert set(shares) == set(noise)
    assert found.measured.alone == len(samples)
    parts = {name: (share or 0.0) / (shares["wide"] or 1.0) for name, share in shares.items()}
    for name, value in noise.items():
        assert value / noise["wide"] == pytest.approx(parts[name], rel=0.1, abs=1e-3)


def _exporter(folder: Path, network: str) -> tuple[Any, Any]:
    from dsmobile.exporters.calibration import calibration_inputs
    from dsmobile.exporters.export import Exporter, Order
    from dsmobile.networks import prepare
    from dsmobile.sources import SourceOptions, input_shapes, load

    source = load(str(folder / f"{network}.keras"), SourceOptions())
    inputs, few = (
        calibration_inputs(
            str(folder / "calibration.npz"),
            named_shapes=input_shapes(source),
            preprocessing=None,
            random_weights=False,
            quantized=True,
            count=count,
        )
        for count in (100, 20)
    )
    return Exporter(prepare(source, "model", ExportRequest(source.name), inputs, None), Order(folder), inputs), few


def test_a_classifier_that_became_a_dense_layer_is_looked_at_under_its_own_name(folder: Path, tmp_path: Path) -> None:
    """Convolution and reshape in the float file, reshape and dense layer in the int8 file."""
    exported = pipeline.export(
        ExportRequest(
            str(folder / "remembering.keras"),
            calibration=str(folder / "calibration.npz"),
            preprocess="crop=12,scale=-1..1",
            formats=("tflite",),
            out=tmp_path,
        )
    )
    found = doctor(str(exported.paths[1]), data=folder / "data.npz")
    of_source = _look(folder, "remembering", prices=True)
    for measured in (found.measured, of_source.measured):
        last = measured.layers[-1]
        assert (last.name, last.kind) == ("predictions", "FULLY_CONNECTED")
        assert all(layer.share is not None for layer in measured.layers)
        assert measured.notes == ()
    for layer, same in zip(found.measured.layers, of_source.measured.layers, strict=True):
        assert layer.share == pytest.approx(same.share, rel=1e-3)
    assert "predictions" in [price.layer for price in of_source.prices]


def test_parts_of_layers_are_looked_at_under_whatever_name(tmp_path: Path) -> None:
    """Swish is a sigmoid and a product, and a sum of three is two sums: the float file calls the parts otherwise."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, activation="swish", name="first")(image)
    y, z = layers.Conv2D(8, 1, name="second")(x), layers.Conv2D(8, 1, name="third")(x)
    x = layers.Flatten()(layers.Add()([x, y, z]))
    keras.Model(image, layers.Dense(5, name="last")(x)).save(tmp_path / "parts.keras")
    data = networks.saved(tmp_path / "data.npz", networks.pictures(30))
    exported = pipeline.export(
        ExportRequest(
            str(tmp_path / "parts.keras"), calibration=str(data), preprocess="crop=12,scale=-1..1", formats=("tflite",), out=tmp_path / "out"
        )
    )
    of_file = doctor(str(exported.paths[1]), data=data)
    of_source = doctor(str(tmp_path / "parts.keras"), data=data, calibration=str(data))
    assert of_file.measured.notes == ()
    assert [layer.name for layer in of_file.measured.layers] == [layer.name for layer in of_source.measured.layers]
    for layer, same in zip(of_file.measured.layers, of_source.measured.layers, strict=True):
        assert layer.share == pytest.approx(same.share, rel=0.01, abs=1e-6)
        assert layer.sqnr_db == pytest.approx(same.sqnr_db, abs=0.01)


def test_what_cannot_be_looked_at_is_named(folder: Path, artifacts: dict[str, Path], tmp_path: Path) -> None:
    """In the float file one layer's result has another name."""
    renamed = artifacts["float32.tflite"].read_bytes().replace(b"depthwise", b"elsewhere")
    (tmp_path / "float.tflite").write_bytes(renamed)
    found = doctor(str(artifacts["int8.tflite"]), data=folder / "data.npz", reference=tmp_path / "float.tflite", limit=8)
    left, alone = found.to_json()["notes"][:2]
    assert "left out" in left
    assert "depthwise" in left
    assert alone.startswith("without a share")
    assert "pointwise_convolution (the float file has no depthwise" in alone
    assert sum(layer.share is None for layer in found.measured.layers) == 1


def test_figures_are_the_same_every_time(folder: Path, artifacts: dict[str, Path]) -> None:
    first, second = (doctor(str(artifacts["int8.tflite"]), data=folder / "data.npz", limit=20).to_json() for _ in range(2))
    assert first == second
    assert first["alone"] == 20  # counted by the network's size, not by the time it took


def test_multiply_accumulates_are_the_manifests(artifacts: dict[str, Path]) -> None:
    from dsmobile.diagnosis.network_file import NetworkFile
    from dsmobile.exporters.artifact import read_manifest

    for name in ("float32.tflite", "int8.tflite"):
        manifest = read_manifest(artifacts[name])
        assert manifest is not None
        assert NetworkFile(artifacts[name].read_bytes()).macs == manifest.macs


def test_the_loss_has_a_standard_error(folder: Path, artifacts: dict[str, Path]) -> None:
    """The one of a mean of independent inputs; of one input there is none, and few are said to be few."""
    found = doctor(str(artifacts["int8.tflite"]), data=folder / "data.npz", limit=40)
    one = doctor(str(artifacts["int8.tflite"]), data=folder / "data.npz", limit=1)
    assert one.measured.final.expected_drop_error is None
    assert any("1 input only" in note for note in one.notes)
    assert not any("only" in note for note in found.notes)
    final = replace(found.measured.final, expected_drop_points=1.234, expected_drop_error=0.567)
    said = verdict(replace(found, measured=replace(found.measured, final=final)).to_json())
    assert "1.23 points" in said
    assert "standard error 0.57" in said


def test_a_standard_error_is_that_of_the_mean() -> None:
    from dsmobile.diagnosis.measure import _final

    random = np.random.default_rng(0)
    logits = random.normal(size=(50, 4)).astype(np.float32)
    noisy = (logits + random.normal(size=logits.shape)).astype(np.float32)
    odds = np.exp(logits.astype(np.float64))
    odds /= odds.sum(1, keepdims=True)
    lost = [100 * (row[first] - row[second]) for row, first, second in zip(odds, logits.argmax(1), noisy.argmax(1), strict=True)]
    found = _final(logits, noisy, 50)
    assert found["expected_drop_points"] == pytest.approx(np.mean(lost))
    assert found["expected_drop_error"] == pytest.approx(np.std(lost, ddof=1) / 50**0.5)


def test_nothing_found_says_what_was_looked_at(folder: Path) -> None:
    """Both where too little is lost, and where the error is spread over the layers."""
    document = _look(folder, "healthy").to_json()
    for points in (0.0, 3.0):
        document["final"]["expected_drop_points"] = points
        assert nothing_found(document).endswith(ONLY_THE_DIFFERENCE)


def test_the_last_layer_has_the_error_of_the_logits(folder: Path) -> None:
    measured = _look(folder, "healthy", recipe="int8-plain").measured
    assert measured.layers[-1].sqnr_db == pytest.approx(measured.final.sqnr_db, abs=1e-3)
    assert sum(layer.share or 0.0 for layer in measured.layers) == pytest.approx(1.0)


def test_an_own_error_is_below_the_inherited_one(folder: Path) -> None:
    """A layer whose inputs are wrong too has more noise than one whose inputs are right, but for the first, where both are the same."""
    layers = [layer for layer in _look(folder, "healthy", recipe="int8-plain").measured.layers if layer.weights]
    assert layers[0].own_sqnr_db == pytest.approx(layers[0].sqnr_db, abs=0.5)
    for layer in layers[1:]:
        assert layer.own_sqnr_db is not None
        assert layer.sqnr_db is not None
        assert layer.own_sqnr_db > layer.sqnr_db - 0.5


def test_a_file_and_its_source_give_the_same_figures(folder: Path, artifacts: dict[str, Path]) -> None:
    of_file = doctor(str(artifacts["int8.tflite"]), data=folder / "data.npz").to_json()
    of_source = _look(folder, "healthy").to_json()
    assert of_file["final"] == of_source["final"]
    assert [layer["sqnr_db"] for layer in of_file["layers"]] == [layer["sqnr_db"] for layer in of_source["layers"]]
    assert of_file["recipe"] == "int8"
    assert of_file["reference"] == str(artifacts["float32.tflite"])


def test_the_document(folder: Path, artifacts: dict[str, Path]) -> None:
    document = pipeline.doctor(str(artifacts["int8.tflite"]), data=folder / "data.npz", limit=12).to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["schema"] == "dsmobile.diagnosis/1"
    assert document["final"]["count"] == 12
    assert set(document["final"]) == {"sqnr_db", "top1_agreement", "expected_drop_points", "expected_drop_error", "mean_share", "count"}
    assert document["causes"] == []


def test_prices(folder: Path) -> None:
    """The layer after `reader` has 256 weights: in float32 each takes three bytes more, and its scales go."""
    found = _look(folder, "uneven", prices=True)
    price = next(price for price in found.prices if price.layer == "after_convolution")
    assert 0 < price.extra_bytes < 3 * 256
    assert price.latency_ratio is not None
    assert price.latency_ratio > 0
    assert price.pairs >= 10


def test_several_inputs(tmp_path: Path) -> None:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    left, right = keras.Input((6, 6, 2), name="left"), keras.Input((6, 6, 2), name="right")
    x = layers.Add()([layers.Conv2D(4, 3)(left), layers.Conv2D(4, 3)(right)])
    keras.Model([left, right], layers.Dense(3)(layers.Flatten()(x))).save(tmp_path / "two.keras")
    random = np.random.default_rng(0)
    data = tmp_path / "data.npz"
    np.savez(data, left=random.normal(size=(12, 6, 6, 2)), right=random.normal(size=(12, 6, 6, 2)))
    found = doctor(str(tmp_path / "two.keras"), data=data)
    assert [entry.name for entry in found.measured.inputs] == ["left", "right"]
    assert found.measured.final.count == 12
    assert any("calibrated with the data" in note for note in found.notes)


# strangers and mistakes


def test_integers_without_a_scale_are_what_the_file_takes(folder: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"formats": ("tflite",), "calibration": str(folder / "calibration.npz"), "preprocess": "crop=12,scale=-1..1"}
    made = pipeline.export(ExportRequest(str(folder / "healthy.keras"), recipes=("int8",), io="int8", out=tmp_path, **options))
    plain = pipeline.export(ExportRequest(str(folder / "healthy.keras"), recipes=("float32",), out=tmp_path, **options))
    info = made.manifests[0].inputs[0]
    x = networks.pictures(20, 1)
    stored = np.clip(np.rint(x / info.scale) + info.zero_point, -128, 127).astype(np.int8)
    raw = networks.saved(tmp_path / "raw.npz", stored)
    real = networks.saved(tmp_path / "real.npz", ((stored.astype(np.float32) - info.zero_point) * info.scale).astype(np.float32))
    first, second = (doctor(str(made.paths[0]), data=data, reference=plain.paths[0]) for data in (raw, real))
    assert first.measured.final == second.measured.final
    assert any("without a scale" in note for note in first.to_json()["notes"])


def test_what_does_not_apply_is_refused(folder: Path, artifacts: dict[str, Path]) -> None:
    quantized, data = str(artifacts["int8.tflite"]), folder / "data.npz"
    for options in ({"recipe": "int8"}, {"calibration": "x"}, {"prices": True}):
        with pytest.raises(UsageError, match="does not apply"):
            doctor(quantized, data=data, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="does not apply"):
        doctor(str(folder / "healthy.keras"), data=data, reference=artifacts["float32.tflite"])
    with pytest.raises(UsageError, match="nothing is quantized"):
        doctor(str(artifacts["float32.tflite"]), data=data)
    with pytest.raises(UsageError, match="same file"):
        doctor(quantized, data=data, reference=artifacts["int8.tflite"])
    with pytest.raises(UsageError, match="quantizes nothing"):
        doctor(str(folder / "healthy.keras"), data=data, recipe="float32")


def test_an_onnx_file_is_told_where_its_integers_are(folder: Path, artifacts: dict[str, Path]) -> None:
    with pytest.raises(ModelError) as caught:
        doctor(str(artifacts["int8.onnx"]), data=folder / "data.npz")
    assert str(artifacts["int8.tflite"]) in caught.value.advice


def test_a_strangers_onnx_file_is_not_told_of_manifests(folder: Path, artifacts: dict[str, Path], tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.onnx"
    stranger.write_bytes(artifacts["int8.onnx"].read_bytes())
    with pytest.raises(ModelError) as caught:
        doctor(str(stranger), data=folder / "data.npz")
    assert "SOURCE" in caught.value.advice
    assert "integers" not in caught.value.advice


def test_a_reference_in_integers_is_no_float_network(folder: Path, artifacts: dict[str, Path], tmp_path: Path) -> None:
    """Whether or not a manifest says so; float16 is near enough, and is noted."""
    options: dict[str, Any] = {"formats": ("tflite",), "calibration": str(folder / "calibration.npz"), "preprocess": "crop=12,scale=-1..1"}
    made = pipeline.export(ExportRequest(str(folder / "healthy.keras"), recipes=("int8-plain", "dynamic", "float16"), out=tmp_path, **options))
    stranger = tmp_path / "stranger.tflite"
    stranger.write_bytes(made.paths[0].read_bytes())
    for reference in (made.paths[0], made.paths[1], stranger):
        with pytest.raises(ModelError, match="holds int8 weights"):
            doctor(str(artifacts["int8.tflite"]), data=folder / "data.npz", reference=reference)
    found = doctor(str(artifacts["int8.tflite"]), data=folder / "data.npz", reference=made.paths[2], limit=10)
    assert any("float16 weights" in note for note in found.to_json()["notes"])


def test_a_recipe_without_calibration_is_not_said_to_have_one(folder: Path) -> None:
    found = doctor(str(folder / "healthy.keras"), data=folder / "data.npz", recipe="float16", limit=10)
    assert not any("calibrated" in note for note in found.notes)
    with pytest.raises(UsageError, match="does not apply"):
        _look(folder, "healthy", recipe="float16")


def test_a_stranger_without_a_reference(folder: Path, artifacts: dict[str, Path], tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.tflite"
    stranger.write_bytes(artifacts["int8.tflite"].read_bytes())
    with pytest.raises(ModelError, match="no manifest"):
        doctor(str(stranger), data=folder / "data.npz")
    found = doctor(str(stranger), data=folder / "data.npz", reference=artifacts["float32.tflite"], limit=8)
    assert found.origin.recipe is None
    assert found.measured.final.count == 8


def test_files_of_two_networks(folder: Path, artifacts: dict[str, Path], tmp_path: Path) -> None:
    options: dict[str, Any] = {"formats": ("tflite",), "recipes": ("float32",), "preprocess": "crop=12,scale=-1..1"}
    other = pipeline.export(ExportRequest(str(folder / "shifted.keras"), out=tmp_path, **options))
    with pytest.raises(ModelError, match="different networks"):
        doctor(str(artifacts["int8.tflite"]), data=folder / "data.npz", reference=other.paths[0])
    stranger = tmp_path / "stranger.tflite"
    stranger.write_bytes(other.paths[0].read_bytes())
    with pytest.raises(ModelError, match="only 1 of 4 layers"):
        doctor(str(artifacts["int8.tflite"]), data=folder / "data.npz", reference=stranger)


def test_data_that_do_not_fit(folder: Path, artifacts: dict[str, Path], tmp_path: Path) -> None:
    wrong = networks.saved(tmp_path / "wrong.npz", np.zeros((4, 5, 5, 3), np.float32))
    with pytest.raises(DataError, match="does not fit"):
        doctor(str(artifacts["int8.tflite"]), data=wrong)
    with pytest.raises(DataError, match="does not exist"):
        doctor(str(artifacts["int8.tflite"]), data=tmp_path / "nothing")
    with pytest.raises(ModelError, match="does not exist"):
        doctor(str(tmp_path / "nothing.tflite"), data=folder / "data.npz")
    broken = networks.saved(tmp_path / "nan.npz", np.full((4, 12, 12, 3), np.nan, np.float32))
    with pytest.raises(DataError, match="not finite"):
        doctor(str(artifacts["int8.tflite"]), data=broken)


def test_a_process_that_dies_or_hangs_is_named(artifacts: dict[str, Path], tmp_path: Path) -> None:
    import sys

    files = artifacts["int8.tflite"], artifacts["float32.tflite"]
    abort = [sys.executable, "-c", "import os; os.abort()"]
    with pytest.raises(ModelError, match="SIGABRT"):
        process.compare_in_process(*files, [], lambda _: None, command=abort)
    nonsense = [sys.executable, "-c", "print('[1]'); print('{')"]
    with pytest.raises(ModelError, match="exit code 0"):
        process.compare_in_process(*files, [], lambda _: None, command=nonsense)
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(ModelError, match="took longer than 1 s"):
        process.compare_in_process(*files, [], lambda _: None, command=sleep, limits=process.Limits(seconds=1.0))


def test_a_damaged_file_is_an_answer(folder: Path, artifacts: dict[str, Path], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    data = bytearray(artifacts["int8.tflite"].read_bytes())
    for place in random.integers(200, len(data), 400):
        data[place] = int(random.integers(0, 256))
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(data)
    try:
        found = doctor(str(broken), data=folder / "data.npz", reference=artifacts["float32.tflite"], limit=4)
    except (ModelError, DataError) as error:
        assert error.advice
    else:
        assert found.measured.layers


# in a terminal


def test_eighty_columns(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = _look(folder, "uneven", prices=True)
    show_diagnosis(found.to_json())
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("int8 of uneven.keras keeps")
    assert any("layer needs more bits" in line for line in lines)
    assert sum("What to do:" in line for line in lines) == 2
    assert any("in the order in which they run" in line for line in lines)


def test_hostile_names_are_shown_as_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _look(folder, "uneven")
    name = "\x1b[2J[red]wide[/red]\u202e"
    layers = tuple(replace(layer, name=name) for layer in found.measured.layers)
    measured = replace(found.measured, layers=layers)
    show_diagnosis(replace(found, measured=measured, causes=find_causes(measured, found.origin)).to_json(), every=True)
    shown = capsys.readouterr().out
    assert "\x1b[2J" not in shown
    assert "\u202e" not in shown
    assert "[red]wide[/red]" in shown


def test_photographs_of_several_sizes(folder: Path, artifacts: dict[str, Path], tmp_path: Path) -> None:
    """Without a crop they do not fit the network; with one they do."""
    from PIL import Image

    for number, size in enumerate(((20, 14), (14, 20), (16, 16), (12, 12))):
        Image.fromarray(np.full((*size, 3), 60 * number, np.uint8)).save(tmp_path / f"{number}.png")
    with pytest.raises(DataError, match="differ in size"):
        doctor(str(artifacts["int8.tflite"]), data=tmp_path, preprocess="scale=-1..1")
    assert doctor(str(artifacts["int8.tflite"]), data=tmp_path).measured.final.count == 4
