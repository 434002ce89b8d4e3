"""Every family, and its twin, exported as float32 and int8 in both formats: small in any run, at full size in the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsmobile import pipeline
from dsmobile.architectures.finding import names, spec_of
from dsmobile.architectures.spec import ArchitectureSpec

# name, alpha, resolution: small enough for seconds
SMALL = [
    ("mobilenet_v2", 0.35, 64),
    ("mobilenet_v3_large", 0.35, 64),
    ("mobilenet_v3_small_minimalistic", 0.35, 64),
    ("mobilenet_v4_conv_small", 0.35, 64),
    ("efficientnet_lite0", 0.35, 64),
    ("ds_cnn", None, None),
    ("vww", None, 64),
]
SMALL_SLOWER = [
    ("mobilenet_v1", 0.25, 64),
    ("mobilenet_v3_small", 0.35, 64),
    ("mobilenet_v3_large_minimalistic", 0.35, 64),
    ("mobilenet_v4_conv_medium", 0.35, 64),
    ("efficientnet_lite1", 0.35, 64),
    ("efficientnet_lite2", 0.35, 64),
]
LEAST_SQNR_DB = {"float32": 90.0, "int8": 12.0}  # of random weights: a trained network keeps more


def exported(source: str, out: Path, *, alpha: float | None = None, resolution: int | None = None, classes: int | None = None) -> None:
    request = pipeline.ExportRequest(source, alpha=alpha, resolution=resolution, classes=classes, twin="standard", out=out)
    manifests = pipeline.export(request).manifests
    assert {(manifest.role, manifest.recipe, manifest.format) for manifest in manifests} == {
        (role, recipe, file_format) for role in ("separable", "twin") for recipe in ("float32", "int8") for file_format in ("tflite", "onnx")
    }
    for manifest in manifests:
        assert manifest.parity.sqnr_db > LEAST_SQNR_DB[manifest.recipe], (manifest.file, manifest.parity)
    for role in ("separable", "twin"):
        integers = {manifest.weights_sha256 for manifest in manifests if (manifest.role, manifest.recipe) == (role, "int8")}
        assert len(integers) == 1 and "" not in integers
    costs = {manifest.role: (manifest.macs, manifest.parameters) for manifest in manifests}
    assert costs["twin"][0] > 2 * costs["separable"][0]


@pytest.mark.parametrize(("name", "alpha", "resolution"), [*SMALL, *(pytest.param(*each, marks=pytest.mark.slow) for each in SMALL_SLOWER)])
def test_small(name: str, alpha: float | None, resolution: int | None, tmp_path: Path) -> None:
    exported(name, tmp_path, alpha=alpha, resolution=resolution, classes=None if name in ("ds_cnn", "vww") else 10)


def narrow(spec: ArchitectureSpec, by: int) -> str:
    """A spec's body as a file of its own, with so many times fewer filters."""
    lines = []
    for row in spec.body:
        arguments = {name: value // by if "filters" in name and isinstance(value, int) else value for name, value in row.arguments}
        shown = ", ".join(f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for name, value in arguments.items())
        lines.append(f'  {{ block = "{row.block}", {shown}, repeats = {min(row.repeats, 2)} }},'.replace("'", '"'))
    head = '[{ block = "global_average_pool" }, { block = "classifier" }]'
    return f"input = {{ resolution = 71 }}\nclasses = 10\nbody = [\n{chr(10).join(lines)}\n]\nhead = {head}\n"


def test_a_narrow_xception(tmp_path: Path) -> None:
    """The paper has no width multiplier, and at its own width its twin has 157 million parameters."""
    path = tmp_path / "narrow_xception.toml"
    path.write_text(narrow(spec_of("xception"), 16))
    assert [row.block for row in spec_of(str(path)).body] == [row.block for row in spec_of("xception").body]
    exported(str(path), tmp_path / "out")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", names())
def test_at_full_size(name: str, tmp_path: Path) -> None:
    exported(name, tmp_path)


def test_the_small_runs_leave_no_family_out() -> None:
    listed = {name for name, _, _ in (*SMALL, *SMALL_SLOWER)} | {"xception"}
    assert set(names()) - listed == {"efficientnet_lite3", "efficientnet_lite4"}  # one file with Lite0 to 2
