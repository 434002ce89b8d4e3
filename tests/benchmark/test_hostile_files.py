"""Samples and results that are damaged or forged: each ends in one plain sentence, or in a result whose every number is finite."""

import copy
import json
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from device_bench.records import Block, PlannedArtifact, Probe, ReplicateSample, RunPlan, Summary, header
from dsmobile.benchmark import run
from dsmobile.benchmark.compare import compare
from dsmobile.benchmark.result import Result, read_result
from dsmobile.benchmark.run import import_samples
from dsmobile.benchmark.subjects import Subject
from dsmobile.errors import DataError, DsmobileError, ExitCode
from dsmobile.reporting.document import json_text
from dsmobile.reporting.entry import entries, read_entries
from dsmobile.reporting.markdown import markdown_text
from dsmobile.reporting.tidy import csv_text

pytestmark = pytest.mark.long

NASTY: tuple[Any, ...] = (
    "x", "\ud800", "\x1b[31m\x00", None, True, 0, 1, -5, 1e-320, 1e300, 10**18, 10**400, math.nan, -math.inf, [], ["x"], [1, 1e308], {}, {"x": 1},
    {"1": 2.0},
)  # fmt: skip
FACTS = {
    "system": "Linux", "machine": "aarch64", "pointer_bits": 64, "board": "Raspberry Pi 4 Model B Rev 1.4", "cores": 4, "memory_bytes": 4 * 10**9,
    "python_version": "3.11.2", "numpy_version": "1.26.4", "runtimes": {"litert": "2.3.0", "onnxruntime": None}, "emulated": False, "turbo": None,
    "os_release": {"id": "debian", "version_id": "12", "codename": None}, "cpu_features": ["dotprod"],
}  # fmt: skip
SNAPSHOT = {
    "frequency_khz": 1_500_000, "throttled": 0, "throttled_by_kernel": 0, "under_voltage": False, "arm_clock_hz": 1_500_000_000,
    "temperature_c": 50.5, "throttle_count": 0, "cooling_state": 0, "frequency_limit_khz": 1_500_000, "governor": "performance",
    "cores_online": 4, "load_average": [0.1, 0.2, 0.3], "cpu_pressure_percent": 0.5, "memory_pressure_percent": 0.0,
    "memory_available_bytes": 2 * 10**9, "swap_used_bytes": 0, "on_battery": False, "power_profile": "balanced", "time_s": 1.8e9,
    "monotonic_s": 100.0, "boottime_s": 100.0,
}  # fmt: skip
LOOP = {
    "wall_ns": 10**9, "cpu_ns": 10**9, "preemptions": 1, "major_faults": 0, "others_cpu": 0.01, "stolen": 0.0, "clock_step_ns": -100,
    "frequency_khz": 1_500_000, "frequency_shares": {"1500000": 0.99, "600000": 0.01}, "throttles": 0,
}  # fmt: skip
REST = {"settled": True, "waited_s": 3.0, "reasons": [], "watched": ["load"]}
PLAN = RunPlan(tuple(PlannedArtifact(f"/{name}", "litert", sha256=name * 64) for name in "ab"), (Block(0, (0, 1)),), threads=2)


def process(block: int, artifact: int, **changes: Any) -> ReplicateSample:
    latency_ns = tuple(10**6 * (artifact + 1) + 1000 * block + index for index in range(4))
    values: dict[str, Any] = {
        "latency_ns": latency_ns, "warmup_count": 1, "wall_ns": 10**9, "runtime_version": "2.3.0", "delegate": "XNNPACK", "import_ns": 10**8,
        "load_ns": 10**6, "first_inference_ns": 2 * 10**6, "peak_memory_bytes": 10**8, "probe": Probe((0.5, 0.25), 0.75, 0.1), "loop": LOOP,
        "conditions": SNAPSHOT, "coverage": {"nodes": 3, "delegated_nodes": 3, "partitions": 1}, "runtime": "litert",
    }  # fmt: skip
    return ReplicateSample(block, artifact, artifact, **{**values, **changes})


