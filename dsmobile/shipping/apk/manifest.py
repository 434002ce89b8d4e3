"""What an APK's `AndroidManifest.xml` says of installing it."""

from __future__ import annotations

from dataclasses import dataclass

from dsmobile.shipping.apk.axml import AxmlError, Element, Reference, read_axml

# android.R.attr, which never changes.
DEBUGGABLE, MIN_SDK, TARGET_SDK, EXTRACT_NATIVE_LIBS = 0x0101000F, 0x0101020C, 0x01010270, 0x010104EA
_NAMES = {DEBUGGABLE: "debuggable", MIN_SDK: "minSdkVersion", TARGET_SDK: "targetSdkVersion", EXTRACT_NATIVE_LIBS: "extractNativeLibs"}


@dataclass(frozen=True)
class AppManifest:
    """The manifest's facts.

    Args:
        package: The app's name.
        split: The split's name, where this APK is a part of an app.
        min_sdk: The lowest API level; 1 where nothing is said; a preview's code name; None where only a resource table says it.
        target_sdk: The level it was made for; min_sdk where nothing is said.
        extract_native_libs: Whether libraries are unpacked when it is installed; None where nothing is said.
        debuggable: Whether it is a build for debugging.
    """

    package: str
    split: str
    min_sdk: int | str | None
    target_sdk: int | str | None
    extract_native_libs: bool | None
    debuggable: bool


def read_manifest(data: bytes) -> AppManifest:
    """Reads a compiled manifest.

    Raises:
        AxmlError: It is no binary XML, damaged, or no manifest.
    """
    elements = read_axml(data)
    if not elements or elements[0].name != "manifest":
        raise AxmlError("its first element is no <manifest>")
    package = elements[0].plain.get("package")
    if not isinstance(package, str) or not package:
        raise AxmlError("it names no package")
    uses_sdk = next((element for element in reversed(elements) if element.name == "uses-sdk"), Element("uses-sdk"))
    application = next((element for element in elements if element.name == "application"), Element("application"))
    split = elements[0].plain.get("split", "")
    min_sdk = _level(uses_sdk, MIN_SDK, 1)
    return AppManifest(
        package=package,
        split=split if isinstance(split, str) else "",
        min_sdk=min_sdk,
        target_sdk=_level(uses_sdk, TARGET_SDK, min_sdk),
        extract_native_libs=_flag(application, EXTRACT_NATIVE_LIBS),
        debuggable=bool(_flag(application, DEBUGGABLE)),
    )


def _get(element: Element, attribute: int) -> int | bool | str | Reference | None:
    return element.attributes.get(attribute, element.plain.get(_NAMES[attribute]))


def _level(element: Element, attribute: int, otherwise: int | str | None) -> int | str | None:
    value = _get(element, attribute)
    if value is None:
        return otherwise
    if isinstance(value, Reference):
        return None
    return int(value) if not isinstance(value, str) or (value.isascii() and value.isdecimal() and len(value) < 9) else value


def _flag(element: Element, attribute: int) -> bool | None:
    value = _get(element, attribute)
    if value is None or isinstance(value, Reference):
        return None
    return value.lower() == "true" if isinstance(value, str) else bool(value)
