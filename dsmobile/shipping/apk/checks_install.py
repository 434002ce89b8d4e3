"""The checks of what Android and its shop ask before a phone runs the app: manifest, processors, page size, signature."""

from __future__ import annotations

from dsmobile.shipping.apk.libraries import SUCCESSORS, Library
from dsmobile.shipping.apk.manifest import AppManifest
from dsmobile.shipping.apk.report import FAILED, NOT_CHECKED, PASSED, Check, named, sentences
from dsmobile.shipping.apk.signatures import Signatures, Verification

PAGE_BYTES = 16384
LITERT_MIN_SDK, TFLITE_MIN_SDK = 24, 21
_V2_SDK, _V3_SDK, _V2_TARGET = 24, 28, 30
_RUNTIMES = ("libLiteRt.so", "libtensorflowlite_jni.so", "libonnxruntime.so")
_UNREAD = "AndroidManifest.xml cannot be read"
_NONE_64 = "no native libraries for 64-bit processors"
_SIGN = "sign it: apksigner sign --ks KEYSTORE APP.apk"


def check_manifest(manifest: AppManifest | None, problem: str) -> Check:
    """Whether the manifest can be read."""
    if manifest is None:
        return Check("manifest", FAILED, f"AndroidManifest.xml: {problem}", "build the APK with Gradle or aapt2, which compile the manifest")
    parts = [manifest.package, f"minSdk {_level(manifest.min_sdk)}", f"targetSdk {_level(manifest.target_sdk)}"]
    return Check("manifest", PASSED, ", ".join(parts + ([f"split {manifest.split}"] if manifest.split else [])))


def _level(value: int | str | None) -> str:
    return "in a resource" if value is None else str(value)


def check_abis(libraries: tuple[Library, ...]) -> Check:
    """Whether 64-bit processors are served wherever 32-bit ones are, by the runtime too, and each library is for its folder's processor."""
    abis = {library.abi for library in libraries}
    if not abis:
        return Check("abis", PASSED, "no native libraries: the runtime must come from a split APK or Google Play services")
    missing = sorted({SUCCESSORS[abi] for abi in abis if SUCCESSORS.get(abi, abi) not in abis})
    if missing:
        advice = "Google Play asks for 64-bit libraries wherever there are 32-bit ones: add the ABI to abiFilters"
        return Check("abis", FAILED, f"{', '.join(sorted(abis))}, but not {' and '.join(missing)}", advice)
    lacking = [f"{name} is not there for {' and '.join(lacks)}" for name in _RUNTIMES if (lacks := _lacks(name, libraries, abis))]
    if lacking:
        advice = (
            "a phone takes one ABI for all libraries, so it cannot open the model there: add the runtime's library, or drop the ABI from abiFilters"
        )
        return Check("abis", FAILED, sentences(lacking), advice)
    machines = {"armeabi": "armeabi-v7a"}
    astray = [
        f"{library.path} is for {library.machine}" for library in libraries if library.machine not in (None, machines.get(library.abi, library.abi))
    ]
    if astray:
        return Check("abis", FAILED, sentences(astray), "put each library into the folder of its own processor")
    return Check("abis", PASSED, ", ".join(sorted(abis)))


def _lacks(name: str, libraries: tuple[Library, ...], abis: set[str]) -> list[str]:
    """The ABIs of the app that a library is not there for, where it is there for others."""
    served = {library.abi for library in libraries if library.name == name}
    return sorted(abis - served) if served else []


def check_page_alignment(libraries: tuple[Library, ...]) -> Check:
    """Whether 64-bit libraries are laid out for pages of 16 KB."""
    wide = [library for library in libraries if library.is_64_bit]
    if not wide:
        return Check("page_alignment", PASSED, _NONE_64)
    unread = [f"{library.path} {library.problem}" for library in wide if library.problem]
    aligned = [(library.path, library.page_alignment_bytes) for library in wide if library.page_alignment_bytes is not None]
    narrow = [f"{path} {alignment}" for path, alignment in aligned if alignment < PAGE_BYTES]
    if narrow:
        advice = "take a newer version of the library, or link it with -Wl,-z,max-page-size=16384 (the NDK does from r28 on)"
        return Check("page_alignment", FAILED, f"laid out for smaller pages: {named(narrow)}", advice)
    if unread:
        return Check("page_alignment", FAILED, sentences(unread), "it cannot be loaded: build or copy it again")
    smallest = min(alignment for _, alignment in aligned)
    return Check("page_alignment", PASSED, f"for pages of {smallest} bytes: {named(library.path for library in wide)}")


