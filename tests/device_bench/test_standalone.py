"""The harness alone: the oldest Python it promises, no dsmobile, nothing heavy."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dsmobile.devices.device import harness_files

FOLDER = harness_files()[0].parent


def oldest_python() -> str:
    candidates = [shutil.which("python3.9"), *map(str, sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9")))]
    for candidate in filter(None, candidates):
        done = subprocess.run([candidate, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True, check=False)
        if done.stdout.strip() == "(3, 9)":
            return candidate
    pytest.skip("there is no Python 3.9 on this machine")


def test_python_3_9_compiles_and_runs_it(tmp_path: Path) -> None:
    python = oldest_python()
    copy = shutil.copytree(FOLDER, tmp_path / "device_bench", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([python, "-m", "compileall", "-q", str(copy)], check=True)
    done = subprocess.run([python, str(copy), "--facts"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["python_version"].startswith("3.9.")
    code = "import device_bench.records, device_bench.controller, device_bench.replicate, device_bench.warmup as w; print(w.truncation([5] * 50))"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(0, True)"


@pytest.mark.parametrize("command", [["-m", "device_bench"], [str(FOLDER)]])
def test_runs_as_a_module_and_as_a_folder(command: list[str], tmp_path: Path) -> None:
    folder = FOLDER.parent if command[0] == "-m" else tmp_path
    done = subprocess.run([sys.executable, *command, "--facts"], cwd=folder, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["runtimes"].keys() == {"litert", "tflite-runtime", "onnxruntime", "benchmark_model"}


def test_needs_nothing_of_dsmobile_and_nothing_heavy(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "device_bench", ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import sys, device_bench.controller, device_bench.replicate, device_bench.runtimes;"
        "print([m for m in ('dsmobile', 'tensorflow', 'keras', 'scipy', 'onnx', 'onnxruntime', 'rich', 'typer') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_its_folder_does_not_bring_other_packages_along(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "device_bench", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "numpy.py").write_text("raise RuntimeError('a stray module beside the harness')", encoding="utf-8")
    code = "import runpy, sys; sys.argv = ['x', '--facts']; runpy.run_path(sys.argv0, run_name='__main__')".replace(
        "sys.argv0", repr(str(tmp_path / "device_bench"))
    )
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["numpy_version"]
    assert "stray" not in done.stderr
