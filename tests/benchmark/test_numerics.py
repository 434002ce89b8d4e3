"""Answers that must agree."""

import pytest

from device_bench.records import Deviation, Probe
from dsmobile.benchmark.numerics import as_exported, finite, same_answer, same_optimised
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


# What ONNX Runtime 1.31 answered on a processor with VNNI and on an emulated Haswell, without exact kernels there;
# difference over sensitivity, difference over magnitude.
@pytest.mark.parametrize(
    ("network", "exact", "saturated"),
    [
        ("mobilenet_v1 0.25/96, random weights", (0.28, 0.012), (2.87, 0.118)),
        ("mobilenet_v1 0.25/224, ImageNet", (0.55, 0.053), (7.71, 0.735)),
        ("mobilenet_v1 1.0/128, random weights", (0.47, 0.018), (2.81, 0.110)),
        ("its standard twin", (0.74, 0.017), (2.94, 0.059)),
    ],
)
def test_rounding_passes_and_saturation_does_not(network: str, exact: tuple[float, float], saturated: tuple[float, float]) -> None:
    for (times, share), same in ((exact, True), (saturated, False)):
        assert same_optimised(Deviation(1.0, 1.0 / times, 1.0 / share)) is same, network


def test_where_the_input_moves_nothing_a_tenth_of_the_answer_stands_in() -> None:
    assert same_optimised(Deviation(0.05, 0.0, 1.0))
    assert same_optimised(Deviation(0.05, None, 1.0))
    assert not same_optimised(Deviation(0.2, 0.0, 1.0))
    assert same_optimised(Deviation(0.0, 0.0, 0.0))
    assert not same_optimised(Deviation(0.1, 0.0, 0.0))


def test_what_is_harmless_is_so_however_little_the_input_moves() -> None:
    assert same_optimised(Deviation(0.02, 1e-6, 1.0))


def test_an_answer_that_cannot_be_subtracted_differs_unless_nothing_can() -> None:
    assert not same_optimised(Deviation(None, 0.1, 1.0))
    assert same_optimised(Deviation(None, None, 1.0))
