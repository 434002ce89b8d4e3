"""Blocks until it is known: the loop against a device that is played, so that every course can be had."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_bench.records import PlannedArtifact, ReplicateSample, RunPlan, header, read_samples
from dsmobile.benchmark import measure as measuring
from dsmobile.benchmark.calls import Calls, holds_measurements
from dsmobile.benchmark.measure import Rest, measure
from dsmobile.errors import DeviceError


class PlayedDevice:
    """Answers at once with latencies drawn from a seed; its settling takes no time either.

    Args:
        ratio: The second artifact's latency over the first's.
        noise: Standard deviation of a process's log median.
        others: Processors that others use, by block.
    """

    def __init__(self, ratio: float, noise: float, others: Callable[[int], float] = lambda block: 0.0) -> None:
        self._ratio, self._noise, self._others = ratio, noise, others
        self._random = np.random.RandomState(0)
        self.settled: list[float] = []
        self.calls: list[list[int]] = []

    def measure(self, plan: RunPlan, on_line: Callable[[dict[str, Any]], None]) -> None:
        on_line(header({}, plan))
        self.calls.append([block.index for block in plan.blocks])
        for block in plan.blocks:
            for position, artifact in enumerate(block.order):
                latency = 1e7 * self._ratio**artifact * np.exp(self._random.normal(0, self._noise))
                on_line(
                    ReplicateSample(
                        block.index, position, artifact, latency_ns=(int(latency),) * 5, wall_ns=10**8, loop={"others_cpu": self._others(block.index)}
                    ).to_json()
                )

    def settle(self, patience_s: float, say: Callable[[str], None]) -> dict[str, Any]:
        self.settled.append(patience_s)
        say("waiting: other programs use 1.0 processors")
        return {"settled": True, "waited_s": 0.0, "reasons": [], "watched": [], "last": {}}


@pytest.fixture
def run(tmp_path: Path, subject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measuring, "MOST_PATIENCE_S", 120.0)

    def run(device: PlayedDevice, *, budget_s: float = 2.0, compared=((0, 1),)):
        artifacts = tuple(PlannedArtifact(f"/{index}", "litert") for index in range(2))
        said: list[str] = []
        with Calls(device, RunPlan(artifacts, ()), tmp_path / "journal.jsonl") as calls:
            found = measure(device, [subject] * 2, compared, calls, budget_s=budget_s, seed=0, progress=lambda text, share: said.append(text))
        return found, said

    return run


def test_a_quiet_device_is_done_after_eight_blocks_and_little_more(run) -> None:
    found, _ = run(PlayedDevice(8.0, 0.001), budget_s=60.0)
    assert found.stopped_by == "precision"
    assert 8 <= found.blocks <= 8 + 16


def test_a_noisy_one_spends_its_budget(run) -> None:
    found, said = run(PlayedDevice(1.0, 1.0), budget_s=0.5)
    assert found.stopped_by == "budget"
    assert any("known to ±" in text for text in said)
    assert found.elapsed_s < 10


def test_without_pairs_every_latency_must_be_known(run) -> None:
    quiet, _ = run(PlayedDevice(3.0, 0.001), budget_s=60.0, compared=())
    assert quiet.stopped_by == "precision"
    noisy, _ = run(PlayedDevice(3.0, 1.0), budget_s=0.5, compared=())
    assert noisy.stopped_by == "budget"


def test_it_rests_first_and_again_after_a_disturbance_and_warms_up_again(run) -> None:
    device = PlayedDevice(1.0, 0.3, others=lambda block: 1.0 if 0 <= block < 4 else 0.0)
    found, said = run(device, budget_s=3.0)
    assert len(device.settled) >= 2
    assert device.calls[0] == [-1]
    assert device.calls.count([-1]) == len(device.settled)  # a trial behind every rest
    assert said[0].startswith("waiting")
    assert len(found.rests) == len(device.settled)


def test_all_waiting_together_has_one_patience() -> None:
    class Restless(PlayedDevice):
        def settle(self, patience_s: float, say: Callable[[str], None]) -> dict[str, Any]:
            super().settle(patience_s, say)
            time.sleep(min(patience_s, 0.2))
            return {"settled": False, "waited_s": min(patience_s, 0.2), "reasons": ["other programs use 1.0 processors"]}

    notes = Notes()
    device = Restless(1.0, 0.0)
    rest = Rest(device, notes, 0.3, lambda text: None)
    assert [rest.take(), rest.take(), rest.take(), rest.take()] == [True, True, False, False]
    assert device.settled[1] < 0.15
    assert [kind for kind, _ in notes.taken] == ["rest", "rest"]


def test_a_device_that_claims_to_have_waited_for_ever_spends_no_budget() -> None:
    class Liar(PlayedDevice):
        def settle(self, patience_s: float, say: Callable[[str], None]) -> dict[str, Any]:
            return {**super().settle(patience_s, say), "waited_s": 1e9}

    rest = Rest(Liar(1.0, 0.0), Notes(), 30.0, lambda text: None)
    rest.take()
    assert rest.waited_s < 1


class Notes:
    """A journal that is only looked at."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, Any]]] = []

    def note(self, kind: str, document: dict[str, Any]) -> None:
        self.taken.append((kind, document))


def test_a_failed_warm_up_in_the_middle_loses_nothing(run, tmp_path: Path) -> None:
    class Crashing(PlayedDevice):
        def measure(self, plan: RunPlan, on_line: Callable[[dict[str, Any]], None]) -> None:
            if plan.blocks[0].index < 0 and len(self.calls) > 1:
                self.calls.append([-1])
                for artifact in range(2):
                    on_line(ReplicateSample(-1, artifact, artifact, error="its process was ended by SIGABRT").to_json())
                return
            super().measure(plan, on_line)

    found, _ = run(Crashing(1.0, 0.3, others=lambda block: 1.0 if 0 <= block < 4 else 0.0), budget_s=3.0)
    assert found.blocks > 4
    assert holds_measurements(tmp_path / "journal.jsonl")
    assert read_samples((tmp_path / "journal.jsonl").read_text()).rests == found.rests


@pytest.mark.parametrize(
    ("others", "temperature_c", "throttled", "needed"),
    [
        ([0.0, 0.0, 0.9], 50.0, 0, False),
        ([0.9, 0.0, 0.9], 50.0, 0, True),
        ([0.0, 0.0, 0.0], 79.0, 0, True),
        ([0.0, 0.0, 0.0], 79.0, None, False),  # a laptop is that hot all day
        ([None, None, None], None, None, False),
    ],
)
def test_when_a_rest_is_needed(others, temperature_c, throttled, needed) -> None:
    conditions = {"temperature_c": temperature_c, "throttled": throttled}
    replicates = [ReplicateSample(0, 0, 0, loop={"others_cpu": share}, conditions=conditions) for share in others]
    assert Rest(PlayedDevice(1.0, 0.0), Notes(), 1.0, lambda text: None).needed(replicates) is needed


def test_a_device_that_stops_answering_is_an_error(run) -> None:
    class Silent(PlayedDevice):
        def measure(self, plan: RunPlan, on_line: Callable[[dict[str, Any]], None]) -> None:
            if plan.blocks[0].index < 0:
                super().measure(plan, on_line)

    with pytest.raises(DeviceError, match="stopped answering"):
        run(Silent(1.0, 0.1))
