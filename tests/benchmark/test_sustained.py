"""A run without a pause: first minute against last."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from device_bench.records import Moment
from dsmobile.benchmark.result import Verdict, read_result
from dsmobile.benchmark.run import bench
from dsmobile.benchmark.sustained import batches, duration_s, over_time
from dsmobile.errors import DeviceError, UsageError


@pytest.mark.parametrize(("text", "seconds"), [("10m", 600), ("90", 90), ("90s", 90), ("1.5h", 5400), (" 2 min ", 120)])
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "ten", "0", "-5m", "1s", "59", "25h", "10m; rm", "1e3", "nan", "10mm"])
def test_no_durations(text: str) -> None:
    with pytest.raises(UsageError, match="duration"):
        duration_s(text)


def heated(slowdown: float, minutes: int = 10, noise: float = 0.01) -> list[Moment]:
    """A device that slows down linearly to so many times its latency, and warms from 45 to 82 °C."""
    generator = np.random.RandomState(0)
    total = 60 * minutes
    return [
        Moment(
            0,
            0,
            float(second),
            100,
            1e7 * (1 + (slowdown - 1) * second / total) * math.exp(generator.normal(0, noise)),
            1.1e7,
            {"temperature_c": 45 + 37 * second / total, "frequency_khz": 1_500_000, "throttled": 0},
        )
        for second in range(1, total + 1)
    ]


def test_the_first_minute_against_the_last() -> None:
    found = over_time("/m.tflite", heated(1.4))
    assert found.window_s == 60
    assert found.verdict is Verdict.SLOWER
    assert found.slowdown == pytest.approx((1 + 0.4 * 0.95) / (1 + 0.4 * 0.05), rel=0.01)
    assert found.slowdown_interval[0] < found.slowdown < found.slowdown_interval[1]
    assert len(found.seconds) == 600
    assert found.seconds[-1].temperature_c == pytest.approx(82)


def test_the_interval_is_welchs_on_ten_second_batches() -> None:
    moments = heated(1.0)
    found = over_time("/m.tflite", moments)
    first, last = ([float(np.median([m.median_ns for m in part[at : at + 10]])) for at in range(0, 60, 10)] for part in (moments[:60], moments[-60:]))
    assert batches(moments[:60]) == first
    expected = stats.ttest_ind(np.log(last), np.log(first), equal_var=False).confidence_interval(0.95)
    assert np.log(found.slowdown_interval) == pytest.approx([expected.low, expected.high])
    assert found.verdict is Verdict.NO_DIFFERENCE_SHOWN


def test_a_short_run_compares_its_thirds_and_a_shorter_one_nothing() -> None:
    found = over_time("/m.tflite", heated(1.5, 1))
    assert found.window_s == 20
    assert 0 < found.minimum_detectable < 0.2
    with pytest.raises(DeviceError, match="beginning and end"):
        over_time("/m.tflite", heated(1.0, 1)[:1])
    with pytest.raises(DeviceError, match="beginning and end"):
        over_time("/m.tflite", [])


def test_on_this_machine(tiny_files, tmp_path: Path) -> None:
    result, path = bench([tiny_files["small"]], sustained_s=6.0, out=tmp_path)
    (found,) = result.sustained
    assert 5 <= len(found.seconds) <= 8
    assert found.path == result.artifacts[0].path
    assert result.artifacts[0].interval_ns[0] <= result.artifacts[0].median_latency_ns * 1.2
    assert result.settings["stopped_by"] == "sustained"
    assert not {"short_budget", "warmup_not_finished"} & {warning.kind for warning in result.warnings}
    assert read_result(path) == result


def test_it_compares_no_files(tiny_files, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sustained"):
        bench([], pairs=[(tiny_files["small"], tiny_files["large"])], sustained_s=10.0, out=tmp_path)
