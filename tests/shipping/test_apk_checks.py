"""Whole APKs, written by hand: each spoiled in one way, so that exactly the checks that must notice it fail."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsmobile.errors import DataError, ModelError
from dsmobile.shipping.apk.check import check_apk
from dsmobile.shipping.apk.report import CHECKS, FAILED, NOT_CHECKED, ApkReport, Check
from dsmobile.shipping.apk.signatures import Signatures, Verification, read_signatures, verify
from dsmobile.shipping.apk.terminal import show_apk_report

from . import apk_builder as apks

Part = apks.Part
LABELS = b"red\ngreen\nblue\n"
BLOCK = struct.pack("<QQI4sQ16s", 40, 8, 0x7109871A, b"good", 40, b"APK Sig Block 42")
ARM64, ARM32 = b"lib/arm64-v8a/libLiteRt.so", b"lib/armeabi-v7a/libLiteRt.so"


@dataclass
class Parts:
    """A sound APK but for its signature, which is there and no real one."""

    manifest: bytes = field(default_factory=lambda: apks.manifest_xml(extractNativeLibs=False))
    model: object = field(default_factory=lambda: Part(b"assets/tiny.tflite", apks.mean_model(), align=16))
    card: bytes | None = field(default_factory=lambda: apks.card_for(apks.mean_model(), LABELS))
    labels: bytes | None = LABELS
    libraries: tuple[object, ...] = (Part(ARM64, apks.shared_object("arm64-v8a"), align=16384),)
    more: tuple[object, ...] = ()
    block: bytes = BLOCK

    def write(self, path: Path) -> Path:
        parts = [Part(b"AndroidManifest.xml", self.manifest, deflated=True)]
        parts += [self.model] if self.model else []
        parts += [Part(b"assets/tiny.dsmobile.json", self.card, deflated=True)] if self.card is not None else []
        parts += [Part(b"assets/tiny.labels.txt", self.labels, deflated=True)] if self.labels is not None else []
        path.write_bytes(apks.raw_zip(*parts, *self.libraries, *self.more, block=self.block))
        return path


@pytest.fixture(autouse=True)
def unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """No `apksigner` here: what it says is a test of its own."""
    monkeypatch.setattr("dsmobile.shipping.apk.check.verify", lambda _path: Verification(None, "nobody was asked"))


def judged(tmp_path: Path, **changes: object) -> ApkReport:
    return check_apk(replace(Parts(), **changes).write(tmp_path / "app.apk"))  # type: ignore[arg-type]


def failed(report: ApkReport) -> set[str]:
    return {check.name for check in report.checks if check.status == FAILED}


def detail(report: ApkReport, name: str) -> str:
    return next(check.detail for check in report.checks if check.name == name)


def test_a_sound_one_passes_every_check_that_can_be_made(tmp_path: Path) -> None:
    report = judged(tmp_path)
    assert [check.name for check in report.checks] == list(CHECKS)
    assert {check.name for check in report.checks if check.status == NOT_CHECKED} == {"metadata", "verified"}
    assert not report.failed and failed(report) == set()
    document = report.to_json()
    assert json.loads(json.dumps(document)) == document and document["passed"] is True and Path(document["apk"]).is_absolute()
    assert (report.package, report.min_sdk, report.target_sdk, report.abis, report.signatures) == ("com.acme.vision", 24, 35, ("arm64-v8a",), ("v2",))
    assert [(model.path, model.stored) for model in report.models] == [("assets/tiny.tflite", True)]
    assert [(one.page_alignment_bytes, one.stored) for one in report.libraries] == [(16384, True)]
    assert pickle.loads(pickle.dumps(report)) == report


def model_with(change: int) -> bytes:
    data = bytearray(apks.mean_model())
    data[data.index(b"tiny")] ^= change
    return bytes(data)


SPOILED: dict[str, tuple[Callable[[], dict[str, object]], set[str]]] = {
    "deflated model": (lambda: {"model": Part(b"assets/tiny.tflite", apks.mean_model(), deflated=True)}, {"stored"}),
    "deflated under another name": (lambda: {"more": (Part(b"assets/net.bin", apks.mean_model(), deflated=True),)}, {"stored"}),
    "one byte of the model": (lambda: {"model": Part(b"assets/tiny.tflite", model_with(1), align=4)}, {"sha256"}),
    "a larger model": (lambda: {"model": Part(b"assets/tiny.tflite", apks.mean_model(9, 9), align=4)}, {"sha256", "goldens"}),
    "no model": (lambda: {"model": None, "card": None}, {"model"}),
    "card without its model": (lambda: {"model": None}, {"model", "sha256"}),
    "no TFLite file": (lambda: {"model": Part(b"assets/tiny.tflite", b"version https://git-lfs.github.com/spec/v1", align=4)}, {"model", "sha256"}),
    "empty model": (lambda: {"model": Part(b"assets/tiny.tflite", b"", align=4)}, {"model", "sha256"}),
    "model cut short": (lambda: {"model": Part(b"assets/tiny.tflite", apks.mean_model()[:100], align=4)}, {"model", "sha256"}),
    "other labels": (lambda: {"labels": b"red\ngreen\nBLUE\n"}, {"labels"}),
    "too few labels": (lambda: {"labels": b"red\ngreen\n"}, {"labels"}),
    "labels that are no text": (lambda: {"labels": b"red\n\xff\xfe\n"}, {"labels"}),
    "no labels": (lambda: {"labels": None}, {"labels"}),
    "a card of other classes": (lambda: {"card": apks.card_for(apks.mean_model(), LABELS, classes=4)}, {"labels"}),
    "a card of another model": (lambda: {"card": apks.card_for(model_with(1), LABELS)}, {"sha256"}),
    "a card that is no JSON": (lambda: {"card": b"{"}, {"sha256"}),
    "a card whose scale is a list": (
        lambda: {"card": apks.card_for(apks.mean_model(), LABELS).replace(b'"offset": [-1.0]', b'"offset": [[]]')},
        {"sha256"},
    ),
    "a card whose outputs no float holds": (
        lambda: {"card": apks.card_for(apks.mean_model(), LABELS).replace(b'"outputs": [', b'"outputs": [1' + b"0" * 400 + b", ")},
        {"sha256"},
    ),
    "a card that climbs": (lambda: {"card": apks.card_for(apks.mean_model(), LABELS, labels_file="../../etc/passwd")}, {"sha256"}),
    "a card with a huge image": (
        lambda: {
            "card": apks.card_for(
                apks.mean_model(),
                LABELS,
                golden={
                    **json.loads(apks.card_for(apks.mean_model(), LABELS))["golden"],
                    "image": {"height": 1, "width": 1 << 24, "seed": 0},
                },
            )
        },
        {"sha256"},
    ),
    "a card whose outputs are others": (
        lambda: {"card": apks.card_for(apks.mean_model(), LABELS).replace(b'"outputs": [', b'"outputs": [9.5, ')},
        {"goldens"},
    ),
    "a card with another preprocessing": (
        lambda: {"card": apks.card_for(apks.mean_model(), LABELS).replace(b'"offset": [-1.0]', b'"offset": [-0.5]')},
        {"goldens"},
    ),
    "4 KB pages": (lambda: {"libraries": (Part(ARM64, apks.shared_object("arm64-v8a", 4096), align=16384),)}, {"page_alignment"}),
    "no page size": (lambda: {"libraries": (Part(ARM64, apks.shared_object("arm64-v8a", 0), align=16384),)}, {"page_alignment"}),
    "4 KB pages, deflated": (
        lambda: {"libraries": (Part(ARM64, apks.shared_object("arm64-v8a", 4096), deflated=True),), "manifest": apks.manifest_xml()},
        {"page_alignment"},
    ),
    "library at a multiple of 4 KB": (lambda: {"libraries": (Part(ARM64, apks.shared_object("arm64-v8a"), align=4096),)}, {"zip_alignment"}),
    "deflated but not to be unpacked": (lambda: {"libraries": (Part(ARM64, apks.shared_object("arm64-v8a"), deflated=True),)}, {"zip_alignment"}),
    "32-bit alone": (lambda: {"libraries": (Part(ARM32, apks.shared_object("armeabi-v7a", 4096), align=4),)}, {"abis"}),
    "the runtime for one of two ABIs": (
        lambda: {"libraries": (*Parts().libraries, Part(b"lib/armeabi-v7a/libother.so", apks.shared_object("armeabi-v7a", 4096), align=4))},
        {"abis"},
    ),
    "of another processor": (lambda: {"libraries": (Part(ARM64, apks.shared_object("x86_64"), align=16384),)}, {"abis"}),
    "no library": (lambda: {"libraries": (Part(ARM64, b"#!/bin/sh\n" * 99, align=16384),)}, {"page_alignment"}),
    "library cut short": (lambda: {"libraries": (Part(ARM64, apks.shared_object("arm64-v8a")[:90], align=16384),)}, {"page_alignment"}),
    "minSdk 21": (lambda: {"manifest": apks.manifest_xml(21)}, {"min_sdk", "signature"}),
    "unsigned": (lambda: {"block": b""}, {"signature"}),
    "signing block whose sizes differ": (lambda: {"block": BLOCK[:-24] + struct.pack("<Q", 41) + BLOCK[-16:]}, {"signature"}),
    "climbing path": (lambda: {"more": (Part(b"assets/../../../etc/cron.d/x", b"x"),)}, {"paths"}),
    "absolute path": (lambda: {"more": (Part(b"/etc/cron.d/x", b"x"),)}, {"paths"}),
    "path of a disk": (lambda: {"more": (Part(b"C:/x", b"x"),)}, {"paths"}),
    "backslashes": (lambda: {"more": (Part(b"assets\\..\\..\\x", b"x"),)}, {"paths"}),
    "link": (lambda: {"more": (Part(b"assets/link", b"/etc/passwd", mode=0o120777),)}, {"paths"}),
    "control characters": (lambda: {"more": (Part(b"assets/\x1b[2Jx", b"x"),)}, {"paths"}),
    "bomb": (lambda: {"more": (Part(b"assets/zeros", bytes(10_000_000), deflated=True),)}, {"sizes"}),
    "bomb under a model's name": (lambda: {"more": (Part(b"assets/b.tflite", bytes(10_000_000), deflated=True),)}, {"sizes", "model", "stored"}),
    "a card that is a bomb": (lambda: {"card": bytes(10_000_000)}, {"sizes"}),
    "more inside than said": (lambda: {"more": (Part(b"assets/x", bytes(1_000_000), deflated=True, size=1000),)}, {"archive"}),
    "encrypted": (lambda: {"more": (Part(b"assets/x", b"x", flags=0x801),)}, {"archive"}),
    "the model twice": (lambda: {"more": (Part(b"assets/tiny.tflite", model_with(1), align=4),)}, {"archive"}),
    "damaged entry": (lambda: {"more": (Part(b"assets/x", b"xxx", crc=1),)}, {"archive"}),
    "manifest as text": (lambda: {"manifest": b"<manifest package='com.acme.vision'/>"}, {"manifest"}),
}


@pytest.mark.parametrize("way", SPOILED)
def test_each_spoiled_way_fails_the_checks_that_must_notice_it_and_no_other(tmp_path: Path, way: str) -> None:
    changes, expected = SPOILED[way]
    report = judged(tmp_path, **changes())
    assert failed(report) == expected, [check for check in report.checks if check.status == FAILED]
    assert report.failed and not report.to_json()["passed"]
    assert all(check.advice for check in report.checks if check.status == FAILED)


def test_a_model_that_is_not_at_a_multiple_of_4_fails(tmp_path: Path) -> None:
    path = tmp_path / "app.apk"
    for length in range(8):
        parts = [Part(b"AndroidManifest.xml", apks.manifest_xml()), Part(b"assets/pad", bytes(length)), Part(b"assets/a.tflite", apks.mean_model())]
        path.write_bytes(apks.raw_zip(*parts, block=BLOCK))
        report, at = check_apk(path), path.read_bytes().index(apks.mean_model())
        assert report.models[0].zip_alignment_bytes == at & -at
        assert ("model_alignment" in failed(report)) == (at % 4 != 0)


def test_32_bit_libraries_may_have_small_pages_and_lie_anywhere(tmp_path: Path) -> None:
    libraries = (*Parts().libraries, Part(ARM32, apks.shared_object("armeabi-v7a", 4096), align=4))
    assert failed(judged(tmp_path, libraries=libraries)) == set()


def test_deflated_libraries_that_are_unpacked_pass(tmp_path: Path) -> None:
    libraries = (Part(ARM64, apks.shared_object("arm64-v8a"), deflated=True),)
    for manifest in (apks.manifest_xml(extractNativeLibs=True), apks.manifest_xml()):
        assert failed(judged(tmp_path, libraries=libraries, manifest=manifest)) == set()


def test_the_lowest_level_is_that_of_the_runtime_that_is_there(tmp_path: Path) -> None:
    older = (Part(b"lib/arm64-v8a/libtensorflowlite_jni.so", apks.shared_object("arm64-v8a"), align=16384),)
    report = judged(tmp_path, manifest=apks.manifest_xml(21), libraries=older)
    assert "min_sdk" not in failed(report)
    report = judged(tmp_path, manifest=apks.manifest_xml(21), libraries=(), card=None)
    assert next(check.status for check in report.checks if check.name == "min_sdk") == NOT_CHECKED
    report = judged(tmp_path, manifest=apks.manifest_xml(21), libraries=())  # the card says that our module runs it
    assert "min_sdk" in failed(report)


def test_a_strangers_app_is_told_what_cannot_be_checked(tmp_path: Path) -> None:
    report = judged(tmp_path, card=None, labels=None)
    assert failed(report) == set()
    unchecked = {check.name: check for check in report.checks if check.status == NOT_CHECKED}
    assert {"sha256", "labels", "goldens"} <= set(unchecked)
    assert "--artifact" in unchecked["sha256"].advice and "--module" in unchecked["goldens"].advice


def test_the_artifact_and_the_module_say_which_export_it_should_be(tmp_path: Path) -> None:
    apk = replace(Parts(), card=None).write(tmp_path / "app.apk")
    artifact = tmp_path / "mine.tflite"
    artifact.write_bytes(apks.mean_model())
    assert next(check.status for check in check_apk(apk, artifact=artifact).checks if check.name == "sha256") == "passed"
    artifact.write_bytes(model_with(1))
    report = check_apk(apk, artifact=artifact)
    assert failed(report) == {"sha256"} and "mine.tflite" in detail(report, "sha256")

    import hashlib

    module = tmp_path / "vision"
    (module / "src/main/assets").mkdir(parents=True)
    record = {"schema": "dsmobile.module/1", "model": "src/main/assets/tiny.tflite", "model_sha256": hashlib.sha256(apks.mean_model()).hexdigest()}
    (module / "dsmobile-module.json").write_text(json.dumps(record))
    (module / "src/main/assets/tiny.dsmobile.json").write_bytes(apks.card_for(apks.mean_model(), LABELS))
    report = check_apk(apk, module=module)  # the goldens and labels are the module's, though the APK has no card
    assert {check.name: check.status for check in report.checks}["goldens"] == "passed"
    assert {check.name: check.status for check in report.checks}["labels"] == "passed"
    record["model_sha256"] = "0" * 64
    (module / "dsmobile-module.json").write_text(json.dumps(record))
    assert failed(check_apk(apk, module=module)) == {"sha256"}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"schema": "dsmobile.other/1"}',
        '{"schema": "dsmobile.module/1"}',
        '{"schema": "dsmobile.module/1", "model": "/", "model_sha256": ""}',
    ],
)
def test_a_damaged_module_is_bad_input(tmp_path: Path, text: str) -> None:
    apk = Parts().write(tmp_path / "app.apk")
    with pytest.raises(DataError):
        check_apk(apk, module=tmp_path)
    (tmp_path / "dsmobile-module.json").write_text(text)
    with pytest.raises(DataError):
        check_apk(apk, module=tmp_path)


def test_bad_input(tmp_path: Path) -> None:
    apk = Parts().write(tmp_path / "app.apk")
    with pytest.raises(ModelError, match="is not a file"):
        check_apk(apk, artifact=tmp_path / "none.tflite")
    for path in (tmp_path / "none.apk", tmp_path):
        with pytest.raises(DataError, match="is not a file"):
            check_apk(path)
    (tmp_path / "cut.apk").write_bytes(apk.read_bytes()[:-100])
    with pytest.raises(DataError, match="cut short"):
        check_apk(tmp_path / "cut.apk")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([b"base/manifest/AndroidManifest.xml", b"BundleConfig.pb"], "bundletool"),
        ([b"toc.pb", b"splits/base-master.apk"], "unpack"),
        ([b"AndroidManifest.xml", b"classes.jar"], "app that uses it"),
        ([b"com.acme.apk", b"manifest.json"], "unpack"),
        ([b"word/document.xml"], "build/outputs/apk"),
    ],
)
def test_what_is_something_else_than_an_apk_is_named(tmp_path: Path, names: list[bytes], said: str) -> None:
    (tmp_path / "x.apk").write_bytes(apks.raw_zip(*(Part(name, b"x") for name in names)))
    with pytest.raises(DataError) as caught:
        check_apk(tmp_path / "x.apk")
    assert said in caught.value.advice


def test_entries_that_share_their_bytes_are_not_read_again_and_again(tmp_path: Path) -> None:
    """Each of them is in proportion; all of them together are a bomb (D. Fifield, A better zip bomb, 2019)."""
    many = [Part(b"assets/%d" % number, b"") for number in range(4000)]
    data = bytearray(apks.raw_zip(Part(b"AndroidManifest.xml", apks.manifest_xml()), *many, block=BLOCK))
    at = data.index(b"PK\1\2")
    while at >= 0:  # each claims 3 MB
        if data[at + 46 : at + 53] == b"assets/":
            struct.pack_into("<HHHIII", data, at + 10, 8, 0, 0x21, 0, 40_000, 3_000_000)
        at = data.find(b"PK\1\2", at + 1)
    (tmp_path / "x.apk").write_bytes(data)
    report = check_apk(tmp_path / "x.apk")
    assert {"sizes", "archive"} <= failed(report)


def test_names_of_strangers_do_not_reach_the_terminal_raw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = b"assets/\x1b]0;owned\x07[bold]\xe2\x80\xaex.tflite"
    report = judged(tmp_path, model=Part(name, apks.mean_model(), deflated=True))
    show_apk_report(report.to_json())
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\x07" not in out and "\u202e" not in out and "[bold]" in out
    assert out.rstrip().splitlines()[-1].startswith("Failed: ")


def test_the_list_of_checks_is_closed() -> None:
    with pytest.raises(ValueError, match="no check"):
        Check("luck", "passed", "")
    with pytest.raises(ValueError, match="no check"):
        Check("model", "fine", "")


@pytest.mark.parametrize(
    ("min_sdk", "target_sdk", "schemes", "fine"),
    [  # source.android.com, "Application Signing": v2 since 7.0 (24), v3 since 9 (28); targetSdk 30 asks for v2 or newer
        (24, 35, ("v1",), False),
        (21, 35, ("v1",), False),
        (21, 29, ("v1",), True),
        (21, 35, ("v2",), False),
        (21, 35, ("v1", "v2"), True),
        (24, 35, ("v2",), True),
        (24, 35, ("v3",), False),
        (28, 35, ("v3",), True),
        (24, 35, ("v2", "v3", "v3.1"), True),
        (24, 35, (), False),
    ],
)
def test_schemes_and_the_versions_that_accept_them(min_sdk: int, target_sdk: int, schemes: tuple[str, ...], fine: bool) -> None:
    from dsmobile.shipping.apk.checks_install import check_signature
    from dsmobile.shipping.apk.manifest import AppManifest

    manifest = AppManifest("com.acme.vision", "", min_sdk, target_sdk, None, False)
    assert (check_signature(Signatures(schemes), manifest).status == "passed") == fine


def test_schemes_are_read_from_the_block(tmp_path: Path) -> None:
    from dsmobile.shipping.apk.archive import Archive

    pairs = b"".join(struct.pack("<QI4s", 8, number, b"data") for number in (0xF05368C0, 0x42726577, 0x7109871A, 0x1B93AD61))
    size = len(pairs) + 24
    block = struct.pack("<Q", size) + pairs + struct.pack("<Q", size) + b"APK Sig Block 42"
    files = (Part(b"META-INF/MANIFEST.MF"), Part(b"META-INF/CERT.SF"), Part(b"META-INF/CERT.RSA"))
    for parts, expected in ((files, ("v1", "v2", "v3", "v3.1")), (files[:2], ("v2", "v3", "v3.1"))):
        (tmp_path / "x.apk").write_bytes(apks.raw_zip(*parts, block=block))
        with Archive(tmp_path / "x.apk") as archive:
            assert read_signatures(archive) == Signatures(expected)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_mutation_of_an_apk_makes_the_check_crash(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(replace(Parts(), model=None).write(tmp_path / "app.apk").read_bytes())
    places = [*range(200), *range(len(raw) - 700, len(raw))]
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.sampled_from(places))] = data.draw(st.integers(0, 255))
    (tmp_path / "app.apk").write_bytes(raw)
    try:
        assert isinstance(check_apk(tmp_path / "app.apk").to_json(), dict)
    except DataError:
        return


@pytest.mark.parametrize(
    ("script", "holds", "said"),
    [
        ("echo Verifies; echo 'Verified using v2 scheme (APK Signature Scheme v2): true'; echo 'Signer #1 certificate DN: CN=Acme'", True, "v2"),
        ("echo 'DOES NOT VERIFY'; echo 'ERROR: APK digest mismatch'; exit 1", False, "digest mismatch"),
        ("echo 'Exception in thread main'; exit 2", None, "exit code 2"),
        ("kill -9 $$", None, "exit code -9"),
        ("yes | head -c 10000000", None, "exit code 0"),
        ("exit 0", None, "nothing was said"),
    ],
)
def test_what_apksigner_says_is_taken_as_it_says_it(tmp_path: Path, script: str, holds: bool | None, said: str) -> None:
    program = tmp_path / "apksigner"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    found = verify(Parts().write(tmp_path / "-app.apk"), str(program))
    assert found.holds is holds and said in found.words


def test_without_apksigner_a_signature_is_present_and_not_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = verify(Parts().write(tmp_path / "app.apk"))
    assert found.holds is None and "not verified" in found.words
    assert verify(tmp_path / "app.apk", str(tmp_path / "none")).holds is None


def with_metadata(*labels: str) -> bytes:
    """The model with TFLite metadata of these labels; `mean_model` has them behind its own bytes."""
    from dsmobile.preprocessing import parse
    from dsmobile.tflite_metadata.archive import with_files
    from dsmobile.tflite_metadata.describing import describe_classifier
    from dsmobile.tflite_metadata.tables import metadata_buffer

    described = describe_classifier(parse("resize=8,crop=8,scale=-1..1"), labels, height=8, width=8, name="tiny", ends_in_softmax=False)
    return with_files(apks.mean_model(metadata=metadata_buffer(described)), {"labels.txt": "\n".join(labels).encode()})


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(("red", "green", "blue"), set()), (("red", "green"), {"metadata"}), (("red", "blue", "green"), {"metadata"})],
)
def test_labels_in_the_models_own_metadata_must_be_those_beside_it(tmp_path: Path, labels: tuple[str, ...], expected: set[str]) -> None:
    model = with_metadata(*labels)
    report = judged(tmp_path, model=Part(b"assets/tiny.tflite", model, align=4), card=apks.card_for(model, LABELS))
    assert failed(report) == expected, [check for check in report.checks if check.status == FAILED]
    assert f"{len(labels)} labels" in detail(report, "metadata") or "differ" in detail(report, "metadata")


def test_an_archive_behind_the_model_that_no_metadata_name_is_not_metadata(tmp_path: Path) -> None:
    from dsmobile.tflite_metadata.archive import with_files

    model = with_files(apks.mean_model(), {"labels.txt": LABELS})
    report = judged(tmp_path, model=Part(b"assets/tiny.tflite", model, align=4), card=None)
    assert next(check.status for check in report.checks if check.name == "metadata") == NOT_CHECKED


def test_many_cards_are_not_read(tmp_path: Path) -> None:
    cards = tuple(Part(b"assets/%d.dsmobile.json" % number, b"{}") for number in range(100))
    report = judged(tmp_path, more=cards)
    assert failed(report) == {"sha256"} and "101 cards" in detail(report, "sha256")


def test_damaged_metadata_fails(tmp_path: Path) -> None:
    model = apks.mean_model(metadata=b"\xff" * 64)
    report = judged(tmp_path, model=Part(b"assets/tiny.tflite", model, align=4), card=apks.card_for(model, LABELS))
    assert failed(report) == {"metadata"}
