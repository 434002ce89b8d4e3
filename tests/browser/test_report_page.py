"""The page as a browser sees it, with no network to reach."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html.parser import HTMLParser

import pytest
from made_results import DEGRADED, HOSTILE, INVALID, made_artifact, made_result

from dsmobile.benchmark.result import Validity
from dsmobile.reporting.write import write_results

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--v=0",
    "--virtual-time-budget=15000",
]  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What the browser made of a page: the document after its scripts, its console, and what it asked of the network."""

    document: str
    console: list[str]
    requests: list[str]


@pytest.fixture
def browse(tmp_path):
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")

    def browse(page, *flags):
        log = tmp_path / "network.json"
        command = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}", "--dump-dom", page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
        events = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
        # what Chromium asks for itself has no origin; what a page asks for has one ("null", for a file)
        asked = [event["url"] for event in events if "url" in event and event.get("initiator", "not an origin") != "not an origin"]
        return Seen(done.stdout, re.findall(r":CONSOLE.*", done.stderr), [url for url in asked if not url.startswith(("file:", "data:"))])

    return browse


def charts(seen):
    return re.findall(r'<div class="chart [^>]*?data-rendered="(\w+)"[^>]*>(.*?)</svg>', seen.document, flags=re.S)


def elements(seen):
    """The names of all elements of the document."""
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append(tag)
    parser.feed(seen.document)
    return tags


def test_these_tests_would_see_a_fault(browse, tmp_path):
    page = tmp_path / "faulty.html"
    page.write_text('<img src="http://example.invalid/x.png"><script>absent();</script>')
    seen = browse(page)
    assert seen.requests == ["http://example.invalid/x.png"]
    assert any("absent is not defined" in line for line in seen.console)


def test_every_chart_is_drawn_without_a_network(browse, tmp_path):
    results = [
        made_result(),
        made_result(validity=Validity.INVALID, warnings=(INVALID,), seed=3),
        made_result(metric="instructions", device="emulated:cortex-a72"),
    ]
    page = write_results(results, "html", tmp_path / "report.html").path
    seen = browse(page)
    assert seen.console == []
    assert seen.requests == []
    drawn = charts(seen)
    assert [state for state, _ in drawn] == ["yes"] * (2 * 3 + 6)
    for _, drawing in drawn:
        assert "<path" in drawing
        assert "NaN" not in drawing
        assert "Vega visualization" not in drawing
    assert "mobilenet_v1_1.0_224-separable-float32" in drawn[0][1]


def test_hostile_names_run_nothing(browse, tmp_path):
    result = made_result(names=HOSTILE, warnings=(DEGRADED,))
    made = write_results([result], "html", tmp_path / "report.html", names=["<img src=//evil.invalid onerror=absent()>"])
    seen = browse(made.path, "--window-size=400,900")
    assert seen.console == []
    assert seen.requests == []
    assert {state for state, _ in charts(seen)} == {"yes"}
    tags = elements(seen)
    assert "img" not in tags
    assert tags.count("script") == made.content.count('<script type="application/json"') + 1
    assert "&lt;script&gt;alert(1)" in seen.document


def test_unknown_figures_still_draw(browse, tmp_path):
    lonely = made_artifact("/x/a.tflite", 1e6, blocks=1, macs=None, peak_memory_bytes=None, role=None, interval_ns=(float("nan"), float("nan")))
    page = write_results([made_result(artifacts=(lonely,), pairs=(), facts={}, conditions=())], "html", tmp_path / "report.html").path
    seen = browse(page)
    assert seen.console == []
    assert [state for state, _ in charts(seen)] == ["yes"] * 3
    assert "NaN" not in "".join(drawing for _, drawing in charts(seen))
