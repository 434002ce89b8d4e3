"""`dsmobile ship android`: one artifact and its labels become a Gradle library module for an app."""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsmobile import __version__
from dsmobile.labels import read_labels
from dsmobile.preprocessing import Preprocessing
from dsmobile.shipping.apk.card import SUFFIX as CARD_SUFFIX
from dsmobile.shipping.artifact_check import Shippable, open_runner_of, open_shippable
from dsmobile.shipping.card import write_card
from dsmobile.shipping.goldens import TOLERANCE_RULE, Golden, golden_files, make_goldens, runtime
from dsmobile.shipping.names import asset_stem, catalog_name, checked_package, gradle_name
from dsmobile.shipping.record import write_module
from dsmobile.shipping.render import render_folder, template_folder

ASSETS = "src/main/assets"
GOLDENS = "src/sharedTest/resources/goldens"
CATALOG = "gradle/libs.versions.toml"
DEFAULT_OUT = Path("dsmobile-out") / "android"


@dataclass(frozen=True)
class ShippedModule:
    """A module that was written.

    Args:
        module: Its folder, absolute.
        files: The generated files in it, absolute.
        kept: Files left alone since a person changed them, absolute.
        removed: Files of an earlier generation that are generated no more, absolute.
        package: The Kotlin package.
        model_sha256: The model file's hash.
        warnings: What the person should know.
    """

    module: Path
    files: tuple[Path, ...]
    kept: tuple[Path, ...]
    removed: tuple[Path, ...]
    package: str
    model_sha256: str
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "module": str(self.module),
            "files": [str(path) for path in self.files],
            "kept": [str(path) for path in self.kept],
            "removed": [str(path) for path in self.removed],
            "package": self.package,
            "model_sha256": self.model_sha256,
            "warnings": list(self.warnings),
        }


def ship_android(artifact: Path, labels: Path, package: str, out: Path | None = None, *, force: bool = False) -> ShippedModule:
    """Writes a Gradle library module that runs an artifact on LiteRT.

    Args:
        artifact: A float32-in, float32-out `.tflite` classifier that `dsmobile export` wrote, its manifest beside it.
        labels: One class a line, in the network's order.
        package: The Kotlin package and namespace: `com.acme.vision`.
        out: The module's folder; None means `dsmobile-out/android/NAME` after the artifact's name.
        force: Replace files that a person changed, and write into a folder that is not a module's.

    Raises:
        UsageError: The package's name cannot be one.
        ModelError: The artifact cannot be shipped.
        DataError: The labels cannot be read or are not one per class.
        SpecError: The template is damaged.
        OutputError: The folder holds something else or cannot be written.
    """
    package = checked_package(package)
    shippable = open_shippable(artifact)
    names = read_labels(labels, shippable.classes)
    stem = asset_stem(artifact.stem)
    goldens = make_goldens(shippable, open_runner_of(shippable))
    files = module_files(shippable, names, package, stem, goldens)
    facts = {
        "dsmobile_version": __version__,
        "package": package,
        "model": f"{ASSETS}/{stem}.tflite",
        "model_sha256": shippable.manifest.sha256,
        "labels": f"{ASSETS}/{stem}.labels.txt",
        "card": f"{ASSETS}/{stem}{CARD_SUFFIX}",
        "goldens": f"{GOLDENS}/index.json",
        "catalog": catalog_name(package),
    }
    folder = out if out is not None else DEFAULT_OUT / stem
    written = write_module(folder, files, facts, force=force)
    folder = folder.resolve()
    return ShippedModule(
        module=folder,
        files=tuple(folder / name for name in written.files),
        kept=tuple(folder / name for name in written.kept),
        removed=tuple(folder / name for name in written.removed),
        package=package,
        model_sha256=shippable.manifest.sha256,
        warnings=_warnings(shippable, names, written.kept),
    )


def module_files(shippable: Shippable, labels: tuple[str, ...], package: str, stem: str, goldens: tuple[Golden, ...]) -> dict[str, bytes]:
    """All generated files of a module; the same arguments give the same bytes.

    Args:
        shippable: The artifact.
        labels: One per class.
        package: A checked package.
        stem: The model's name in the assets, without its ending.
        goldens: The golden vectors.

    Returns:
        Each file's bytes by its path in the module.
    """
    model_asset, labels_asset = f"{stem}.tflite", f"{stem}.labels.txt"
    label_bytes = "".join(f"{label}\n" for label in labels).encode()
    versions = _versions()
    values = {
        "package": package,
        "gradle_name": gradle_name(package),
        "catalog": catalog_name(package),
        "model_asset": model_asset,
        "labels_asset": labels_asset,
        "card_asset": f"{stem}{CARD_SUFFIX}",
        "litert_version": versions["litert"],
        "min_sdk": versions["minSdk"],
        "agp_version": versions["agp"],
        "dsmobile_version": __version__,
        "runtime": runtime(),
        "golden_count": str(len(goldens)),
        "tolerance_rule": TOLERANCE_RULE,
        **_numbers(shippable),
        **_words(shippable),
    }
    preprocessing = shippable.preprocessing
    sections = {"resize": preprocessing.resize is not None, "crop": preprocessing.crop is not None, "grey": preprocessing.colour == "grey"}
    files = render_folder(template_folder(), values, sections)
    files[f"{ASSETS}/{model_asset}"] = shippable.data
    files[f"{ASSETS}/{labels_asset}"] = label_bytes
    files[f"{ASSETS}/{stem}{CARD_SUFFIX}"] = write_card(shippable, label_bytes, model_asset, labels_asset, goldens[0])
    files |= {f"{GOLDENS}/{name}": data for name, data in golden_files(shippable, labels, goldens, model_asset).items()}
    return files


