"""`dsmobile ship check`: an APK, anybody's, judged for what its model needs: the whole of it on a page."""

from __future__ import annotations

from pathlib import Path

from dsmobile.errors import DataError
from dsmobile.shipping.apk.archive import Archive, EntryError
from dsmobile.shipping.apk.axml import AxmlError
from dsmobile.shipping.apk.checks_archive import check_archive, check_paths, check_sizes
from dsmobile.shipping.apk.checks_install import (
    check_abis,
    check_manifest,
    check_min_sdk,
    check_page_alignment,
    check_signature,
    check_verified,
    check_zip_alignment,
)
from dsmobile.shipping.apk.checks_labels import check_labels, check_metadata
from dsmobile.shipping.apk.checks_model import check_goldens, check_model, check_model_alignment, check_sha256, check_stored
from dsmobile.shipping.apk.exports import artifact_export, card_exports, module_export
from dsmobile.shipping.apk.libraries import read_libraries
from dsmobile.shipping.apk.looks import look_at_models
from dsmobile.shipping.apk.manifest import AppManifest, read_manifest
from dsmobile.shipping.apk.models import Contents, read_contents
from dsmobile.shipping.apk.report import ApkReport, named
from dsmobile.shipping.apk.signatures import Verification, read_signatures, verify

_MANIFEST = "AndroidManifest.xml"
_LARGEST_MANIFEST_BYTES = 16 << 20
_OTHERS = {
    "base/manifest/AndroidManifest.xml": (
        "an Android App Bundle (.aab)",
        "give an APK that bundletool makes of it: bundletool build-apks --mode=universal",
    ),
    "toc.pb": ("a set of APKs (.apks)", "unpack it and give its universal.apk or base-master.apk"),
    "classes.jar": ("an Android library (.aar)", "give the APK of an app that uses it"),
}


def check_apk(apk: Path, *, artifact: Path | None = None, module: Path | None = None) -> ApkReport:
    """Judges an APK: its archive, its model, its libraries, its signature.

    Nothing in it is unpacked by its own name or run, but for TFLite models, which are opened in a process with limits.

    Args:
        apk: The file.
        artifact: The exported `.tflite` that should be in it.
        module: The generated Gradle module that it should be built from.

    Returns:
        Every check, with what was seen.

    Raises:
        DataError: It is no APK, cut short, or the module is none.
        ModelError: The artifact is missing, or its manifest is damaged.
    """
    if not apk.is_file():
        raise DataError(f"{apk} is not a file", "give the path of an .apk file")
    given = [*([artifact_export(artifact)] if artifact else []), *([module_export(module)] if module else [])]
    with Archive(apk) as archive:
        _refuse_others(archive)
        contents = read_contents(archive)
        left_alone = frozenset(archive.entries) if contents.too_large else contents.bombs
        manifest, problem = _manifest(archive, contents)
        libraries = read_libraries(archive, left_alone)
        cards, damaged = card_exports(archive, left_alone)
        exports = (*given, *cards)
        looks, left = look_at_models(archive, contents.models, exports)
        signatures = read_signatures(archive)
        verification = verify(apk) if signatures.schemes else None
        checks = (
            check_archive(archive, contents),
            check_paths(archive),
            check_sizes(archive, contents),
            check_manifest(manifest, problem),
            check_model(contents.models, looks),
            check_stored(contents.models),
            check_model_alignment(contents.models),
            check_sha256(contents.models, exports, damaged),
            check_labels(archive, looks),
            check_metadata(archive, looks),
            check_goldens(looks),
            check_abis(libraries),
            check_page_alignment(libraries),
            check_zip_alignment(libraries, manifest),
            check_min_sdk(manifest, libraries, ours=bool(exports)),
            check_signature(signatures, manifest),
            check_verified(signatures, verification),
        )
    return ApkReport(
        apk=str(apk.resolve()),
        package=manifest.package if manifest else None,
        min_sdk=manifest.min_sdk if manifest else None,
        target_sdk=manifest.target_sdk if manifest else None,
        debuggable=manifest.debuggable if manifest else None,
        models=contents.models,
        abis=tuple(sorted({library.abi for library in libraries})),
        libraries=libraries,
        signatures=signatures.schemes,
        checks=checks,
        warnings=_warnings(manifest, contents, left, verification),
    )


def _refuse_others(archive: Archive) -> None:
    """Raises where the archive is something else than an APK."""
    names = {entry.name for entry in archive.entries}
    for name, (what, advice) in _OTHERS.items():
        if name in names and not (name == "classes.jar" and _MANIFEST not in names):
            raise DataError(f"{archive.path} is {what}, not an APK", advice)
    if _MANIFEST not in names:
        inner = [name for name in names if name.endswith(".apk")]
        advice = "unpack it and give one of the APKs in it" if inner else "give an .apk file, as Gradle leaves it in build/outputs/apk"
        raise DataError(f"{archive.path} is an archive without {_MANIFEST}, so it is no APK", advice)


def _manifest(archive: Archive, contents: Contents) -> tuple[AppManifest | None, str]:
    entry = next(entry for entry in archive.entries if entry.name == _MANIFEST)
    try:
        if contents.too_large or entry in contents.bombs:
            raise EntryError("was not read: it would inflate out of all proportion")
        return read_manifest(archive.read(entry, _LARGEST_MANIFEST_BYTES)), ""
    except EntryError as error:
        return None, f"it {error}"
    except AxmlError as error:
        return None, str(error)


def _warnings(manifest: AppManifest | None, contents: Contents, left: tuple[str, ...], verification: Verification | None) -> tuple[str, ...]:
    warnings = []
    if manifest is not None and manifest.debuggable:
        warnings.append("it is debuggable: a build for development, which Google Play refuses; build the release")
    if verification is not None and "CN=Android Debug" in verification.signer:
        warnings.append("it is signed with Android's debug key, which Google Play refuses")
    if contents.nested:
        warnings.append(f"archives within it were not looked into: {named(contents.nested)}")
    if left:
        warnings.append(f"too large or too many to be looked at: {named(left)}")
    return tuple(warnings)
