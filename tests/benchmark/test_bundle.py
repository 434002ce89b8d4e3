"""Measuring where no cable leads: a bundle goes out on a stick, samples come back."""

import json
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from dsmobile.benchmark.bundle import FOLDER, how_to_run, write_bundle
from dsmobile.benchmark.result import Validity, Verdict
from dsmobile.benchmark.run import bench, import_samples
from dsmobile.benchmark.ways import Options, follow
from dsmobile.errors import DataError, OutputError, UsageError


def unpacked(path: Path, place: Path) -> Path:
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(path), str(place)], check=True)
    return place / FOLDER


def run(folder: Path, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(folder / "run.py")], capture_output=True, text=True, check=False, cwd="/", **options)


def test_there_and_back(pair_of_files, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "out.zip", pair_of_files, threads=1, budget_s=2.0)
    folder = unpacked(bundle.path, tmp_path / "a stick's $HOME")
    assert not any("/" in name and name.startswith("/") for name in bundle.files)
    text = (folder / "plan.json").read_text() + (folder / "README.txt").read_text()
    assert str(tmp_path) not in text  # nothing tells where the models lie here
    done = run(folder)
    assert done.returncode == 0, done.stderr
    result, path = import_samples(folder / "samples.jsonl", [pair_of_files[1], pair_of_files[0]], out=tmp_path / "o", keep_invalid=True)
    assert path is not None
    assert result.device == "imported"
    assert result.pairs[0].speedup > 0
    assert result.pairs[0].separable == str(pair_of_files[0])
    assert result.pairs[0].blocks >= 3
    assert result.settings["stopped_by"] == "imported"
    again = run(folder)
    assert again.returncode == 0
    assert (folder / "samples-2.jsonl").exists()


@pytest.mark.slow
def test_a_self_test_and_a_run_without_a_pause_travel_too(tiny_files, tmp_path: Path) -> None:
    write_bundle(tmp_path / "self.zip", [tiny_files["small"]], threads=1, budget_s=1.0, self_test=True)
    folder = unpacked(tmp_path / "self.zip", tmp_path / "self")
    assert run(folder).returncode == 0
    result, _ = import_samples(folder / "samples.jsonl", [tiny_files["small"]], out=tmp_path, keep_invalid=True)
    assert result.pairs[0].of_itself
    write_bundle(tmp_path / "long.zip", [tiny_files["small"]], threads=1, budget_s=1.0, sustained_s=6.0)
    folder = unpacked(tmp_path / "long.zip", tmp_path / "long")
    assert run(folder).returncode == 0
    result, _ = import_samples(folder / "samples.jsonl", [tiny_files["small"]], out=tmp_path, keep_invalid=True)
    assert len(result.sustained[0].seconds) >= 5


def test_ctrl_c_keeps_what_was_measured(tiny_files, tmp_path: Path) -> None:
    write_bundle(tmp_path / "out.zip", [tiny_files["small"]], threads=1, budget_s=30.0)
    folder = unpacked(tmp_path / "out.zip", tmp_path)
    (tmp_path / "cache").mkdir()
    process = subprocess.Popen(
        [sys.executable, str(folder / "run.py")], stderr=subprocess.PIPE, env={"DSMOBILE_CACHE": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}
    )
    samples = folder / "samples.jsonl"
    deadline = time.monotonic() + 180
    while not samples.exists() or samples.read_text().count('"when": "after"') < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    process.stderr.close()
    result, _ = import_samples(samples, [tiny_files["small"]], out=tmp_path, keep_invalid=True)
    assert len(result.artifacts[0].replicates) >= 2


def test_the_same_files_make_the_same_bundle(tiny_files, tmp_path: Path) -> None:
    one, other = (write_bundle(tmp_path / name, [tiny_files["small"]], threads=1, budget_s=5.0) for name in ("a.zip", "b.zip"))
    assert one.path.read_bytes() == other.path.read_bytes()