def check_zip_alignment(libraries: tuple[Library, ...], manifest: AppManifest | None) -> Check:
    """Whether stored 64-bit libraries can be mapped where they lie; deflated ones are unpacked when the app is installed."""
    deflated = [library.path for library in libraries if not library.stored]
    if deflated and manifest is not None and manifest.extract_native_libs is False:
        advice = "store the libraries, or set packaging { jniLibs { useLegacyPackaging = true } }"
        return Check("zip_alignment", FAILED, f"extractNativeLibs is false, but these are deflated: {named(deflated)}", advice)
    stored = [library for library in libraries if library.is_64_bit and library.stored]
    wrong = [f"{library.path} {library.zip_alignment_bytes}" for library in stored if (library.zip_alignment_bytes or 0) < PAGE_BYTES]
    if wrong:
        advice = "build with the Android Gradle Plugin 8.5.1 or newer, or run: zipalign -P 16 4 IN.apk OUT.apk, then sign it again"
        return Check("zip_alignment", FAILED, f"not at a multiple of {PAGE_BYTES}: {named(wrong)}", advice)
    if not stored:
        has_64 = any(library.is_64_bit for library in libraries)
        return Check("zip_alignment", PASSED, "its 64-bit libraries are deflated, so they are unpacked at installation" if has_64 else _NONE_64)
    return Check("zip_alignment", PASSED, f"at multiples of {PAGE_BYTES}: {named(library.path for library in stored)}")


def check_min_sdk(manifest: AppManifest | None, libraries: tuple[Library, ...], *, ours: bool) -> Check:
    """Whether the lowest Android version is one that the runtime takes.

    Args:
        manifest: The manifest.
        libraries: They tell the runtime.
        ours: Whether the model was shipped by dsmobile, whose module runs on LiteRT 2.
    """
    if manifest is None:
        return Check("min_sdk", NOT_CHECKED, _UNREAD)
    lowest = manifest.min_sdk
    if not isinstance(lowest, int):
        return Check("min_sdk", NOT_CHECKED, f"minSdkVersion is {_level(lowest)}, no number")
    names = {library.name for library in libraries}
    litert = any(name.startswith("libLiteRt") for name in names)
    older = any(name.startswith("libtensorflowlite") for name in names)
    if litert or (ours and not older):
        needed, runtime = LITERT_MIN_SDK, "LiteRT 2.3"
    elif older:
        needed, runtime = TFLITE_MIN_SDK, "TensorFlow Lite"
    elif lowest >= LITERT_MIN_SDK:
        return Check("min_sdk", PASSED, f"{lowest}; LiteRT 2.3 needs {LITERT_MIN_SDK}")
    else:
        return Check("min_sdk", NOT_CHECKED, f"{lowest}; which runtime opens the model is not seen here, and LiteRT 2.3 needs {LITERT_MIN_SDK}")
    if lowest < needed:
        return Check("min_sdk", FAILED, f"{lowest}, but {runtime} needs {needed}", f"set minSdk = {needed} in build.gradle.kts")
    return Check("min_sdk", PASSED, f"{lowest}; {runtime} needs {needed}")


def check_signature(signatures: Signatures, manifest: AppManifest | None) -> Check:
    """Whether it is signed by a scheme that every Android version it is for accepts."""
    if signatures.problem:
        return Check("signature", FAILED, signatures.problem, _SIGN)
    schemes = signatures.schemes
    if not schemes:
        return Check("signature", FAILED, "it is not signed: no phone installs it", _SIGN)
    lowest, target = (manifest.min_sdk, manifest.target_sdk) if manifest else (None, None)
    said = ", ".join(schemes)
    v2_wanted = (isinstance(lowest, int) and lowest >= _V2_SDK) or (isinstance(target, int) and target >= _V2_TARGET)
    if schemes == ("v1",) and v2_wanted:
        return Check("signature", FAILED, "v1 alone: Android 11 and newer refuse it where targetSdk is 30 or more, and it covers less than v2", _SIGN)
    if isinstance(lowest, int):
        if lowest < _V2_SDK and "v1" not in schemes:
            return Check(
                "signature", FAILED, f"{said}, but Android before 7 (minSdk is {lowest}) knows only v1", f"{_SIGN} with --v1-signing-enabled true"
            )
        if lowest < _V3_SDK and not {"v1", "v2"} & set(schemes):
            return Check("signature", FAILED, f"{said}, but Android before 9 (minSdk is {lowest}) knows only v1 and v2", _SIGN)
    return Check("signature", PASSED, f"{said} present")


def check_verified(signatures: Signatures, verification: Verification | None) -> Check:
    """Whether the signature holds, by `apksigner`.

    Args:
        signatures: What is there.
        verification: What `apksigner` said; None where there was nothing to ask it.
    """
    if verification is None or not signatures.schemes:
        return Check("verified", NOT_CHECKED, "it is not signed")
    if verification.holds is None:
        return Check("verified", NOT_CHECKED, verification.words, "install apksigner (in the Android SDK's build-tools, or Debian's package)")
    if not verification.holds:
        return Check("verified", FAILED, verification.words, "it was changed after it was signed, or signed wrongly: build and sign it again")
    return Check("verified", PASSED, verification.words + (f"; {verification.signer}" if verification.signer else ""))
