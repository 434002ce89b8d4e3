"""The figures as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from digits_tools.figures import Estimate, verdict
from digits_tools.latency import Latency
from digits_tools.networks import NETWORKS, SEPARABLE, NetworkCost
from digits_tools.training import Run

TITLES = {"separable": "separable", "standard": "standard twin", "same-macs": "same-macs twin"}


def networks_table(costs: dict[str, NetworkCost], estimates: dict[str, dict[str, Estimate]]) -> str:
    """What each network costs and how it does.

    Args:
        costs: Of each network.
        estimates: Of each network: `test`, `train` and `gap`, as fractions.
    """
    head = ["network", "alpha", "parameters", "MACs", "of separable", "test accuracy (95%)", "training accuracy", "gap in points (95%)"]
    base = costs[SEPARABLE].macs
    return table(
        head,
        [
            [
                TITLES[name],
                f"{cost.alpha:.3g}",
                f"{cost.parameters:,}",
                f"{cost.macs:,}",
                f"{cost.macs / base:.2f}×",
                _percent(estimates[name]["test"]),
                f"{100 * estimates[name]['train'].mean:.2f}%",
                _points(estimates[name]["gap"]),
            ]
            for name, cost in costs.items()
        ],
    )


def differences_table(differences: dict[str, Estimate], runs: Sequence[Run]) -> str:
    """Separable minus each other network, seed by seed."""
    head = ["separable minus", "points of test accuracy (95%)", "ordinary t interval", "seeds better, equal, worse", "verdict"]
    rows = []
    for other, found in differences.items():
        apart = paired(runs, other)
        counts = (sum(value > 0 for value in apart), sum(value == 0 for value in apart), sum(value < 0 for value in apart))
        plain = f"{signed(found.plain_low)} to {signed(found.plain_high)}"
        rows.append([TITLES[other], _points(found), plain, ", ".join(map(str, counts)), verdict(found, TITLES[other])])
    return table(head, rows)


def latency_table(latencies: Iterable[Latency], costs: dict[str, NetworkCost]) -> str:
    """Latency of each recipe's files, as ratios of one run."""
    head = ["recipe", *(f"{TITLES[name]}, µs" for name in NETWORKS), "compared with", "speed-up (95%)", "in MACs", "verdict", "run"]
    rows = []
    for found in latencies:
        for other, speedup in found.speedup.items():
            low, high = found.speedup_interval[other]
            rows.append(
                [
                    found.recipe,
                    *(f"{found.median_ns[name] / 1e3:.1f}" for name in NETWORKS),
                    TITLES[other],
                    f"{speedup:.2f}× ({low:.2f} to {high:.2f})",
                    f"{costs[other].macs / costs[SEPARABLE].macs:.2f}×",
                    found.verdict[other],
                    found.validity,
                ]
            )
    return table(head, rows)


def choice_table(runs: Iterable[Run]) -> str:
    """Validation accuracy and loss of each learning rate, as means over seeds."""
    grouped: dict[tuple[str, float], list[Run]] = {}
    for run in runs:
        grouped.setdefault((run.network, run.learning_rate), []).append(run)
    rows = [
        [
            TITLES[name],
            f"{rate:g}",
            f"{100 * sum(run.test_accuracy for run in group) / len(group):.2f}%",
            f"{sum(run.test_loss for run in group) / len(group):.4f}",
        ]
        for (name, rate), group in grouped.items()
    ]
    return table(["network", "learning rate", "validation accuracy", "cross-entropy"], rows)


def paired(runs: Sequence[Run], other: str) -> list[float]:
    """Test accuracy of the separable network minus another's, for each seed in order."""
    found = {(run.seed, run.network): run.test_accuracy for run in runs}
    return [found[seed, SEPARABLE] - found[seed, other] for seed in sorted({run.seed for run in runs})]


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns also line up in a terminal."""
    widths = [max(len(line[place]) for line in [head, *rows]) for place in range(len(head))]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in [head, *rows]]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _percent(found: Estimate) -> str:
    """An accuracy; its interval is symmetric, but ends at 100% at the latest."""
    return f"{100 * found.mean:.2f}% ({100 * found.low:.2f} to {min(100 * found.high, 100):.2f})"


def _points(found: Estimate) -> str:
    return f"{signed(found.mean)} ({signed(found.low)} to {signed(found.high)})"


def signed(share: float) -> str:
    """Points with two decimals and a sign; never a negative zero."""
    return f"{round(100 * share, 2) + 0.0:+.2f}"
