"""The generated module without a Kotlin compiler: its files, what it refuses, and what cannot escape into its source."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsmobile.errors import DataError, DsmobileError, ModelError, OutputError, SpecError, UsageError
from dsmobile.exporters.artifact import TensorInfo, manifest_path, read_manifest, write_manifest
from dsmobile.preprocessing import Preprocessing
from dsmobile.shipping import render
from dsmobile.shipping.android import ship_android

HOSTILE = [
    '"; fun boom() {}',
    "${System.exit(1)}",
    "\\u0022\\",
    "🐈‍⬛",
    "\u200fעברית\u202e",
    "*/ /* {{package}}",
    "</script>[red]\x1b[31m\x07",
]
NHWC = TensorInfo("input", (1, 32, 32, 3), "float32", layout="nhwc")
ASSETS = "src/main/assets/tiny-model-float32"
KOTLIN = "src/main/kotlin/com/acme/vision"


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def text(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


def constant(source: str, name: str) -> str:
    (found,) = re.findall(rf"va[lr] {name}(?:: \w+)? = (.*?)(?: //.*)?$", source, re.MULTILINE)
    return str(found)


def test_the_module_holds_what_gradle_looks_for(artifact: Any, labels: Path, tmp_path: Path) -> None:
    path = artifact()
    shipped = ship_android(path, labels, "com.acme.vision", tmp_path / "module")
    files = tree(shipped.module)
    assert {str(shipped.module / name) for name in files} == {*map(str, shipped.files), str(shipped.module / "dsmobile-module.json")}
    wanted = [
        "build.gradle.kts",
        "settings.gradle.kts",
        "gradle/libs.versions.toml",
        ".gitattributes",
        ".gitignore",
        ".github/workflows/android.yml",
        "consumer-rules.pro",
        "README.md",
    ]
    wanted += ["src/main/AndroidManifest.xml", f"{ASSETS}.labels.txt", f"{ASSETS}.dsmobile.json"]
    wanted += [f"{KOTLIN}/{name}.kt" for name in ("Classifier", "Preprocessing", "Resampling", "LabelledScore")]
    wanted += [f"src/{name}.kt" for name in ("test/kotlin/com/acme/vision/GoldenTest", "androidTest/kotlin/com/acme/vision/ClassifierTest")]
    assert {*wanted, "src/sharedTest/kotlin/com/acme/vision/Goldens.kt", "src/sharedTest/resources/goldens/index.json"} <= set(files)
    assert files["src/main/assets/tiny-model-float32.tflite"] == path.read_bytes()
    assert shipped.model_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    record = json.loads(files["dsmobile-module.json"])
    assert record["schema"] == "dsmobile.module/1" and record["model_sha256"] == shipped.model_sha256
    assert record["files"] == {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != "dsmobile-module.json"}
    document = shipped.to_json()
    assert {"module", "files", "kept", "package", "model_sha256"} <= set(document) and Path(document["module"]).is_absolute()
    assert all(Path(name).is_absolute() and Path(name).is_file() for name in document["files"]) and document["kept"] == []
    assert all(record[key] in files for key in ("model", "labels", "card", "goldens")) and record["catalog"] == "visionLibs"
    gradle = text(shipped.module, "build.gradle.kts")
    for line in ('namespace = "com.acme.vision"', 'noCompress += "tflite"', "useLegacyPackaging = false", "api(visionLibs.litert)"):
        assert line in gradle


def test_every_version_stands_in_the_catalog_and_every_accessor_leads_to_one(artifact: Any, labels: Path, tmp_path: Path) -> None:
    module = ship_android(artifact(), labels, "com.acme.my_vision", tmp_path / "module").module
    catalog = tomllib.loads(text(module, "gradle/libs.versions.toml"))
    versions, libraries = catalog["versions"], catalog["libraries"]
    assert versions["minSdk"] == "24" and versions["litert"].split(".")[0] == "2" and int(versions["agp"].split(".")[0]) >= 9
    assert all(set(entry) == {"module", "version"} and entry["version"]["ref"] in versions for entry in libraries.values())
    gradle, settings = text(module, "build.gradle.kts"), text(module, "settings.gradle.kts")
    accessors = set(re.findall(r"myvisionLibs\.([\w.]+)", gradle + text(module, "README.md")))
    known = {alias.replace("-", ".") for alias in libraries} | {f"versions.{name}.get" for name in versions}
    assert (
        {"litert", "litert.gpu", "versions.minSdk.get", "androidx.test.runner"}
        <= {accessor.removesuffix(".toInt") for accessor in accessors}
        <= known
    )
    assert 'defaultLibrariesExtensionName = "myvisionLibs"' in settings and 'create("myvisionLibs")' in text(module, "README.md")
    assert not re.search(r'"\d+\.\d+', gradle + settings) and not re.search(r"Sdk = \d", gradle)
    (line,) = [line for line in text(module, "gradle/libs.versions.toml").splitlines() if line.startswith("agp = ")]
    assert line.split('"')[1] == versions["agp"]  # as settings.gradle.kts reads it


def test_the_workflow_is_yaml_with_github_s_own_places_and_pinned_actions(artifact: Any, labels: Path, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    words = text(ship_android(artifact(), labels, "com.acme.vision", tmp_path / "module").module, ".github/workflows/android.yml")
    document = yaml.safe_load(words)
    steps = [step for job in document["jobs"].values() for step in job["steps"]]
    assert all(re.fullmatch(r"[\w/-]+@v\d+(\.\d+){0,2}", step["uses"]) for step in steps if "uses" in step)
    assert {"api-level": 24, "target": "default"} in document["jobs"]["device"]["strategy"]["matrix"]["include"]
    runs = "\n".join(step.get("run", "") for step in steps)
    assert "testDebugUnitTest" in runs and "zipalign -c -P 16 -v 4" in runs and "assets/tiny-model-float32.tflite$" in runs
    assert any("connectedDebugAndroidTest" in step.get("with", {}).get("script", "") for step in steps)
    assert re.findall(r"\$\{\{ [\w.-]+ \}\}", words)


def test_only_the_code_that_runs_is_written(artifact: Any, labels: Path, tmp_path: Path) -> None:
    def kotlin(preprocess: str | Preprocessing, name: str) -> dict[str, str]:
        module = ship_android(artifact(preprocess, name=name), labels, "com.acme.vision", tmp_path / name).module
        return {path.name: path.read_text(encoding="utf-8") for path in (module / KOTLIN).iterdir()}

    resized, cropped = kotlin("resize=40,crop=32,scale=-1..1", "resized"), kotlin(Preprocessing(crop=(32, 32)), "cropped")
    grey, plain = kotlin("resize=40,crop=32,colour=grey,scale=0..1", "grey"), kotlin(Preprocessing(), "plain")
    assert "Resampling.kt" in resized and not {"Resampling.kt"} & {*cropped, *plain}
    assert [("19595" in files["Preprocessing.kt"]) for files in (resized, cropped, grey, plain)] == [False, False, True, False]
    assert [("val left" in files["Preprocessing.kt"]) for files in (resized, cropped, grey, plain)] == [False, True, False, False]


def test_all_text_is_utf8_with_newlines_and_every_place_is_filled(artifact: Any, labels: Path, tmp_path: Path) -> None:
    module = ship_android(artifact(), labels, "com.acme.vision", tmp_path / "module").module
    for name, data in tree(module).items():
        if not name.endswith((".tflite", ".rgb", ".f32")):
            words = data.decode("utf-8")
            assert "\r" not in words and words.endswith("\n") and "{{" not in words.replace("${{", ""), name
            assert str(tmp_path) not in words and "secret" not in words, name
    assert "android" not in re.sub("Android", "", text(module, f"{KOTLIN}/Preprocessing.kt"))


def test_the_same_input_gives_the_same_bytes(artifact: Any, labels: Path, tmp_path: Path) -> None:
    path = artifact()
    one = ship_android(path, labels, "com.acme.vision", tmp_path / "one").module
    two = ship_android(path, labels, "com.acme.vision", tmp_path / "two").module
    assert tree(one) == tree(two)


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(resize=40, crop=(32, 32), scale=(2 / 255,), offset=(-1.0,)),
        Preprocessing(resize=40, crop=(24, 32), colour="bgr", scale=(1 / 58.395, 1 / 57.12, 1 / 57.375), offset=(-2.1179, -2.0357, -1.8044)),
        Preprocessing(resize=32, crop=(32, 32), colour="grey", scale=(1 / 255,)),
        Preprocessing(crop=(32, 32), scale=(1e-5, 0.1, 7e20), offset=(-0.0, 1e-40, 0.3)),
        Preprocessing(),
    ],
)
def test_kotlins_constants_are_the_manifests_numbers(artifact: Any, labels: Path, tmp_path: Path, preprocessing: Preprocessing) -> None:
    module = ship_android(artifact(preprocessing), labels, "com.acme.vision", tmp_path / "module").module
    source = text(module, f"{KOTLIN}/Preprocessing.kt")
    height, width = preprocessing.crop or (32, 32)
    assert [int(constant(source, f"INPUT_{side}")) for side in ("HEIGHT", "WIDTH")] == [height, width]
    assert int(constant(source, "CHANNELS")) == preprocessing.channels
    assert ("RESIZE" in source) == (preprocessing.resize is not None)
    assert preprocessing.resize is None or int(constant(source, "RESIZE")) == preprocessing.resize
    assert ("2 - channel" in source) == (preprocessing.colour == "bgr")
    for name, values in (("SCALE", preprocessing.scale), ("OFFSET", preprocessing.offset)):
        literals = constant(source, name).removeprefix("floatArrayOf(").removesuffix(")").split(", ")
        assert all(re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?f", literal) for literal in literals)
        read_back = np.asarray([np.float32(literal.removesuffix("f")) for literal in literals])
        wanted = np.broadcast_to(np.asarray(values, np.float32), (preprocessing.channels,))
        assert read_back.tobytes() == wanted.tobytes(), name


def test_labels_stay_in_their_file(artifact: Any, tmp_path: Path) -> None:
    path = tmp_path / "hostile.txt"
    path.write_text("\n".join(HOSTILE) + "\n\n", encoding="utf-8")
    module = ship_android(artifact(), path, "com.acme.vision", tmp_path / "module").module
    assert text(module, f"{ASSETS}.labels.txt") == "".join(f"{label}\n" for label in HOSTILE)
    plain = tmp_path / "plain.txt"
    plain.write_text("".join(f"{index}\n" for index in range(7)), encoding="utf-8")
    other = tree(ship_android(artifact(), plain, "com.acme.vision", tmp_path / "other").module)
    differing = {name for name, content in tree(module).items() if content != other[name]}
    data = {
        "src/sharedTest/resources/goldens/index.json",
        f"{ASSETS}.dsmobile.json",
        "dsmobile-module.json",
    }  # no code reads a label from these but tests
    assert differing == {f"{ASSETS}.labels.txt", *data}


def test_the_readme_says_which_images_the_module_takes(artifact: Any, labels: Path, tmp_path: Path) -> None:
    words = {
        Preprocessing(resize=40, crop=(32, 32)): "of any size: the module resizes and crops",
        Preprocessing(resize=32): "as wide to high as the input (32 x 32): the module resizes, and refuses others",
        Preprocessing(crop=(24, 32)): "of at least 32 x 24 pixels (width x height): the module keeps its centre and does not resize",
        Preprocessing(): "of exactly 32 x 32 pixels (width x height): the module neither resizes nor crops",
    }
    for number, (preprocess, said) in enumerate(words.items()):
        module = ship_android(artifact(preprocess, name=f"n{number}"), labels, "com.acme.vision", tmp_path / f"m{number}").module
        readme = text(module, "README.md")
        assert [other in readme for other in words.values()] == [other == said for other in words.values()]


@pytest.mark.parametrize("word", ["app", "App", "gradle", "build", "buildSrc"])
def test_the_modules_folder_is_none_that_an_apps_project_has(artifact: Any, labels: Path, tmp_path: Path, word: str) -> None:
    module = ship_android(artifact(), labels, f"com.acme.{word}", tmp_path / "module").module
    assert f'rootProject.name = "{word}_classifier"' in text(module, "settings.gradle.kts")
    readme = text(module, "README.md")
    assert f'include(":{word}_classifier")' in readme and f'files("{word}_classifier/gradle/libs.versions.toml")' in readme
    assert f'":{word}"' not in readme and f"`{word}/`" not in readme


def test_git_converts_no_line_ending_of_a_module(artifact: Any, labels: Path, tmp_path: Path) -> None:
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    module = ship_android(artifact(), labels, "com.acme.vision", tmp_path / "app/vision").module
    before = tree(module)
    for command in (["init", "-q"], ["config", "core.autocrlf", "true"], ["add", "."], ["checkout-index", "-a", "-f", "--prefix=out/"]):
        subprocess.run([git, "-C", str(tmp_path / "app"), *command], check=True, capture_output=True)
    assert tree(tmp_path / "app/out/vision") == before


def test_labels_that_cannot_be_told_apart_are_named(artifact: Any, tmp_path: Path) -> None:
    path = tmp_path / "twice.txt"
    path.write_text("crane\nmaillot\ncrane\nmaillot\na\nb\nc\n", encoding="utf-8")  # as in ImageNet's own list
    (warning,) = ship_android(artifact(), path, "com.acme.vision", tmp_path / "module").warnings
    assert "2 labels stand on more than one line" in warning and "'crane'" in warning


@pytest.mark.parametrize("data", [b"", b"\n\n", b"a\n\nb\nc\nd\ne\nf\n", b"caf\xe9\n" * 7, b"\xff\xfea\x00\n\x00"])
def test_labels_that_are_none_are_refused(artifact: Any, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "labels.txt").write_bytes(data)
    with pytest.raises(DataError) as caught:
        ship_android(artifact(), tmp_path / "labels.txt", "com.acme.vision", tmp_path / "module")
    assert caught.value.exit_code == 3 and caught.value.advice and not (tmp_path / "module").exists()


def test_a_hostile_manifest_and_file_name_stay_words(artifact: Any, labels: Path, tmp_path: Path) -> None:
    source = {
        "source": "`$(rm -rf ~)`\n# Title",
        "weights": "/home/someone/secret/x.h5",
        "kind": '"\n{{package}}',
        "list": [1],
        "none": None,
    }
    path = artifact(name='evil"; $name', source=source)
    module = ship_android(path, labels, "com.acme.vision", tmp_path / "module").module
    assert constant(text(module, f"{KOTLIN}/Classifier.kt"), "MODEL_ASSET") == '"evil_name.tflite"'
    assert (module / "src/main/assets/evil_name.tflite").is_file()
    readme = text(module, "README.md")
    assert "\n# Title" not in readme and "/home/" not in readme and "`$(rm" not in readme
    kotlin = "".join(words.decode() for name, words in tree(module).items() if name.endswith((".kt", ".kts")))
    assert "rm -rf" not in kotlin and 'evil"' not in kotlin


@pytest.mark.parametrize(
    "fields, kind, words",
    [
        ({"format": "onnx"}, ModelError, "--format tflite"),
        ({"preprocessing": None}, ModelError, "--preprocess"),
        ({"inputs": (replace(NHWC, dtype="uint8", scale=1.0, zero_point=0),)}, ModelError, "--io float32"),
        ({"inputs": (replace(NHWC, dtype="int8", scale=1.0, zero_point=0),)}, ModelError, "--io float32"),
        ({"outputs": (TensorInfo("output", (1, 7), "int8", 1.0, 0),)}, ModelError, "--io float32"),
        ({"inputs": (NHWC, NHWC)}, ModelError, "one input"),
        ({"outputs": ()}, ModelError, "one output"),
        ({"inputs": (replace(NHWC, shape=(2, 32, 32, 3)),)}, ModelError, "layout is nhwc"),
        ({"inputs": (replace(NHWC, shape=(1, 3, 32, 32)),)}, ModelError, "layout is nhwc"),
        ({"inputs": (replace(NHWC, shape=(1, 31, 32, 3)),)}, ModelError, "--preprocess"),
        ({"outputs": (TensorInfo("output", (1, 4, 4, 7), "float32"),)}, ModelError, "classifier"),
        ({"outputs": (TensorInfo("output", (1, 8), "float32"),)}, ModelError, "export it again"),
        ({"preprocessing": Preprocessing(resize=40, crop=(32, 32), layout="nchw")}, ModelError, "layout is nhwc"),
        ({"preprocessing": Preprocessing(resize=40, crop=(32, 32), scale=(1e300,))}, ModelError, "--preprocess"),
        ({"preprocessing": Preprocessing(resize=40, crop=(32, 32), colour="grey")}, ModelError, "colour"),
        ({"size_bytes": 1 << 40}, ModelError, "int8"),
    ],
)
def test_what_cannot_be_shipped_is_refused_with_a_way_out(
    artifact: Any, labels: Path, tmp_path: Path, fields: dict[str, Any], kind: type[DsmobileError], words: str
) -> None:
    path = artifact()
    manifest = read_manifest(path)
    assert manifest is not None
    write_manifest(path, replace(manifest, **fields))
    with pytest.raises(kind) as caught:
        ship_android(path, labels, "com.acme.vision", tmp_path / "module")
    assert caught.value.exit_code == 3 and words in caught.value.advice
    assert not (tmp_path / "module").exists()


def adopt(path: Path, data: bytes, **fields: Any) -> None:
    """Puts other bytes into an artifact, and lets its manifest say that they are ours."""
    manifest = read_manifest(path)
    assert manifest is not None
    path.write_bytes(data)
    write_manifest(path, replace(manifest, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), **fields))


def converted(network: Any, *shapes: tuple[int | None, ...], custom: bool = False) -> bytes:
    import tensorflow as tf

    function = tf.function(network, input_signature=[tf.TensorSpec(shape, tf.float32) for shape in shapes])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.allow_custom_ops = custom
    data: bytes = converter.convert()
    return data


def test_what_the_file_itself_says_counts_and_not_its_manifest(artifact: Any, labels: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    weights = tf.ones((3, 7))
    networks = {
        "shape .* is not fixed": converted(lambda x: tf.reduce_mean(x, [1, 2]) @ weights, (None, 32, 32, 3)),
        "has the input .*, but its manifest says": converted(lambda x, y: tf.reduce_mean(x + y, [1, 2]) @ weights, (1, 32, 32, 3), (1, 32, 32, 3)),
        "has the output": converted(lambda x: tf.reduce_mean(x, [1, 2]) @ tf.ones((3, 5)), (1, 32, 32, 3)),
        "needs operators that LiteRT does not have: .*Acosh": converted(
            lambda x: tf.reduce_mean(tf.acosh(x), [1, 2]) @ weights, (1, 32, 32, 3), custom=True
        ),
    }
    for words, data in networks.items():
        path = artifact()
        adopt(path, data)
        with pytest.raises(ModelError, match=words) as caught:
            ship_android(path, labels, "com.acme.vision", tmp_path / "module")
        assert "dsmobile export" in caught.value.advice
    adopt(path, artifact().read_bytes()[:-200])
    with pytest.raises(ModelError, match="is cut short or damaged"):
        ship_android(path, labels, "com.acme.vision", tmp_path / "module")
    assert not (tmp_path / "module").exists()


def test_an_artifact_that_carries_metadata_is_shipped_byte_for_byte(artifact: Any, labels: Path, tmp_path: Path) -> None:
    """What TFLite's metadata puts behind the network: a ZIP archive with the labels."""
    path = artifact()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("labels.txt", labels.read_text(encoding="utf-8"))
    adopt(path, path.read_bytes() + archive.getvalue())
    shipped = ship_android(path, labels, "com.acme.vision", tmp_path / "module")
    data = (shipped.module / f"{ASSETS}.tflite").read_bytes()
    assert data == path.read_bytes() and hashlib.sha256(data).hexdigest() == shipped.model_sha256
    assert json.loads(text(shipped.module, f"{ASSETS}.dsmobile.json"))["sha256"] == shipped.model_sha256


