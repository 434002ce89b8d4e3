import csv
import importlib.util
import json
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
NETWORKS = ("separable", "standard", "same-macs")
scikit_learn = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed: pip install 'dsmobile[bench]'")


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(BENCHMARKS))  # as when it is run
    spec = importlib.util.spec_from_file_location("separable_vs_standard", BENCHMARKS / "separable_vs_standard.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]
    sys.path.remove(str(BENCHMARKS))


def run(*options):
    return subprocess.run(
        [sys.executable, BENCHMARKS / "separable_vs_standard.py", *map(str, options)],
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)},
    )


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    """Two seeds of one epoch: nothing is learnt, everything is written."""
    out = tmp_path_factory.mktemp("study") / "out"
    done = run("--seeds", 2, "--epochs", 1, "--no-latency", "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done.stdout, json.loads((out / "summary.json").read_text())


def test_the_standard_twin_costs_7_to_9_times_the_macs_and_the_same_macs_twin_as_many(benchmark):
    costs = {name: benchmark.network_cost(name) for name in NETWORKS}
    assert 7 <= costs["standard"].macs / costs["separable"].macs <= 9
    assert costs["same-macs"].macs == pytest.approx(costs["separable"].macs, rel=0.02)
    assert costs["same-macs"].alpha < 1
    # By hand: MACs are positions x kernel x inputs x outputs of each row, then the dense layer.
    dense = 128 * 10
    first = 64 * 9 * 32
    rows = [(64, 32, 64), (16, 64, 128), (16, 128, 128)]
    assert costs["separable"].macs == first + sum(places * (9 * m + m * n) for places, m, n in rows) + dense
    assert costs["standard"].macs == first + sum(places * 9 * m * n for places, m, n in rows) + dense


def test_an_initialisation_is_the_seeds_own_and_no_network_shares_weights_with_another(benchmark):
    networks = sys.modules["digits_tools.networks"]
    first, again, other = (networks.network("separable", seed).get_weights()[0] for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    twin, source = networks.network("standard", 3), networks.network("separable", 3)
    before = [weight.copy() for weight in source.get_weights()]
    twin.set_weights([weight + 1 for weight in twin.get_weights()])
    assert all(np.array_equal(a, b) for a, b in zip(before, source.get_weights(), strict=True))


@scikit_learn
def test_no_picture_is_trained_and_tested_on_and_validation_is_never_tested(benchmark):
    training = sys.modules["digits_tools.training"]
    testable, validation = training.fixed_split()
    assert len(testable) + len(validation) == len(set(testable) | set(validation)) == 1797
    pictures = training.digits()
    found = []
    for seed in range(3):
        train, test = training.parts(seed)
        assert (len(train.y), len(test.y)) == (1437, 360)
        # Every picture is in one part, as often as scikit-learn has it.
        together = np.concatenate([train.x, test.x]).reshape(1797, 64)
        assert np.array_equal(np.sort(together.sum(1)), np.sort(pictures.x.reshape(1797, 64).sum(1)))
        held = {picture.tobytes() for picture in pictures.x[validation]}
        assert held <= {picture.tobytes() for picture in train.x}
        assert not held & {picture.tobytes() for picture in test.x}
        assert abs(np.bincount(test.y) - np.bincount(pictures.y) * 360 / 1797).max() < 2  # stratified
        found.append(test.x.tobytes())
    assert len(set(found)) == 3  # the seed varies the test set
    assert (pictures.x.min(), pictures.x.max()) == (-1, 1)


def test_the_interval_is_scipys_and_wider_by_nadeau_and_bengios_factor(benchmark):
    from scipy import stats

    values = [0.99, 0.97, 0.98, 0.985, 0.995]
    found = benchmark.estimate(values, 360, 1437)
    plain = stats.t.interval(0.95, 4, loc=fmean(values), scale=stats.sem(values))
    assert (found.plain_low, found.plain_high) == pytest.approx(plain)
    assert (found.high - found.mean) / (found.plain_high - found.mean) == pytest.approx(math.sqrt((1 / 5 + 360 / 1437) * 5))
    with pytest.raises(ValueError, match="two seeds"):
        benchmark.estimate([0.5], 1, 1)


@pytest.mark.parametrize(
    ("values", "words"),
    [([0.02, 0.021, 0.019], "better"), ([-0.02, -0.021, -0.019], "worse"), ([0.02, -0.02, 0.001], "no difference"), ([0.0, 0.0], "no difference")],
)
def test_a_verdict_says_what_the_interval_carries(benchmark, values, words):
    assert words in benchmark.verdict(benchmark.estimate(values, 1, 4), "twin")


def test_the_best_learning_rate_is_that_of_the_highest_accuracy_then_of_the_lowest_loss(benchmark):
    def trained(rate, accuracy, loss):
        return benchmark.Run(0, "separable", rate, 1, 1.0, accuracy, loss, 1.0)

    assert benchmark.best_rate([trained(0.1, 0.9, 0.1), trained(0.2, 0.95, 0.9)]) == 0.2
    assert benchmark.best_rate([trained(0.1, 0.9, 0.5), trained(0.2, 0.9, 0.4), trained(0.3, 0.8, 0.1)]) == 0.2


@pytest.mark.slow
@scikit_learn
def test_a_short_run_writes_tables_that_follow_from_its_runs(short_run):
    out, printed, summary = short_run
    rows = list(csv.DictReader((out / "runs.csv").open()))
    assert [(row["seed"], row["network"]) for row in rows] == [(seed, name) for seed in "01" for name in NETWORKS]
    assert [float(row["test_accuracy"]) for row in rows] == [entry["test_accuracy"] for entry in summary["runs"]]
    accuracy = {(int(row["seed"]), row["network"]): float(row["test_accuracy"]) for row in rows}
    for name in NETWORKS:
        own = [row for row in rows if row["network"] == name]
        found = summary["networks"][name]
        assert found["test"]["mean"] == pytest.approx(fmean(float(row["test_accuracy"]) for row in own))
        assert found["gap"]["mean"] == pytest.approx(found["train"]["mean"] - found["test"]["mean"])
        assert found["test"]["low"] <= found["test"]["plain_low"] <= found["test"]["mean"] <= found["test"]["plain_high"] <= found["test"]["high"]
        assert all((float(row["test_accuracy"]) * 360) == pytest.approx(round(float(row["test_accuracy"]) * 360), abs=1e-3) for row in own)
        assert f"{found['macs']:,}" in printed
        assert f"{100 * found['test']['mean']:.2f}% (" in printed
    for other in ("standard", "same-macs"):
        wanted = fmean(accuracy[seed, "separable"] - accuracy[seed, other] for seed in (0, 1))
        assert summary["differences"][other]["mean"] == pytest.approx(wanted)
        assert summary["differences"][other]["verdict"] in printed
    assert summary["latency"] == []


def test_the_chart_is_a_picture_with_a_dot_for_each_seed(benchmark, tmp_path):
    pytest.importorskip("altair")
    accuracy = {"separable": (0.98, 0.97), "standard": (0.99, 0.98), "same-macs": (0.97, 0.98)}
    runs = [benchmark.Run(seed, name, 0.01, 1, 1.0, found[seed], 0.1, 1.0) for seed in (0, 1) for name, found in accuracy.items()]
    means = {name: benchmark.estimate(found, 360, 1437) for name, found in accuracy.items()}
    apart = {other: benchmark.estimate(benchmark.tables.paired(runs, other), 360, 1437) for other in ("standard", "same-macs")}
    assert apart["same-macs"].mean == pytest.approx(0)
    benchmark.draw(tmp_path / "chart.svg", runs, {name: benchmark.NetworkCost(1.0, 9, 10**6) for name in accuracy}, means, apart)
    root = ElementTree.parse(tmp_path / "chart.svg").getroot()
    assert root.tag.endswith("svg")
    texts = "".join(root.itertext())
    assert all(name in texts for name in NETWORKS)
    assert len([element for element in root.iter() if element.get("aria-roledescription") == "circle"]) == 2 * 3 + 2 * 2  # seeds, then differences
    assert [path.name for path in tmp_path.iterdir()] == ["chart.svg"]


def test_accuracy_and_cross_entropy_are_kerass(benchmark):
    import keras

    training, networks = sys.modules["digits_tools.training"], sys.modules["digits_tools.networks"]
    model = networks.network("separable", 0)
    random = np.random.default_rng(0)
    part = training.Part(random.uniform(-1, 1, (50, 8, 8, 1)).astype("float32"), random.integers(0, 10, 50).astype("int32"))
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    loss, accuracy = model.evaluate(part.x, part.y, verbose=0)
    assert training.judged(model, part) == pytest.approx((accuracy, loss), rel=1e-5)


def test_a_folder_that_holds_something_is_refused_before_anything_is_trained(tmp_path):
    (tmp_path / "runs.csv").write_text("mine")
    done = run("--no-latency", "--out", tmp_path)
    assert done.returncode != 0
    assert "not empty" in done.stderr
    assert (tmp_path / "runs.csv").read_text() == "mine"


@pytest.mark.parametrize("options", [("--seeds", "1"), ("--epochs", "0"), ("--seeds", "many")])
def test_options_that_make_no_interval_exit_2(options):
    done = run(*options)
    assert done.returncode == 2
    assert "usage" in done.stderr


@pytest.mark.slow
def test_latencies_are_those_of_the_files_that_were_written(benchmark, tmp_path):
    networks = sys.modules["digits_tools.networks"]
    random = np.random.default_rng(0)
    models = {name: networks.network(name, 0) for name in NETWORKS}
    said = []
    measured = benchmark.measure(models, random.uniform(-1, 1, (100, 8, 8, 1)).astype("float32"), tmp_path, 6.0, said.append)
    assert [found.recipe for found in measured] == ["float32", "int8"]
    assert len(list((tmp_path / "results").glob("*.json"))) == 2
    for found in measured:
        sizes = sorted(path.stat().st_size for path in (tmp_path / "artifacts").glob(f"*-{found.recipe}.tflite"))
        assert sorted(found.size_bytes.values()) == sizes
        for other, speedup in found.speedup.items():
            low, high = found.speedup_interval[other]
            assert low <= speedup <= high
            assert speedup == pytest.approx(found.median_ns[other] / found.median_ns["separable"], rel=0.5)
            assert (found.verdict[other] == "faster") == (low > 1)


@pytest.mark.slow
@scikit_learn
def test_the_same_seeds_give_the_same_table_and_the_networks_learn(tmp_path):
    runs = []
    for name in ("first", "second"):
        done = run("--seeds", 2, "--epochs", 12, "--no-latency", "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
        runs.append([(run["seed"], run["network"], run["test_accuracy"], run["test_loss"]) for run in
                     json.loads((tmp_path / name / "summary.json").read_text())["runs"]])  # fmt: skip
    assert runs[0] == runs[1]
    # scikit-learn's own logistic regression on these pixels, as a floor.
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    data = load_digits()
    floor = cross_val_score(LogisticRegression(max_iter=300), data.data / 16, data.target, cv=4).mean()
    assert min(accuracy for _, _, accuracy, _ in runs[0]) > floor
