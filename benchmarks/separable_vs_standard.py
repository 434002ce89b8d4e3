"""The articles' claim put to the test: does a separable network learn as well as its standard twin, for 7 to 9 times fewer MACs?

    python benchmarks/separable_vs_standard.py [--seeds 10] [--epochs 30] [--out DIR] [--no-latency]

Three networks are trained on scikit-learn's digits, each from a random initialisation of its own: a small MobileNetV1 (digits.toml), its twin of
standard convolutions, and that twin made so narrow that it has as many MACs as the separable network. What a seed varies, how the learning rates
were chosen and what the intervals mean: docs/separable_vs_standard.md.

The tables go to stdout as Markdown; OUT gets runs.csv (a line as each training ends), summary.json, separable_vs_standard.svg, the trained networks
of the first seed, their files and the benchmark's result. `--choose` repeats the choice of the learning rates instead.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from digits_tools import tables
from digits_tools.figures import Estimate, estimate, verdict
from digits_tools.latency import Latency, measure
from digits_tools.networks import NETWORKS, SAME_MACS, STANDARD, NetworkCost, network_cost
from digits_tools.training import CANDIDATES, EPOCHS, LEARNING_RATES, Run, choosing_parts, parts, prepare_keras, train

from dsmobile.errors import DsmobileError
from dsmobile.files import prepare_folder, write_json

SCHEMA = "dsmobile.separable_vs_standard/1"
CHOOSING_SEEDS = (1000, 1001, 1002)
LATENCY_BUDGET_S = 60.0


def main() -> int:
    """Trains, measures, prints."""
    asked = arguments()
    try:
        out = empty_folder(asked.out)
        prepare_keras()
        if asked.choose:
            choose(out, asked.epochs)
        else:
            compare(out, asked.seeds, asked.epochs, latency=asked.latency)
    except DsmobileError as error:
        say(f"{error.message}: {error.advice}")
        return int(error.exit_code)
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="how many, from 0; at least 2 for an interval")
    parser.add_argument("--epochs", type=int, default=EPOCHS, metavar="N")
    parser.add_argument("--out", type=Path, default=Path("dsmobile-out/separable_vs_standard"), metavar="DIR", help="an empty or new folder")
    parser.add_argument("--no-latency", dest="latency", action="store_false")
    parser.add_argument("--choose", action="store_true", help="choose the learning rates on the validation pictures; no test set is looked at")
    asked = parser.parse_args()
    if asked.seeds < 2 or asked.epochs < 1:
        parser.error("an interval takes --seeds of at least 2, training --epochs of at least 1")
    return asked


def empty_folder(path: Path) -> Path:
    """The folder, made where it is not there.

    Raises:
        SystemExit: It holds something.
    """
    folder = prepare_folder(path)
    if any(folder.iterdir()):
        raise SystemExit(f"{path} is not empty: name another folder with --out")
    return folder


def compare(out: Path, seeds: int, epochs: int, *, latency: bool) -> None:
    """Trains the three networks with every seed and writes what came out."""
    costs = {name: network_cost(name) for name in NETWORKS}
    runs: list[Run] = []
    models: dict[str, Any] = {}
    with RunsFile(out / "runs.csv") as file:
        for seed in range(seeds):
            training, test = parts(seed)
            for name in NETWORKS:
                model, run = train(name, seed, LEARNING_RATES[name], epochs, training, test)
                if seed == 0:
                    models[name] = model
                runs.append(run)
                file.add(run)
                say(f"seed {seed}, {name}: test {run.test_accuracy:.2%}, training {run.train_accuracy:.2%}, {run.seconds:.0f} s")
    training, test = parts(0)
    counts = len(test.y), len(training.y)
    estimates = {name: of_network(runs, name, *counts) for name in NETWORKS}
    differences = {other: estimate(tables.paired(runs, other), *counts) for other in (STANDARD, SAME_MACS)}
    print(f"{seeds} seeds, {epochs} epochs, {counts[1]} pictures to train on, {counts[0]} to test on\n")
    print(tables.networks_table(costs, estimates), tables.differences_table(differences, runs), sep="\n\n", flush=True)
    draw(out / "separable_vs_standard.svg", runs, costs, {name: found["test"] for name, found in estimates.items()}, differences)
    latencies = measure(models, training.x, out, LATENCY_BUDGET_S, say) if latency else []
    if latencies:
        print(f"\n{tables.latency_table(latencies, costs)}")
        for warning in dict.fromkeys(warning for found in latencies for warning in found.warnings):
            print(f"- {warning}")
    write_json(out / "summary.json", summary(costs, estimates, differences, latencies, runs))


def of_network(runs: list[Run], name: str, test_count: int, train_count: int) -> dict[str, Estimate]:
    """Test and training accuracy of a network and the gap between them, over seeds."""
    own = [run for run in runs if run.network == name]
    figures = {
        "test": [run.test_accuracy for run in own],
        "train": [run.train_accuracy for run in own],
        "gap": [run.gap for run in own],
    }
    return {key: estimate(values, test_count, train_count) for key, values in figures.items()}


def draw(path: Path, runs: list[Run], costs: dict[str, NetworkCost], accuracies: dict[str, Estimate], differences: dict[str, Estimate]) -> None:
    """Writes the chart, or says how to get what draws it."""
    try:
        from digits_tools.chart import write_chart

        write_chart(path, runs, costs, accuracies, differences)
    except ImportError as error:
        say(f"no chart was written: {error}; run: pip install 'dsmobile[report]'")


def summary(
    costs: dict[str, NetworkCost],
    estimates: dict[str, dict[str, Estimate]],
    differences: dict[str, Estimate],
    latencies: Iterable[Latency],
    runs: list[Run],
) -> dict[str, Any]:
    """Everything that the tables say, as JSON."""
    return {
        "schema": SCHEMA,
        "networks": {
            name: {**asdict(costs[name]), **{key: asdict(found) for key, found in estimates[name].items()}, "learning_rate": LEARNING_RATES[name]}
            for name in costs
        },
        "differences": {other: {**asdict(found), "verdict": verdict(found, tables.TITLES[other])} for other, found in differences.items()},
        "latency": [asdict(found) for found in latencies],
        "runs": [asdict(run) for run in runs],
    }


def choose(out: Path, epochs: int) -> None:
    """Trains each network with each candidate and prints how it does on the validation pictures, the best last."""
    training, validation = choosing_parts()
    runs: list[Run] = []
    with RunsFile(out / "choice.csv") as file:
        for name in NETWORKS:
            for rate in CANDIDATES:
                for seed in CHOOSING_SEEDS:
                    runs.append(train(name, seed, rate, epochs, training, validation)[1])
                    file.add(runs[-1])
                say(f"{name}, {rate:g}: {runs[-1].test_accuracy:.2%}")
    print(tables.choice_table(runs))
    for name in NETWORKS:
        print(f"best for {name}: {best_rate([run for run in runs if run.network == name]):g}")


def best_rate(runs: list[Run]) -> float:
    """The learning rate with the highest mean accuracy on what was held out; of equal ones that with the lowest cross-entropy."""
    rates = sorted({run.learning_rate for run in runs})

    def rank(rate: float) -> tuple[float, float]:
        own = [run for run in runs if run.learning_rate == rate]
        return (-round(sum(run.test_accuracy for run in own) / len(own), 6), sum(run.test_loss for run in own))

    return min(rates, key=rank)


class RunsFile:
    """A CSV file that holds every training as soon as it has ended.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        """Opens it and writes its head."""
        self.file = path.open("w", newline="", encoding="utf-8")
        self.writer = csv.DictWriter(self.file, [field.name for field in fields(Run)])
        self.writer.writeheader()

    def add(self, run: Run) -> None:
        """Adds a line and flushes it."""
        self.writer.writerow(asdict(run))
        self.file.flush()

    def __enter__(self) -> RunsFile:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes it."""
        self.file.close()


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