def in_blocks() -> list[dict[str, Any]]:
    """A header, what came of waiting, then blocks; the second file's last process is that of a tool that tells no single inference."""
    lines = [header(FACTS, PLAN), {"kind": "rest", **REST}, process(-1, 0).to_json(), process(-1, 0).to_json()]
    for block in range(4):
        lines.append({"kind": "conditions", "when": "before", "block": block, **SNAPSHOT})
        lines += [process(block, artifact).to_json() for artifact in (0, 1)]
    lines[-1] = process(3, 1, latency_ns=(), warmup_count=0, summary=Summary("tflite", "median", 2e6, 100, 2e6, 2e6, 1e6, 3e6, 1e5)).to_json()
    return json.loads(json.dumps(lines))


def without_a_pause() -> list[dict[str, Any]]:
    """A process of each file that runs without a pause; the second is ended before its time."""
    lines = [header(FACTS, PLAN)]
    for artifact in (0, 1):
        lines.append({**process(0, artifact, latency_ns=(10**6,), warmup_count=0).to_json(), "kind": "begun"})
        moment = {"kind": "moment", "block": 0, "artifact": artifact, "count": 500, "p90_ns": 1.2e6, "conditions": SNAPSHOT}
        lines += [{**moment, "at_s": 4.0 * number, "median_ns": 1e6 + number % 3} for number in range(1, 16)]
    lines.insert(17, process(0, 0).to_json())
    return json.loads(json.dumps(lines))


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document; of a list, its first two items."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*place, key)
        yield from places(item, (*place, key))


def changed(document: Any, place: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    document = copy.deepcopy(document)
    holder = document
    for key in place[:-1]:
        holder = holder[key]
    change(holder, place[-1])
    return document


def mutations(document: Any, place: tuple[Any, ...]) -> Iterator[Any]:
    """A document with each nasty value in a place, with nothing there, and with something unknown beside it."""
    for value in NASTY:
        yield changed(document, place, lambda holder, key, value=value: holder.__setitem__(key, value))
    yield changed(document, place, lambda holder, key: holder.pop(key))
    yield changed(document, place, lambda holder, key: holder.update(unknown=[1, {"a": "b"}]) if isinstance(holder, dict) else holder.append("x"))


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers(item)
    elif isinstance(value, int | float):
        yield float(value)


def sound(result: Any) -> bool:
    document = result.to_json()
    json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
    return all(map(math.isfinite, numbers(document)))


@pytest.fixture
def take_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | bytes], tuple[Result, Path]]:
    """Imports samples of two files that are never opened."""
    subjects = tuple(Subject(tmp_path / f"{name}.tflite", name * 64, 4, "tflite", None) for name in "ab")
    monkeypatch.setattr(run, "gather", lambda artifacts, pairs: subjects)
    monkeypatch.setattr(run, "pair_up", lambda found, pairs: ((0, 1),) if len(found) == 2 else ())
    monkeypatch.setattr(run, "prepare_folder", lambda path: path)  # it flushes to the disk each time
    (tmp_path / "results").mkdir()

    def take_in(content: str | bytes) -> tuple[Result, Path]:
        path = tmp_path / "samples.jsonl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        result, written = import_samples(path, [], out=tmp_path, keep_invalid=True)
        assert written is not None
        return result, written

    return take_in


