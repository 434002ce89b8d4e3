"""The records that host and device exchange."""

import json
import math
from dataclasses import dataclass, replace
from typing import Any

import pytest

from device_bench.reading import parsed, record, whole
from device_bench.records import (
    Block,
    Deviation,
    PlannedArtifact,
    Probe,
    ReplicateSample,
    RunPlan,
    Summary,
    Unoptimised,
    header,
    read_samples,
    to_line,
)

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


NASTY = ("x", None, True, -1, 0.5, 1e300, 10**400, math.nan, math.inf, [], ["x"], [math.nan], {}, {"x": math.nan}, [[[[]]]])


@pytest.mark.parametrize("value", NASTY, ids=lambda value: str(value)[:10])
def test_nothing_but_a_value_error_comes_of_a_bad_field(value: Any) -> None:
    whole_sample = ReplicateSample(
        0,
        0,
        0,
        latency_ns=(5, 6),
        probe=Probe((1.0,), 1.0, 0.0),
        summary=Summary("tflite", "mean", 5.0),
        loop={"wall_ns": 1},
        unoptimised=Unoptimised(1, (Deviation(0.1, None, 1.0),)),
    )
    for read, document in ((RunPlan.from_json, PLAN.to_json()), (ReplicateSample.from_json, whole_sample.to_json())):
        for name in document:
            for changed in (
                {**document, name: value},
                {**document, name: {**document[name], "x": value}} if isinstance(document[name], dict) else {},
            ):
                try:
                    found = read(changed)
                except ValueError as error:
                    assert "\n" not in str(error)
                else:
                    json.dumps(found.to_json(), allow_nan=False)
    for document in (value, [value], {"schema": value}, {**PLAN.to_json(), "artifacts": [value]}, {**PLAN.to_json(), "blocks": [value]}):
        with pytest.raises(ValueError):
            RunPlan.from_json(document)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"latency_ns": [3, 0]}, r"latency_ns\[1\] is 0, not a whole number from 1"),
        ({"latency_ns": [3, 24 * 3600 * 10**9 + 1]}, r"latency_ns\[1\]"),
        ({"latency_ns": []}, "latency_ns is empty"),
        ({"warmup_count": 3}, "warmup_count is 3, and there are 3"),
        ({"block": -2}, "block is -2, not a whole number from -1"),
        ({"position": -1}, "position is -1"),
        ({"runtime": "gpu"}, "runtime is 'gpu'"),
        ({"error": "half a character \ud800"}, "error is .*, not text"),
        ({"loop": {"frequency_shares": {"fast": 1.0}}}, "loop.frequency_shares is 'fast', not a frequency"),
        ({"conditions": {"new": [[math.inf]]}}, r"conditions.new\[0\]\[0\] is inf, not a plain value"),
        ({"coverage": {"partitions": 1}}, "coverage.nodes is missing"),
        ({"unoptimised": {"pictures": 4}}, "unoptimised.outputs is missing"),
        (
            {"unoptimised": {"pictures": 4, "outputs": [{"difference": math.nan, "sensitivity": None, "magnitude": 1.0}]}},
            r"unoptimised.outputs\[0\].difference is nan, not a number from 0",
        ),
        ({"summary": {"tool": "tflite", "statistic": "mean", "latency_ns": 0}}, "summary.latency_ns is 0, not a number from 1"),
    ],
)
def test_a_bad_sample_is_refused_by_the_name_of_its_field(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ReplicateSample.from_json({**SAMPLE.to_json(), **changes})


def test_what_failed_or_tells_only_a_summary_needs_no_latencies() -> None:
    for sample in (ReplicateSample(0, 0, 0, error="it hung"), ReplicateSample(0, 0, 0, summary=Summary("tflite", "mean", 5.0))):
        assert ReplicateSample.from_json(json.loads(to_line(sample.to_json()))) == sample


def test_samples_of_a_version_that_did_not_compare_are_read() -> None:
    older = {key: value for key, value in SAMPLE.to_json().items() if key != "unoptimised"}
    assert ReplicateSample.from_json(json.loads(to_line(older))) == SAMPLE
    compared = replace(SAMPLE, unoptimised=Unoptimised(4, (Deviation(None, 0.5, 2.0), Deviation(3e38, 0.0, 3e38)), wall_ns=7))
    assert ReplicateSample.from_json(json.loads(to_line(compared.to_json()))) == compared


def test_what_a_newer_version_adds_is_let_through() -> None:
    lines = [header({"machine": "x", "new": {"a": [1]}}, PLAN), {**SAMPLE.to_json(), "loop": {"new": None}}, {"kind": "new", "a": 1}]
    samples = read_samples("".join(map(to_line, lines)))
    assert samples.facts["new"] == {"a": [1]}
    assert samples.replicates[0].loop == {"new": None}


def test_samples_are_told_once_and_of_known_files() -> None:
    head, again = to_line(header({}, PLAN)), to_line(SAMPLE.to_json())
    trial = to_line(ReplicateSample(-1, 0, 0, latency_ns=(1,)).to_json())
    assert len(read_samples(head + trial + trial + again).replicates) == 3
    moments = [
        to_line({"kind": "moment", "block": 0, "artifact": 0, "at_s": at_s, "count": 1, "median_ns": 5.0, "p90_ns": 5.0, "conditions": {}})
        for at_s in (1.0, 2.0, 1.5)
    ]
    assert len(read_samples(head + "".join(moments[:2])).moments) == 2
    for text in (head + again + again, head + "".join(moments)):
        with pytest.raises(ValueError, match=r"line [34]: block 0 has artifact 0 a second time"):
            read_samples(text)
    with pytest.raises(ValueError, match="line 2: artifact is 2, and the header knows 2 files"):
        read_samples(head + again.replace('"artifact": 0', '"artifact": 2'))


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "[" * 10**5, "9" * 10**4, "", "{", "'x'", "\ufeff{}"])
def test_text_that_is_no_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"^it "):
        parsed(text)


@dataclass(frozen=True)
class Inner:
    share: float


@dataclass(frozen=True)
class Outer:
    name: str
    inners: tuple[Inner, ...]
    ends: tuple[float, float] = (0.0, 1.0)
    count: int | None = None


def test_readers_follow_from_types() -> None:
    read = record(Outer, count=whole(0, 9))
    assert read({"name": "a", "inners": [{"share": 0.5}], "ends": [1, 2]}, "") == Outer("a", (Inner(0.5),), (1, 2))
    for document, words in [
        ({"inners": []}, "name is missing"),
        ({"name": "a", "inners": [{"share": True}]}, r"inners\[0\].share is true, not a number"),
        ({"name": "a", "inners": [{}]}, r"inners\[0\].share is missing"),
        ({"name": "a", "inners": [], "ends": [1]}, "ends has 1 items, not 2"),
        ({"name": "a", "inners": [], "count": 10}, "count is 10, not a whole number from 0 to 9"),
        ({"name": "a", "inners": [], "x\x1b": 1}, r"'x\\x1b' is no field"),
    ]:
        with pytest.raises(ValueError, match=words):
            read(document, "")
    with pytest.raises(TypeError, match="Outer has no number"):
        record(Outer, number=whole())