def test_a_device_without_the_runtime_is_told(tiny_files, tmp_path: Path) -> None:
    write_bundle(tmp_path / "out.zip", [tiny_files["small"]], threads=1, budget_s=1.0)
    folder = unpacked(tmp_path / "out.zip", tmp_path)
    bare = subprocess.run([sys.executable, "-S", "-I", str(folder / "run.py")], capture_output=True, text=True, check=False)
    assert bare.returncode == 5
    assert "litert or tflite-runtime" in bare.stderr
    assert "ai-edge-litert" in (folder / "README.txt").read_text()


def test_runtimes_travel_along_where_they_are_asked_for(tiny_files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheels are made up here: a pure Python one, so that this Python can import it from where run.py unpacks it."""
    fetched = []

    def fetch(wheels, say) -> list[Path]:
        fetched.extend(wheels)
        path = tmp_path / "ai_edge_litert-9-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("ai_edge_litert/__init__.py", "")
            archive.writestr("ai_edge_litert/interpreter.py", "raise ImportError('from the bundle')")
        return [path]

    monkeypatch.setattr("dsmobile.benchmark.bundle.fetch", fetch)
    write_bundle(tmp_path / "out.zip", [tiny_files["small"]], threads=1, budget_s=1.0, system="bookworm")
    assert {wheel.package for wheel in fetched} == {"ai-edge-litert", "numpy"}
    assert {wheel.architecture for wheel in fetched} == {"aarch64"}
    folder = unpacked(tmp_path / "out.zip", tmp_path)
    assert run(folder).returncode == 0
    assert (folder / "site" / "ai_edge_litert" / "interpreter.py").exists()
    assert "from the bundle" in (folder / "samples.jsonl").read_text()
    assert "bookworm" in (folder / "README.txt").read_text().lower()


def test_systems_that_run_nothing_of_it_are_refused(tiny_files, tmp_path: Path) -> None:
    for system, file, words in [
        ("trixie-32", "small", "nothing runs .tflite"),
        ("bullseye", "onnx", "nothing runs .onnx"),
        ("windows", "small", "no system"),
        ("bookworm-16", "small", "no system"),
    ]:
        with pytest.raises(UsageError, match=words):
            write_bundle(tmp_path / "out.zip", [tiny_files[file]], threads=1, budget_s=1.0, system=system)
    assert not (tmp_path / "out.zip").exists()


def test_it_is_not_overwritten_and_names_are_quoted(tiny_files, tmp_path: Path) -> None:
    awkward = tmp_path / "it's $(a) model.tflite"
    shutil.copy(tiny_files["small"], awkward)
    path = tmp_path / "a b.zip"
    bundle = write_bundle(path, [awkward], threads=1, budget_s=1.0)
    assert "'a b.zip'" in how_to_run(bundle)[1]
    assert "'it'\"'\"'s $(a) model.tflite'" in how_to_run(bundle)[2]
    with zipfile.ZipFile(path) as archive:
        assert all(".." not in name and not name.startswith("/") for name in archive.namelist())
    with pytest.raises(OutputError, match="overwritten"):
        write_bundle(path, [awkward], threads=1, budget_s=1.0)
    with pytest.raises(OutputError, match="folder"):
        write_bundle(tmp_path, [awkward], threads=1, budget_s=1.0)


def test_an_interrupted_run_is_not_lost(tiny_files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Ctrl-C left in OUT/samples becomes a result."""

    def stop(text: str, share: float) -> None:
        if "blocks measured" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench([tiny_files["small"]], budget_s=10.0, out=tmp_path, progress=stop)
    (journal,) = (tmp_path / "samples").iterdir()
    result, path = import_samples(journal, [tiny_files["small"]], out=tmp_path, keep_invalid=True)
    assert len(result.artifacts[0].replicates) >= 1
    assert path is not None
    assert journal.exists()


def rewritten(path: Path, change) -> Path:
    """Samples in which each document was changed; None leaves it out."""
    documents = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(document) + "\n" for document in documents if document is not None))
    return path


