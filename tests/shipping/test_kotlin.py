"""The generated Kotlin, compiled by JetBrains' compiler and run on a plain JVM against Python's own numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile.errors import DataError
from dsmobile.preprocessing import Preprocessing, parse
from dsmobile.shipping.android import ship_android
from dsmobile.shipping.goldens import synthetic_image

pytestmark = pytest.mark.ship

STUBS = Path(__file__).parent / "stubs"
# What an app may ask of a library: no warning of any kind, every visibility said, nothing that the next language version would refuse.
STRICT = ("-Werror", "-Wextra", "-progressive", "-Xexplicit-api=strict")
WAYS: dict[str, Preprocessing] = {
    "range": parse("resize=40,crop=32,scale=-1..1"),
    "imagenet": parse("resize=40,crop=32,mean=123.675/116.28/103.53,std=58.395/57.12/57.375"),
    "bgr": parse("resize=32,colour=bgr,scale=1,offset=-103.939/-116.779/-123.68"),
    "grey": parse("resize=36,crop=32x32,colour=grey,scale=0..1"),
    "wide": parse("resize=48,crop=24x40,scale=0..255"),
    "croponly": Preprocessing(crop=(32, 32), scale=(1e-05, -3.0, 7e20), offset=(-0.0, 1e-40, 0.1)),
    "untouched": Preprocessing(scale=(1 / 127.5,), offset=(-1.0,)),
    "squares": Preprocessing(resize=32, scale=(1 / 255,)),
}
HOSTILE = '"; fun boom() {}\n${System.exit(1)}\n\\u0022\n🐈‍⬛ cat\n\u200fעברית\n$a\n*/ /*\n'
# Odd ones, tiny ones, ones as wide as they are high, and factors that no binary fraction hits.
SIZES = [(32, 32), (33, 57), (57, 33), (1, 1), (3, 101), (101, 3), (240, 319), (64, 48), (41, 41), (40, 40), (333, 500), (47, 1), (200, 201)]


@dataclass(frozen=True)
class Built:
    """Modules and what was compiled of them."""

    kotlin: Any
    stubs: Path
    classes: Path
    modules: dict[str, Path]
    work: Path

    def harness(self, commands: list[str], *classpath: Path) -> list[str]:
        """The line that the harness answers to each command."""
        script = self.work / "commands.txt"
        script.write_text("\n".join(commands) + "\n", encoding="utf-8")
        done = self.kotlin.run("harness.HarnessKt", str(script), classpath=[*classpath, self.classes, self.stubs])
        assert done.returncode == 0, done.stderr
        lines: list[str] = done.stdout.splitlines()
        assert len(lines) == len(commands)
        return lines


@pytest.fixture(scope="module")
def built(kotlin: Any, make_artifact: Any, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A module for each way of preprocessing, and a spoiled one, which takes blue for red: their own code compiled strictly, then their tests."""
    work = tmp_path_factory.mktemp("kotlin")
    labels = work / "hostile.txt"
    labels.write_text(HOSTILE, encoding="utf-8")
    modules = {}
    for way, preprocessing in {**WAYS, "spoiled": WAYS["range"]}.items():
        artifact = make_artifact(work, preprocessing, name=f"tiny-{way}")
        modules[way] = ship_android(artifact, labels, f"com.acme.{way}", work / "modules" / way).module
    spoiled = modules["spoiled"] / "src/main/kotlin/com/acme/spoiled/Preprocessing.kt"
    text = spoiled.read_text(encoding="utf-8")
    spoiled.write_text(text.replace("[3 * pixel + channel].toInt()", "[3 * pixel + 2 - channel].toInt()"), encoding="utf-8")
    stubs, classes = work / "stubs", work / "classes"
    _compile(kotlin, sorted(STUBS.rglob("*.kt")), stubs)
    _compile(kotlin, _sources(modules, "main"), classes, *STRICT, classpath=[stubs])
    tests = [*_sources(modules, "test"), *_sources(modules, "androidTest"), *_sources(modules, "sharedTest")]
    _compile(kotlin, tests, classes, "-Werror", "-Wextra", "-progressive", classpath=[stubs, classes])
    return Built(kotlin, stubs, classes, modules, work)


def _sources(modules: dict[str, Path], part: str) -> list[Path]:
    return [path for module in modules.values() for path in sorted((module / "src" / part).rglob("*.kt"))]


def _compile(kotlin: Any, sources: list[Path], classes: Path, *options: str, classpath: list[Path] | None = None) -> None:
    done = kotlin.compile(sources, classes, *options, classpath=classpath or [])
    assert done.returncode == 0, done.stderr


