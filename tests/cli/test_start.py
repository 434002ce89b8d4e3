"""Help is cheap, and nothing heavy is imported for it."""

import subprocess
import sys

import pytest

from dsmobile.cli import VERBS

HEAVY = ("tensorflow", "keras", "onnxruntime", "onnx", "ai_edge_litert", "numpy", "scipy", "altair", "PIL")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", "dsmobile", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert not imported & set(HEAVY)


def test_help_names_every_verb() -> None:
    done = subprocess.run([sys.executable, "-m", "dsmobile", "--help"], capture_output=True, text=True, timeout=60)
    assert all(verb in done.stdout for verb in VERBS)


def test_models_show_is_one_json_document() -> None:
    import json

    done = subprocess.run(
        [sys.executable, "-m", "dsmobile", "models", "show", "mobilenet_v1", "--twin", "standard", "--json"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    document = json.loads(done.stdout)
    assert (document["macs"], document["parameters"]) == (568_740_352, 4_253_864)
    assert (document["twin"]["macs"], document["twin"]["parameters"]) == (4_867_293_184, 29_306_056)
    assert {"name", "rule", "separable_macs", "standard_macs", "ratio", "formula"} <= set(document["pairs"][0])
