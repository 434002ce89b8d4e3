"""When an int8 ONNX file needs exact kernels: a decision of pure values."""

from pathlib import Path

import pytest

from device_bench.machine import cpu_flags, int8_features
from device_bench.runtimes import exact_kernels, holds_int8_operators

ZEN3 = "processor\t: 0\nflags\t\t: fpu sse2 avx avx2 fma\n"
SAPPHIRE = "flags\t\t: fpu avx2 avx512f avx512_vnni amx_int8\n"
ALDER_LAKE = "flags\t\t: fpu avx2 avx_vnni\n"
PI5 = "Features\t: fp asimd evtstrm aes crc32 asimdhp asimddp\n"


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "exact"),
    [
        ("x86_64", ZEN3, "x64quantprecision"),
        ("AMD64", "", "x64quantprecision"),
        ("x86_64", SAPPHIRE, "native"),
        ("x86_64", ALDER_LAKE, "native"),
        ("aarch64", PI5, "native"),
        ("aarch64", "", "native"),
        ("arm64", "", "native"),
    ],
)
def test_x86_without_vnni_and_nothing_else_must_be_told(machine: str, cpuinfo: str, exact: str) -> None:
    features = int8_features(cpu_flags(cpuinfo))
    assert exact_kernels(True, False, machine, features) == exact
    assert exact_kernels(True, True, machine, features) == "native"
    assert exact_kernels(False, False, machine, features) == ""


def test_features_by_the_names_of_both_families() -> None:
    assert int8_features(cpu_flags(SAPPHIRE)) == {"avx2", "avx512", "vnni"}
    assert int8_features(cpu_flags(PI5)) == {"dotprod"}
    assert cpu_flags("no such line") == frozenset()


def test_a_quantized_graph_is_known_by_its_operators(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto

    def save(name: str, operators: list) -> str:
        ends = [helper.make_tensor_value_info(end, types.FLOAT, [1, 4]) for end in ("x", "y")]
        scale = [helper.make_tensor("s", types.FLOAT, [], [0.1]), helper.make_tensor("z", types.INT8, [], [0])]
        onnx.save(helper.make_model(helper.make_graph(operators, "g", ends[:1], ends[1:], scale)), tmp_path / name)
        return str(tmp_path / name)

    quantized = save(
        "q.onnx", [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]), helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"])]
    )
    assert holds_int8_operators(quantized)
    assert not holds_int8_operators(save("f.onnx", [helper.make_node("Relu", ["x"], ["y"])]))
