"""Sessions: what a file does to its process is named, and never reaches this one."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_models import linear_onnx, linear_tflite

from dsmobile.errors import DataError, ModelError
from dsmobile.evaluation.session import Limits, Session

WEIGHTS = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)
X = np.random.default_rng(2).normal(size=(1, 2, 2, 3)).astype(np.float32)
ENDS = ((0.05, 3), (0.25, -7))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return linear_tflite(tmp_path / "m.tflite", WEIGHTS, X.shape)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.parametrize(("writer", "ending"), [(linear_tflite, "tflite"), (linear_onnx, "onnx")])
def test_outputs_equal_numpy(tmp_path: Path, writer, ending: str) -> None:
    with Session(writer(tmp_path / f"m.{ending}", WEIGHTS, X.shape)) as session:
        assert session.inputs[0].shape == X.shape
        assert session.outputs[0].shape == (1, 3)
        for factor in (1, 2):
            np.testing.assert_allclose(session.run(X * factor)[0], X.reshape(1, -1) @ WEIGHTS * factor, rtol=1e-5, atol=1e-5)


def test_stored_outputs_are_the_files_own(tmp_path: Path) -> None:
    with Session(linear_tflite(tmp_path / "m.tflite", WEIGHTS, X.shape, ends=ENDS)) as session:
        stored, real = session.run(X, raw=True)[0], session.run(X)[0]
    assert stored.dtype == np.int8
    np.testing.assert_allclose(real, (stored.astype(np.float32) + 7) * 0.25)


def test_a_wrong_input_is_a_data_error_and_the_session_goes_on(model: Path) -> None:
    with Session(model) as session:
        with pytest.raises(DataError, match=r"\(1, 5, 2, 3\) does not fit"):
            session.run(np.zeros((1, 5, 2, 3), np.float32))
        assert session.run(X)[0].shape == (1, 3)


def test_several_sessions_work_at_the_same_time(model: Path) -> None:
    with Session(model) as one, Session(model) as two:
        one.send(X)
        two.send(2 * X)
        (twice,), _, _ = two.receive()
        (once,), seconds, logits = one.receive()
    assert logits is None  # not asked for
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5, atol=1e-6)
    assert seconds >= 0


@pytest.mark.parametrize("name", ["SIGABRT", "SIGSEGV", "SIGKILL", "SIGBUS"])
def test_a_signal_is_named(model: Path, name: str) -> None:
    code = f"import os, signal, sys; sys.stderr.write('double free or corruption (out)\\n'); sys.stderr.flush(); os.kill(os.getpid(), signal.{name})"
    with (
        Session(model, command=python(code)) as session,
        pytest.raises(ModelError, match=rf"m\.tflite .*{name}.*while it was opened.*double free") as raised,
    ):
        _ = session.inputs
    assert int(raised.value.exit_code) == 3
    assert raised.value.advice


def test_a_process_killed_between_inferences_is_a_model_error(model: Path) -> None:
    with Session(model) as session:
        session.run(X)
        os.kill(session._process.pid, signal.SIGKILL)
        session._process.wait()
        with pytest.raises(ModelError, match="SIGKILL while it was run"):
            session.run(X)


def test_a_process_that_ends_without_a_word_is_a_model_error(model: Path) -> None:
    with Session(model, command=python("raise SystemExit(3)")) as session, pytest.raises(ModelError, match="exit code 3"):
        _ = session.inputs


@pytest.mark.parametrize("noise", ["b'garbage' * 100", "bytes(4096)", "b'\\xff' * 4096"])
def test_a_process_that_speaks_nonsense_is_a_model_error(model: Path, noise: str) -> None:
    code = f"import sys; sys.stdout.buffer.write({noise}); sys.stdout.flush(); sys.stdin.buffer.read()"
    with Session(model, command=python(code)) as session, pytest.raises(ModelError, match=r"m\.tflite .*nonsense"):
        _ = session.inputs


def test_a_process_that_hangs_is_stopped(model: Path) -> None:
    with Session(model, command=python("import time; time.sleep(600)"), limits=Limits(load_s=0.5)) as session:
        with pytest.raises(ModelError, match=r"took longer than 0\.5 s while it was opened"):
            _ = session.inputs
        assert session._process.poll() is not None


def test_an_inference_that_hangs_is_stopped(model: Path) -> None:
    with Session(model, limits=Limits(inference_s=0.5)) as session:
        _ = session.inputs
        os.kill(session._process.pid, signal.SIGSTOP)
        with pytest.raises(ModelError, match=r"took longer than 0\.5 s while it was run"):
            session.run(X)


def test_an_input_larger_than_the_pipe_cannot_block_for_ever(model: Path) -> None:
    with Session(model, limits=Limits(inference_s=0.5)) as session:
        _ = session.inputs
        os.kill(session._process.pid, signal.SIGSTOP)
        with pytest.raises(ModelError, match="took longer"):
            session.run(np.zeros((1, 1000, 1000, 3), np.float32))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process's address space")
def test_a_file_that_takes_too_much_memory_ends_its_own_process_only(tmp_path: Path) -> None:
    """A tensor of 3 GiB that a file of a few hundred bytes asks for."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        helper.make_node("Add", ["input", "sum"], ["output"]),
    ]
    shape = numpy_helper.from_array(np.array([3, 1 << 28], np.int64), "shape")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3)) for name in ("input", "output")]
    net = helper.make_model(helper.make_graph(nodes, "huge", ends[:1], ends[1:], [shape]), opset_imports=[helper.make_opsetid("", 17)])
    net.ir_version = 9
    path = tmp_path / "huge.onnx"
    onnx.save(net, path)
    with Session(path, limits=Limits(memory_bytes=2 << 30)) as session, pytest.raises(ModelError, match=r"huge\.onnx"):
        session.run(np.zeros((1, 3), np.float32))


def test_bytes_that_are_no_model_are_a_model_error(tmp_path: Path, model: Path) -> None:
    whole = model.read_bytes()
    generator = np.random.default_rng(5)
    survived = 0
    for number in range(12):
        damaged = bytearray(whole)
        for place in generator.integers(8, len(whole), 20):
            damaged[place] = generator.integers(256)
        path = tmp_path / f"damaged{number}.tflite"
        path.write_bytes(damaged)
        try:
            with Session(path) as session:
                session.run(X)
                survived += 1
        except (ModelError, DataError) as error:
            assert f"damaged{number}" in error.message
    assert survived < 12
    path = tmp_path / "header.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + generator.bytes(500))
    with pytest.raises(ModelError), Session(path) as session:
        session.run(X)


def test_nothing_is_left_running(model: Path) -> None:
    def fail() -> None:
        with Session(model) as session:
            sessions.append(session)
            _ = session.inputs
            raise KeyboardInterrupt

    sessions: list[Session] = []
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert sessions[0]._process.poll() is not None
    for _ in range(100):
        if threading.active_count() <= threads:
            break
        time.sleep(0.05)
    assert threading.active_count() <= threads


def test_the_folder_one_stands_in_is_not_imported_from(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("import os; os.abort()")
    monkeypatch.chdir(tmp_path)
    with Session(model) as session:
        assert session.run(X)[0].shape == (1, 3)
