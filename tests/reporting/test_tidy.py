import csv
import io
import math

import numpy as np
import pytest
from made_results import HOSTILE, INVALID, made_artifact, made_result

from dsmobile.benchmark.result import Validity
from dsmobile.reporting.entry import entries
from dsmobile.reporting.tidy import COLUMNS, csv_text


def table(*results, names=None):
    return list(csv.DictReader(io.StringIO(csv_text(entries(results, names)), newline="")))


def test_one_row_for_each_process_with_its_raw_figures():
    result = made_result()
    rows = table(result)
    assert len(rows) == sum(len(artifact.replicates) for artifact in result.artifacts)
    replicate = result.artifacts[1].replicates[4]
    row = next(row for row in rows if row["role"] == "twin" and row["block"] == "4")
    assert float(row["median_ns"]) == replicate.median_ns
    assert int(row["load_ns"]) == replicate.load_ns
    assert int(row["inferences"]) == len(replicate.latency_ns)
    assert float(row["p90_ns"]) == np.percentile(replicate.latency_ns[replicate.warmup_count :], 90)
    assert int(row["size_bytes"]) == result.artifacts[1].size_bytes


def test_the_speedup_follows_from_the_rows():
    result = made_result()
    rows = table(result)
    medians = {role: {row["block"]: float(row["median_ns"]) for row in rows if row["role"] == role} for role in ("separable", "twin")}
    logs = [math.log(medians["twin"][block] / medians["separable"][block]) for block in medians["twin"]]
    assert math.exp(np.mean(logs)) == pytest.approx(result.pairs[0].speedup, rel=1e-12)


def test_hostile_names_keep_the_table_whole():
    rows = table(made_result(names=HOSTILE))
    assert len(rows) == 24
    assert all(set(row) == set(COLUMNS) and None not in row.values() for row in rows)
    text = csv_text(entries([made_result(names=HOSTILE)]))
    assert "\x1b" not in text
    assert len(text.splitlines()) == 25


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "  =1"])
def test_a_spreadsheet_computes_nothing(name):
    artifact = made_artifact("/x/a.tflite", 1e6, blocks=2, name=name)
    for row in table(made_result(artifacts=(artifact,), pairs=()), names=[name]):
        assert row["artifact"][0] not in "=+-@\t\r"
        assert row["result"][0] not in "=+-@\t\r"
        assert not row["artifact"].lstrip().startswith("=")


def test_an_artifact_without_processes_keeps_its_row_and_unknowns_are_empty():
    artifact = made_artifact("/x/a.tflite", 1e6, blocks=0, macs=None, peak_memory_bytes=None, role=None)
    (row,) = table(made_result(artifacts=(artifact,), pairs=()))
    assert row["artifact"] == "a"
    assert row["artifact_median_ns"] == row["median_ns"] == row["macs"] == row["role"] == ""


def test_every_row_says_whether_it_can_be_believed():
    rows = table(made_result(validity=Validity.INVALID, warnings=(INVALID, INVALID)))
    assert {(row["validity"], row["warnings"]) for row in rows} == {("INVALID", "throttled")}
