"""MACs and parameters of files: published networks, counts by hand, and what must be named instead of counted."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from made_models import onnx_file, tflite_file

from dsmobile.inspection.onnx_file import read_onnx
from dsmobile.inspection.tflite_file import read_tflite


def node(kind: str, inputs: str, outputs: str, **attributes):
    from onnx import helper

    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


@pytest.mark.parametrize(
    ("name", "macs", "parameters"),
    [
        (
            "vgg19",
            19.6e9,
            143_667_240,
        ),  # Simonyan & Zisserman, arXiv:1409.1556, table 2: 144 million; Torchvision counts these parameters and 19.63 G
        ("resnet50", 4.09e9, None),  # Torchvision's table for ResNet-50: 4.09 G
        ("squeezenet", 0.349e9, 1_235_496),  # SqueezeNet 1.1, Torchvision's table: 1,235,496 parameters, 0.35 G
    ],
)
def test_published_networks(name: str, macs: float, parameters: int | None) -> None:
    """The network files of ONNX's own test suite: real graphs whose weights are one value repeated."""
    spec = find_spec("onnx")
    path = Path(spec.submodule_search_locations[0]) / f"backend/test/data/light/light_{name}.onnx"
    if not path.is_file():
        pytest.skip("this ONNX package brings no test networks")
    facts = read_onnx(path)
    assert facts.macs.count == pytest.approx(macs, rel=0.005)
    assert facts.macs.unknown == ()
    assert parameters in (None, facts.parameters)


@pytest.mark.parametrize(
    ("kind", "weights", "inputs", "outputs", "attributes", "macs"),
    [
        # 3x3 on 8x8, 4 to 6 channels, padded: every output is a sum over 9 x 4 inputs
        ("Conv", (6, 4, 3, 3), (1, 4, 8, 8), (1, 6, 8, 8), {"pads": [1, 1, 1, 1]}, 6 * 64 * 9 * 4),
        ("Conv", (6, 2, 3, 3), (1, 4, 8, 8), (1, 6, 8, 8), {"pads": [1, 1, 1, 1], "group": 2}, 6 * 64 * 9 * 2),
        ("Conv", (4, 1, 3, 3), (1, 4, 8, 8), (1, 4, 8, 8), {"pads": [1, 1, 1, 1], "group": 4}, 4 * 64 * 9),
        ("Conv", (6, 4, 3), (1, 4, 9), (1, 6, 7), {}, 6 * 7 * 3 * 4),
        # transposed: every input is multiplied with 3 x 3 x 6 weights
        ("ConvTranspose", (4, 6, 3, 3), (1, 4, 8, 8), (1, 6, 17, 17), {"strides": [2, 2]}, 4 * 64 * 9 * 6),
        ("Gemm", (10, 4), (1, 10), (1, 4), {}, 40),
        ("Gemm", (4, 10), (1, 10), (1, 4), {"transB": 1}, 40),
        ("MatMul", (10, 4), (1, 5, 10), (1, 5, 4), {}, 5 * 40),
    ],
)
def test_one_layer_by_hand(tmp_path: Path, kind: str, weights, inputs, outputs, attributes, macs: int) -> None:
    path = onnx_file(tmp_path / "m.onnx", [node(kind, "x w", "y", **attributes)], {"x": inputs}, {"y": None}, {"w": weights})
    facts = read_onnx(path)
    assert facts.macs.count == macs
    assert facts.parameters == np.prod(weights)
    open_batch = onnx_file(tmp_path / "b.onnx", [node(kind, "x w", "y", **attributes)], {"x": ("N", *inputs[1:])}, {"y": None}, {"w": weights})
    assert read_onnx(open_batch).macs.count == macs
    assert read_onnx(open_batch).inputs[0].shape == (None, *inputs[1:])
    assert outputs  # what the count by hand was made from


def test_weights_behind_a_dequantization_count(tmp_path: Path) -> None:
    nodes = [node("DequantizeLinear", "w s z", "wf", axis=0), node("Transpose", "wf", "wt"), node("MatMul", "x wt", "y")]
    constants = {"w": np.zeros((4, 10), np.int8), "s": np.ones(4, np.float32), "z": np.zeros(4, np.int8)}
    facts = read_onnx(onnx_file(tmp_path / "m.onnx", nodes, {"x": (1, 10)}, {"y": (1, 4)}, constants))
    assert facts.macs.count == 40
    assert facts.quantization == "int8 weights only, computed in float32, per channel"
    assert {dtype: entry.parameters for dtype, entry in facts.weight_precision.items()} == {"int8": 40}