def text_of(lines: list[Any]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


SAMPLES = {"blocks": in_blocks, "no pause": without_a_pause}
# In each file one line of each kind, by its number from 0: the header, the rest, the trial, a snapshot, a process, a process with a summary, ...
LINES = [
    ("blocks", 0),
    ("blocks", 1),
    ("blocks", 2),
    ("blocks", 4),
    ("blocks", 5),
    ("blocks", 15),
    *(("no pause", line) for line in (0, 1, 2, 17, 18)),
]


@pytest.mark.parametrize("kind", SAMPLES)
def test_what_is_sound_is_read(kind: str, take_in) -> None:
    result, path = take_in(text_of(SAMPLES[kind]()))
    assert sound(result)
    assert read_result(path) == result
    assert [artifact.path[-8:] for artifact in result.artifacts] == ["a.tflite", "b.tflite"]
    assert bool(result.sustained) is (kind == "no pause")


@pytest.mark.parametrize(("kind", "line"), LINES)
def test_samples_with_a_bad_field(kind: str, line: int, take_in) -> None:
    documents, refused = SAMPLES[kind](), 0
    for place in places(documents[line]):
        for mutated in mutations(documents[line], place):
            try:
                result, path = take_in(text_of([*documents[:line], mutated, *documents[line + 1 :]]))
            except DsmobileError as error:
                assert error.exit_code in (ExitCode.BAD_INPUT, ExitCode.DEVICE), place
                assert error.message.isprintable(), place
                refused += 1
                continue
            assert sound(result), place
            assert read_result(path) == result, place  # what one border lets in passes the other
    assert refused > 5 * len(list(places(documents[line])))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines[5].update(latency_ns=[10, -1]), r"line 6: latency_ns\[1\] is -1, not a whole number from 1"),
        (lambda lines: lines[5].update(latency_ns=[]), "line 6: latency_ns is empty"),
        (lambda lines: lines[5].update(warmup_count=4), "line 6: warmup_count is 4, and there are 4"),
        (lambda lines: lines[5].update(block=-5), "line 6: block is -5"),
        (lambda lines: lines[5].update(artifact=2), "line 6: artifact is 2, and the header knows 2 files"),
        (lambda lines: lines[5].update(block=1), "line 9: block 1 has artifact 0 a second time"),
        (lambda lines: lines[5].update(coverage={"nodes": 3}), "line 6: coverage.delegated_nodes is missing"),
        (lambda lines: lines[5].update(invented=3), "line 6: invented is no field"),
        (lambda lines: lines[5]["conditions"].update(throttled="x"), "line 6: conditions.throttled is 'x'"),
        (lambda lines: lines[4].update(time_s=1e18), "line 5: time_s is 1e"),
        (lambda lines: lines[0].update(threads=10**400), "line 1: threads is a huge number"),
        (lambda lines: lines[0]["facts"].pop("emulated"), "line 1: facts.emulated is missing"),
        (lambda lines: lines[0]["facts"].update(runtimes=None), "line 1: facts.runtimes is null, not an object"),
        (lambda lines: lines.insert(3, lines[0]), "line 4: a second header"),
        (lambda lines: lines.pop(0), "line 1: the schema is null"),
        (lambda lines: lines.insert(1, [1]), "line 2: it has no kind"),
        (lambda lines: lines[5].update(load_ns=math.nan), "line 6: it holds NaN"),
        (lambda lines: lines[0].pop("threads"), "with how many threads"),
    ],
)
def test_what_is_wrong_is_named(change, words: str, take_in) -> None:
    lines = in_blocks()
    change(lines)
    with pytest.raises(DataError, match=words):
        take_in(text_of(lines))


def test_lines_that_are_no_json(take_in) -> None:
    whole = text_of(in_blocks())
    for content, words in [
        (whole + "[" * 200_000 + "\n", "line 17: it is nested too deeply"),
        (whole + '{"kind": "conditions", "y": ' + "[" * 500 + "]" * 500 + "}\n", "line 17: y.*nested too deeply"),
        (whole + '{"kind": "x", "y": ' + "9" * 5000 + "}\n", "line 17: it holds a number with too many digits"),
        (whole + "{'kind': 1}\n", "line 17: it is no JSON"),
        (b"\x00\x01\n", "line 1: it is no JSON"),
        (whole.encode() + b"\xff\xfe\n", "no UTF-8"),
        (whole.replace('"delegate": "XNNPACK"', '"delegate": 1e400'), "delegate is inf, not text"),
    ]:
        with pytest.raises(DataError, match=words):
            take_in(content)
    assert sound(take_in(whole + '{"kind": "of a newer version", "y": 1}\n' + "[" * 99)[0])  # the last line was not finished