def test_every_preprocessing_equals_python_bit_for_bit(built: Built, tmp_path: Path) -> None:
    commands, expected = [], []
    for way, preprocessing in WAYS.items():
        for seed, (height, width) in enumerate(SIZES):
            image = synthetic_image(height, width, seed)
            rgb = tmp_path / f"{way}-{seed}.rgb"
            rgb.write_bytes(image.tobytes())
            try:
                tensor = preprocessing(image)
            except DataError:  # the crop does not fit
                tensor = None
            input_size = preprocessing.crop or (32, 32)
            expected.append(tensor if tensor is not None and tensor.shape[1:3] == input_size else None)
            commands.append(f"tensor\tcom.acme.{way}.Preprocessing\t{rgb}\t{width}\t{height}\t{rgb}.f32")
    compared = 0
    for line, command, tensor in zip(built.harness(commands), commands, expected, strict=True):
        if tensor is None:
            assert line.startswith("IllegalArgumentException: an image of"), (command, line)
        else:
            assert line == f"wrote {tensor.size}", (command, line)
            assert Path(command.split("\t")[-1]).read_bytes() == tensor.astype("<f4").tobytes(), command
            compared += 1
    assert compared > len(SIZES) * 4


@pytest.mark.parametrize(
    "width, height, why",
    [
        (33, 32, "1024 pixels for an image of 33 x 32"),
        (0, 0, "1024 pixels for an image of 0 x 0"),
        (-32, -32, "1024 pixels for an image of -32 x -32"),
        (2147483647, 2147483647, "1024 pixels for an image of 2147483647 x 2147483647"),
        (1, 2147483647, "1024 pixels for an image of 1 x 2147483647"),
    ],
)
def test_sizes_that_do_not_fit_the_bytes_are_refused(built: Built, tmp_path: Path, width: int, height: int, why: str) -> None:
    rgb = tmp_path / "image.rgb"
    rgb.write_bytes(bytes(3 * 1024))
    for way in ("range", "croponly", "grey"):
        (line,) = built.harness([f"tensor\tcom.acme.{way}.Preprocessing\t{rgb}\t{width}\t{height}\t{tmp_path}/x"])
        assert line.startswith(f"IllegalArgumentException: {why} |")
    rgb.write_bytes(bytes(3 * 1024 + 1))
    (line,) = built.harness([f"tensor\tcom.acme.range.Preprocessing\t{rgb}\t32\t32\t{tmp_path}/x"])
    assert line.startswith("IllegalArgumentException: 3073 bytes are no whole number of RGB pixels")


def test_an_image_of_one_long_line_is_read_as_python_reads_it(built: Built, tmp_path: Path) -> None:
    """Its other side, resized, would have more pixels than an Int counts, of which the crop keeps 32."""
    rgb = tmp_path / "line.rgb"
    rgb.write_bytes(bytes([7, 8, 9]) * 100_000_000)
    (line,) = built.harness([f"tensor\tcom.acme.range.Preprocessing\t{rgb}\t100000000\t1\t{tmp_path}/line.f32"])
    rgb.unlink()
    assert line == "wrote 3072"
    tensor = np.fromfile(tmp_path / "line.f32", "<f4").reshape(1024, 3)
    assert np.array_equal(tensor, np.broadcast_to(WAYS["range"](np.full((32, 32, 3), [7, 8, 9], np.uint8))[0, 0, 0], (1024, 3)))


def test_the_modules_own_tests_pass_on_their_own_goldens(built: Built) -> None:
    for way, module in [(way, built.modules[way]) for way in WAYS]:
        resources = module / "src/sharedTest/resources"
        unit, device = built.harness(
            [f"tests\tcom.acme.{way}.GoldenTest", f"device\tcom.acme.{way}.ClassifierTest\t{module}/src/main/assets\t{resources}/goldens"], resources
        )
        assert unit.startswith("passed: ") and len(unit.split()) == 6, (way, unit)
        assert re.fullmatch(r"passed: (\w+ ?){4}, passed: (\w+ ?){4} \| open 0", device), (way, device)


def test_kotlins_tensor_through_the_interpreter_is_labelled_by_kotlin_as_by_python(built: Built, make_artifact: Any, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    labels = HOSTILE.splitlines()
    image = synthetic_image(57, 91, 5)
    rgb, written, outputs, names = (tmp_path / name for name in ("image.rgb", "tensor.f32", "outputs.f32", "labels.txt"))
    rgb.write_bytes(image.tobytes())
    names.write_text(HOSTILE, encoding="utf-8")
    (line,) = built.harness([f"tensor\tcom.acme.range.Preprocessing\t{rgb}\t91\t57\t{written}"])
    assert line == "wrote 3072" and written.read_bytes() == WAYS["range"](image).astype("<f4").tobytes()
    interpreter = Interpreter(model_path=str(built.modules["range"] / "src/main/assets/tiny-range.tflite"))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.fromfile(written, "<f4").reshape(1, 32, 32, 3))
    interpreter.invoke()
    scores = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
    outputs.write_bytes(scores.astype("<f4").tobytes())
    (line,) = built.harness([f"labelled\tcom.acme.range.LabelledScoreKt\t{outputs}\t{names}"])
    found = [re.fullmatch(r"LabelledScore\(index=(\d+), label=(.*), score=(\S+)\)", entry) for entry in line.split("\t")]
    best = sorted(range(7), key=lambda index: (-scores[index], index))
    for index, entry in zip(best, found, strict=True):
        assert entry and int(entry[1]) == index and entry[2] == labels[index] and np.float32(entry[3]) == scores[index]


