"""Who is measured and who is compared with whom."""

from dataclasses import replace
from pathlib import Path

import pytest

from dsmobile.benchmark.runtimes import choose
from dsmobile.benchmark.subjects import Subject, gather, in_twos, pair_up
from dsmobile.errors import DeviceError, ModelError, UsageError


def test_manifests_say_who_belongs_to_whom(pair_of_files) -> None:
    separable, twin = pair_of_files
    subjects = gather([twin, separable, twin], [])
    assert [subject.path for subject in subjects] == [twin, separable]
    assert pair_up(subjects, []) == ((1, 0),)
    assert subjects[0].input_range == (0.0, 1.0)
    assert subjects[0].seed == 4
    assert subjects[0].layout == "nhwc"


@pytest.mark.parametrize("change", [{"pair_id": "other"}, {"recipe": "int8"}, {"role": "model"}])
def test_what_differs_is_not_compared(pair_of_files, change) -> None:
    one, other = gather(pair_of_files, [])
    changed = replace(other, manifest=replace(other.manifest, **change))
    assert pair_up([one, changed], []) == ()


def test_a_changed_file_is_a_strangers(pair_of_files) -> None:
    twin = pair_of_files[1]
    twin.write_bytes(twin.read_bytes() + b"\0")
    assert gather([twin], [])[0].manifest is None


def test_pairs_of_strangers(tiny_files) -> None:
    small, large, onnx = tiny_files["small"], tiny_files["large"], tiny_files["onnx"]
    subjects = gather([], [(large, small)])
    assert [subject.path for subject in subjects] == [large, small]
    assert pair_up(subjects, [(large, small)]) == ((0, 1),)
    assert subjects[0].input_range == (-1.0, 1.0)
    with pytest.raises(UsageError, match="different runtimes"):
        pair_up(gather([small, onnx], []), [(small, onnx)])
    with pytest.raises(UsageError, match="twice"):
        pair_up(gather([small], []), [(small, small)])


def test_nothing_to_measure_and_what_no_runtime_opens(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to measure"):
        gather([], [])
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 90)
    with pytest.raises(ModelError, match="HDF5"):
        gather([tmp_path / "m.h5"], [])
    with pytest.raises(UsageError, match="no second file"):
        in_twos(["a", "b", "c"])


def facts(**changes):
    return {
        "runtimes": {"litert": None, "tflite-runtime": None, "onnxruntime": None},
        "numpy_version": "2.0",
        "python_version": "3.11.2",
        "pointer_bits": 64,
        "system": "Linux",
        **changes,
    }


def test_runtimes_are_chosen_by_what_there_is_and_a_fallback_is_said(subject) -> None:
    onnx = Subject(Path("/m.onnx"), "1" * 64, 1, "onnx", None)
    both = {"litert": "2.3.0", "tflite-runtime": "2.14.0", "onnxruntime": "1.31.1"}
    assert choose([subject, onnx], facts(runtimes=both), "python3") == ({"tflite": "litert", "onnx": "onnxruntime"}, ())
    chosen, warnings = choose([subject], facts(runtimes={**both, "litert": None}), "python3")
    assert chosen == {"tflite": "tflite-runtime"}
    assert [warning.kind for warning in warnings] == ["runtime_fallback"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "python3 -m pip install ai-edge-litert onnxruntime"),
        ({"numpy_version": None}, "python3 -m pip install numpy ai-edge-litert onnxruntime"),
        ({"python_version": "3.9.2", "numpy_version": None}, "python3 -m pip install 'numpy<2' onnxruntime tflite-runtime"),
        ({"pointer_bits": 32}, "no onnxruntime for a 32-bit system"),
    ],
)
def test_a_missing_runtime_names_the_line_that_installs_it(subject, changes, line) -> None:
    onnx = Subject(Path("/m.onnx"), "1" * 64, 1, "onnx", None)
    with pytest.raises(DeviceError, match="has no") as caught:
        choose([subject, onnx], facts(**changes), "python3")
    assert all(word in caught.value.advice for word in line.split())


def test_a_32_bit_system_takes_numpy_from_its_distribution(subject) -> None:
    with pytest.raises(DeviceError, match="no numpy and no tflite-runtime") as caught:
        choose([subject], facts(pointer_bits=32, numpy_version=None), "python3")
    assert "sudo apt install python3-numpy && python3 -m pip install tflite-runtime" in caught.value.advice
