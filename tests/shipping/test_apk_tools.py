"""APKs packaged by aapt, aligned by zipalign and signed by apksigner: judged whole and spoiled, and held against what these tools say of them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsmobile.shipping.android import ship_android
from dsmobile.shipping.apk.archive import Archive
from dsmobile.shipping.apk.check import check_apk
from dsmobile.shipping.apk.manifest import read_manifest
from dsmobile.shipping.apk.report import FAILED, NOT_CHECKED, PASSED, ApkReport

from . import apk_builder as apks

pytestmark = pytest.mark.ship


LIBRARY, LIBRARY_32 = "lib/arm64-v8a/libLiteRt.so", "lib/armeabi-v7a/libLiteRt.so"


@pytest.fixture(autouse=True)
def tools() -> None:
    if missing := apks.missing_tools():
        pytest.skip(f"needs {', '.join(missing)} (scripts/setup-system)")


@pytest.fixture
def module(artifact: Any, labels: Path, tmp_path: Path) -> Path:
    return ship_android(artifact(), labels, "com.acme.vision", tmp_path / "vision").module


@pytest.fixture(scope="session")
def made() -> dict[str, bytes]:
    """The assets of the generated module, once they are made: the same for every test."""
    return {}


@pytest.fixture
def app(request: pytest.FixtureRequest, made: dict[str, bytes]) -> Any:
    """An app with the generated module's own assets and LiteRT's libraries in name."""
    if not made:
        folder = request.getfixturevalue("module") / "src/main/assets"
        made.update({path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    libraries = {LIBRARY: apks.shared_object("arm64-v8a"), LIBRARY_32: apks.shared_object("armeabi-v7a", 4096)}
    return apks.App(assets=dict(made), libraries=libraries)


def statuses(report: ApkReport) -> dict[str, str]:
    return {check.name: check.status for check in report.checks}


def failed(report: ApkReport) -> set[str]:
    return {name for name, status in statuses(report).items() if status == FAILED}


def model_of(app: Any) -> str:
    return next(name for name in app.assets if name.endswith(".tflite"))


def test_an_app_built_from_the_module_passes_whole(app: Any, module: Path, artifact: Any, tmp_path: Path) -> None:
    apk = app.build(tmp_path)
    for given in ({}, {"module": module}, {"artifact": artifact()}):
        report = check_apk(apk, **given)
        assert failed(report) == set(), [check for check in report.checks if check.status == FAILED]
        assert {name for name, status in statuses(report).items() if status == NOT_CHECKED} <= {"metadata"}
    assert report.signatures == ("v2", "v3") and report.abis == ("arm64-v8a", "armeabi-v7a")
    assert report.models[0].path == f"assets/{model_of(app)}" and report.models[0].stored


def other_byte(app: Any) -> dict[str, Any]:
    data = bytearray(app.assets[model_of(app)])
    data[-1] ^= 1
    return {"assets": {**app.assets, model_of(app): bytes(data)}}


def without(app: Any, ending: str) -> dict[str, Any]:
    return {"assets": {name: data for name, data in app.assets.items() if not name.endswith(ending)}}


def with_file(app: Any, name: str, data: bytes) -> dict[str, Any]:
    return {"assets": {**app.assets, name: data}}


def with_labels(app: Any, data: bytes) -> dict[str, Any]:
    return {"assets": {name: data if name.endswith("labels.txt") else own for name, own in app.assets.items()}}


SPOILED: dict[str, tuple[Callable[[Any], dict[str, Any]], set[str]]] = {
    "deflated model": (lambda _: {"stored": ("so",)}, {"stored"}),
    "other model byte": (other_byte, {"sha256"}),
    "no model": (lambda app: without(app, ".tflite"), {"model", "sha256"}),
    "nothing of ours": (lambda _: {"assets": {}}, {"model"}),
    "wrong labels": (lambda app: with_labels(app, b"".join(b"%d\n" % number for number in range(7))), {"labels"}),
    "a label too few": (lambda app: with_labels(app, b"one\ntwo\n"), {"labels"}),
    "4 KB library": (lambda app: {"libraries": {**app.libraries, LIBRARY: apks.shared_object("arm64-v8a", 4096)}}, {"page_alignment"}),
    "no arm64": (lambda app: {"libraries": {LIBRARY_32: app.libraries[LIBRARY_32]}}, {"abis"}),
    "minSdk 21": (lambda _: {"min_sdk": 21, "schemes": ("v1", "v2")}, {"min_sdk"}),
    "unaligned library": (lambda _: {"zipalign": 4}, {"zip_alignment"}),
    "bomb": (lambda app: with_file(app, "zeros.bin", bytes(10_000_000)), {"sizes"}),
    "card of another model": (
        lambda app: {
            "assets": {
                name: data.replace(b'"sha256": "', b'"sha256": "0000', 1)[:-5] + b"}\n" if name.endswith(".dsmobile.json") else data
                for name, data in app.assets.items()
            }
        },
        {"sha256"},
    ),
    "unsigned": (lambda _: {"schemes": None}, {"signature"}),
    "v1 only": (lambda _: {"schemes": ("v1",)}, {"signature", "verified"}),
    "deflated libraries that stay packed": (lambda _: {"stored": ("tflite",)}, {"zip_alignment"}),
}


@pytest.mark.parametrize("way", SPOILED)
def test_each_spoiled_variant_fails_the_check_that_must_notice_it(way: str, app: Any, tmp_path: Path) -> None:
    changes, expected = SPOILED[way]
    report = check_apk(replace(app, **changes(app)).build(tmp_path))
    assert failed(report) - {"goldens"} == expected, [check for check in report.checks if check.status == FAILED]


def test_a_missing_card_leaves_the_export_to_the_command_line(app: Any, module: Path, artifact: Any, tmp_path: Path) -> None:
    apk = replace(app, **without(app, ".dsmobile.json")).build(tmp_path)
    unknown = statuses(check_apk(apk))
    assert {unknown[name] for name in ("sha256", "labels", "goldens")} == {NOT_CHECKED}
    assert statuses(check_apk(apk, artifact=artifact()))["sha256"] == PASSED
    known = statuses(check_apk(apk, module=module))
    assert {known[name] for name in ("sha256", "labels", "goldens")} == {PASSED}


def test_another_artifact_fails(app: Any, artifact: Any, tmp_path: Path) -> None:
    apk = app.build(tmp_path)
    assert failed(check_apk(apk, artifact=artifact(classes=5, name="other"))) == {"sha256"}


def test_changed_after_signing_fails(app: Any, tmp_path: Path) -> None:
    apk = app.build(tmp_path)
    data = bytearray(apk.read_bytes())
    at = data.index(app.assets[model_of(app)][:64])
    data[at + 100] ^= 1
    apk.write_bytes(data)
    report = check_apk(apk)
    assert {"archive", "verified"} <= failed(report)
    apks.run("apksigner", "verify", apk, code=1)  # it says so too


def test_a_climbing_path_put_into_a_finished_apk_fails(app: Any, tmp_path: Path) -> None:
    apk = app.build(tmp_path)
    with zipfile.ZipFile(apk, "a") as archive:
        archive.writestr("../../../../data/local/tmp/x", b"x")
    assert {"paths", "signature"} <= failed(check_apk(apk))  # what is appended puts the signing block away, too


def test_cut_short_is_bad_input(app: Any, tmp_path: Path) -> None:
    from dsmobile.errors import DataError

    apk = app.build(tmp_path)
    whole = apk.read_bytes()
    for size in (10, 1000, len(whole) // 2, len(whole) - 1):
        apk.write_bytes(whole[:size])
        with pytest.raises(DataError):
            check_apk(apk)


@pytest.mark.parametrize("align", [1, 4, 4096, 16384])
def test_alignment_is_what_zipalign_says(align: int, app: Any, tmp_path: Path) -> None:
    apk = replace(app, zipalign=align, schemes=None, min_sdk=24).build(tmp_path)
    report = check_apk(apk)
    ours = {one.path: one.zip_alignment_bytes for one in (*report.models, *report.libraries)}
    for multiple in (4, 4096, 16384):
        said = apks.run("zipalign", "-c", "-v", str(multiple), apk, code=None)
        theirs = {path: verdict for path, verdict in re.findall(r"^\s*\d+ (\S+) \((OK|BAD)", said, re.MULTILINE) if path in ours}
        assert theirs and {path: "OK" if (place or 0) >= multiple else "BAD" for path, place in ours.items()} == theirs


@pytest.mark.parametrize("tool", ["aapt", "aapt2"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"min_sdk": 21, "target_sdk": 29, "debuggable": True, "extract_native_libs": True},
        {"min_sdk": None, "target_sdk": None, "extract_native_libs": None},
        {"min_sdk": "Tiramisu", "target_sdk": "Tiramisu", "package": "org.example.a_b.C3"},
    ],
)
def test_the_manifest_is_read_as_aapt_dumps_it(tool: str, changes: dict[str, Any], tmp_path: Path) -> None:
    app = apks.App(**changes)
    source, apk = tmp_path / "AndroidManifest.xml", tmp_path / "app.apk"
    source.write_text(app.manifest, encoding="utf-8")
    if tool == "aapt":
        apks.run("aapt", "package", "-f", "-M", source, "-I", apks.framework(), "-F", apk)
    else:
        apks.run("aapt2", "link", "--manifest", source, "-I", apks.framework("aapt2"), "-o", apk)
    with Archive(apk) as archive:
        found = read_manifest(archive.read(next(entry for entry in archive.entries if entry.name == "AndroidManifest.xml"), 1 << 20))
    dump = apks.run("aapt", "dump", "badging", apk, code=None)

    def said(pattern: str) -> str | None:
        match = re.search(pattern, dump)
        return match[1] if match else None

    assert found.package == said(r"package: name='([^']*)'") == app.package
    assert (None if app.min_sdk is None else str(found.min_sdk)) == said(r"sdkVersion:'([^']*)'")
    assert (None if app.target_sdk is None else str(found.target_sdk)) == said(r"targetSdkVersion:'([^']*)'")
    assert found.debuggable == ("application-debuggable" in dump) == app.debuggable
    assert found.extract_native_libs == app.extract_native_libs


@pytest.mark.parametrize("schemes", [("v1",), ("v2",), ("v1", "v2"), ("v3",), ("v1", "v2", "v3")])
def test_schemes_are_what_apksigner_says(schemes: tuple[str, ...], tmp_path: Path) -> None:
    apk = apks.App(min_sdk=21 if "v1" in schemes else 28, target_sdk=29, schemes=schemes).build(tmp_path)
    report = check_apk(apk)
    said = apks.run(
        "apksigner", "verify", "-v", "--min-sdk-version", "28" if schemes == ("v3",) else "21" if "v1" in schemes else "24", apk, code=None
    )
    # with v3 asked for, apksigner does not look at v2 and v1 for new versions; every scheme that it finds must be among ours
    theirs = {scheme for scheme in ("v1", "v2", "v3") if re.search(rf"Verified using {scheme} scheme .*: true", said)}
    assert theirs <= set(report.signatures) == set(schemes)
    assert statuses(report)["verified"] == PASSED


def test_a_debuggable_app_is_warned_of(app: Any, tmp_path: Path) -> None:
    report = check_apk(replace(app, debuggable=True).build(tmp_path))
    assert any("debuggable" in warning for warning in report.warnings) and not report.failed
