"""What `dsmobile ship check` says: the closed list of its checks, and one value with everything that was seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from dsmobile.shipping.apk.libraries import Library
from dsmobile.shipping.apk.models import Model

SCHEMA = "dsmobile.apk/1"
PASSED, FAILED, NOT_CHECKED = "passed", "failed", "not checked"
CHECKS = {
    "archive": "Android's own reader takes the archive, and every entry is whole",
    "paths": "no entry's path leads out of the folder it is unpacked into",
    "sizes": "nothing inflates out of all proportion",
    "manifest": "AndroidManifest.xml can be read and names the package",
    "model": "there is a model in it, and it is what its name says",
    "stored": "TFLite files are stored, not deflated, so that they can be memory-mapped",
    "model_alignment": "TFLite files begin at a multiple of 4 bytes",
    "sha256": "the model is the export, byte for byte",
    "labels": "the labels are the export's, one for each class",
    "metadata": "the model's TFLite metadata fits the model and the labels",
    "goldens": "the model taken from the APK computes what it computed when it was exported",
    "abis": "64-bit processors are served, and each library is for its folder's processor",
    "page_alignment": "64-bit libraries are laid out for pages of 16 KB",
    "zip_alignment": "stored 64-bit libraries begin at a multiple of 16 KB",
    "min_sdk": "the lowest Android version is one that the runtime takes",
    "signature": "it is signed by a scheme that the Android versions it is for accept",
    "verified": "the signature holds",
}
_MOST_NAMED = 4
_LONGEST_NAME = 120


@dataclass(frozen=True)
class Check:
    """One check and its outcome.

    Args:
        name: One of `CHECKS`.
        status: `passed`, `failed` or `not checked`.
        detail: What was seen.
        advice: What to do; empty where there is nothing to do.
    """

    name: str
    status: str
    detail: str
    advice: str = ""

    def __post_init__(self) -> None:
        if self.name not in CHECKS or self.status not in (PASSED, FAILED, NOT_CHECKED):
            raise ValueError(f"no check or status: {self.name}, {self.status}")


@dataclass(frozen=True)
class ApkReport:
    """An APK, judged.

    Args:
        apk: Its path, absolute.
        package: The app's name; None where the manifest cannot be read.
        min_sdk: The lowest Android API level it is for, or the code name of a preview.
        target_sdk: The level it was made for.
        debuggable: Whether it is a build for debugging.
        models: The models in it.
        abis: The processors it has libraries for.
        libraries: Its native libraries.
        signatures: The schemes it is signed by: `v1`, `v2`, `v3`, `v3.1`.
        checks: Every check of `CHECKS`, in that order.
        warnings: What a person should know, though no check fails of it.
    """

    apk: str
    package: str | None
    min_sdk: int | str | None
    target_sdk: int | str | None
    debuggable: bool | None
    models: tuple[Model, ...]
    abis: tuple[str, ...]
    libraries: tuple[Library, ...]
    signatures: tuple[str, ...]
    checks: tuple[Check, ...]
    warnings: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return any(check.status == FAILED for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "schema": SCHEMA,
            "apk": self.apk,
            "package": self.package,
            "min_sdk": self.min_sdk,
            "target_sdk": self.target_sdk,
            "debuggable": self.debuggable,
            "models": [asdict(model) for model in self.models],
            "abis": list(self.abis),
            "libraries": [asdict(library) for library in self.libraries],
            "signatures": list(self.signatures),
            "checks": [asdict(check) for check in self.checks],
            "warnings": list(self.warnings),
            "passed": not self.failed,
        }


def named(names: Iterable[str]) -> str:
    """The first of some names, cut to a length, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "..." for name in names[:_MOST_NAMED]) + more


def sentences(problems: Iterable[str]) -> str:
    """The first of some problems, and how many more there are."""
    problems = list(problems)
    more = f"; and {len(problems) - _MOST_NAMED} more" if len(problems) > _MOST_NAMED else ""
    return "; ".join(problem[: 3 * _LONGEST_NAME] for problem in problems[:_MOST_NAMED]) + more