def _versions() -> dict[str, str]:
    """The versions in the template's catalog, which stand nowhere else."""
    versions: dict[str, str] = tomllib.loads((template_folder() / CATALOG).read_text(encoding="utf-8"))["versions"]
    return versions


def _numbers(shippable: Shippable) -> dict[str, str]:
    """What goes into Kotlin: checked numbers and words from closed lists, nothing else."""
    preprocessing, manifest = shippable.preprocessing, shippable.manifest
    return {
        "model_sha256": hashlib.sha256(shippable.data).hexdigest(),
        "byte_of_channel": "2 - channel" if preprocessing.colour == "bgr" else "channel",
        "classes": str(int(shippable.classes)),
        "size_bytes": str(len(shippable.data)),
        "score_meaning": "a probability, since the network ends in a softmax"
        if manifest.ends_in_softmax
        else "the network's own output, no probability: only the order counts",
        "input_height": str(int(shippable.height)),
        "input_width": str(int(shippable.width)),
        "channels": str(preprocessing.channels),
        "colour": preprocessing.colour,
        "resize": str(int(preprocessing.resize or 0)),
        "scale": _floats(preprocessing.scale, preprocessing.channels),
        "offset": _floats(preprocessing.offset, preprocessing.channels),
        "preprocessing": _written(preprocessing),
    }


def _floats(values: tuple[float, ...], channels: int) -> str:
    """Kotlin literals of exactly the float32 that Python computes with: the shortest decimal that reads back as it."""
    values = values * channels if len(values) == 1 else values
    return ", ".join(f"{np.float32(value)!s}f" for value in values)


def _written(preprocessing: Preprocessing) -> str:
    """The preprocessing as `--preprocess` takes it."""
    parts = []
    if preprocessing.resize is not None:
        parts.append(f"resize={preprocessing.resize}")
    if preprocessing.crop is not None:
        parts.append(f"crop={preprocessing.crop[0]}x{preprocessing.crop[1]}")
    parts.append(f"colour={preprocessing.colour}")
    parts += [
        f"{key}={'/'.join(repr(float(value)) for value in values)}"
        for key, values in (("scale", preprocessing.scale), ("offset", preprocessing.offset))
    ]
    return ",".join(parts)


def _words(shippable: Shippable) -> dict[str, str]:
    """What goes into README.md only."""
    manifest, parity = shippable.manifest, shippable.manifest.parity
    facts = {"name": manifest.name, "role": manifest.role, "recipe": manifest.recipe, "head": manifest.head, **manifest.source}
    scalars = {key: value for key, value in facts.items() if isinstance(value, str | int | float) and value != ""}
    return {
        "parity_count": str(parity.count),
        "parity_max_abs_error": f"{parity.max_abs_error:.3g}",
        "parity_max_abs_reference": f"{parity.max_abs_reference:.3g}",
        "parity_sqnr_db": "without bound (equal)" if parity.sqnr_db is None else f"{parity.sqnr_db:.1f} dB",
        "parity_top1_agreement": f"{100 * parity.top1_agreement:.1f}%",
        "source_lines": "\n".join(f"- {_plain(key)}: `{_plain(value)}`" for key, value in scalars.items()),
        "weights_note": _weights_note(str(manifest.source.get("weights", "")), str(manifest.metadata.get("license") or "")),
    }


def _plain(value: object) -> str:
    """A stranger's word for Markdown, and of a path only its last part."""
    return _one_line(str(value).replace("\\", "/").rstrip("/").rpartition("/")[2])


def _one_line(text: str) -> str:
    """A stranger's words for a code span of Markdown: one line, and no way out."""
    return "".join(character if character.isprintable() and character != "`" else "_" for character in text)[:200].strip() or "_"


def _weights_note(weights: str, given: str) -> str:
    if given:
        return f"Whoever exported the network gave its licence as `{_one_line(given)}`; it stands in the file's metadata too."
    if weights == "random":
        return "The weights are random: this network has learned nothing, so it serves to measure, not to recognise."
    if weights == "imagenet":
        return "The weights are Keras Applications', trained on ImageNet: read their licence and ImageNet's terms before you publish an app."
    return "dsmobile does not know under which licence the weights came: ask whoever trained them before you publish an app."


def _warnings(shippable: Shippable, labels: tuple[str, ...], kept: tuple[str, ...]) -> tuple[str, ...]:
    warnings = []
    if shippable.manifest.labels and shippable.manifest.labels != labels:
        warnings.append("the labels differ from those the artifact was exported with: check their order")
    if shippable.manifest.source.get("weights") == "random":
        warnings.append("the artifact's weights are random: its labels mean nothing")
    twice = sorted(label for label, count in Counter(labels).items() if count > 1)
    if twice:
        warnings.append(f"{len(twice)} labels stand on more than one line ({twice[0]!r}, for one): only their index tells such classes apart")
    if kept:
        warnings.append(f"{len(kept)} changed files were kept, and may not fit the files generated now: look at them, or give --force")
    return tuple(warnings)
