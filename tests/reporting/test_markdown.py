import re

from made_results import DEGRADED, INVALID, RATIO, made_artifact, made_pair, made_result
from markdown_it import MarkdownIt

from dsmobile.benchmark.result import Validity
from dsmobile.reporting.entry import entries
from dsmobile.reporting.markdown import markdown_text


def rendered(*results):
    """By another implementation: markdown-it with GitHub's tables and links, HTML let through."""
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown_text(entries(results)))


def cells(html):
    return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, flags=re.S) for row in re.findall(r"<tr>(.*?)</tr>", html, flags=re.S)]


def test_the_tables_hold_the_results_figures():
    result = made_result()
    pair = result.pairs[0]
    rows = cells(rendered(result))
    assert rows[1][2:6] == [
        f"{pair.speedup:.2f}×",
        f"{pair.speedup_interval[0]:.2f} to {pair.speedup_interval[1]:.2f}×",
        f"{RATIO:.2f}×",
        f"{100 * pair.speedup / RATIO:.0f}%",
    ]
    assert rows[3][0] == "<code>mobilenet_v1_1.0_224-separable-float32.tflite</code>"
    assert rows[3][5] == f"{result.artifacts[0].median_latency_ns / 1e6:.1f} ms"


def test_every_row_has_as_many_cells_as_its_heading_whatever_the_names():
    names = ("a|b`c``d\\|e.tflite", "| `<script>alert(1)</script>` *x* _y_ [z](http://evil) ![i](http://evil/x.png)\n# heading.tflite")
    first, second = (made_artifact(f"/x/{number}", 1e6, seed=number, name=name) for number, name in enumerate(names))
    html = rendered(made_result(artifacts=(first, second), pairs=(made_pair(first, second),), warnings=(type(DEGRADED)(names[1], names[1]),)))
    rows = cells(html)
    assert {len(row) for row in rows} == {9}
    for tag in ("<script", "<a ", "<img", "<em>"):
        assert tag not in html
    assert html.count("<h1>") == 1
    assert html.count("<h2>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_an_invalid_result_is_marked_before_its_figures():
    text = markdown_text(entries([made_result(validity=Validity.INVALID, warnings=(INVALID,))]))
    assert text.index("INVALID") < text.index("8.")
    assert "let it cool" in text
    assert "faster" not in text


def test_results_stand_side_by_side_under_their_names():
    text = markdown_text(entries([made_result(), made_result(seed=3)], ["before", "after"]))
    assert re.findall(r"^## (.*)$", text, flags=re.M) == ["before: VALID", "after: VALID"]