def test_a_strangers_file_is_refused(artifact: Any, labels: Path, tmp_path: Path) -> None:
    path = artifact()
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="its manifest belongs to other bytes") as caught:
        ship_android(path, labels, "com.acme.vision", tmp_path / "module")
    assert "dsmobile export" in caught.value.advice
    manifest_path(path).unlink()
    with pytest.raises(ModelError, match=r"there is no tiny-model-float32\.tflite\.manifest\.json beside it"):
        ship_android(path, labels, "com.acme.vision", tmp_path / "module")
    with pytest.raises(ModelError, match="is not a file"):
        ship_android(tmp_path, labels, "com.acme.vision", tmp_path / "module")
    assert not (tmp_path / "module").exists()


@pytest.mark.parametrize("count", [1, 6, 8])
def test_labels_must_be_one_per_class(artifact: Any, tmp_path: Path, count: int) -> None:
    path = tmp_path / "few.txt"
    path.write_text("".join(f"{index}\n" for index in range(count)), encoding="utf-8")
    with pytest.raises(DataError, match=f"has {count} lines, but the model has 7 classes"):
        ship_android(artifact(), path, "com.acme.vision", tmp_path / "module")
    assert not (tmp_path / "module").exists()


def test_edits_survive_another_model_and_another_package(artifact: Any, labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "module"
    ship_android(artifact(), labels, "com.acme.vision", out)
    edited = out / KOTLIN / "Classifier.kt"
    edited.write_text(edited.read_text(encoding="utf-8") + "// mine\n", encoding="utf-8")
    shipped = ship_android(artifact("resize=32,scale=0..1", name="other"), labels, "com.acme.eyes", out)
    assert shipped.kept == (edited,) and edited.read_text(encoding="utf-8").endswith("// mine\n")
    assert any("kept" in warning for warning in shipped.warnings)
    assert (out / "src/main/assets/tiny-model-float32.tflite") in shipped.removed and not (out / KOTLIN / "Preprocessing.kt").exists()
    assert (out / "src/main/kotlin/com/acme/eyes/Classifier.kt").is_file() and (out / "src/main/assets/other.tflite").is_file()


def test_an_apps_own_folder_is_refused(artifact: Any, labels: Path, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/build.gradle.kts").write_text("theirs", encoding="utf-8")
    with pytest.raises(OutputError):
        ship_android(artifact(), labels, "com.acme.vision", tmp_path / "app")
    assert text(tmp_path, "app/build.gradle.kts") == "theirs"


def test_people_are_told_what_may_be_wrong(artifact: Any, labels: Path, tmp_path: Path) -> None:
    other = tuple(f"other {index}" for index in range(7))
    shipped = ship_android(artifact(labels=other, source={"weights": "random"}), labels, "com.acme.vision", tmp_path / "module")
    assert len(shipped.warnings) == 2 and "order" in shipped.warnings[0] and "random" in shipped.warnings[1]
    assert "learned nothing" in text(shipped.module, "README.md")
    probabilities = ship_android(artifact(ends_in_softmax=True), labels, "com.acme.vision", tmp_path / "softmax")
    assert probabilities.warnings == () and "a probability" in text(probabilities.module, f"{KOTLIN}/LabelledScore.kt")
    assert "no probability" in text(shipped.module, f"{KOTLIN}/LabelledScore.kt")


def test_people_can_edit_the_template(tmp_path: Path) -> None:
    (tmp_path / "src/PACKAGE").mkdir(parents=True)
    (tmp_path / "src/PACKAGE/Mine.kt").write_text('package {{package}}\nval x = "$y ${z} {{ package }}"\n', encoding="utf-8")
    (tmp_path / ".Mine.kt.swp").write_bytes(b"\xff")
    (tmp_path / "Mine.kt~").write_bytes(b"\xff")
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github/a.yml").write_text("run: ${{ env.X }}\n", encoding="utf-8")
    (tmp_path / "None.kt").write_text("{{#crop}}\nval crop\n{{/crop}}\n", encoding="utf-8")
    sections = "a\n  {{#resize}}\nb\n{{#crop}}\nc\n{{/crop}}\n{{^crop}}\nd\n{{/crop}}\n  {{/resize}}\n{{^resize}}\ne\n{{/resize}}\nf\n"
    (tmp_path / "Some.kt").write_text(sections, encoding="utf-8")
    values, flags = {"package": "com.acme.vision"}, {"resize": True, "crop": False}
    assert render.render_folder(tmp_path, values, flags) == {
        ".github/a.yml": b"run: ${{ env.X }}\n",
        "Some.kt": b"a\nb\nd\nf\n",
        "src/com/acme/vision/Mine.kt": b'package com.acme.vision\nval x = "$y ${z} com.acme.vision"\n',
    }
    (tmp_path / "Wrong.kt").write_text("\n{{pakage}}\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"Wrong\.kt, line 2: \{\{pakage\}\} is not known") as caught:
        render.render_folder(tmp_path, values, flags)
    assert "Did you mean package?" in caught.value.advice
    (tmp_path / "Wrong.kt").write_text("{{#crop}}\nx {{/crop}}\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"\{\{#crop\}\} stands alone"):
        render.render_folder(tmp_path, values, flags)
    (tmp_path / "Wrong.kt").write_text("\n{{#crops}}\n{{/crops}}\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"Wrong\.kt, line 2: \{\{#crops\}\} is not known"):
        render.render_folder(tmp_path, values, flags)
    (tmp_path / "Wrong.kt").write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match="cannot be read"):
        render.render_folder(tmp_path, values, flags)


def test_the_default_folder_has_the_artifacts_name(artifact: Any, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = artifact()
    monkeypatch.chdir(tmp_path)
    assert ship_android(path, labels, "com.acme.vision").module == tmp_path / "dsmobile-out/android/tiny-model-float32"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from dsmobile.cli.ship import app; app()", "android", *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_speaks_json_and_exit_codes(artifact: Any, labels: Path, tmp_path: Path) -> None:
    path, out = artifact(), tmp_path / "module"
    given = [str(path), "--labels", str(labels), "--out", str(out)]
    done = command(*given, "--package", "com.acme.vision", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["module"] == str(out) and document["package"] == "com.acme.vision" and document["kept"] == []
    assert command(*given).returncode == 2
    wrong = command(*given, "--package", "com.acme.class", "--json")
    assert wrong.returncode == 2 and json.loads(wrong.stdout)["error"]["kind"] == UsageError.__name__
    manifest_path(path).unlink()
    strange = command(*given, "--package", "com.acme.vision", "--json")
    assert strange.returncode == 3 and json.loads(strange.stdout)["error"]["kind"] == ModelError.__name__


def test_shipping_needs_no_tensorflow_and_its_command_nothing_heavy() -> None:
    for module, heavy in (
        ("dsmobile.cli.ship", ["numpy", "rich.console"]),
        ("dsmobile.shipping.android", ["tensorflow", "keras", "ai_edge_litert"]),
    ):
        program = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.strip() == "[]", module


def test_the_licence_that_was_given_is_told_and_stays_words(artifact: Any, labels: Path, tmp_path: Path) -> None:
    given = "GPL-2.0/MIT `[x](y)`\n# No heading"
    path = artifact(metadata={"labels": 7, "author": "", "license": given})
    readme = (ship_android(path, labels, "com.acme.vision", tmp_path / "module").module / "README.md").read_text()
    assert "gave its licence as `GPL-2.0/MIT _[x](y)__# No heading`" in readme
    assert "dsmobile does not know under which licence" not in readme
