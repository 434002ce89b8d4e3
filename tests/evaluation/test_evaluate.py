"""Evaluation of whole files on whole data sets, against counts by hand and published accuracies."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_models import linear_onnx, linear_tflite

from dsmobile.errors import DataError, ModelError, UsageError
from dsmobile.evaluation.evaluate import evaluate
from dsmobile.evaluation.inputs import preprocessing_of
from dsmobile.evaluation.metrics import wilson_interval
from dsmobile.evaluation.names import distinguishing
from dsmobile.evaluation.paired import paired_interval
from dsmobile.evaluation.table import loss, show_evaluations
from dsmobile.exporters.artifact import Manifest, Parity, TensorInfo, read_manifest, write_manifest
from dsmobile.files import sha256
from dsmobile.preprocessing import Preprocessing, parse

RNG = np.random.default_rng(11)
CLASSES = 7
WEIGHTS = RNG.normal(size=(12, CLASSES)).astype(np.float32)
OTHER = (WEIGHTS + RNG.normal(0, 0.3, WEIGHTS.shape)).astype(np.float32)
X = RNG.normal(size=(60, 2, 2, 3)).astype(np.float32)
Y = RNG.integers(0, CLASSES, 60)
P = "crop=2,scale=0..1"
PREPROCESSING = parse(P)
IMAGE_LABELS = ("red a colour", "green", "blue")


def by_hand(weights: np.ndarray, x: np.ndarray = X) -> np.ndarray:
    return x.reshape(len(x), -1) @ weights


@pytest.fixture
def data(tmp_path: Path) -> Path:
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    return tmp_path / "data.npz"


def test_figures_equal_counts_by_hand(tmp_path: Path, data: Path) -> None:
    files = [linear_tflite(tmp_path / "a.tflite", WEIGHTS, (1, 2, 2, 3)), linear_onnx(tmp_path / "b.onnx", OTHER, (1, 2, 2, 3))]
    results = evaluate(files, data=data, reference=files[0])
    reference = by_hand(WEIGHTS)
    for result, weights, path in zip(results, (WEIGHTS, OTHER), files, strict=True):
        scores = by_hand(weights)
        order = np.argsort(-scores, axis=1, kind="stable")
        assert result.path == str(path)
        assert result.count == 60
        assert result.top1 == np.mean(order[:, 0] == Y)
        assert result.top5 == np.mean((order[:, :5] == Y[:, None]).any(1))
        assert result.agreement == np.mean(scores.argmax(1) == reference.argmax(1))
        assert result.top1_interval[0] < result.top1 < result.top1_interval[1]
        assert result.seconds > 0
    assert results[0].sqnr_db is None or results[0].sqnr_db > 100  # the same file against itself
    noise = np.square(reference - by_hand(OTHER)).sum()
    assert results[1].sqnr_db == pytest.approx(10 * np.log10(np.square(reference).sum() / noise), abs=1e-3)


def test_what_is_lost_and_gained_equals_counts_by_hand(tmp_path: Path, data: Path) -> None:
    reference, path = linear_tflite(tmp_path / "a.tflite", WEIGHTS, (1, 2, 2, 3)), linear_onnx(tmp_path / "b.onnx", OTHER, (1, 2, 2, 3))
    same, result = evaluate([reference, path], data=data, reference=reference)
    right, before = by_hand(OTHER).argmax(1) == Y, by_hand(WEIGHTS).argmax(1) == Y
    assert (result.lost, result.gained) == ((before & ~right).sum(), (right & ~before).sum())
    assert result.lost
    assert result.gained
    assert result.drop == pytest.approx(before.mean() - right.mean())
    assert result.drop_interval == paired_interval(result.lost, result.gained, 60)
    assert result.drop_upper == result.drop_interval[1]
    assert result.agreement_interval == wilson_interval(round(result.agreement * 60), 60)
    assert (same.lost, same.gained, same.drop) == (0, 0, 0.0)
    assert same.drop_upper > 0.05  # 60 inputs that are the same prove no more


@pytest.mark.parametrize("writers", [(linear_tflite, linear_onnx), (linear_onnx, linear_tflite)])
def test_sqnr_is_of_the_logits_before_a_softmax(tmp_path: Path, data: Path, writers: tuple[Any, Any]) -> None:
    """The output's 256 steps hide most of them; the logits are not the softmax's own, so a constant between the two would count."""
    ends = ((0.02, 0), (1 / 256, -128))
    files = [
        write(tmp_path / f"{number}.{write.__name__.removeprefix('linear_')}", weights, (1, 2, 2, 3), softmax=True, ends=ends)
        for number, (write, weights) in enumerate(zip(writers, (WEIGHTS, OTHER + 0.1), strict=True))
    ]
    (result,) = evaluate(files[1:], data=data, reference=files[0])
    x = np.clip(np.rint(X / np.float32(0.02)), -128, 127) * np.float32(0.02)
    reference, other = by_hand(WEIGHTS, x), by_hand(OTHER + 0.1, x)
    assert result.sqnr_db == pytest.approx(10 * np.log10(np.square(reference).sum() / np.square(reference - other).sum()), abs=1e-3)
    assert not any("SQNR" in note for note in result.notes)


def test_logits_that_cannot_be_read_are_told(tmp_path: Path, data: Path) -> None:
    reference = linear_onnx(tmp_path / "a.onnx", WEIGHTS, (1, 2, 2, 3))
    path = linear_tflite(tmp_path / "b.tflite", WEIGHTS, (1, 2, 2, 3), softmax=True, beta=0.9)
    (result,) = evaluate([path], data=data, reference=reference)
    assert any("up to a constant" in note and "multiplies" in note for note in result.notes)
    rounded = linear_tflite(tmp_path / "c.tflite", WEIGHTS, (1, 2, 2, 3), softmax=True, beta=0.9, ends=((0.02, 0), (1 / 256, -128)))
    (result,) = evaluate([reference], data=data, reference=rounded)  # of the reference too
    assert any("c.tflite: SQNR is that of rounded probabilities" in note for note in result.notes)


def test_ties_are_told_where_they_are_many(tmp_path: Path, data: Path) -> None:
    twins = np.concatenate([WEIGHTS[:, :1], WEIGHTS[:, :1], *([-np.abs(WEIGHTS[:, :1])] * 5)], 1)
    scores = by_hand(twins)
    share = 100 * np.mean((scores == scores.max(1, keepdims=True)).sum(1) > 1)
    (result,) = evaluate([linear_onnx(tmp_path / "a.onnx", twins, (1, 2, 2, 3))], data=data)
    assert f"{share:.1f}% of inputs" in result.notes[0]
    assert share > 1


def test_without_labels_agreement_and_sqnr_remain(tmp_path: Path, photos: Path, ours: Callable[..., Path]) -> None:
    files = [linear_tflite(tmp_path / "a.tflite", WEIGHTS, (1, 2, 2, 3)), linear_onnx(tmp_path / "b.onnx", OTHER, (1, 2, 2, 3))]
    np.savez(tmp_path / "labelled.npz", x=X, y=Y)
    np.savez(tmp_path / "x.npz", x=X)
    (with_labels,) = evaluate(files[1:], data=tmp_path / "labelled.npz", reference=files[0])
    (without,) = evaluate(files[1:], data=tmp_path / "x.npz", reference=files[0])
    assert (without.agreement, without.sqnr_db, without.agreement_interval) == (
        with_labels.agreement,
        with_labels.sqnr_db,
        with_labels.agreement_interval,
    )
    assert {without.top1, without.top5, without.top1_interval, without.lost, without.gained, without.drop, without.drop_upper} == {None}
    assert "top-1" in without.notes[-1]
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, photo in enumerate(photos.glob("*/*.png")):
        photo.rename(flat / f"{number}.png")
    (result,) = evaluate([ours()], data=flat, reference=ours("b.tflite"))  # whose manifests know labels
    assert (result.count, result.agreement, result.top1) == (12, 1.0, None)
    with pytest.raises(DataError, match="in no class's folder"):
        evaluate([ours()], data=flat)


def test_a_keras_reference_gets_the_preprocessing_of_the_manifests(tmp_path: Path, ours: Callable[..., Path]) -> None:
    first, keras, strange = ours(), tmp_path / "net.h5", tmp_path / "s.tflite"
    manifests = {first: read_manifest(first), keras: None}
    preprocessing, said = preprocessing_of(tmp_path, None, manifests)
    assert preprocessing == PREPROCESSING
    assert set(said) == {keras}
    assert "a.tflite's manifest" in said[keras]
    other = ours("b.tflite", parse("crop=2,scale=-1..1"))
    with pytest.raises(DataError, match="different preprocessing"):
        preprocessing_of(tmp_path, None, {**manifests, other: read_manifest(other)})
    for files in ({**manifests, strange: None}, {keras: None}):
        with pytest.raises(DataError, match="nothing says how images"):
            preprocessing_of(tmp_path, None, files)


def test_without_a_reference_there_is_no_comparison(tmp_path: Path, data: Path) -> None:
    (result,) = evaluate([linear_tflite(tmp_path / "a.tflite", WEIGHTS, (1, 2, 2, 3))], data=data)
    assert (result.agreement, result.sqnr_db, result.lost, result.drop_interval, result.agreement_interval) == (None,) * 5
    assert json.loads(json.dumps(result.to_json()))["sqnr_db"] is None


def test_a_reference_that_is_no_artifact_is_not_listed(tmp_path: Path, data: Path) -> None:
    first, second = linear_tflite(tmp_path / "a.tflite", WEIGHTS, (1, 2, 2, 3)), linear_onnx(tmp_path / "b.onnx", WEIGHTS, (1, 3, 2, 2))
    (result,) = evaluate([first], data=data, reference=second)
    assert result.path == str(first)
    assert result.agreement is not None
    assert result.agreement < 1  # the second sees its axes in another order


def test_integers_without_a_scale_are_what_the_int8_artifact_stores(tmp_path: Path) -> None:
    stored = RNG.integers(-128, 128, (40, 2, 2, 3)).astype(np.int8)
    np.savez(tmp_path / "d.npz", x=stored, y=Y[:40])
    ends = ((0.05, 3), (1.0, 0))
    int8 = linear_tflite(tmp_path / "int8.tflite", WEIGHTS, (1, 2, 2, 3), ends=ends)
    real = linear_tflite(tmp_path / "float.tflite", WEIGHTS, (1, 2, 2, 3))
    results = evaluate([int8, real], data=tmp_path / "d.npz")
    expected = by_hand(WEIGHTS, (stored.astype(np.float32) - 3) * np.float32(0.05))
    assert results[1].top1 == np.mean(expected.argmax(1) == Y[:40])
    assert "zero point 3" in results[0].notes[0]
    with pytest.raises(DataError, match="nothing says which real numbers"):
        evaluate([real], data=tmp_path / "d.npz")
    other = linear_tflite(tmp_path / "other.tflite", WEIGHTS, (1, 2, 2, 3), ends=((0.07, 3), (1.0, 0)))
    with pytest.raises(DataError, match="disagree"):
        evaluate([int8, other], data=tmp_path / "d.npz")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label, colour in (("red", (255, 0, 0)), ("green", (0, 255, 0)), ("blue", (0, 0, 255))):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (5, 4), colour).save(tmp_path / "photos" / label / f"{number}.png")
    (tmp_path / "labels.txt").write_text("\n".join(IMAGE_LABELS))
    return tmp_path / "photos"


COLOUR = np.tile(np.eye(3, dtype=np.float32), (4, 1))  # the score of each class is its channel's sum


def test_photographs_are_classified_by_colour(photos: Path, tmp_path: Path) -> None:
    files = [linear_tflite(tmp_path / "a.tflite", COLOUR, (1, 2, 2, 3)), linear_onnx(tmp_path / "b.onnx", np.repeat(np.eye(3), 4, 0), (1, 3, 2, 2))]
    done: list[float] = []
    results = evaluate(files, data=photos, labels=tmp_path / "labels.txt", preprocess=P, progress=lambda _, fraction: done.append(fraction))
    assert [(result.top1, result.count) for result in results] == [(1.0, 12)] * 2
    assert done == sorted(done)
    assert done[-1] == 1.0
    (swapped,) = evaluate(files[:1], data=photos, labels=tmp_path / "labels.txt", preprocess=P + ",colour=bgr")
    assert swapped.top1 == pytest.approx(1 / 3)  # only green stays where it is
    (fewer,) = evaluate(files[:1], data=photos, labels=tmp_path / "labels.txt", preprocess=P, limit=3)
    assert (fewer.count, fewer.top1) == (3, 1.0)


@pytest.fixture
def ours(tmp_path: Path) -> Callable[..., Path]:
    def ours(name: str = "a.tflite", preprocessing: Preprocessing | None = PREPROCESSING, labels: tuple[str, ...] = IMAGE_LABELS) -> Path:
        path = linear_tflite(tmp_path / name, COLOUR, (1, 2, 2, 3))
        path.write_bytes(path.read_bytes() + name.encode())  # every file its own hash
        manifest = Manifest(
            file=name,
            sha256=sha256(path),
            size_bytes=path.stat().st_size,
            name="colour",
            role="model",
            pair_id="",
            format="tflite",
            recipe="float32",
            recipe_values={},
            source={},
            inputs=(TensorInfo("real", (1, 2, 2, 3), "float32", layout="nhwc"),),
            outputs=(TensorInfo("scores", (1, 3), "float32"),),
            head="as-is",
            ends_in_softmax=False,
            preprocessing=preprocessing,
            labels=labels,
            calibration={},
            parity=Parity(0.0, 1.0, 99.0, 1.0, 1),
            macs=36,
            parameters=36,
        )
        write_manifest(path, manifest)
        return path

    return ours


def test_the_manifest_knows_preprocessing_and_labels(photos: Path, ours: Callable[..., Path]) -> None:
    (result,) = evaluate([ours()], data=photos)
    assert (result.top1, result.notes) == (1.0, ())


def test_a_preprocessing_that_differs_from_the_manifests_is_noted(photos: Path, ours: Callable[..., Path]) -> None:
    (result,) = evaluate([ours()], data=photos, preprocess="crop=2,scale=-1..1")
    assert "differs" in result.notes[0]


def test_manifests_that_disagree_are_refused(photos: Path, ours: Callable[..., Path]) -> None:
    first = ours()
    with pytest.raises(DataError, match="different preprocessing"):
        evaluate([first, ours("b.tflite", parse("crop=2,scale=-1..1"))], data=photos)
    with pytest.raises(DataError, match="different labels"):
        evaluate([first, ours("b.tflite", labels=("blue", "green", "red"))], data=photos)


def test_a_manifest_of_other_bytes_is_not_believed(photos: Path, ours: Callable[..., Path]) -> None:
    path = ours()
    path.write_bytes(path.read_bytes() + b"changed")
    with pytest.raises(DataError, match="nothing says how images become"):
        evaluate([path], data=photos)


def test_a_file_that_kills_its_process_does_not_kill_this_one(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsmobile.evaluation import session

    monkeypatch.setattr(session, "_START", "import os; os.abort()")
    with pytest.raises(ModelError, match="SIGABRT"):
        evaluate([linear_tflite(tmp_path / "a.tflite", COLOUR, (1, 2, 2, 3))], data=photos, labels=tmp_path / "labels.txt", preprocess=P)


REFUSALS: list[tuple[str, type[Exception], dict[str, Any]]] = [
    ("nothing says how images", DataError, {"preprocess": None}),
    ("nothing says which class", DataError, {"labels": None}),
    ("does not fit a", DataError, {"preprocess": "crop=3,scale=0..1"}),
    ("does not exist", DataError, {"data": Path("nowhere")}),
    ("limit of 0", UsageError, {"limit": 0}),
]


@pytest.mark.parametrize(("says", "kind", "change"), REFUSALS)
def test_what_cannot_be_evaluated_says_why(photos: Path, tmp_path: Path, says: str, kind: type[Exception], change: dict[str, Any]) -> None:
    path = linear_tflite(tmp_path / "a.tflite", COLOUR, (1, 2, 2, 3))
    options = {"data": photos, "labels": tmp_path / "labels.txt", "preprocess": P, **change}
    with pytest.raises(kind, match=says):
        evaluate([path], **options)


def test_the_labels_count_must_be_the_models(photos: Path, tmp_path: Path) -> None:
    four = tmp_path / "four.txt"
    four.write_text("red\ngreen\nblue\nwhite")
    with pytest.raises(DataError, match="4 labels, but the model has 3 classes"):
        evaluate([linear_tflite(tmp_path / "a.tflite", COLOUR, (1, 2, 2, 3))], data=photos, labels=four, preprocess=P)


def test_arrays_that_do_not_fit_say_why(tmp_path: Path, data: Path) -> None:
    path = linear_tflite(tmp_path / "a.tflite", WEIGHTS, (1, 2, 2, 3))
    np.savez(tmp_path / "no_y.npz", x=X)
    np.savez(tmp_path / "wide_y.npz", x=X, y=Y + 5)
    np.savez(tmp_path / "shape.npz", x=X.reshape(60, 3, 4, 1), y=Y)
    for name, says in (("no_y", "has no y"), ("wide_y", "but the model has 7 classes"), ("shape", "does not fit a")):
        with pytest.raises(DataError, match=says):
            evaluate([path], data=tmp_path / f"{name}.npz")
    with pytest.raises(DataError, match=r"7 classes, but b\.onnx has 5"):
        evaluate([path, linear_onnx(tmp_path / "b.onnx", WEIGHTS[:, :5], (1, 2, 2, 3))], data=data)
    with pytest.raises(ModelError, match="not one score"):
        evaluate([linear_onnx(tmp_path / "c.onnx", WEIGHTS[:, :1], (1, 2, 2, 3))], data=data)
    with pytest.raises(ModelError, match="not finite"):
        evaluate([linear_onnx(tmp_path / "d.onnx", WEIGHTS * np.inf, (1, 2, 2, 3))], data=data)
    with pytest.raises(UsageError, match="no artifact"):
        evaluate([], data=data)
    with pytest.raises(UsageError, match="--preprocess does not apply"):
        evaluate([path], data=data, preprocess=P)


def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    from dsmobile.cli import main

    monkeypatch.setattr(sys, "argv", ["dsmobile", "evaluate", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capfd.readouterr()
    return int(ended.value.code or 0), out, err


def test_the_command_prints_one_document(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    paths = [str(linear_tflite(tmp_path / "a.tflite", WEIGHTS, (1, 2, 2, 3))), str(linear_onnx(tmp_path / "b.onnx", OTHER, (1, 2, 2, 3)))]
    code, out, _ = command(monkeypatch, capfd, *paths, "--data", str(data), "--reference", paths[0], "--limit", "30", "--json")
    results = json.loads(out)["results"]
    assert code == 0
    assert [result["path"] for result in results] == paths
    assert set(results[0]) >= {"path", "top1", "top5", "top1_interval", "count", "agreement", "sqnr_db", "seconds"}
    assert set(results[0]) >= {"lost", "gained", "drop", "drop_interval", "drop_upper", "agreement_interval"}
    assert {result["count"] for result in results} == {30}
    code, out, _ = command(monkeypatch, capfd, *paths, "--data", str(data), "--reference", paths[0])
    assert code == 0
    assert "a.tflite" in out
    assert "agrees" in out
    assert "loses at most" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("upper", "says"),
    [
        (0.0131, "loses at most 1.4 points of top-1 (95%): 3 right answers lost, 2 gained"),  # rounded so that it stays true
        (0.013, "loses at most 1.3 points of top-1 (95%): 3 right answers lost, 2 gained"),
        (-0.0129, "gains at least 1.2 points of top-1 (95%): 3 right answers lost, 2 gained"),
    ],
)
def test_the_loss_is_said_in_a_sentence(upper: float, says: str) -> None:
    assert loss({"drop_upper": upper, "lost": 3, "gained": 2}) == says


@pytest.mark.parametrize(("arguments", "code"), [((), 2), (("--data", "nowhere"), 3), (("--data", "{data}", "--limit", "0"), 2)])
def test_the_command_ends_with_the_contracts_codes(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int
) -> None:
    path = str(linear_tflite(tmp_path / "a.tflite", WEIGHTS, (1, 2, 2, 3)))
    ended, out, _ = command(monkeypatch, capfd, path, *(argument.format(data=data) for argument in arguments), "--json")
    assert ended == code
    assert set(json.loads(out)["error"]) == {"kind", "message", "advice"}


def test_names_with_control_codes_and_markup_are_shown_harmlessly(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = str(linear_tflite(tmp_path / "[red]\x1b[2Jx.tflite", WEIGHTS, (1, 2, 2, 3)))
    code, out, _ = command(monkeypatch, capfd, path, "--data", str(data))
    assert code == 0
    assert "\x1b[2J" not in out
    assert "[red]" in out


def test_files_of_one_name_are_told_apart(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two exports of one network: the same file name, and a note on each that must not be taken for one."""
    tied = np.concatenate([WEIGHTS[:, :1], WEIGHTS[:, :1], *([-np.abs(WEIGHTS[:, :1])] * 5)], 1)
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    files = [linear_onnx(tmp_path / folder / "net.onnx", tied, (1, 2, 2, 3)) for folder in ("first", "second")]
    results = evaluate([*files, linear_onnx(tmp_path / "other.onnx", WEIGHTS, (1, 2, 2, 3))], data=data)
    show_evaluations({"results": [result.to_json() for result in results]})
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["[1] first/net.onnx", "[2] second/net.onnx", "[3] other.onnx"]
    assert [line.split(":")[1].strip() for line in lines if line.startswith("Note:")] == ["first/net.onnx", "second/net.onnx"]


