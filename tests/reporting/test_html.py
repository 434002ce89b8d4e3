import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from made_results import DEGRADED, HOSTILE, INVALID, RATIO, made_artifact, made_pair, made_result

from dsmobile.benchmark.result import Validity
from dsmobile.reporting.entry import entries
from dsmobile.reporting.html import html_text

pytest.importorskip("altair")
pytest.importorskip("vl_convert")
VOID = {"meta", "br", "img", "link", "input", "hr", "base", "embed", "source"}


class Page(HTMLParser):
    """What a browser would make of the page: elements with their attributes, scripts, and the text that people read."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.scripts, self.words = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attributes), ""))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + data)
        elif not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    @property
    def specifications(self):
        return [json.loads(source) for attributes, source in self.scripts if attributes.get("type") == "application/json"]


def page(*results, names=None):
    return Page(html_text(entries(results, names)))


def data_of(specification, *fields):
    """Every row of a chart's data that has all the fields, each once."""
    rows = [row for rows in specification["datasets"].values() for row in rows if set(fields) <= set(row)]
    return [row for number, row in enumerate(rows) if row not in rows[:number]]


def test_the_page_loads_nothing():
    shown = page(made_result(names=HOSTILE))
    for tag, attributes in shown.elements:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form", "a", "audio", "video"}
        assert not {"src", "href", "action", "srcset", "style"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    assert "@import" not in html_text(entries([made_result()]))
    assert "url(" not in re.search(r"<style>(.*?)</style>", html_text(entries([made_result()])), flags=re.S)[1]


def test_only_our_own_script_may_run():
    shown = page(made_result(names=HOSTILE))
    (policy,) = [attributes["content"] for tag, attributes in shown.elements if attributes.get("http-equiv") == "Content-Security-Policy"]
    (script,) = [source for attributes, source in shown.scripts if attributes.get("type") != "application/json"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe-eval" not in policy


def test_hostile_text_is_text():
    hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> {{ 7 * 7 }} \x1b[31m & \u2028"
    first, second = (made_artifact(f"/x/{number}.tflite", 1e6, seed=number, name=hostile, runtime=hostile) for number in (1, 2))
    result = made_result(
        artifacts=(first, second), pairs=(made_pair(first, second),), warnings=(type(DEGRADED)(hostile, hostile),),
        facts={hostile: hostile}, settings={hostile: [hostile]}, conditions=({hostile: hostile},),
        started_utc=hostile, dsmobile_version=hostile,
    )  # fmt: skip
    shown = page(result, names=[hostile])
    assert [tag for tag, _ in shown.elements].count("script") == len(shown.specifications) + 1
    assert "img" not in [tag for tag, _ in shown.elements]
    assert "{{ 7 * 7 }}" in shown.text
    assert "<script>alert(1)</script>" in shown.text
    assert "\x1b" not in shown.text
    assert "\\x1b[31m" in shown.text


def test_the_tables_hold_the_results_figures():
    result = made_result()
    pair = result.pairs[0]
    text = page(result).text
    for figure in (
        f"{pair.speedup:.2f}×", f"{pair.speedup_interval[0]:.2f} to {pair.speedup_interval[1]:.2f}×", f"{RATIO:.2f}×",
        f"{100 * pair.speedup / RATIO:.0f}%", "2.1%", "faster", "16.9 MB", "61.0 MB", "12.3 ms", "23.3 ms", "569 M", "4.87 G",
        "AMD EPYC 7543", "and 28 more", "budget_s", "0.31", "1.02", "paired log-ratios", "multiply-accumulates", "Warm-up is excluded",
    ):  # fmt: skip
        assert figure in text, figure


def test_the_charts_hold_the_results_figures():
    result = made_result()
    speedup, latency, size, *processes = page(result).specifications
    (row,) = data_of(speedup, "speedup", "theory")
    pair = result.pairs[0]
    assert (row["speedup"], row["low"], row["high"], row["theory"]) == (pair.speedup, *pair.speedup_interval, RATIO)
    assert row["speedup"] == pytest.approx(8.56, rel=0.05)
    assert [row["cost"] for row in data_of(latency, "cost")] == [artifact.median_latency_ns / 1e6 for artifact in result.artifacts]
    assert [row["size"] for row in data_of(size, "size")] == [artifact.size_bytes / 1e6 for artifact in result.artifacts]
    for artifact, specification in zip(result.artifacts, processes, strict=True):
        rows = data_of(specification, "process")
        assert [row["median"] for row in rows] == [replicate.median_ns / 1e6 for replicate in artifact.replicates]
        assert all(row["low"] <= row["lower"] <= row["upper"] <= row["high"] for row in rows)
        slowest = max(replicate.latency_ns[0] for replicate in artifact.replicates) / 1e6
        assert max(row["high"] for row in rows) < slowest, "the warm-up is not in the spread"


def test_an_invalid_result_never_looks_like_a_good_one():
    shown = page(made_result(validity=Validity.INVALID, warnings=(INVALID,)))
    text = shown.text
    assert text.startswith("INVALID")
    assert text.index("Do not use these figures") < text.index("8.")
    assert "faster" not in text
    speedup, latency, size, *_ = shown.specifications
    assert {row["outcome"] for row in data_of(speedup, "outcome")} == {"INVALID"}
    assert {row["role"] for chart in (latency, size) for row in data_of(chart, "role")} == {"INVALID"}
    assert all("INVALID" in row["label"] for chart in (speedup, latency) for row in data_of(chart, "label"))


def test_one_invalid_result_among_good_ones_does_not_hide():
    shown = page(made_result(), made_result(validity=Validity.INVALID, warnings=(INVALID,)), names=["good", "bad"])
    assert shown.text.startswith("INVALID")
    (rows, *_) = shown.specifications
    assert [row["outcome"] for row in data_of(rows, "outcome")] == ["faster", "INVALID"]
    assert "good" in data_of(rows, "outcome")[0]["label"]


def test_instructions_and_latencies_share_no_chart():
    shown = page(made_result(), made_result(metric="instructions", device="emulated:cortex-a72"))
    assert len(shown.specifications) == 2 * (3 + 2)
    assert "a cost, not a latency" in shown.text


def test_a_result_with_nothing_in_it():
    shown = page(made_result(artifacts=(), pairs=(), facts={}, settings={}, conditions=()))
    assert shown.specifications == []
    lonely = made_artifact("/x/a.tflite", 1e6, blocks=0, macs=None, peak_memory_bytes=None)
    assert "nan" not in page(made_result(artifacts=(lonely,), pairs=())).text.split()
