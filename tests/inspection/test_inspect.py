"""Inspecting whole files: our own exports, other quantizers' files, strangers' files, what is no model, and what kills the process that opens it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from made_models import keras_archive, keras_config, layer, onnx_file, tflite_file
from tiny_models import linear_onnx, linear_tflite

from dsmobile import pipeline
from dsmobile.errors import ModelError
from dsmobile.inspection import inspect as inspection
from dsmobile.inspection.inspect import inspect
from dsmobile.inspection.process import Limits, ask

WEIGHTS = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)
ENDS = ((0.05, 3), (0.25, -7))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    request = pipeline.ExportRequest("mobilenet_v1", alpha=0.25, resolution=64, classes=7, out=tmp_path_factory.mktemp("out"))
    return {f"{manifest.recipe} {manifest.format}": path for path, manifest in zip(*_written(request), strict=True)}


def _written(request):
    written = pipeline.export(request)
    return written.paths, written.manifests


def test_our_own_files_have_their_manifests_macs(exported: dict[str, Path]) -> None:
    documents = {name: inspect(path).to_json() for name, path in exported.items()}
    for name, document in documents.items():
        manifest = document["manifest"]
        assert document["macs"] == manifest["macs"]
        assert document["macs_unknown"] == document["macs_left_out"] == []
        assert (document["format"], manifest["recipe"]) == (name.split()[1], name.split()[0])
        assert document["size_bytes"] == exported[name].stat().st_size
        assert [(trial["takes"], trial["ran"]) for trial in document["runtimes"]] == [(True, True)]
        assert document["inputs"][0]["layout"] in ("nhwc", "nchw")
        json.dumps(document)
    assert len({document["parameters"] for document in documents.values()}) == 1
    assert [documents[f"float32 {kind}"]["quantization"] for kind in ("tflite", "onnx")] == ["float32", "float32"]
    assert documents["int8 tflite"]["quantization"] == "full int8, per channel"
    assert documents["int8 onnx"]["quantization"] == "full int8, per channel (QDQ)"
    assert documents["int8 onnx"]["weight_precision"]["int8"]["share"] > 0.9


def test_other_quantizers_are_recognized(exported: dict[str, Path], tmp_path: Path) -> None:
    """ONNX Runtime's own quantizer writes QOperator, dynamic and 16-bit files of the same network: the same MACs, and parameters, in each."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

    class Zeros(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [{inspect_input: np.zeros(shape, np.float32)}]

        def get_next(self):
            return self.left.pop() if self.left else None

    source = exported["float32 onnx"]
    facts = inspect(source).facts
    inspect_input, shape = facts.inputs[0].name, facts.inputs[0].shape
    quantize_static(source, tmp_path / "q.onnx", Zeros(), quant_format=QuantFormat.QOperator, per_channel=True)
    quantize_static(source, tmp_path / "t.onnx", Zeros(), quant_format=QuantFormat.QDQ, per_channel=False)
    wide = {"activation_type": QuantType.QUInt16, "weight_type": QuantType.QInt8, "extra_options": {"UseQDQContribOps": True}}
    quantize_static(source, tmp_path / "w.onnx", Zeros(), quant_format=QuantFormat.QDQ, **wide)
    quantize_dynamic(source, tmp_path / "d.onnx")
    expected = {
        "q": "full int8, per channel (QOperator)",
        "t": "full int8, per tensor (QDQ)",
        "w": "uint16 activations, int8 weights, per tensor (QDQ)",
        "d": "dynamic range int8, per tensor (QOperator)",
    }
    for name, quantization in expected.items():
        found = inspect(tmp_path / f"{name}.onnx").facts
        assert (found.quantization, found.macs, found.parameters) == (quantization, facts.macs, facts.parameters)


@pytest.mark.parametrize(("writer", "ending"), [(linear_tflite, "tflite"), (linear_onnx, "onnx")])
def test_ends_with_their_quantization(tmp_path: Path, writer, ending: str) -> None:
    document = inspect(writer(tmp_path / f"m.{ending}", WEIGHTS, (1, 2, 2, 3), ends=ENDS)).to_json()
    (first,), (last,) = document["inputs"], document["outputs"]
    assert (first["name"], first["shape"], first["dtype"], first["layout"]) == ("input", (1, 2, 2, 3), "int8", "nhwc")
    assert (first["scale"], first["zero_point"]) == (pytest.approx(0.05), 3)
    assert (last["scale"], last["zero_point"]) == (pytest.approx(0.25), -7)
    assert (document["macs"], document["parameters"], document["subgraphs"]) == (36, 36, 1)


def test_several_inputs_and_open_sizes(tmp_path: Path) -> None:
    from onnx import helper

    add = [helper.make_node("Add", ["a", "b"], ["y"])]
    (two,) = inspect(onnx_file(tmp_path / "two.onnx", add, {"a": ("N", 3), "b": (1, 3)}, {"y": None})).runtimes
    assert (two.takes, two.ran) == (True, True)
    (open_size,) = inspect(onnx_file(tmp_path / "open.onnx", add, {"a": (1, "width"), "b": (1, 3)}, {"y": None})).runtimes
    assert (open_size.takes, open_size.ran) == (True, False)
    assert "no fixed size" in open_size.reason


def test_a_runtime_that_refuses_is_an_answer(tmp_path: Path) -> None:
    graph = {"tensors": {"x": (1, 4), "y": (1, 4)}, "inputs": ["x"], "outputs": ["y"], "operators": [("FlexCholesky", ["x"], ["y"])]}
    document = inspect(tflite_file(tmp_path / "m.tflite", [graph])).to_json()
    (trial,) = document["runtimes"]
    assert not trial["takes"]
    assert "Flex delegate" in trial["reason"]
    assert document["macs"] is None
    assert document["macs_is_lower_bound"]


def test_a_file_that_kills_its_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a real file does that makes LiteRT free memory twice; here a process that aborts stands for it."""
    abort = [sys.executable, "-c", "import os, sys; sys.stderr.write('double free or corruption (out)'); sys.stderr.flush(); os.abort()"]
    monkeypatch.setattr(inspection, "ask", lambda task, *rest, **options: ask(task, *rest, **options, command=abort if task == "try" else None))
    (trial,) = inspect(linear_tflite(tmp_path / "m.tflite", WEIGHTS, (1, 2, 2, 3))).runtimes
    assert (trial.takes, trial.ran) == (False, False)
    assert trial.reason == "opening it, its process was killed by SIGABRT (double free or corruption (out))"
    monkeypatch.setattr(inspection, "ask", lambda task, *rest, **options: ask(task, *rest, **options, command=abort))
    with pytest.raises(ModelError, match=r"m\.tflite cannot be read: the process that read it was killed by SIGABRT"):
        inspect(tmp_path / "m.tflite")


@pytest.mark.parametrize(
    ("code", "ending", "said"),
    [
        ("import time; time.sleep(60)", "took longer than 0.5 s and was stopped", {}),
        ("raise SystemExit(3)", "ended with exit code 3", {}),
        ("print('{\"opened\": true}', flush=True); import os; os.kill(os.getpid(), 11)", "was killed by SIGSEGV", {"opened": True}),
        ("print('garbage'); print('[1]'); print('{\"half\": '); print('['*100000)", "", {}),
    ],
)
def test_endings_of_a_process(tmp_path: Path, code: str, ending: str, said: dict) -> None:
    path = linear_tflite(tmp_path / "m.tflite", WEIGHTS, (1, 2, 2, 3))
    outcome = ask("try", path, "tflite", seconds=0.5 if "sleep" in code else 20, memory_bytes=1 << 30, command=[sys.executable, "-c", code])
    assert (outcome.ending, outcome.said) == (ending, said)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process's address space")
def test_a_file_that_takes_all_memory_is_stopped(tmp_path: Path) -> None:
    from onnx import helper

    nodes = [
        helper.make_node("ConstantOfShape", ["n"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["s"], keepdims=0),
        helper.make_node("Add", ["x", "s"], ["y"]),
    ]
    path = onnx_file(tmp_path / "m.onnx", nodes, {"x": (1, 3)}, {"y": (1, 3)}, {"n": np.array([3, 1 << 28], np.int64)})
    (trial,) = inspect(path, limits=Limits(trial_memory_bytes=1 << 30)).runtimes
    assert not trial.takes


def test_weights_outside_the_files_own_folder_are_not_opened(tmp_path: Path) -> None:
    import onnx
    from onnx import helper

    path = onnx_file(tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": (1, 30)}, {"y": None}, {"w": (30, 40)})
    onnx.save(onnx.load(path), str(path), save_as_external_data=True, location="m.bin", size_threshold=0)
    beside = inspect(path)
    assert (beside.facts.external_data, beside.facts.parameters, beside.runtimes[0].takes) == (("m.bin",), 1200, True)
    (tmp_path / "m.bin").unlink()
    gone = inspect(path)
    assert any("is not beside it" in note for note in gone.facts.notes)
    assert not gone.runtimes[0].takes
    for location in ("../m.bin", "/etc/passwd"):
        model = onnx.load(path, load_external_data=False)
        model.graph.initializer[0].external_data[0].value = location
        path.write_bytes(model.SerializeToString())
        outside = inspect(path)
        assert outside.runtimes[0].reason == "it was not opened, since it names files outside its own folder"


def test_a_manifest_of_other_bytes_is_not_believed(exported: dict[str, Path], tmp_path: Path) -> None:
    path = linear_onnx(tmp_path / "m.onnx", WEIGHTS, (1, 2, 2, 3))
    beside = tmp_path / "m.onnx.manifest.json"
    beside.write_bytes(Path(f"{exported['float32 onnx']}.manifest.json").read_bytes())
    found = inspect(path)
    assert found.manifest is None
    assert any("another file" in note for note in found.notes)
    beside.write_text("{}")
    assert any("left unread" in note for note in inspect(path).notes)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
ZIP = b"PK\x03\x04" + b"\0" * 99
PAGE = b"<!DOCTYPE html><html><head><title>404</title></head></html>"


@pytest.mark.parametrize("suffix", [".h5", ".keras", ".tflite", ".onnx"])
@pytest.mark.parametrize(("content", "word"), [(LFS, "LFS"), (PAGE, "HTML"), (b"", "empty"), (b"garbage" * 99, ""), (ZIP, "zip")])
def test_what_is_no_model(tmp_path: Path, suffix: str, content: bytes, word: str) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError) as raised:
        inspect(path)
    assert word.lower() in raised.value.message.lower()
    assert raised.value.advice


@pytest.mark.parametrize("kind", ["tflite", "onnx", "keras"])
def test_cut_short_and_under_a_wrong_name(tmp_path: Path, kind: str) -> None:
    whole = {
        "tflite": lambda path: linear_tflite(path, WEIGHTS, (1, 2, 2, 3)),
        "onnx": lambda path: linear_onnx(path, WEIGHTS, (1, 2, 2, 3)),
        "keras": lambda path: keras_archive(path, keras_config([layer("Dense", units=3)]), {"w": WEIGHTS}),
    }[kind](tmp_path / f"m.{kind}")
    half = tmp_path / f"half.{kind}"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ModelError, match=r"half\."):
        inspect(half)
    wrong = tmp_path / f"m.{'onnx' if kind != 'onnx' else 'tflite'}"
    wrong.write_bytes(whole.read_bytes())
    with pytest.raises(ModelError, match="but is"):
        inspect(wrong)


def test_folders_and_zips(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(ModelError, match="SavedModel"):
        inspect(tmp_path)
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        archive.writestr("model.bin", b"x")
    with pytest.raises(ModelError, match="zip archive, but no Keras model"):
        inspect(tmp_path / "net.keras")


def test_damaged_bytes_are_an_answer_or_a_sentence(tmp_path: Path) -> None:
    """Flipped bytes: facts, or one ModelError that names the file; never another exception."""
    from dsmobile.exporters.sniff import check_model_file
    from dsmobile.inspection.worker import read

    generator = np.random.default_rng(3)
    wholes = [
        linear_tflite(tmp_path / "m.tflite", WEIGHTS, (1, 2, 2, 3), ends=ENDS),
        linear_onnx(tmp_path / "m.onnx", WEIGHTS, (1, 2, 2, 3), ends=ENDS),
    ]
    refused = 0
    for number in range(120):
        whole = wholes[number % 2]
        data = bytearray(whole.read_bytes())
        for place in generator.integers(8, len(data), 8):
            data[place] = generator.integers(256)
        path = tmp_path / f"damaged{whole.suffix}"
        path.write_bytes(data)
        try:
            read(path, check_model_file(path))
        except ModelError as error:
            assert "damaged" in error.message
            refused += 1
    assert refused > 20


def test_real_files(shared_data: Path) -> None:
    """The same network in three files costs the same; MLPerf Tiny's reference models (arXiv:2106.07597)."""
    artifacts = shared_data / "artifacts"
    macs = {path.name: inspect(path).to_json()["macs"] for path in sorted(artifacts.iterdir()) if path.suffix in (".tflite", ".onnx")}
    assert macs["kws_ref_model.tflite"] == macs["kws_ref_model_float32.tflite"] == macs["kws_ref_model_qdq.onnx"]


def test_a_keras_file_has_keras_own_counts(tmp_path: Path) -> None:
    import keras

    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(), keras.layers.Flatten()])
    network.save(tmp_path / "m.keras")
    document = inspect(tmp_path / "m.keras").to_json()
    assert document["parameters"] == network.count_params()
    assert document["macs"] == 36 * 4 * 27
    assert (document["inputs"][0]["shape"], document["outputs"][0]["shape"]) == ((None, 8, 8, 3), (None, 144))
    assert (document["runtimes"][0]["takes"], document["runtimes"][0]["ran"]) == (True, True)


def test_the_command(tmp_path: Path) -> None:
    path = linear_tflite(tmp_path / "[bold]a\x1b[31m.tflite", WEIGHTS, (1, 2, 2, 3))
    command = [sys.executable, "-m", "dsmobile", "inspect"]
    done = subprocess.run([*command, str(path), "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {"format", "inputs", "outputs", "operators", "macs", "parameters", "size_bytes"} <= set(document)
    assert document["path"] == str(path)
    shown = subprocess.run([*command, str(path)], capture_output=True, text=True, timeout=120, env={**os.environ, "COLUMNS": "80"})
    assert "\x1b[31m" not in shown.stdout
    assert "[bold]a" in shown.stdout
    assert max(len(line) for line in shown.stdout.splitlines()) <= 80
    path.write_bytes(LFS)
    refused = subprocess.run([*command, str(path), "--json"], capture_output=True, text=True, timeout=120)
    assert refused.returncode == 3
    assert json.loads(refused.stdout)["error"]["kind"] == "ModelError"
