"""How much of a network our int8 keeps, beside the others': each at its best setting, with the same network and inputs, in a table.

    python benchmarks/ptq.py MODEL.h5 --calibration DIR --data DIR --labels FILE --preprocess P [--limit N] [--tools nncf ...] [--keep DIR]

Every tool gets the network up to its softmax and the same calibration inputs; those that start from a file get our float32 one, ONNX or TFLite;
every setting runs in a process of its own. All files are run as `dsmobile evaluate` runs them, and held against float32. The setting that does
best on the very data of the table is a tool's best, which flatters it: ours has one setting, fixed beforehand. What a tool cannot do stands in
its row.
The tools that are no part of dsmobile are installed apart (scripts/setup-ptq). Markdown goes to stdout.
Exits 0; 7 where a tool wrote no file that could be run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from ptq_tools.judging import Judgement, judge, labels_of, logits_of
from ptq_tools.settings import CALIBRATION_COUNT, TOOLS, Setting, Tool

from dsmobile import pipeline
from dsmobile.dataset import Dataset, open_dataset
from dsmobile.errors import DsmobileError
from dsmobile.evaluation.table import percent
from dsmobile.labels import read_labels
from dsmobile.preprocessing import Preprocessing, parse

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 3600
HEAD = ["tool", "setting", "format", "top-1", "ties shared", "agrees", "SQNR dB", "lost/gained", "drop in points (95%)", "seconds", "bytes"]
NOTES = """
- All of logits. Of equal ones the first class counts; under "ties shared" each of k equal ones has a k-th: an int8 output has ties, a float one none.
- Agreement, SQNR, lost and gained answers and the drop are against float32 in TFLite, on the same inputs.
- A tool's best setting has the highest top-1 with shared ties on these inputs, then agreement, then SQNR: it was chosen with hindsight.
- Seconds are without imports; dsmobile's include loading the network and checking the file against it."""


@dataclass(frozen=True)
class Outcome:
    """What became of one setting.

    Args:
        tool: Who.
        setting: How.
        version: Of the tool; empty where it could not say.
        seconds: Of quantizing, without imports.
        size_bytes: Of the file.
        judgement: How the file did; None where there is none.
        problem: Why not.
    """

    tool: Tool
    setting: Setting
    version: str = ""
    seconds: float = 0.0
    size_bytes: int = 0
    judgement: Judgement | None = None
    problem: str = ""

    @property
    def rank(self) -> tuple[float, float, float]:
        """What makes a setting the best: top-1 with shared ties, then agreement, then SQNR."""
        found = self.judgement
        return (found.top1_shared, found.agreement, found.sqnr_db) if found else (-1.0, 0.0, 0.0)


class Judge:
    """Runs files on the labelled data.

    Args:
        dataset: Labelled inputs.
        layout: Of images, where `--preprocess` says it.
        reference: A file of the float32 network.
    """

    def __init__(self, dataset: Dataset, layout: str, reference: Path) -> None:
        """Runs the reference."""
        self.dataset, self.layout, self.labels = dataset, layout, labels_of(dataset)
        self.reference = logits_of(reference, dataset, layout)

    def __call__(self, path: Path) -> Judgement:
        """How a file does."""
        return judge(logits_of(path, self.dataset, self.layout), self.reference, self.labels)


def main() -> int:
    """Runs every tool and prints the tables."""
    asked = arguments()
    tools = [tool for tool in TOOLS if not asked.tools or tool.key in asked.tools]
    try:
        with folder_of(asked.keep) as folder:
            return compare(asked, tools, folder)
    except DsmobileError as error:
        say(f"{error.message}: {error.advice}")
        return int(error.exit_code)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="what `dsmobile export` takes as SOURCE: a Keras file, keras:NAME")
    parser.add_argument("--calibration", required=True, help=f"a folder of images or an .npz; {CALIBRATION_COUNT} inputs are taken")
    parser.add_argument("--data", required=True, type=Path, help="labelled: a folder of images or an .npz")
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--preprocess")
    parser.add_argument("--limit", type=int, help="how many inputs of --data")
    parser.add_argument("--tools", nargs="+", choices=sorted({tool.key for tool in TOOLS}))
    parser.add_argument("--keep", type=Path, metavar="DIR", help="an empty or new folder for all files and the tools' own output")
    return parser.parse_args()


