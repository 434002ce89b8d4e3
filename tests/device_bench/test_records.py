"""The records that host and device exchange."""

import json

import pytest

from device_bench.records import Block, PlannedArtifact, Probe, ReplicateSample, RunPlan, header, read_samples, to_line

PLAN = RunPlan((PlannedArtifact("/a b/m.tflite", "litert"), PlannedArtifact("/n.onnx", "onnxruntime")), (Block(3, (1, 0)),), threads=2)
SAMPLE = ReplicateSample(0, 1, 0, latency_ns=(3, 2, 2), probe=Probe((0.5, None), None, 0.1), peak_memory_bytes=None)


def test_a_plan_survives_json() -> None:
    document = json.loads(json.dumps(PLAN.to_json()))
    assert next(iter(document)) == "schema"
    assert document["schema"] == "dsmobile.run_plan/1"
    assert RunPlan.from_json(document) == PLAN


def test_samples_survive_json_lines_and_a_kill_in_the_middle_of_a_line() -> None:
    after = {"kind": "conditions", "when": "after", "load_average": None}
    text = to_line(header({"machine": "x"}, PLAN)) + to_line(SAMPLE.to_json()) + to_line(after)
    assert json.loads(text.splitlines()[0])["schema"] == "dsmobile.samples/1"
    samples = read_samples(text + to_line(SAMPLE.to_json())[:40])
    assert samples.replicates == (SAMPLE,)
    assert samples.facts == {"machine": "x"}
    assert samples.conditions == ({"when": "after", "load_average": None},)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "dsmobile.run_plan/2"},
        {"threads": 0},
        {"min_count": 30, "max_count": 20},
        {"timeout_s": 0},
        {"blocks": [{"index": 0, "order": [2]}]},
        {"blocks": [{"index": 0, "order": [-1]}]},
        {"artifacts": [{"path": "/m", "runtime": "gpu"}]},
    ],
)
def test_refuses_a_plan_that_makes_no_sense(change: dict) -> None:
    with pytest.raises(ValueError):
        RunPlan.from_json({**PLAN.to_json(), **change})


def test_refuses_strange_samples() -> None:
    with pytest.raises(ValueError, match="no samples"):
        read_samples("")
    with pytest.raises(ValueError, match="schema"):
        read_samples('{"schema": "other/1", "kind": "header", "facts": {}}\n')


def test_not_a_number_never_reaches_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        to_line({"x": float("nan")})
