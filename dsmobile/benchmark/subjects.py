"""Which files are measured, what is known of them, and who is compared with whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsmobile.errors import ModelError, UsageError
from dsmobile.exporters.artifact import Manifest, read_manifest, without_manifests
from dsmobile.exporters.sniff import CALLED, check_model_file
from dsmobile.files import sha256

MEASURABLE = ("tflite", "onnx")


@dataclass(frozen=True)
class Subject:
    """A file to measure.

    Args:
        path: Absolute.
        sha256: Its hash.
        size_bytes: Its size.
        format: `tflite` or `onnx`.
        manifest: What we know of it; None for a stranger's file.
    """

    path: Path
    sha256: str
    size_bytes: int
    format: str
    manifest: Manifest | None

    @property
    def input_range(self) -> tuple[float, float]:
        """The real values between which its input is drawn: its probe's, else its preprocessing's, else -1 and 1."""
        if self.manifest and {"low", "high"} <= self.manifest.probe.keys():
            return float(self.manifest.probe["low"]), float(self.manifest.probe["high"])
        if self.manifest and self.manifest.preprocessing:
            return self.manifest.preprocessing.input_range
        return -1.0, 1.0

    @property
    def layout(self) -> str:
        """Its input's layout; empty where unknown."""
        return self.manifest.inputs[0].layout if self.manifest and self.manifest.inputs else ""

    @property
    def seed(self) -> int:
        """The seed of its input."""
        return int(self.manifest.probe.get("seed", 0)) if self.manifest else 0

    @property
    def reduced_range(self) -> bool:
        """Whether its int8 weights were written with 7 bits, for x86 without VNNI."""
        return self.manifest is not None and self.manifest.recipe_values.get("target") == "x86"


def gather(artifacts: Sequence[Path], pairs: Sequence[tuple[Path, Path]]) -> tuple[Subject, ...]:
    """Reads what is known of every file, those that only a pair names included; each file once, in the order given.

    Raises:
        UsageError: There is no file.
        ModelError: One is missing, damaged, or of a format that is not measured.
    """
    paths = dict.fromkeys(path.resolve() for path in (*without_manifests(artifacts), *(path for pair in pairs for path in pair)))
    if not paths:
        raise UsageError("there is nothing to measure", "give one or more .tflite or .onnx files")
    return tuple(_subject(path) for path in paths)


def _subject(path: Path) -> Subject:
    kind = check_model_file(path)
    if kind not in MEASURABLE:
        raise ModelError(f"{path} is {CALLED[kind]}, which no runtime on a device opens", "write a .tflite or .onnx file with `dsmobile export`")
    return Subject(path, sha256(path), path.stat().st_size, kind, read_manifest(path))


def pair_up(subjects: Sequence[Subject], given: Sequence[tuple[Path, Path]]) -> tuple[tuple[int, int], ...]:
    """Who is compared with whom: first those that a person named, then every separable network with its twin of equal format and recipe.

    Args:
        subjects: The files.
        given: The pairs of `--pair A B`: A's speed-up over B.

    Returns:
        Pairs of indices into `subjects`: the first is the separable network, or A.

    Raises:
        UsageError: A pair's two files are the same, or run on different runtimes.
    """
    index = {subject.path: number for number, subject in enumerate(subjects)}
    named = [(index[a.resolve()], index[b.resolve()]) for a, b in given]
    for a, b in named:
        if a == b:
            raise UsageError(f"--pair names {subjects[a].path.name} twice", "give two different files")
        if subjects[a].format != subjects[b].format:
            raise UsageError(
                f"--pair compares {subjects[a].path.name} with {subjects[b].path.name}, which run on different runtimes",
                "compare a .tflite with a .tflite, or an .onnx with an .onnx",
            )
    known = [
        (first, second)
        for first, one in enumerate(subjects)
        for second, other in enumerate(subjects)
        if one.manifest and other.manifest and (one.manifest.role, other.manifest.role) == ("separable", "twin") and _belongs(one) == _belongs(other)
    ]
    return tuple(dict.fromkeys([*named, *known]))


def against_themselves(subjects: Sequence[Subject]) -> tuple[tuple[Subject, ...], tuple[tuple[int, int], ...]]:
    """Every file twice, each with itself as its pair: what a self-test measures.

    Args:
        subjects: The files.

    Returns:
        The files, and pairs of indices into them.
    """
    return tuple(subject for subject in subjects for _ in range(2)), tuple((2 * index, 2 * index + 1) for index in range(len(subjects)))


def _belongs(subject: Subject) -> tuple[str, str, str]:
    assert subject.manifest is not None  # noqa: S101
    return subject.manifest.pair_id, subject.format, subject.manifest.recipe


def in_twos(paths: Sequence[str]) -> list[tuple[Path, Path]]:
    """The files of `--pair A B`, given any number of times, two by two.

    Raises:
        UsageError: One has no partner.
    """
    if len(paths) % 2:
        raise UsageError(f"--pair {paths[-1]} has no second file", "give --pair A B")
    return [(Path(a), Path(b)) for a, b in zip(paths[::2], paths[1::2], strict=True)]
