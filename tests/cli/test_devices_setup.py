"""`dsmobile devices setup` as a person meets it, without a device."""

import json
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-c", "from dsmobile.cli import main; main()", "devices", "setup"]


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)


def test_this_machine_is_told_what_it_has_and_nothing_is_pushed() -> None:
    done = run("local", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document.keys() == {
        *("address", "kind", "python", "python_version", "userland", "site", "pushed", "pushed_bytes", "runtimes", "impossible", "advice"),
    }
    assert (document["kind"], document["pushed"], document["site"]) == ("local", [], None)
    assert document["userland"]["pointer_bits"] in (32, 64)
    assert all(runtime["error"] is None and runtime["version"] for runtime in document["runtimes"])


def test_a_python_without_runtimes_is_told_what_to_install(tmp_path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    done = run("local", "--python", str(tmp_path / "bare" / "bin" / "python"))
    assert done.returncode == 0
    assert "-m pip install ai-edge-litert onnxruntime" in done.stdout
    assert "bare" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["adb:-s"], 2, "not a phone's serial number"),
        (["adb", "--python", "python3"], 2, "do not apply"),
        (["nonsense"], 2, "not an address"),
        (["local", "--runtime", "onnxruntime"], 2, "runs no .tflite files"),
        (["local", "--benchmark-model", "x"], 2, "does not apply"),
        (["ssh:pi@256.256.256.256.invalid"], 5, "cannot be reached"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_with_its_exit_code(arguments, code, words) -> None:
    done = run(*arguments, "--json")
    assert done.returncode == code
    error = json.loads(done.stdout)["error"]
    assert words in error["message"]
    assert error["advice"]
