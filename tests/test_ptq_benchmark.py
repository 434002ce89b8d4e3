import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def ptq():
    sys.path.insert(0, str(BENCHMARKS))  # as when it is run
    spec = importlib.util.spec_from_file_location("ptq_benchmark", BENCHMARKS / "ptq.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def outcome(ptq, tmp_path):
    """What becomes of a tool whose script has this body."""
    import numpy as np

    np.savez(tmp_path / "inputs.npz", x=np.zeros((1, 2, 2, 3), np.float32))
    starts = {"onnx": tmp_path / "float.onnx", "tflite": tmp_path / "float.tflite", "inputs": tmp_path / "inputs.npz"}

    def judge_file(path):
        return sys.modules["ptq_tools.judging"].logits_of(path, [])

    def run(body):
        script = tmp_path / "tool.py"
        head = f"import sys\nsys.path.insert(0, {str(BENCHMARKS / 'ptq_tools')!r})\nimport job\n"
        script.write_text(f"{head}def quantize(network, x, out):\n    {body}\njob.run(quantize, '9.8')\n")
        setting = ptq.Setting("default", {})
        tool = ptq.Tool("tool", "A tool", str(script), "onnx", "onnx", (setting,))
        return ptq.outcome(tool, setting, starts, tmp_path / "out.onnx", judge_file)

    return run


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('no such operator\\nand more')", "ValueError: no such operator"),
        ("import os; os.kill(os.getpid(), 9)", "exit status -9"),
        ("import missing_library", "ModuleNotFoundError"),
        ("pass", "out.onnx"),
        ("out.write_bytes(b'no onnx')", "out.onnx"),
    ],
)
def test_a_tool_that_fails_has_a_row_with_the_reason(ptq, outcome, body, reason):
    found = outcome(body)
    assert found.judgement is None
    assert found.rank < (0.0, 0.0, 0.0)
    row = ptq.row(found)
    assert row[0].startswith("A tool")
    assert reason in row[3]
    assert not any(row[4:])


def test_a_tool_that_is_not_installed_has_a_row_too(ptq, monkeypatch, tmp_path):
    monkeypatch.setattr(ptq, "foreign_python", lambda: ("", "no network"))
    setting = ptq.Setting("default", {})
    tool = ptq.Tool("tool", "A tool", "tool.py", "onnx", "onnx", (setting,), apart=True)
    assert "not installed: no network" in ptq.row(ptq.outcome(tool, setting, {}, tmp_path / "out.onnx", pytest.fail))[3]


def test_every_tool_has_a_script_and_every_pin_a_version(ptq):
    assert all((BENCHMARKS / "ptq_tools" / tool.script).is_file() for tool in ptq.TOOLS)
    lines = (BENCHMARKS / "ptq_tools" / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in lines if not line.startswith("#"))


def test_a_judgement_by_hand(ptq):
    import numpy as np

    judging = sys.modules["ptq_tools.judging"]
    labels = np.array([0, 1, 2, 2])
    reference = np.array([[3, 1, 0], [0, 3, 1], [0, 1, 3], [3, 0, 1]], np.float32)
    logits = np.array([[2, 2, 0], [2, 2, 1], [0, 1, 3], [0, 0, 1]], np.float32)
    found = judging.judge(logits, reference, labels)
    assert found.top1 == 3 / 4  # of the equal ones in the first two rows class 0 counts
    assert found.top1_shared == (1 / 2 + 1 / 2 + 1 + 1) / 4
    assert (found.lost, found.gained, found.agreement) == (1, 1, 2 / 4)
    assert found.sqnr_db == pytest.approx(10 * np.log10(40 / (1 + 1 + 4 + 1 + 9)))
    assert found.drop_interval[0] == pytest.approx(-found.drop_interval[1])
    with pytest.raises(sys.modules["dsmobile.errors"].DataError, match="classes"):
        judging.judge(logits[:, :2], reference, labels)


def test_inputs_are_turned_for_onnx_and_refused_where_they_do_not_fit():
    import numpy as np

    spec = importlib.util.spec_from_file_location("ptq_job", BENCHMARKS / "ptq_tools" / "job.py")
    job = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(job)
    x = np.arange(2 * 4 * 5 * 3, dtype=np.float32).reshape(2, 4, 5, 3)
    turned = job.as_onnx_takes(x, (1, 3, 4, 5))
    assert turned.shape == (2, 3, 4, 5)
    assert turned[1, 2, 3, 4] == x[1, 3, 4, 2]
    assert job.as_onnx_takes(x, (1, 4, 5, 3)).shape == x.shape
    with pytest.raises(ValueError, match="do not fit"):
        job.as_onnx_takes(x, (1, 3, 7, 7))
