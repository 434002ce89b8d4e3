"""`models show` for people: both networks' figures beside the paper's, on 80 columns, with strangers' names made harmless."""

import json
from typing import Any

import pytest

from dsmobile import pipeline
from dsmobile.reporting.models import show_cost, size


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return pipeline.show_model("mobilenet_v1", alpha=0.25)


def _shown(document: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, per_layer: bool = False) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    show_cost(document, per_layer=per_layer)
    return capsys.readouterr().out


def test_the_document_is_json_and_its_parts_add_up(document: dict[str, Any]) -> None:
    assert json.loads(json.dumps(document)) == document
    layers = document["layers"]
    assert sum(layer["macs"] for layer in layers) == document["macs"]
    assert sum(layer["parameters"] for layer in layers) == document["parameters"]
    for dtype in ("float32", "int8"):
        assert sum(layer["weight_bytes"][dtype] for layer in layers) == document["weight_bytes"][dtype]
        peaks = [layer["activation_bytes"][dtype] for layer in layers if layer["activation_bytes"]]
        assert max(peaks) == document["peak_activation_bytes"][dtype]
    names = {layer["name"] for layer in layers if layer["activation_bytes"]}
    assert document["peak_activation_at"] in names
    assert all(layer["fused_into"] in names for layer in layers if not layer["activation_bytes"])
    assert (
        document["weight_bytes"]["float32"]
        == 4 * (document["parameters"] - document["normalization_parameters"]) + document["normalization_parameters"]
    )
    twin = document["twin"]
    assert twin["macs_ratio"] == pytest.approx(twin["macs"] / document["macs"])
    assert twin["arithmetic_intensity"]["int8"] > document["arithmetic_intensity"]["int8"]
    assert twin["weight_bytes"]["int8"] > document["weight_bytes"]["int8"]


def test_the_paper_stands_beside_our_count(document: dict[str, Any], capsys: Any, monkeypatch: Any) -> None:
    """Table 6: alpha 0.25 has 41 M MACs, 0.5 M parameters and 50.6% top-1."""
    assert [entry["top1"] for entry in document["published"] if entry["matches"]] == [50.6]
    text = " ".join(_shown(document, capsys, monkeypatch).split())
    assert "Published (alpha 0.25, resolution 224): 41 M MACs (ours +0.07%)" in text
    assert "top-1 50.6%" in text


def test_figures_for_people(document: dict[str, Any], capsys: Any, monkeypatch: Any) -> None:
    lines = _shown(document, capsys, monkeypatch, per_layer=True).splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.rpartition("  ")[0].strip().partition("  ")[0]: line for line in lines}
    assert f"{document['macs']:,}" in rows["MACs"]
    assert size(document["peak_activation_bytes"]["int8"]) in rows["peak activations, int8"]
    assert f"{document['arithmetic_intensity']['float32']:.1f}" in rows["MACs per byte, float32"]
    steps = [layer for layer in document["layers"] if layer["activation_bytes"]]
    for step in steps:
        assert any(line.startswith(step["name"][:20]) and size(step["activation_bytes"]["int8"]) in line for line in lines)


@pytest.mark.parametrize("options", [{"resolution": 96}, {"classes": 10}, {"alpha": 0.3}])
def test_figures_of_another_network_are_not_shown(options: dict[str, Any], capsys: Any, monkeypatch: Any) -> None:
    other = pipeline.show_model("mobilenet_v1", **{"alpha": 0.25, **options}, twin="none")
    assert not any(entry["matches"] for entry in other["published"])
    assert "Published" not in _shown(other, capsys, monkeypatch)


def test_a_deviation_is_said(document: dict[str, Any], capsys: Any, monkeypatch: Any) -> None:
    entry = {"macs": 40e6, "trainable_parameters": 470_000, "source": "table 9", "deviation": "counts its \x1b[31mbiases", "matches": True}
    text = _shown({**document, "published": [entry]}, capsys, monkeypatch)
    assert "Published (table 9): 40 M MACs (ours +2.58%), 470,000 trainable parameters" in " ".join(text.split())
    assert r"Deviation: counts its \x1b[31mbiases" in text


def test_unknown_layers_are_named_and_hostile_names_are_harmless(document: dict[str, Any], capsys: Any, monkeypatch: Any) -> None:
    hostile = "\x1b]0;owned\x07[red]x"
    layer = {**document["layers"][0], "name": hostile, "macs": None, "arithmetic_intensity": None, "activation_bytes": {"float32": 4, "int8": 1}}
    text = _shown(
        {**document, "name": hostile, "not_counted": [f"{hostile} (LSTM)"], "layers": [layer], "peak_activation_at": hostile},
        capsys,
        monkeypatch,
        True,
    )
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]x" in text
    assert "lower bounds: not counted are" in " ".join(text.split())
    assert "?" in text


def test_sizes_are_read_in_powers_of_1024() -> None:
    assert [size(value) for value in (0, 1023, 1024, 1536, 1 << 20, 3 << 19)] == ["0 B", "1023 B", "1.00 KiB", "1.50 KiB", "1.00 MiB", "1.50 MiB"]