def test_products_of_two_activations_are_left_out_and_named(tmp_path: Path) -> None:
    facts = read_onnx(onnx_file(tmp_path / "m.onnx", [node("MatMul", "x z", "y")], {"x": (1, 10), "z": (10, 4)}, {"y": (1, 4)}))
    assert facts.macs.count == 0
    assert [(entry.operator, entry.count) for entry in facts.macs.left_out] == [("MatMul", 1)]


@pytest.mark.parametrize("height", ["H", None])
def test_sizes_that_are_not_fixed_are_unknown_not_zero(tmp_path: Path, height: str | None) -> None:
    shape = (1, 3, height, height)
    facts = read_onnx(onnx_file(tmp_path / "m.onnx", [node("Conv", "x w", "y")], {"x": shape}, {"y": None}, {"w": (6, 3, 3, 3)}))
    assert facts.macs.count == 0
    assert [entry.operator for entry in facts.macs.unknown] == ["Conv"]
    assert facts.parameters == 6 * 27


def test_operators_that_nobody_knows_are_unknown(tmp_path: Path) -> None:
    nodes = [node("Conv", "x w", "h"), node("Frobnicate", "h", "y", domain="acme")]
    facts = read_onnx(onnx_file(tmp_path / "m.onnx", nodes, {"x": (1, 3, 8, 8)}, {"y": None}, {"w": (2, 3, 1, 1)}))
    assert facts.macs.count == 64 * 6
    assert facts.custom_operators == ("acme::Frobnicate",)
    assert [entry.operator for entry in facts.macs.unknown] == ["acme::Frobnicate"]


def _branch(name: str, times: int):
    from onnx import TensorProto, helper

    nodes, last = [], "x"
    for number in range(times):
        nodes.append(node("MatMul", f"{last} w", f"{name}{number}"))
        last = f"{name}{number}"
    return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(last, TensorProto.FLOAT, (1, 4))])


@pytest.mark.parametrize(("times", "unknown"), [((1, 1), []), ((1, 3), ["If"])])
def test_branches_cost_at_least_the_cheaper_one(tmp_path: Path, times: tuple[int, int], unknown: list[str]) -> None:
    nodes = [
        node("ReduceSum", "x", "sum", keepdims=0),
        node("Greater", "sum zero", "yes"),
        node("If", "yes", "y", then_branch=_branch("t", times[0]), else_branch=_branch("e", times[1])),
    ]
    path = onnx_file(tmp_path / "m.onnx", nodes, {"x": (1, 4)}, {"y": (1, 4)}, {"w": (4, 4), "zero": np.float32(0).reshape(())})
    facts = read_onnx(path)
    assert (facts.macs.count, [entry.operator for entry in facts.macs.unknown]) == (16, unknown)
    assert facts.subgraphs == 3
    assert facts.operators["MatMul"] == sum(times)


WEIGHTS = np.zeros((6, 3, 3, 4), np.float32)


def test_tflite_convolutions_by_hand(tmp_path: Path) -> None:
    graph = {
        "tensors": {"x": (1, 8, 8, 4), "w": WEIGHTS, "h": (1, 8, 8, 6), "d": np.zeros((1, 3, 3, 6), np.float32), "i": (1, 4, 4, 6),
                    "size": np.array([1, 9, 9, 2], np.int32), "t": np.zeros((2, 3, 3, 6), np.float32), "j": (1, 9, 9, 2),
                    "f": np.zeros((5, 162), np.float32), "y": (1, 5)},
        "inputs": ["x"],
        "outputs": ["y"],
        "operators": [
            ("CONV_2D", ["x", "w"], ["h"]),
            ("DEPTHWISE_CONV_2D", ["h", "d"], ["i"]),
            ("TRANSPOSE_CONV", ["size", "t", "i"], ["j"]),
            ("FULLY_CONNECTED", ["j", "f"], ["y"]),
        ],
    }  # fmt: skip
    facts = read_tflite(tflite_file(tmp_path / "m.tflite", [graph]))
    assert facts.macs.count == 64 * 6 * 9 * 4 + 16 * 6 * 9 + 16 * 6 * 9 * 2 + 162 * 5
    assert facts.parameters == 6 * 9 * 4 + 9 * 6 + 2 * 9 * 6 + 5 * 162
    assert facts.macs.unknown == ()