def test_everything_that_is_opened_is_closed_in_the_opposite_order(built: Built) -> None:
    assets = built.modules["range"] / "src/main/assets"
    steps = ["environment 0", "create tiny-range.tflite [CPU] environment", "inputs 0", "outputs 0", "run 0"]
    lines = built.harness([f"lifecycle\tcom.acme.range.Classifier\t{assets}\t{fail}" for fail in ["", *steps]])
    # the fake answers 0 1 2 0 1 2 0: of equal scores the lower index wins
    best = [(2, "\\u0022", 2.0), (5, "$a", 2.0), (1, "${System.exit(1)}", 1.0)]
    listed = ", ".join(f"LabelledScore(index={index}, label={label}, score={score})" for index, label, score in best)
    log = ", ".join([*steps, "run 0", "close output", "close input", "close model", "close environment"])
    assert lines[0] == f"[{listed}] | [{log}] | open 0 | IllegalStateException: this Classifier was closed"
    assert lines[1:] == [f"LiteRtException: {fail} | open 0" for fail in steps]


def test_no_accelerator_is_claimed_that_does_not_run_everything(built: Built) -> None:
    (line,) = built.harness([f"accelerators\tcom.acme.range.Classifier\t{built.modules['range']}/src/main/assets"])
    no = "IllegalArgumentException"
    with_gpu, without = f"{no}, CPU, GPU, {no}, GPU", f"{no}, CPU, LiteRtException, {no}, Some ops are not accelerated., CPU"
    assert line == f"[{with_gpu}, {without}] | open 0"


def test_bitmaps_of_every_configuration_are_read_as_their_pixels(built: Built) -> None:
    (line,) = built.harness([f"bitmaps\tcom.acme.range.Classifier\t{built.modules['range']}/src/main/assets"])
    assert line.split()[1::2] == ["same"] * 7 and "HARDWARE" in line


def test_labels_of_another_network_are_refused(built: Built, tmp_path: Path) -> None:
    (tmp_path / "tiny-range.labels.txt").write_text("another\nmodule's\nlabels\n", encoding="utf-8")
    (line,) = built.harness([f"lifecycle\tcom.acme.range.Classifier\t{tmp_path}\t"])
    assert line == "IllegalStateException: tiny-range.labels.txt has 3 lines for 7 classes | open 0"


WRONG = [
    ("Classifier.kt", "inputs.single().writeFloat(tensor)", "inputs.single().writeFloat(tensor.toList())", "argument type mismatch"),
    ("Classifier.kt", "model.run(inputs, outputs)", "model.run(inputs, outputs, wait = true)", "no parameter with name 'wait'"),
    ("Classifier.kt", "Options(accelerator), environment", "Options(accelerator, 4), environment", "argument type mismatch"),
    ("Classifier.kt", "outputs.single().readFloat()", "outputs.single().readFloat(tensor)", "too many arguments"),
    ("Classifier.kt", "import com.google.ai.edge.litert.Environment", "import com.google.ai.edge.litert.Interpreter", "unresolved reference"),
]


def test_a_wrong_call_does_not_compile(built: Built, tmp_path: Path) -> None:
    module = built.modules["range"] / "src/main/kotlin/com/acme/range"
    sources = []
    for number, (name, right, wrong, _) in enumerate(WRONG):
        text = (module / name).read_text(encoding="utf-8")
        assert text.count(right) == 1, right
        sources.append(tmp_path / f"wrong{number}.kt")
        sources[-1].write_text(text.replace(right, wrong).replace("package com.acme.range", f"package com.acme.wrong{number}"), encoding="utf-8")
        other = [(module / other).read_text(encoding="utf-8") for other in ("Preprocessing.kt", "Resampling.kt", "LabelledScore.kt")]
        for part, words in enumerate(other):
            sources.append(tmp_path / f"other{number}{part}.kt")
            sources[-1].write_text(words.replace("com.acme.range", f"com.acme.wrong{number}"), encoding="utf-8")
    done = built.kotlin.compile(sources, tmp_path / "classes", classpath=[built.stubs])
    assert done.returncode != 0
    for number, (_, _, _, words) in enumerate(WRONG):
        assert re.search(rf"wrong{number}\.kt:\d+:\d+: error: .*{words}", done.stderr, re.IGNORECASE), (number, done.stderr)


def test_a_wrong_preprocessing_fails_the_generated_test(built: Built) -> None:
    (line,) = built.harness(["tests\tcom.acme.spoiled.GoldenTest"], built.modules["spoiled"] / "src/sharedTest/resources")
    assert line.startswith("AssertionError: exact: number ")
