"""`dsmobile ship` as a person runs it: every verb, what it prints, its exit codes, one JSON document."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long

LABELS = "one\ntwo\nthree\n"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small classifier without labels, and the labels that fit it."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "labels.txt").write_text(LABELS)
    ran(
        0, "export", "mobilenet_v1", "--alpha", "0.25", "--resolution", "32", "--classes", "3", "--format", "tflite", "--recipe", "float32",
        "--out", str(folder),
    )  # fmt: skip
    return next(folder.glob("*.tflite"))


def ran(code: int, *arguments: str) -> str:
    """Runs the program in a process of its own, as `dsmobile` is meant to be run."""
    done = subprocess.run([sys.executable, "-m", "dsmobile", *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def document(code: int, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ran(code, *arguments, "--json"))
    return found


def test_metadata_are_written_into_a_copy(exported: Path, tmp_path: Path) -> None:
    labels, out = str(exported.parent / "labels.txt"), tmp_path / "stamped.tflite"
    text = ran(0, "ship", "metadata", str(exported), "--labels", labels, "--author", "A. N. Author", "--license", "MIT", "--out", str(out))
    assert "3 labels" in text
    told = document(0, "inspect", str(out))["metadata"]
    assert (told["model"]["author"], told["model"]["license"]) == ("A. N. Author", "MIT")
    assert exported.read_bytes() in out.read_bytes()
    manifest = json.loads(out.with_name(out.name + ".manifest.json").read_text())
    assert manifest["labels"] == LABELS.split()
    assert manifest["accepted_by"]["mediapipe"]["accepted"]
    first = out.read_bytes()
    ran(3, "ship", "metadata", str(exported), "--labels", labels, "--out", str(out))
    ran(0, "ship", "metadata", str(exported), "--labels", labels, "--author", "A. N. Author", "--license", "MIT", "--out", str(out), "--force")
    assert out.read_bytes() == first


def test_a_strangers_file_needs_its_preprocessing(exported: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.tflite"
    stranger.write_bytes(exported.read_bytes())
    options = ["--labels", str(exported.parent / "labels.txt"), "--out", str(tmp_path / "out.tflite")]
    assert "--preprocess" in document(3, "ship", "metadata", str(stranger), *options)["error"]["advice"]
    done = document(0, "ship", "metadata", str(stranger), *options, "--preprocess", "resize=32,scale=-1..1")
    assert done["labels"] == 3
    assert not (tmp_path / "out.tflite.manifest.json").exists()


@pytest.mark.parametrize("labels", [b"one\ntwo\n", b"", b"one\n\nthree\n", b"\xff\xfeo\x00n\x00e\x00"])
def test_labels_that_do_not_fit_are_refused(exported: Path, tmp_path: Path, labels: bytes) -> None:
    (tmp_path / "labels.txt").write_bytes(labels)
    for verb in ("metadata", "goldens", "android"):
        more = ["--package", "com.acme.vision"] if verb == "android" else []
        error = document(3, "ship", verb, str(exported), "--labels", str(tmp_path / "labels.txt"), "--out", str(tmp_path / "out"), *more)["error"]
        assert "labels" in error["message"]
    assert not (tmp_path / "out").exists()


def test_goldens_are_written_once(exported: Path, tmp_path: Path) -> None:
    arguments = ["ship", "goldens", str(exported), "--labels", str(exported.parent / "labels.txt"), "--out", str(tmp_path / "goldens")]
    done = document(0, *arguments)
    assert "exact" in done["goldens"]
    assert all(Path(path).is_file() for path in done["files"])
    document(3, *arguments)
    assert "exact" in ran(0, *arguments, "--force")


def test_an_apk_is_judged(exported: Path, tmp_path: Path) -> None:
    apk = tmp_path / "app.apk"
    with zipfile.ZipFile(apk, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("AndroidManifest.xml", b"no manifest")
        archive.write(exported, "assets/net.tflite")
    report = document(7, "ship", "check", str(apk), "--artifact", str(exported))
    status = {check["name"]: check["status"] for check in report["checks"]}
    assert not report["passed"]
    assert status["sha256"] == "passed"
    assert status["stored"] == status["signature"] == "failed"
    assert "stored" in ran(7, "ship", "check", str(apk))
    (tmp_path / "no.apk").write_bytes(b"nothing")
    document(3, "ship", "check", str(tmp_path / "no.apk"))
