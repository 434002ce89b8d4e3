"""A graph gives every nested model what Keras gives it, and a rebuilt model is the same one, whatever its inputs, outputs and layers are called."""

from typing import Any

import numpy as np
import pytest

from dsmobile.architectures.graph import read_graph, rebuild, require_functional
from dsmobile.errors import ModelError


def copy_of(model: Any) -> Any:
    return rebuild(model, lambda _call, _tensors: None, "copy")


def assert_alike(model: Any) -> Any:
    """A copy in fresh layers computes what the model computes, in the same structure."""
    import keras

    made = copy_of(model)
    random = np.random.default_rng(0)
    given = keras.tree.map_structure(lambda tensor: random.normal(size=(2, *tensor.shape[1:])).astype(np.float32), model.input)
    keras.tree.assert_same_structure(model(given), made(given))
    for one, other in zip(keras.tree.flatten(model(given)), keras.tree.flatten(made(given)), strict=True):
        np.testing.assert_allclose(np.asarray(other), np.asarray(one), atol=1e-5)
    return made


def two_inputs(inputs: Any) -> Any:
    """Depthwise of `a` and a convolution of `b`."""
    import keras
    from keras import layers

    a, b = keras.Input((8, 8, 4), name="a"), keras.Input((8, 8, 4), name="b")
    return keras.Model(inputs(a, b), layers.Add()([layers.DepthwiseConv2D(3, padding="same")(a), layers.Conv2D(4, 1)(b)]))


@pytest.mark.parametrize("inputs", [lambda a, b: [b, a], lambda a, b: [a, b], lambda a, b: {"b": b, "a": a}, lambda a, b: (b, a)])
def test_a_nested_model_called_with_a_dict_goes_by_names(inputs: Any) -> None:
    import keras

    nested = two_inputs(inputs)
    p, q = keras.Input((8, 8, 4), name="p"), keras.Input((8, 8, 4), name="q")
    graph = read_graph(keras.Model([p, q], nested({"a": p, "b": q})))
    assert {call.kind: call.inputs[0].key for call in graph.calls if call.kind != "Add"} == {
        "DepthwiseConv2D": graph.inputs[0].key, "Conv2D": graph.inputs[1].key,
    }  # fmt: skip
    assert_alike(keras.Model([p, q], nested({"a": p, "b": q})))
    assert_alike(keras.Model([p, q], nested(inputs={"b": q, "a": p})))


@pytest.mark.parametrize("left_over", ["extra", "aa"])
@pytest.mark.parametrize("inputs", [lambda a, b: [b, a], lambda a, b: {"a": a, "b": b}])
def test_keys_that_are_left_over_are_taken_as_keras_takes_them(inputs: Any, left_over: str) -> None:
    import keras

    p, q, rest = (keras.Input((8, 8, 4), name=name) for name in ("p", "q", "rest"))
    with pytest.warns(UserWarning, match="structure") if isinstance(inputs(1, 2), dict) else _nothing():
        model = keras.Model([p, q, rest], [two_inputs(inputs)({"a": p, "b": q, left_over: rest}), keras.ops.relu(rest)])
        assert_alike(model)


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


@pytest.mark.parametrize(
    "structure",
    [
        lambda y, z: [{"u": y}, z],
        lambda y, z: {"b": [y, z], "a": z},
        lambda y, z: [y, (z, y)],
        lambda y, z: {"z": y, "a": z},
        lambda y, z: [z, y],
    ],
)
def test_outputs_keep_their_structure(structure: Any) -> None:
    import keras
    from keras import layers

    image = keras.Input((8, 8, 4))
    y = layers.Conv2D(3, 1)(image)
    model = keras.Model(image, structure(y, layers.ReLU()(y)))
    keras.tree.assert_same_structure(
        keras.tree.map_structure(lambda _: 0, model.output), keras.tree.map_structure(lambda _: 0, copy_of(model).output)
    )
    assert_alike(model)


def test_layers_of_one_name_get_numbers_and_ends_keep_theirs() -> None:
    import keras
    from keras import layers

    def part() -> Any:
        inner = keras.Input((8, 8, 4), name="image")
        return keras.Model(inner, layers.Conv2D(4, 1, name="dw")(layers.Conv2D(4, 1, name="given")(inner)))

    given = keras.Input((8, 8, 4), name="given")
    model = keras.Model(given, layers.Conv2D(2, 1, name="dw")(part()(part()(given))))
    made = assert_alike(model)
    assert made.output_names == model.output_names == ["dw"]
    assert [layer.name for layer in made.layers] == ["given", "given_2", "dw_2", "given_3", "dw_3", "dw"]


def test_a_subclassed_model_is_named() -> None:
    import keras

    class Own(keras.Model):
        pass

    for wrong in (Own(), keras.Sequential()):
        with pytest.raises(ModelError):
            require_functional(wrong)
