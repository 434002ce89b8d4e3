"""A made-up runtime whose models misbehave as their file says, so that the harness can be watched when things go wrong."""

import os
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

RUNTIME = """
    import os, sys, time
    import numpy as np

    class Interpreter:
        def __init__(self, model_path, num_threads):
            self.model = open(model_path).read().split()
            print("a runtime's chatter", flush=True)
            if self.model[0] == "abort":
                sys.stderr.write("double free or corruption\\x1b[31m (out)\\n"); sys.stderr.flush(); os.abort()
            if self.model[0] == "hang":
                time.sleep(600)
            if self.model[0] == "refuse":
                raise ValueError("no such operator")
            if self.model[0] == "exit":
                os._exit(7)

        def allocate_tensors(self): pass
        def get_input_details(self): return [{"name": "in", "index": 0, "shape": np.array([1, 4]), "dtype": np.float32}]
        def get_output_details(self):
            return [{"index": 1, "quantization_parameters": {"scales": np.array([0.5]), "zero_points": np.array([2])}}]
        def set_tensor(self, index, value): self.value = value
        def get_tensor(self, index): return np.array([[2, 4, 127]], np.int8)
        def invoke(self):
            time.sleep(0.001)
            if self.model[0] == "slow": time.sleep(0.1)
            self.count = getattr(self, "count", 0) + 1
            if self.model[0] == "step" and self.count == 10:  # within the timed loop
                true_ns, true = time.time_ns, time.time
                time.time_ns, time.time = lambda: true_ns() + 10**10, lambda: true() + 10.0
"""


@pytest.fixture
def made_up_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes models for the made-up runtime; the harness finds it instead of the real one."""
    package = tmp_path / "site" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text(textwrap.dedent(RUNTIME), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))

    def model(behaviour: str) -> str:
        path = tmp_path / f"{behaviour}.tflite"
        path.write_text(behaviour, encoding="utf-8")
        return str(path)

    return model


@pytest.fixture
def running() -> Callable[[Path], list[int]]:
    """The processes whose command line names a folder, this one excepted; waits a little for the last ones to go."""

    def find(folder: Path) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z" and str(folder) in (entry / "cmdline").read_bytes().decode(errors="replace"):
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def after_a_while(folder: Path) -> list[int]:
        if not Path("/proc/self").exists():
            pytest.skip("needs /proc")
        deadline = time.monotonic() + 10
        while find(folder) and time.monotonic() < deadline:
            time.sleep(0.05)
        return find(folder)

    return after_a_while
