"""Logits of files that end in a softmax: what numpy computes, and nothing about the file's own outputs changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_models import linear_onnx, linear_tflite

from dsmobile.evaluation.logits import LogitReader, keras_with_logits, onnx_with_logits, tflite_with_logits
from dsmobile.evaluation.session import Session
from dsmobile.exporters.artifact import TensorInfo
from dsmobile.exporters.runners import Runner, open_runner

GENERATOR = np.random.default_rng(6)
WEIGHTS = GENERATOR.normal(size=(12, 5)).astype(np.float32)
X = GENERATOR.normal(size=(1, 2, 2, 3)).astype(np.float32)
ENDS = ((0.05, 3), (1 / 256, -128))
WRITERS = [(linear_tflite, "tflite"), (linear_onnx, "onnx")]


def softmax(logits: np.ndarray) -> np.ndarray:
    exponential = np.exp(logits - logits.max())
    return exponential / exponential.sum()


@pytest.mark.parametrize(("writer", "ending"), WRITERS)
@pytest.mark.parametrize("ends", [None, ENDS])
@pytest.mark.parametrize("raw", [False, True])
def test_logits_equal_numpy_and_the_outputs_stay(tmp_path: Path, writer, ending: str, ends, raw: bool) -> None:
    path = writer(tmp_path / f"m.{ending}", WEIGHTS, X.shape, softmax=True, ends=ends)
    with Session(path, logits=True) as session, Session(path) as plain:
        assert session.no_logits == ""
        assert session.outputs == plain.outputs
        for factor in (1, 2):  # the first input runs twice, the second once
            session.send(factor * X, raw=raw)
            answer = session.receive()
            assert len(answer.outputs) == 1
            np.testing.assert_array_equal(answer.outputs[0], plain.run(factor * X, raw=raw)[0])
            steps = np.clip(np.rint(factor * X / 0.05) + 3, -128, 127) if ends else X
            real = (steps - 3) * 0.05 if ends else factor * X
            np.testing.assert_allclose(answer.logits, real.reshape(1, -1) @ WEIGHTS, rtol=1e-5, atol=1e-5)
            if not raw:
                np.testing.assert_allclose(answer.outputs[0], softmax(answer.logits), atol=1 / 256 if ends else 1e-6)


@pytest.mark.parametrize(("writer", "ending"), WRITERS)
def test_a_file_without_a_softmax_has_no_logits_besides_its_scores(tmp_path: Path, writer, ending: str) -> None:
    with Session(writer(tmp_path / f"m.{ending}", WEIGHTS, X.shape, ends=ENDS), logits=True) as session:
        session.send(X)
        assert session.receive().logits is None
        assert session.no_logits == ""


def test_a_softmax_that_multiplies_is_told(tmp_path: Path) -> None:
    with Session(linear_tflite(tmp_path / "m.tflite", WEIGHTS, X.shape, softmax=True, beta=2.0), logits=True) as session:
        assert "multiplies" in session.no_logits
        session.send(X)
        outputs, _, logits = session.receive()
        assert logits is None
        np.testing.assert_allclose(outputs[0], softmax(2 * X.reshape(1, -1) @ WEIGHTS), rtol=1e-5)


class Fixed(Runner):
    """Gives what it was told to, and counts."""

    def __init__(self, *outputs: np.ndarray) -> None:
        super().__init__(Path("fixed"), "none", (TensorInfo("x", X.shape, "float32"),), tuple(TensorInfo("y", y.shape, "float32") for y in outputs))
        self.fixed, self.runs = outputs, 0

    def _invoke(self, stored: np.ndarray) -> list[np.ndarray]:
        self.runs += 1
        return list(self.fixed)


def test_where_the_outputs_change_the_files_own_count() -> None:
    own, other, logits = (np.array([values], np.float32) for values in ([0.25, 0.75], [0.25, 0.76], [1.0, 2.0]))
    alone, same, different = Fixed(own), Fixed(own, logits), Fixed(other, logits)
    reader = LogitReader(alone, lambda: same)
    for _ in range(3):
        np.testing.assert_array_equal(reader.run(X)[0], [own])
    assert (alone.runs, same.runs) == (1, 3)
    reader = LogitReader(alone, lambda: different)
    for _ in range(3):
        outputs, found = reader.run(X)
        np.testing.assert_array_equal(outputs, [own])
        np.testing.assert_array_equal(found, logits)
    assert alone.runs == 4


def test_what_a_parser_raises_becomes_a_reason() -> None:
    def fail() -> Runner:
        raise IndexError("tensor 7 of 3\nand more")

    reader = LogitReader(Fixed(WEIGHTS), fail)
    assert reader.problem == "tensor 7 of 3"
    assert reader.run(X)[1] is None


def test_graphs_that_loop_or_lead_nowhere_end(tmp_path: Path) -> None:
    """A stranger's file whose operators stand in a circle."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Identity", [a], [b]) for a, b in (("b", "output"), ("a", "b"), ("b", "a"))]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, (1, 3))
    (tmp_path / "loop.onnx").write_bytes(helper.make_model(helper.make_graph(nodes, "loop", [], [output])).SerializeToString())
    assert onnx_with_logits(tmp_path / "loop.onnx") is None
    assert onnx.load(tmp_path / "loop.onnx").graph.output[0].name == "output"


def test_a_keras_model_gives_both() -> None:
    keras = pytest.importorskip("keras")
    inputs = keras.Input((2, 2, 3))
    flat = keras.layers.Flatten()(inputs)
    for end in (
        lambda x: keras.layers.Dense(5, activation="softmax")(x),
        lambda x: keras.layers.Softmax()(keras.layers.Dense(5)(x)),
        lambda x: keras.layers.Reshape((5,))(keras.layers.Activation("softmax")(keras.layers.Dense(5)(x))),
    ):
        model = keras.Model(inputs, end(flat))
        probabilities, logits = keras_with_logits(model).predict_on_batch(X)
        np.testing.assert_allclose(probabilities, model.predict_on_batch(X), atol=1e-7)
        np.testing.assert_allclose(softmax(logits), probabilities, atol=1e-6)
    assert keras_with_logits(keras.Model(inputs, keras.layers.Dense(5)(flat))) is None


def test_real_files_keep_their_outputs_bit_for_bit(shared_data: Path) -> None:
    """Quantized and not, others' and strangers': all end in a softmax."""
    for name in ("kws_ref_model.tflite", "kws_ref_model_float32.tflite", "kws_ref_model_qdq.onnx", "vww_96_int8.tflite"):
        path = shared_data / "artifacts" / name
        data = tflite_with_logits(path.read_bytes()) if path.suffix == ".tflite" else onnx_with_logits(path)
        plain, both = open_runner(path), open_runner(path, data=data)
        for seed in range(3):
            x = np.random.default_rng(seed).normal(size=[max(size, 1) for size in plain.input.shape]).astype(np.float32)
            (scores, logits), (own,) = both.run(x), plain.run(x)
            np.testing.assert_array_equal(scores, own)
            np.testing.assert_allclose(softmax(logits), own, atol=1 / 256)