@contextmanager
def folder_of(kept: Path | None) -> Iterator[Path]:
    """Where the files lie: a folder that stays, or one that goes."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        if any(kept.iterdir()):
            raise SystemExit(f"{kept} is not empty")
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="ptq-") as name:
        yield Path(name)


def compare(asked: argparse.Namespace, tools: list[Tool], folder: Path) -> int:
    """Runs the tools on one network, then prints the tables."""
    preprocessing = parse(asked.preprocess) if asked.preprocess else None
    dataset = open_dataset(asked.data, preprocessing, read_labels(asked.labels) if asked.labels else None, asked.limit)
    if not dataset.labelled:
        raise SystemExit(f"{asked.data} has no labels: give --labels, or y in the .npz")
    say("float32: writing the network that all start from")
    starts = float_networks(asked.model, asked.calibration, preprocessing, folder)
    judge_file = Judge(dataset, "nchw" if preprocessing and preprocessing.layout == "nchw" else "", starts["tflite"])
    outcomes = []
    tasks = [(tool, setting) for tool in tools for setting in tool.settings]
    for number, (tool, setting) in enumerate(tasks):
        say(f"{tool.name} ({tool.file_format}), {setting.name}")
        outcomes.append(outcome(tool, setting, starts, folder / f"{number:02}-{tool.key}.{tool.file_format}", judge_file))
    best = [max((each for each in outcomes if each.tool is tool), key=lambda each: each.rank) for tool in tools]
    calibration_count = len(np.load(starts["inputs"])["x"])
    print(f"**{Path(asked.model).name}**, {calibration_count} calibration inputs, {dataset.count} inputs to judge by\n")
    floats = [["float32", "", kind, *figures(judge_file(starts[kind])), "", f"{starts[kind].stat().st_size:,}"] for kind in ("tflite", "onnx")]
    print_table(HEAD, floats + [row(each) for each in best])
    print("\nEvery setting that was tried:\n")
    print_table(HEAD, [row(each) for each in outcomes])
    print(NOTES)
    return 0 if all(each.judgement for each in best) else 7


def float_networks(model: str, calibration: str, preprocessing: Preprocessing | None, folder: Path) -> dict[str, Path]:
    """The network up to its softmax, and the calibration inputs, in every form that a tool starts from.

    Args:
        model: What `dsmobile export` takes as SOURCE.
        calibration: A folder of images or an `.npz`.
        preprocessing: From RGB bytes to the input.
        folder: Where they are written.
    """
    import keras

    from dsmobile.exporters.calibration import calibration_inputs
    from dsmobile.exporters.head import with_head
    from dsmobile.sources import SourceOptions, input_shapes, load

    written = pipeline.export(pipeline.ExportRequest(model, recipes=("float32",), head="logits", out=folder / "float32")).paths
    source = load(model, SourceOptions())
    shapes = input_shapes(source)
    if len(shapes) != 1:
        raise SystemExit(f"{model} has {len(shapes)} inputs; this comparison is of networks with one")
    ((name, shape),) = shapes.items()
    inputs = calibration_inputs(
        calibration,
        named_shapes=shapes,
        preprocessing=preprocessing or source.preprocessing,
        random_weights=False,
        quantized=True,
        count=CALIBRATION_COUNT,
    )
    np.savez(folder / "calibration.npz", x=np.concatenate([sample[0] for sample in inputs.samples()]))
    with_head(source.model, "logits").logits.export(
        folder / "saved_model",
        format="tf_saved_model",
        input_signature=[keras.InputSpec(shape=(1, *shape), dtype="float32", name=name)],
        verbose=False,
    )
    starts = {path.suffix[1:]: path for path in written}
    return {**starts, "saved_model": folder / "saved_model", "inputs": folder / "calibration.npz", "source": Path(model)}


def outcome(tool: Tool, setting: Setting, starts: dict[str, Path], out: Path, judge_file: Callable[[Path], Judgement]) -> Outcome:
    """Quantizes and judges, or says why that did not work."""
    python, problem = foreign_python() if tool.apart else (sys.executable, "")
    if problem:
        return Outcome(tool, setting, problem=f"not installed: {problem}")
    answer, log = out.with_suffix(".json"), out.with_suffix(".log")
    paths = (HERE / "ptq_tools" / tool.script, starts[tool.starts_from], starts["inputs"], out, answer)
    command = [python, *map(str, paths), json.dumps(setting.options)]
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with log.open("wb") as file:
        try:
            code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, timeout=TIMEOUT_S).returncode
        except subprocess.TimeoutExpired:
            return Outcome(tool, setting, problem=f"stopped after {TIMEOUT_S} s")
    if code or not answer.is_file():
        return Outcome(tool, setting, problem=f"ended with exit status {code}: {last_line(log.read_text(encoding='utf-8', errors='replace'))}")
    said = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in said:
        return Outcome(tool, setting, said["version"], problem=said["error"])
    try:
        judgement = judge_file(out)
    except DsmobileError as error:
        return Outcome(tool, setting, said["version"], said["seconds"], problem=f"its file cannot be run: {error.message}")
    return Outcome(tool, setting, said["version"], said["seconds"], out.stat().st_size, judgement)


@cache
def foreign_python() -> tuple[str, str]:
    """The Python that has the tools which are no part of dsmobile, or why there is none."""
    done = subprocess.run([sys.executable, HERE.parent / "scripts" / "setup-ptq"], capture_output=True, text=True)
    return (done.stdout.strip(), "") if done.returncode == 0 else ("", last_line(done.stderr))


def row(each: Outcome) -> list[str]:
    """One line of the table."""
    name = f"{each.tool.name} {each.version}".strip()
    if each.judgement is None:
        return [name, each.setting.name, each.tool.file_format, f"failed: {each.problem}", *[""] * (len(HEAD) - 4)]
    return [name, each.setting.name, each.tool.file_format, *figures(each.judgement), f"{each.seconds:.1f}", f"{each.size_bytes:,}"]


def figures(found: Judgement) -> list[str]:
    """What is measured of one file."""
    low, high = (100 * end for end in found.drop_interval)
    return [
        percent(found.top1),
        percent(found.top1_shared),
        percent(found.agreement),
        "equal" if math.isinf(found.sqnr_db) else f"{found.sqnr_db:.1f}",
        f"{found.lost}/{found.gained}",
        f"{100 * (found.lost - found.gained) / found.count:.2f} ({low:.2f} to {high:.2f})",
    ]


def print_table(head: list[str], rows: list[list[str]]) -> None:
    """A Markdown table whose columns also line up in a terminal."""
    cells = [[text.replace("|", "\\|").replace("\n", " ") for text in line] for line in [head, *rows]]
    # A reason why something failed runs past its column instead of widening it.
    widths = [max(len(line[place]) for line in cells if not line[place].startswith("failed")) for place in range(len(head))]
    for number, line in enumerate(cells):
        print("| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def last_line(text: str) -> str:
    """The last line that says something, without control characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "".join(sign for sign in lines[-1][:200] if sign.isprintable()) if lines else "it said nothing"


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
