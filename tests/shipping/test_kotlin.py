"""The generated Kotlin, compiled by JetBrains' compiler and run on a plain JVM against Python's own numbers."""

from __future__ import annotations

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
# Odd ones, tiny ones, ones as wide as they are high, and factors that no binary fraction hits.
SIZES = [
    (32, 32),
    (33, 57),
    (57, 33),
    (1, 1),
    (3, 101),
    (101, 3),
    (240, 319),
    (64, 48),
    (41, 41),
    (40, 40),
    (333, 500),
    (47, 1),
    (200, 201),
]


def harness(kotlin: Any, classes: Path, resources: list[Path], commands: list[str]) -> list[str]:
    script = classes.parent / "commands.txt"
    script.write_text("\n".join(commands) + "\n", encoding="utf-8")
    done = kotlin.run("harness.HarnessKt", str(script), classpath=[classes, *resources])
    assert done.returncode == 0, done.stderr
    lines: list[str] = done.stdout.splitlines()
    return lines


def test_kotlin_equals_python_bit_for_bit(kotlin: Any, artifact: Any, labels: Path, tmp_path: Path) -> None:
    sources = sorted(STUBS.rglob("*.kt"))
    modules = {}
    for way, preprocessing in WAYS.items():
        modules[way] = ship_android(artifact(preprocessing, name=way), labels, f"com.acme.{way}", tmp_path / "modules" / way).module
        sources += sorted((modules[way] / "src").rglob("*.kt"))
    classes = tmp_path / "classes"
    done = kotlin.compile(sources, classes, "-Werror")
    assert done.returncode == 0, done.stderr

    for way, module in modules.items():  # the module's own unit test, on the module's own resources
        lines = harness(kotlin, classes, [module / "src/test/resources"], [f"tests\tcom.acme.{way}.GoldenTest"])
        assert len(lines) == 1 and lines[0].startswith("passed: ") and len(lines[0].split()) == 6, lines

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
    lines = harness(kotlin, classes, [], commands)
    assert len(lines) == len(expected)
    compared = 0
    for line, command, tensor in zip(lines, commands, expected, strict=True):
        if tensor is None:
            assert line.startswith("IllegalArgumentException: an image of"), (command, line)
        else:
            assert line == f"wrote {tensor.size}", (command, line)
            assert Path(command.split("\t")[-1]).read_bytes() == tensor.astype("<f4").tobytes(), command
            compared += 1
    assert compared > len(SIZES) * 4
    wrong = harness(kotlin, classes, [], [f"tensor\tcom.acme.range.Preprocessing\t{tmp_path}/range-0.rgb\t33\t32\tx"])
    assert wrong == ["IllegalArgumentException: 3072 bytes for an RGB image of 33 x 32"]


def test_the_classifier_closes_what_it_opens_and_claims_what_it_asked_for(kotlin: Any, artifact: Any, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.txt"
    hostile.write_text('"; fun boom() {}\n${System.exit(1)}\n\\u0022\n🐈‍⬛ cat\n\u200fעברית\n$a\n*/ /*\n', encoding="utf-8")
    module = ship_android(artifact(), hostile, "com.acme.vision", tmp_path / "module").module
    classes = tmp_path / "classes"
    done = kotlin.compile([*sorted(STUBS.rglob("*.kt")), *sorted((module / "src").rglob("*.kt"))], classes, "-Werror")
    assert done.returncode == 0, done.stderr
    assets = module / "src/main/assets"
    fails = ["", "create tiny-model-float32.tflite GPU null", "inputs 0", "outputs 0", "run 0"]
    name = "com.acme.vision.Classifier"
    lines = harness(kotlin, classes, [], [*(f"classifier\t{name}\t{assets}\t{fail}\t7" for fail in fails), f"classifier\t{name}\t{assets}\t\t8"])
    # the fake answers 0 1 2 0 1 2 0: of equal scores the lower index wins
    best = [(2, "\\u0022", 2.0), (5, "$a", 2.0), (1, "${System.exit(1)}", 1.0)]
    listed = ", ".join(f"LabelledScore(index={index}, label={label}, score={score})" for index, label, score in best)
    opened = "create tiny-model-float32.tflite GPU null, inputs 0, outputs 0, run 0, run 0"
    assert lines[0] == f"[{listed}] | GPU | [{opened}] | open 0 | The handle has been destroyed."
    for fail, line in zip(fails[1:], lines[1:5], strict=True):
        assert line == f"LiteRtException: {fail} | open 0"
    assert lines[5] == "IllegalStateException: tiny-model-float32.tflite answered 8 numbers for 7 classes | open 0"

    (assets / "labels.txt").write_text("another\nmodule's\nlabels\n", encoding="utf-8")
    (line,) = harness(kotlin, classes, [], [f"classifier\t{name}\t{assets}\t\t7"])
    assert line.startswith("IllegalStateException: labels.txt in the app is not the file this module was generated with") and line.endswith("open 0")


def test_a_wrong_golden_fails_the_generated_test(kotlin: Any, artifact: Any, labels: Path, tmp_path: Path) -> None:
    module = ship_android(artifact(), labels, "com.acme.vision", tmp_path / "module").module
    source = module / "src/main/kotlin/com/acme/vision/Preprocessing.kt"
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace('COLOUR = "rgb"', 'COLOUR = "bgr"'), encoding="utf-8")
    classes = tmp_path / "classes"
    done = kotlin.compile([*sorted(STUBS.rglob("*.kt")), *sorted((module / "src").rglob("*.kt"))], classes)
    assert done.returncode == 0, done.stderr
    (line,) = harness(kotlin, classes, [module / "src/test/resources"], ["tests\tcom.acme.vision.GoldenTest"])
    assert line.startswith("AssertionError: exact: number ")
    tensor = module / "src/test/resources/goldens/exact.tensor.f32"
    tensor.write_bytes(np.zeros(32 * 32 * 3, "<f4").tobytes())
    (line,) = harness(kotlin, classes, [module / "src/test/resources"], ["tests\tcom.acme.vision.GoldenTest"])
    assert line.startswith("AssertionError: exact.tensor.f32 was changed")
