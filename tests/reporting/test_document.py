import json
import math
from dataclasses import replace

from made_results import made_pair, made_result

from dsmobile.benchmark.result import Result
from dsmobile.reporting.document import SCHEMA, json_text
from dsmobile.reporting.entry import entries
from dsmobile.reporting.shareable import shareable


def test_results_come_back_as_they_went_in():
    results = [made_result(), made_result(seed=5)]
    document = json.loads(json_text(entries(results, ["a", "b"])))
    assert document["schema"] == SCHEMA
    assert [entry["name"] for entry in document["results"]] == ["a", "b"]
    back = [Result.from_json(entry["result"]) for entry in document["results"]]
    assert [result.artifacts for result in back] == [shareable(result).artifacts for result in results]
    assert [result.pairs for result in back] == [shareable(result).pairs for result in results]


def test_what_json_cannot_say_is_null():
    result = made_result()
    broken = replace(result, pairs=(made_pair(*result.artifacts, speedup_interval=(math.nan, math.inf)),))
    document = json.loads(json_text(entries([broken])), parse_constant=lambda word: (_ for _ in ()).throw(AssertionError(word)))
    assert document["results"][0]["result"]["pairs"][0]["speedup_interval"] == [None, None]


def test_a_name_that_is_no_unicode():
    text = json_text(entries([made_result(facts={"model": "caf\udce9"})]))
    assert json.loads(text.encode("utf-8"))["results"][0]["result"]["facts"]["model"] == "caf\udce9"


def test_alike_names_are_numbered():
    assert [entry.name for entry in entries([made_result(), made_result()], ["r", "r"])] == ["r", "r (2)"]