def test_the_shortest_path_that_tells_files_apart() -> None:
    paths = [Path("/1/a/x.onnx"), Path("/2/a/x.onnx"), Path("/2/b/x.onnx"), Path("/x.onnx"), Path("/2/b/y.onnx")]
    assert list(distinguishing(paths).values()) == ["1/a/x.onnx", "2/a/x.onnx", "b/x.onnx", "/x.onnx", "y.onnx"]
    assert distinguishing([Path("x.onnx"), Path("x.onnx").absolute()])[Path("x.onnx")] == str(Path("x.onnx").absolute())


def test_a_reference_in_integers_is_told(photos: Path, ours: Callable[..., Path]) -> None:
    path, reference = ours(), ours("reference.tflite")
    manifest = read_manifest(reference)
    assert manifest is not None
    for weights, told in (("int8", True), ("float32", False)):
        write_manifest(reference, replace(manifest, recipe_values={"weights": weights}))
        (result,) = evaluate([path], data=photos, reference=reference)
        assert any("reference.tflite has int8 weights" in note for note in result.notes) is told


def test_keyword_spotting_equals_its_published_accuracy(shared_data: Path) -> None:
    files = [shared_data / "artifacts" / f"kws_ref_model{kind}" for kind in (".tflite", "_float32.tflite", "_qdq.onnx")]
    results = evaluate(files, data=shared_data / "kws" / "kws_mfcc_int8_1000.npz", reference=files[1])
    assert [result.notes for result in results if any("SQNR" in note for note in result.notes)] == []
    for result, published, allowed in zip(results, (0.901, 0.900, 0.90), (0.0011, 1e-9, 0.0051), strict=True):
        assert result.top1 == pytest.approx(published, abs=allowed)
        assert result.count == 1000


def test_a_keras_file_and_its_photographs(shared_data: Path) -> None:
    """MobileNetV1 0.25/224 by Keras itself: 56.0% top-1 on all 400 photographs, of which every tenth is taken here."""
    pytest.importorskip("keras")
    path = shared_data / "models" / "mobilenet_v1_0.25_224_imagenet.h5"
    photos = shared_data / "photos"
    (result,) = evaluate([path], data=photos / "validation", labels=photos / "classes.txt", preprocess="resize=256,crop=224,scale=-1..1", limit=40)
    assert result.count == 40
    low, high = result.top1_interval
    assert low < 0.56 < high
    assert replace(result, notes=()).agreement is None