def _body(width: int, layers: int) -> dict:
    names = ["x", *(f"h{number}" for number in range(layers))]
    return {
        "tensors": {**dict.fromkeys(names, (1, width)), "w": np.zeros((width, width), np.float32)},
        "inputs": ["x"],
        "outputs": [names[-1]],
        "operators": [("FULLY_CONNECTED", [before, "w"], [after]) for before, after in pairwise(names)],
    }


def _calling(kind: str, options: tuple, inputs: list[str]) -> dict:
    tensors = {"c": (1,), "x": (1, 4), "y": (1, 4)}
    return {"tensors": tensors, "inputs": inputs, "outputs": ["y"], "operators": [(kind, inputs, ["y"], options)]}


def test_tflite_control_flow(tmp_path: Path) -> None:
    choice = _calling("IF", ("IfOptions", {"thenSubgraphIndex": 1, "elseSubgraphIndex": 2}), ["c", "x"])
    facts = read_tflite(tflite_file(tmp_path / "if.tflite", [choice, _body(4, 1), _body(4, 3)]))
    assert (facts.macs.count, [entry.operator for entry in facts.macs.unknown]) == (16, ["IF"])
    loop = _calling("WHILE", ("WhileOptions", {"condSubgraphIndex": 1, "bodySubgraphIndex": 2}), ["x"])
    facts = read_tflite(tflite_file(tmp_path / "while.tflite", [loop, _body(4, 0), _body(4, 1)]))
    assert (facts.macs.count, [entry.operator for entry in facts.macs.unknown]) == (0, ["WHILE"])
    assert facts.subgraphs == 3
    nothing = read_tflite(tflite_file(tmp_path / "nothing.tflite", [loop, _body(4, 0), _body(4, 0)]))
    assert nothing.macs.unknown == ()


def test_a_subgraph_that_runs_itself_does_not_hang(tmp_path: Path) -> None:
    loop = _calling("WHILE", ("WhileOptions", {"condSubgraphIndex": 0, "bodySubgraphIndex": 7}), ["x"])
    facts = read_tflite(tflite_file(tmp_path / "m.tflite", [loop]))
    assert facts.macs.unknown != ()


def test_many_calls_of_calls_are_counted_once_each(tmp_path: Path) -> None:
    """Thirty graphs that each call the next one twice: 2^30 runs of one layer."""
    graphs = []
    for number in range(1, 31):
        tensors = {"x": (1, 4), "h": (1, 4), "y": (1, 4)}
        call = ("CallOptions", {"subgraph": number})
        graphs.append(
            {"tensors": tensors, "inputs": ["x"], "outputs": ["y"], "operators": [("CALL", ["x"], ["h"], call), ("CALL", ["h"], ["y"], call)]}
        )
    facts = read_tflite(tflite_file(tmp_path / "m.tflite", [*graphs, _body(4, 1)]))
    assert facts.macs.count == 16 * 2**30


def test_custom_and_tensorflow_operators_are_told_apart(tmp_path: Path) -> None:
    graph = {
        "tensors": {"x": (1, 4), "h": (1, 4), "y": (1, 4)},
        "inputs": ["x"],
        "outputs": ["y"],
        "operators": [("FlexCholesky", ["x"], ["h"]), ("MyOwn", ["h"], ["y"])],
    }
    facts = read_tflite(tflite_file(tmp_path / "m.tflite", [graph]))
    assert (facts.custom_operators, facts.select_tf_operators) == (("MyOwn",), ("FlexCholesky",))
    assert {entry.operator for entry in facts.macs.unknown} == {"FlexCholesky", "MyOwn"}


def test_weights_that_the_file_does_not_hold_are_missed(tmp_path: Path) -> None:
    """What converting an unfrozen function leaves: variables that are read, and nothing that fills them."""
    graph = {
        "tensors": {"x": (1, 4), "v": (), "w": (5, 4), "y": (1, 5)},
        "inputs": ["x"],
        "outputs": ["y"],
        "operators": [("VAR_HANDLE", [], ["v"]), ("READ_VARIABLE", ["v"], ["w"]), ("FULLY_CONNECTED", ["x", "w"], ["y"])],
    }
    facts = read_tflite(tflite_file(tmp_path / "m.tflite", [graph]))
    assert facts.parameters == 0
    assert facts.macs.count == 20
    assert any("weights are missing" in note for note in facts.notes)