@pytest.fixture(scope="module")
def carried(tiny_files, tmp_path_factory) -> Path:
    """Samples of a pair that a bundle brought back."""
    place = tmp_path_factory.mktemp("carried")
    files = [tiny_files["small"], tiny_files["large"]]
    write_bundle(place / "out.zip", [], threads=1, budget_s=0.5, pairs=[(files[0], files[1])])
    assert run(unpacked(place / "out.zip", place)).returncode == 0
    return place / FOLDER / "samples.jsonl"


def imported(carried: Path, tiny_files, tmp_path: Path, change):
    path = rewritten(Path(shutil.copy(carried, tmp_path / "samples.jsonl")), change)
    pair = (tiny_files["small"], tiny_files["large"])
    return import_samples(path, [], pairs=[pair], out=tmp_path, keep_invalid=True)[0]


def test_the_way_back_names_the_pairs(tiny_files, tmp_path: Path, carried: Path) -> None:
    bundle = write_bundle(tmp_path / "x.zip", [], threads=1, budget_s=0.5, pairs=[(tiny_files["small"], tiny_files["large"])])
    assert "--pair small.tflite large.tflite" in how_to_run(bundle)[2]
    assert "--pair small.tflite large.tflite" in (carried.parent / "README.txt").read_text()


def test_samples_know_their_runtime(carried: Path, tiny_files, tmp_path: Path) -> None:
    def other(document: dict) -> dict:
        return {**document, "runtime": "tflite-runtime"} if document["kind"] == "replicate" else document

    found = imported(carried, tiny_files, tmp_path, other)
    assert {artifact.runtime for artifact in found.artifacts} == {"tflite-runtime"}
    assert "runtime_fallback" in {warning.kind for warning in found.warnings}

    def mixed(document: dict) -> dict:
        return {**document, "runtime": "tflite-runtime"} if document.get("artifact") == 1 else document

    with pytest.raises(DataError, match="litert and tflite-runtime"):
        imported(carried, tiny_files, tmp_path, mixed)


def test_instructions_stay_instructions_and_emulated_times_stay_invalid(carried: Path, tiny_files, tmp_path: Path) -> None:
    def counted(document: dict) -> dict:
        facts = {"emulated": True, "counts_instructions": True}
        return {**document, "facts": {**document["facts"], **facts}} if document["kind"] == "header" else document

    found = imported(carried, tiny_files, tmp_path, counted)
    assert found.metric == "instructions"
    assert "emulated" not in {warning.kind for warning in found.warnings}
    low, high = found.pairs[0].speedup_interval
    assert low <= found.pairs[0].speedup / 1.01
    assert high >= found.pairs[0].speedup * 1.01

    def emulated(document: dict) -> dict:
        return {**document, "facts": {**document["facts"], "emulated": True}} if document["kind"] == "header" else document

    found = imported(carried, tiny_files, tmp_path, emulated)
    assert found.metric == "latency"
    assert found.validity is Validity.INVALID
    assert found.pairs[0].verdict is Verdict.NO_DIFFERENCE_SHOWN  # an INVALID measurement carries no verdict


def test_a_device_that_never_came_to_rest_is_known_after_the_import(carried: Path, tiny_files, tmp_path: Path) -> None:
    def restless(document: dict) -> dict:
        return {**document, "settled": False, "reasons": ["other programs use 1.0 processors"]} if document["kind"] == "rest" else document

    assert "not_settled" in {warning.kind for warning in imported(carried, tiny_files, tmp_path, restless).warnings}


