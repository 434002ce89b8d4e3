"""Names that become Kotlin, folders and assets."""

from __future__ import annotations

import re
import string

import pytest

from dsmobile.errors import UsageError
from dsmobile.shipping.names import DEVICE_NAMES, asset_stem, catalog_name, checked_package

ALLOWED_IN_ASSETS = set(string.ascii_letters + string.digits + "._-")


@pytest.mark.parametrize("package", ["com.acme.vision", "a.b", "Com.Acme_2.x9", "org.w3_.v", "com." + "a" * 219])
def test_a_package_that_java_and_kotlin_take_is_itself(package: str) -> None:
    assert checked_package(package) == package


@pytest.mark.parametrize(
    "package",
    [
        *[
            "",
            "vision",
            ".",
            "com.",
            ".com",
            "com..acme",
            "com.acme.",
            " com.acme",
            "com.acme\n",
            "com.acme\x00",
            "com.9lives",
            "com._x",
            "1a.b",
        ],
        *["com.con", "com.AUX.x", "com.nul", "lpt1.acme", "com.com9.x"],
        *["com.class.x", "com.fun", "in.acme", "com.is", "com.typeof", "com.object", "com.goto", "com.null", "a.true", "val.x"],
        *[
            "../../etc.passwd",
            "com/acme.x",
            "com\\acme.x",
            "com.acme;import java",
            "com.acme$x",
            "com.`acme`",
            "com.a-b",
            "com.acme.*",
            "com.ácme",
        ],
        *["com.\u0430cme.vision", "com.acme\u200b.x", "java.util", "kotlin.text", "android.app", "com." + "a" * 220, "com.acme.$" + "{x}"],
    ],
)
def test_any_other_package_is_a_usage_error(package: str) -> None:
    with pytest.raises(UsageError) as caught:
        checked_package(package)
    assert caught.value.exit_code == 2
    assert "com.acme.vision" in caught.value.advice
    assert "\n" not in caught.value.message and "\x00" not in caught.value.message


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v1_0.25_224-model-int8",
        "../../etc/passwd",
        "a b;rm -rf $HOME",
        '"; fun x()',
        "${x}",
        "..",
        "",
        ".hidden",
        "模型",
        "x" * 500,
        "a\nb",
        "~",
        "CON",
        "aux.v2",
        "Lpt1",
        "nul" + "." * 200,
    ],
)
def test_an_asset_stem_is_safe_everywhere(name: str) -> None:
    stem = asset_stem(name)
    assert stem and set(stem) <= ALLOWED_IN_ASSETS and len(stem) <= 100
    assert ".." not in stem and stem[0] not in "._-"
    assert stem.partition(".")[0].lower() not in DEVICE_NAMES
    assert asset_stem(stem) == stem


def test_an_ordinary_artifact_keeps_its_name() -> None:
    assert asset_stem("mobilenet_v1_0.25_224-model-int8") == "mobilenet_v1_0.25_224-model-int8"


@pytest.mark.parametrize(
    "package, name",
    [("com.acme.vision", "visionLibs"), ("com.acme.Vision_2", "vision2Libs"), ("com.acme.a_", "aLibs"), ("a.libs", "libsLibs"), ("a.b", "bLibs")],
)
def test_a_catalog_has_a_name_that_gradle_takes_and_no_app_has(package: str, name: str) -> None:
    assert catalog_name(package) == name
    assert re.fullmatch("[a-z][a-zA-Z0-9]+", name) and name != "libs"  # org.gradle.api.initialization.dsl.VersionCatalogBuilder
