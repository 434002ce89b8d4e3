"""What people see: strangers' names do nothing to a terminal, what is unknown is said, long lists end."""

from __future__ import annotations

import pytest

from dsmobile.inspection.facts import End, Facts, Inspection, Macs, Precision, Trial, Uncounted
from dsmobile.inspection.terminal import show_inspection


def show(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, **facts) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    trial = Trial("litert", "2.3.0", False, False, "opening it failed: \x1b]0;owned\x07 [red]no[/red]")
    inspection = Inspection("/somewhere/net.tflite", 1234567, "ab" * 32, Facts("tflite", **facts), None, (trial,), ("A [note].",))
    show_inspection(inspection.to_json())
    return capsys.readouterr().out


def test_strangers_names_do_nothing(capsys, monkeypatch) -> None:
    shown = show(
        capsys, monkeypatch, inputs=(End("\x1b[31m[bold]x\u202e", (1, None), "float32"),), operators={"[/bold]\x07": 2}, metadata={"name": "a\nb\x9b"}
    )
    assert not set(shown) & {"\x1b", "\x07", "\u202e", "\x9b"}
    assert "[bold]x" in shown
    assert "[/bold]" in shown
    assert "1 x ?" in shown
    assert "1.23 MB" in shown


def test_lower_bounds_are_called_so(capsys, monkeypatch) -> None:
    unknown = (Uncounted("WHILE", 2, "how often its body runs is not known"),)
    assert "at least 1,000" in show(capsys, monkeypatch, macs=Macs(1000, unknown))
    assert "not known: 2 WHILE" in " ".join(show(capsys, monkeypatch, macs=Macs(0, unknown)).split())
    assert "not known" in show(capsys, monkeypatch)


def test_long_lists_end(capsys, monkeypatch) -> None:
    many = tuple(End(f"x{number}", (1, 2), "int8", tuple([0.1] * 64), tuple([0] * 64)) for number in range(500))
    shown = show(capsys, monkeypatch, inputs=many, operators={f"KIND_{number}": 1 for number in range(500)})
    assert "and 494 more" in shown
    assert "64 scales" in shown
    assert len(shown.splitlines()) < 40


def test_shares_of_weights(capsys, monkeypatch) -> None:
    shown = show(capsys, monkeypatch, parameters=100, weight_precision={"int8": Precision(75, 75), "int32": Precision(25, 100)})
    assert "100; 75.0% int8, 25.0% int32" in shown


def test_facts_survive_the_way_through_json() -> None:
    import json
    from dataclasses import asdict

    facts = Facts(
        "onnx",
        inputs=(End("x", (None, 3), "int8", (0.1, 0.2), (0, 1), "nchw"), End("s", None, "sequence")),
        macs=Macs(5, (Uncounted("If", 1, "r"),), (Uncounted("MatMul", 2, "a"),)),
        weight_precision={"int8": Precision(1, 2)},
        notes=("n",),
        opset={"ai.onnx": 9},
    )
    assert Facts.from_json(json.loads(json.dumps(asdict(facts)))) == facts
