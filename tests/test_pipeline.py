"""The thin line through every room, small; and the quickstart at full size."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dsmobile import pipeline


def test_build_export_measure_report_evaluate_ship(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"class{number}\n" for number in range(5)), encoding="utf-8")
    out = tmp_path / "out"
    request = pipeline.ExportRequest("mobilenet_v1", alpha=0.25, resolution=64, classes=5, twin="standard", labels=labels, out=out)
    exported = pipeline.export(request)

    result, path = pipeline.bench(list(exported.paths), budget_s=8.0, out=out, keep_invalid=True)
    assert path is not None
    noisy = {"short_budget", "busy_machine", "turbo", "powersave_governor", "clock_changed", "few_blocks", "not_settled"}
    assert {kind.kind for kind in result.warnings} <= noisy
    assert len(result.pairs) == 4
    shown = pipeline.show_model("mobilenet_v1", alpha=0.25, resolution=64, classes=5)
    for pair in result.pairs:
        assert pair.macs_ratio == pytest.approx(shown["twin"]["macs_ratio"])
        assert pair.speedup_interval[0] <= pair.speedup <= pair.speedup_interval[1]

    page = pipeline.report([path], "html", tmp_path / "report.html")
    text = page.path.read_text(encoding="utf-8")
    assert all(artifact.name in text for artifact in result.artifacts)

    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).uniform(-1, 1, (12, 64, 64, 3)).astype(np.float32), y=np.arange(12) % 5)
    reference = next(path for path in exported.paths if path.name.endswith("separable-float32.tflite"))
    mine = [path for path in exported.paths if "separable" in path.name]
    evaluations = pipeline.evaluate(mine, data=tmp_path / "data.npz", labels=labels, reference=reference)
    agreement = {evaluation.to_json()["path"].rpartition("/")[2]: evaluation.agreement for evaluation in evaluations}
    assert agreement["mobilenet_v1_0.25_64-separable-float32.onnx"] == 1.0

    module = pipeline.ship_android(reference, labels, "com.acme.vision", tmp_path / "module")
    assert (tmp_path / "module" / "src/main/assets" / reference.name).read_bytes() == reference.read_bytes()
    assert module.to_json()["package"] == "com.acme.vision"


@pytest.mark.slow
def test_quickstart_at_full_size(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dsmobile", "quickstart", "--out", str(tmp_path / "qs"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=590)
    assert done.returncode in (0, 6), done.stderr
    document = json.loads(done.stdout)
    assert len(document["artifacts"]) == 8
    assert len(document["bench"]["pairs"]) == 4
    assert Path(document["report"]).stat().st_size > 100_000
    assert "random" in document["notes"][0]
