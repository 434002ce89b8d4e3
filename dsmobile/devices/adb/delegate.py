"""Which delegate ran a model in `benchmark_model` on a phone: what was asked for is not always what ran."""

from __future__ import annotations

from dataclasses import dataclass, field

from device_bench.benchmark_delegates import PARTLY, WHOLLY
from device_bench.benchmark_model import Report

DELEGATES = ("cpu", "gpu")
GPU, GPU_AND_CPU, GPU_UNTOLD = "GPU", "GPU+CPU", "GPU, how much of it untold"


@dataclass(frozen=True)
class Ran:
    """What ran a model.

    Args:
        delegate: `GPU` where it ran the whole model; `GPU+CPU` where it ran a part; `XNNPACK`, or another's name; empty where none is told of.
        coverage: `nodes`, `delegated_nodes`, `partitions` of that delegate; empty where they are not told.
    """

    delegate: str
    coverage: dict[str, int] = field(default_factory=dict)


def what_ran(report: Report) -> Ran:
    """What one run of the tool says.

    Args:
        report: It.
    """
    gpu = next((found for found in report.setup.delegations if found.name == GPU), None)
    if gpu is not None and gpu.extent in (WHOLLY, PARTLY):
        return Ran(GPU if gpu.extent == WHOLLY else GPU_AND_CPU, _coverage(gpu.nodes))
    if report.delegate == GPU:
        return Ran(GPU_UNTOLD, _coverage(report.nodes))
    return Ran(report.delegate, _coverage(report.nodes))


def _coverage(nodes: tuple[int, int, int] | None) -> dict[str, int]:
    return {"nodes": nodes[1], "delegated_nodes": nodes[0], "partitions": nodes[2]} if nodes else {}
