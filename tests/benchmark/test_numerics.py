"""Answers that must agree."""

import pytest

from device_bench.records import Probe
from dsmobile.benchmark.numerics import as_exported, finite, same_answer
from dsmobile.benchmark.subjects import Subject


@pytest.fixture
def exported(manifest_for, tmp_path):
    """A file whose manifest holds these answers."""

    def exported(recipe: str, values: list[float]) -> Subject:
        path = tmp_path / "m.tflite"
        path.write_bytes(b"x")
        manifest = manifest_for(path, recipe=recipe, probe={"seed": 0, "low": -1.0, "high": 1.0, "values": values})
        return Subject(path, manifest.sha256, 1, "tflite", manifest)

    return exported


def probe(*values: float | None, step: float = 0.0) -> Probe:
    return Probe(values, sum(value for value in values if value is not None), step)


def test_float32_agrees_to_a_thousandth(exported) -> None:
    assert as_exported(exported("float32", [0.1, 0.2]), probe(0.1009, 0.2))
    assert not as_exported(exported("float32", [0.1, 0.2]), probe(0.1011, 0.2))
    assert as_exported(exported("float32", [100.0, 0.2]), probe(100.09, 0.2))
    assert not as_exported(exported("float32", [0.1, 0.2]), probe(0.1))


def test_quantized_agrees_to_three_steps_or_two_percent(exported) -> None:
    assert as_exported(exported("int8", [0.5, 0.0]), probe(0.8, 0.0, step=0.1))
    assert not as_exported(exported("int8", [0.5, 0.0]), probe(0.91, 0.0, step=0.1))
    assert as_exported(exported("dynamic", [10.0, 10.01]), probe(10.19, 10.0))
    assert not as_exported(exported("dynamic", [10.0, 10.01]), probe(10.5, 10.0))


def test_an_onnx_file_hides_its_step_in_the_gaps(exported) -> None:
    assert as_exported(exported("int8", [0.02, 0.04, -0.02]), probe(0.04, 0.04, -0.04))
    assert not as_exported(exported("int8", [0.02, 0.04, -0.02]), probe(0.02, 0.04, 0.06))


def test_without_a_manifest_nothing_is_known(subject) -> None:
    assert as_exported(subject, probe(1.0))


def test_what_is_not_finite_agrees_with_nothing_but_itself(exported) -> None:
    assert not as_exported(exported("float32", [0.1]), probe(None))
    assert same_answer(probe(None, 1.0), probe(None, 1.0))
    assert not same_answer(probe(None, 1.0), probe(1.0, 1.0))
    assert not finite(Probe((1.0,), None, 0.0))
    assert finite(probe(1.0))