def test_samples_without_the_newer_fields(take_in) -> None:
    lines = in_blocks()
    for line in lines:
        for name in ("coverage", "summary", "peak_memory_bytes"):
            line.pop(name, None) if line.get("block", -1) < 3 else None
        line.get("facts", {}).pop("cpu_features", None)
        line.get("conditions", {}).pop("boottime_s", None)
    assert sound(take_in(text_of(lines))[0])


@pytest.fixture(params=SAMPLES)
def known(request, take_in, tmp_path: Path) -> Path:
    """A result."""
    return take_in(text_of(SAMPLES[request.param]()))[1].rename(tmp_path / "known.json")


def test_results_with_a_bad_field(known: Path, tmp_path: Path) -> None:
    document, path, refused = json.loads(known.read_text()), tmp_path / "mutated.json", 0
    document["artifacts"], document["conditions"] = document["artifacts"][:2], document["conditions"][:2]
    for artifact in document["artifacts"]:
        artifact["replicates"] = artifact["replicates"][:3]
    for found in document["sustained"]:
        found["seconds"] = found["seconds"][:3]
    everywhere = [place for place in places(document) if 1 not in place]
    for place in everywhere:
        for mutated in mutations(document, place):
            path.write_text(json.dumps(mutated))
            try:
                result = read_result(path)
            except DataError as error:
                assert error.message.isprintable(), place
                refused += 1
                continue
            assert sound(result), place
            shown(path, known, result)
    assert refused > 5 * len(everywhere)


def shown(path: Path, known: Path, result: Result) -> None:
    """Everything that reads results: it may refuse, and never stumbles."""
    told = entries([result])
    assert "NaN" not in markdown_text(told) + csv_text(told) + json_text(told)
    for pair in ((known, path), (path, known)):
        with suppress(DataError):  # nothing is in both
            assert all(map(math.isfinite, numbers(compare(*pair, force=True).to_json())))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one["artifacts"][0]["replicates"][0].update(median_ns=0), r"artifacts\[0\].replicates\[0\].median_ns is 0, not a number from 1"),
        (lambda one: one["artifacts"][0].update(interval_ns=[2e6, 1e6]), r"artifacts\[0\].interval_ns begins above its end"),
        (lambda one: one["artifacts"][0].update(outliers=[99]), "a process that is not there"),
        (lambda one: one["pairs"][0].update(twin="/nowhere"), "an artifact that is not there"),
        (lambda one: one.update(facts=[]), "facts is a list, not an object"),
        (lambda one: one.update(conditions=["a"]), r"conditions\[0\] is 'a', not an object"),
        (lambda one: one.update(validity="FINE"), "validity is 'FINE', not one of VALID, DEGRADED, INVALID"),
        (lambda one: one.pop("pairs"), "pairs is missing"),
        (lambda one: one.update(settings={"x": math.inf}), "it holds Infinity"),
    ],
)
def test_what_is_wrong_in_a_result_is_named(change, words: str, take_in, tmp_path: Path) -> None:
    document = json.loads(take_in(text_of(in_blocks()))[1].read_text())
    change(document)
    (tmp_path / "bad.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=words):
        read_result(tmp_path / "bad.json")


def test_results_that_are_no_json(tmp_path: Path) -> None:
    for content in (b"", b"[]", b"\xff\xfe", b"{" * 200_000, b'{"a":' * 200_000, b"null", b'{"schema": "dsmobile.result/1"}', b"1e400", b"9" * 5000):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(DataError):
            read_entries([tmp_path / "bad.json"])
    with pytest.raises(DataError, match="cannot be read"):
        read_result(tmp_path)


def test_a_result_without_the_newer_fields(take_in, tmp_path: Path) -> None:
    result, path = take_in(text_of(in_blocks()))
    document = json.loads(path.read_text())
    del document["sustained"]
    for artifact in document["artifacts"]:
        del artifact["delegate"], artifact["coverage"], artifact["outliers"]
        for replicate in artifact["replicates"]:
            del replicate["loop"], replicate["conditions"]
    for pair in document["pairs"]:
        del pair["undisturbed_speedup"], pair["undisturbed_interval"]
    path.write_text(json.dumps(document))
    assert read_result(path).pairs[0].speedup == result.pairs[0].speedup
