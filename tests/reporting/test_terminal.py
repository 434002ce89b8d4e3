import io
import re

import pytest
from made_results import DEGRADED, HOSTILE, INVALID, RATIO, made_artifact, made_pair, made_result
from rich.cells import cell_len
from rich.console import Console

from dsmobile.benchmark.result import Validity, Verdict
from dsmobile.reporting.terminal import show_result

WIDTHS = [80, 120]


def printed(result, width, *, colour=False):
    file = io.StringIO()
    show_result(result, Console(file=file, width=width, force_terminal=colour, color_system="standard" if colour else None, highlight=False))
    return file.getvalue()


@pytest.mark.parametrize("width", [*WIDTHS, 40])
@pytest.mark.parametrize("names", [None, HOSTILE, ("x" * 300 + ".tflite", "y" * 300 + ".tflite")])
def test_no_line_is_wider_than_the_terminal(width, names):
    result = made_result(names=names, warnings=(DEGRADED,)) if names else made_result(warnings=(DEGRADED,))
    assert max(cell_len(line) for line in printed(result, width).splitlines()) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_names_stay_whole_where_they_fit(width):
    text = printed(made_result(), width)
    assert "mobilenet_v1_1.0_224-separable-float32" in text
    assert "mobilenet_v1_1.0_224-twin-float32" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_there(width):
    result = made_result()
    text = printed(result, width)
    pair = result.pairs[0]
    for figure in (
        f"{pair.speedup:.2f}×", f"{pair.speedup_interval[0]:.2f} to {pair.speedup_interval[1]:.2f}×", f"{RATIO:.2f}×",
        f"{100 * pair.speedup / RATIO:.0f}%", "2.1%", "faster", "16.9 MB", "61.0 MB", "12.3 ms", "23.3 ms", "litert 2.3.0, 1 thread",
        f"{result.artifacts[0].median_latency_ns / 1e6:.1f} ms", "VALID",
    ):  # fmt: skip
        assert figure in text, figure


@pytest.mark.parametrize("width", WIDTHS)
def test_an_invalid_result_concludes_nothing(width):
    text = printed(made_result(validity=Validity.INVALID, warnings=(INVALID,)), width)
    assert text.lstrip().startswith("INVALID")
    assert "Do not use these figures" in text
    assert "faster" not in text
    assert "let it cool" in text
    assert "No conclusion" in text


@pytest.mark.parametrize("colour", [False, True])
def test_names_and_advice_are_shown_and_not_obeyed(colour):
    hostile = type(DEGRADED)("kind[bold]", "see [link=http://x]here[/link] \x1b]0;owned\x07 \x1b[2J")
    text = printed(made_result(names=HOSTILE, warnings=(hostile,)), 120, colour=colour)
    without_style = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", without_style)
    assert "[link=http://x]here[/link]" in without_style
    assert "[red]x" in printed(made_result(names=("[red]x[green].tflite", "b.tflite")), 120)
    assert r"\x1b[31m" in without_style


def test_no_difference_says_what_it_would_have_shown():
    result = made_result()
    pair = made_pair(*result.artifacts, verdict=Verdict.NO_DIFFERENCE_SHOWN)
    text = " ".join(printed(made_result(pairs=(pair,)), 120).split())
    assert "shows no difference" in text
    assert "would have shown one of 2.1%" in text


def test_instructions_are_not_latencies():
    text = printed(made_result(metric="instructions", device="emulated:cortex-a72"), 120)
    assert "M instr." in text
    assert not re.search(r"\d (ms|µs|ns|s)\b", text)
    assert "not a latency" in text


def test_a_result_without_pairs_or_processes():
    artifact = made_artifact("/x/a.tflite", 1e6, blocks=0)
    text = printed(made_result(artifacts=(artifact,), pairs=()), 80)
    assert "No pair" in text
    assert "nan" not in text