@pytest.mark.slow
def test_a_run_without_a_pause_that_was_ended_early_is_not_lost(tiny_files, tmp_path: Path) -> None:
    files = [tiny_files["small"], tiny_files["large"]]
    write_bundle(tmp_path / "long.zip", files, threads=1, budget_s=1.0, sustained_s=7.0)
    folder = unpacked(tmp_path / "long.zip", tmp_path)
    assert run(folder).returncode == 0

    def cut(document: dict) -> dict | None:
        return None if document["kind"] == "replicate" or document.get("artifact") == 1 else document

    samples = rewritten(folder / "samples.jsonl", cut)
    result, _ = import_samples(samples, files, out=tmp_path, keep_invalid=True)
    assert [Path(found.path).name for found in result.sustained] == ["small.tflite"]
    assert any("large.tflite" in warning.advice for warning in result.warnings)
    with pytest.raises(UsageError, match="sustained"):
        write_bundle(tmp_path / "no.zip", files, threads=1, budget_s=1.0, sustained_s=60.0, self_test=True)


def test_bad_samples(tiny_files, tmp_path: Path) -> None:
    files = [tiny_files["small"]]
    header = {"schema": "dsmobile.samples/1", "kind": "header", "facts": {}, "threads": 1, "files": ["0" * 64]}
    for text, words in [
        ("", "does not hold samples"),
        ("{}\n", "does not hold samples"),
        ("[1]\n", "does not hold samples"),
        ("garbage\n", "does not hold samples"),
        (json.dumps({**header, "files": []}) + "\n", "does not say which files"),
        (json.dumps(header) + "\n", "were not named or have changed"),
        (json.dumps(header) + "\n" + json.dumps({"kind": "moment"}) + "\n", "does not hold samples"),
    ]:
        path = tmp_path / "samples.jsonl"
        path.write_text(text)
        with pytest.raises(DataError, match=words):
            import_samples(path, files, out=tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        import_samples(tmp_path / "no such file", files, out=tmp_path)


def test_options_that_do_not_apply_are_refused(tiny_files, tmp_path: Path) -> None:
    files = (tiny_files["small"],)
    for options, words in [
        (Options(files, bundle=tmp_path / "x.zip", device="ssh:pi@pi"), "--device does not apply"),
        (Options(files, bundle=tmp_path / "x.zip", import_samples=tmp_path / "x"), "two ends"),
        (Options(files, import_samples=tmp_path / "x", threads=2), "--threads does not apply"),
        (Options(files, import_samples=tmp_path / "x", budget_s=60.0), "--budget does not apply"),
        (Options(files, sustained="10m", budget_s=60.0), "--budget does not apply"),
        (Options(files, sustained="ten"), "duration"),
        (Options(files, bundle=tmp_path / "x.zip", budget_s=-1.0), "--budget"),
    ]:
        with pytest.raises(UsageError, match=words):
            follow(options, interactive=False, progress=lambda text, share: None)


def test_a_result_needs_a_process_of_every_file(tiny_files, tmp_path: Path) -> None:
    files = [tiny_files["small"], tiny_files["large"]]
    write_bundle(tmp_path / "out.zip", files, threads=1, budget_s=0.5)
    folder = unpacked(tmp_path / "out.zip", tmp_path)
    assert run(folder).returncode == 0
    lines = (folder / "samples.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in lines if '"kind": "replicate"' not in line or '"artifact": 0' in line]
    (folder / "samples.jsonl").write_text("".join(kept))
    result, _ = import_samples(folder / "samples.jsonl", files, out=tmp_path, keep_invalid=True)
    assert [artifact.name for artifact in result.artifacts] == ["small"]
    assert any("large.tflite" in warning.advice for warning in result.warnings)
    result, _ = import_samples(_cut(folder, lines), files, out=tmp_path, keep_invalid=True)
    assert result.validity in (Validity.DEGRADED, Validity.INVALID)


def _cut(folder: Path, lines: list[str]) -> Path:
    path = folder / "cut.jsonl"
    path.write_text("".join(lines)[:-40])
    return path
