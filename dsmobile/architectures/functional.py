"""What a functional Keras model is given and gives: a tensor, a list, names, or a nest of them."""

from __future__ import annotations

from typing import Any

from dsmobile.errors import ModelError


def require_functional(model: Any) -> Any:
    """Returns the model as a functional one.

    Raises:
        ModelError: It is a subclassed model, whose graph cannot be read.
    """
    import keras

    if isinstance(model, keras.Sequential):
        if not model.built or not model.inputs:
            raise ModelError(f"the model {model.name!r} has no input shape", "begin it with keras.Input(shape)")
        return keras.Model(model.inputs, model.outputs, name=model.name)
    if not hasattr(model, "_nodes_by_depth"):
        raise ModelError(
            f"{type(model).__name__} is a subclassed model, whose graph cannot be read",
            "write it with the functional API: keras.Model(inputs, outputs)",
        )
    return model


def given_to(model: Any, node: Any) -> list[Any]:
    """The tensors that a call of a nested model gives to its inputs, in their order.

    As Keras does it: a dict is matched by the inputs' names where the model has its inputs in a list; where it has them in a dict, both are
    read in the alphabetical order of their keys, and what is left over is not taken.

    Args:
        model: The nested model, functional.
        node: Its call.
    """
    import keras

    arguments = node.arguments
    given = arguments.args[0] if arguments.args else arguments.kwargs.get("inputs", node.input_tensors)
    if isinstance(given, dict) and not isinstance(model.input, dict):
        given = [given[tensor.name] for tensor in model.inputs]
    return list(keras.tree.flatten(given))[: len(model.inputs)]


def packed_as(structure: Any, tensors: list[Any]) -> Any:
    """Tensors under the names and in the nest in which a model has its inputs or outputs; a plain list where it has neither."""
    import keras

    inner = structure.values() if isinstance(structure, dict) else structure if isinstance(structure, (list, tuple)) else ()
    nested = isinstance(structure, dict) or any(isinstance(side, (dict, list, tuple)) for side in inner)
    return keras.tree.pack_sequence_as(structure, tensors) if nested else tensors
