"""What a person sees when something is wrong: one sentence, a way out, the right exit code, nothing half-written."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SMALL = ["--alpha", "0.25", "--resolution", "32", "--classes", "4", "--recipe", "float32", "--format", "onnx"]


def dsmobile(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dsmobile", *arguments], capture_output=True, text=True, timeout=300, **options)  # type: ignore[call-overload, no-any-return]


def refused(code: int, words: list[str], *arguments: str) -> None:
    done = dsmobile(*arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "What to do:" in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.strip()]) == 2
    for word in words:
        assert word in done.stderr
    as_json = dsmobile(*arguments, "--json")
    assert as_json.returncode == code
    error = json.loads(as_json.stdout)["error"]
    assert set(error) == {"kind", "message", "advice"}
    assert error["message"]
    assert error["advice"]


@pytest.mark.parametrize(
    ("code", "words", "arguments"),
    [
        (3, ["mobilnet_v1", "Did you mean mobilenet_v1"], ["export", "mobilnet_v1"]),
        (3, ["alpha -1"], ["export", "mobilenet_v1", "--alpha", "-1"]),
        (3, ["alpha 100"], ["models", "show", "mobilenet_v1", "--alpha", "100"]),
        (3, ["resolution 7"], ["export", "mobilenet_v1", "--resolution", "7"]),
        (3, ["missing.h5"], ["export", "missing.h5"]),
        (2, ["--alpha", "net.h5"], ["export", "net.h5", "--alpha", "0.5"]),
        (2, ["coreml"], ["export", "mobilenet_v1", "--format", "coreml"]),
        (3, ["int9", "int8"], ["export", "mobilenet_v1", "--recipe", "int9"]),
        (3, ["rezise", "resize"], ["export", "mobilenet_v1", "--preprocess", "rezise=3,scale=0..1"]),
        (3, ["nothere.txt"], ["export", "mobilenet_v1", "--labels", "nothere.txt"]),
        (2, ["--author", "--labels"], ["export", "mobilenet_v1", "--author", "Me"]),
        (2, ["--license", "--format tflite"], ["export", "mobilenet_v1", "--license", "MIT", "--labels", "l.txt", "--format", "onnx"]),
        (2, ["mediapipr", "mediapipe"], ["export", "mobilenet_v1", "--for", "mediapipr"]),
        (2, ["--rescaling", "nowhere"], ["export", "mobilenet_v1", "--rescaling", "nowhere"]),
        (2, ["which file ran", "--model"], ["bench", "--import-log", "phone.log"]),
        (2, ["--model", "--import-log"], ["bench", "--model", "net.tflite"]),
        (2, ["--cores", "phones"], ["bench", "net.tflite", "--cores", "big"]),
        (3, ["missing.tflite"], ["bench", "missing.tflite"]),
        (3, ["missing.tflite"], ["evaluate", "missing.tflite", "--data", "."]),
        (3, ["missing.json"], ["report", "missing.json"]),
        (3, ["missing.tflite"], ["ship", "android", "missing.tflite", "--labels", "l.txt", "--package", "com.acme.vision"]),
    ],
)
def test_wrong_arguments(code: int, words: list[str], arguments: list[str]) -> None:
    refused(code, words, *arguments)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PAGE = b"<!DOCTYPE html><html><head><title>404</title></head></html>"


@pytest.mark.parametrize("suffix", [".h5", ".keras", ".tflite", ".onnx"])
@pytest.mark.parametrize(
    ("content", "word"), [(LFS, "LFS"), (PAGE, "HTML"), (b"", "empty"), (b"\x89HDF\r\n\x1a\n" + b"\0" * 64, ""), (b"garbage" * 99, "")]
)
def test_model_files_that_are_none(tmp_path: Path, suffix: str, content: bytes, word: str) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    done = dsmobile("export" if suffix in (".h5", ".keras") else "bench", str(path), "--out", str(tmp_path / "out"))
    assert done.returncode == 3, done.stderr
    assert word.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [path.name]


def test_usage_errors_are_json_too() -> None:
    done = dsmobile("export", "mobilenet_v1", "--alpha", "wide", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["kind"] == "UsageError"


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    refused(3, ["out is not a folder", "--out"], "export", "mobilenet_v1", *SMALL, "--out", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix" or not Path("/dev/full").exists(), reason="needs a file system that can be full: Linux")
def test_a_full_disk(tmp_path: Path) -> None:
    """A file system of 64 KiB: the export says that it is full and leaves nothing."""
    small = tmp_path / "small"
    small.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True)
    if mount.returncode:
        pytest.skip("only root may mount a small file system")
    try:
        done = dsmobile("export", "mobilenet_v1", *SMALL, "--out", str(small))
        assert done.returncode == 3, done.stderr
        assert "space" in done.stderr
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    first = dsmobile("export", "mobilenet_v1", *SMALL, "--out", str(tmp_path), "--json")
    assert first.returncode == 0, first.stderr
    (artifact,) = json.loads(first.stdout)["artifacts"]
    assert Path(artifact["path"]).is_absolute()
    assert Path(artifact["manifest"]).is_file()
    refused(3, ["overwritten", "--force"], "export", "mobilenet_v1", *SMALL, "--out", str(tmp_path))


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")
@pytest.mark.parametrize("after_s", [0.05, 2.0, 5.0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_any_moment(tmp_path: Path, after_s: float, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "dsmobile", "export", "mobilenet_v1", "--alpha", "0.5", "--twin", "standard", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(after_s)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=120)
    not_begun = process.returncode == -number and "dsmobile" not in stderr  # on a busy machine Python itself takes seconds to our first line
    if after_s > 1 and not not_begun:
        assert process.returncode == (130 if number == signal.SIGINT else 143)
        assert "Traceback" not in stderr
    left = list((tmp_path / "out").iterdir()) if (tmp_path / "out").exists() else []
    assert not [path for path in left if path.name.startswith(".") or path.name.endswith(".part")]
    models = [path for path in left if path.suffix in (".tflite", ".onnx")]
    assert all(path.with_name(path.name + ".manifest.json").is_file() for path in models)
