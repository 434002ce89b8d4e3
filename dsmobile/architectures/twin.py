"""The twin: the same network with standard convolutions in place of depthwise separable ones, by the rules of `pairs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dsmobile.architectures.bisection import FARTHEST, nearest_alpha
from dsmobile.architectures.builder import build
from dsmobile.architectures.composition import compose, normalization
from dsmobile.architectures.convolutions import outputs_of
from dsmobile.architectures.cost import cost
from dsmobile.architectures.graph import Call, Graph, free_name, layer_names, read_graph, rebuild
from dsmobile.architectures.layer_kinds import is_kerass
from dsmobile.architectures.pairs import Pair, find_pairs
from dsmobile.architectures.passages import PADDING, scaling
from dsmobile.architectures.spec import ArchitectureSpec
from dsmobile.architectures.width import widened, widths
from dsmobile.errors import ModelError, SpecError

__all__ = [
    "BY_RULE", "BY_WIDTH", "FARTHEST", "KINDS", "Match", "Twin", "compose", "match_by_either", "match_by_rule", "match_by_width", "matching_alpha",
    "nearest_alpha", "normalization", "standard_cost", "standard_twin", "widened_twin",
]  # fmt: skip
_MOST_PARAMETERS = 1_000_000_000
KINDS = ("standard", "same-macs", "same-parameters")
_FIGURES = ("same-macs", "same-parameters")
_NEAR = 0.02


@dataclass(frozen=True)
class Twin:
    """A twin and how it was made.

    Args:
        model: The Keras model.
        pairs: What was replaced, in the separable network, place by place.
        composed: Layers whose weights were composed from the pair's: the same function.
        fresh: Layers that have no weights from the source yet.
    """

    model: Any
    pairs: tuple[Pair, ...]
    composed: tuple[str, ...]
    fresh: tuple[str, ...]

    @property
    def same_function(self) -> bool:
        """Whether the twin computes what its source computes."""
        return not self.fresh


def standard_twin(model: Any) -> Twin:
    """Replaces every depthwise convolution by a standard one, with composed weights where the pair is linear.

    Where layers are shared between places, so are the standard convolutions: one for each combination of depthwise, pointwise and rule, and,
    where weights are composed, of the batch normalizations in between.

    Args:
        model: A functional `keras.Model`.

    Raises:
        ModelError: It has no depthwise convolution, or one inside another layer, where it cannot be reached.
    """
    graph = read_graph(model)
    pairs = _pairs_to_replace(graph)
    if sum(pair.standard_parameters for pair in pairs) > _MOST_PARAMETERS:
        raise ModelError(f"the twin of {model.name} would have over {_MOST_PARAMETERS:,} parameters", "take a narrower network, or no twin")
    plan = {call.outputs[0].key: (pair, standard) for pair in pairs for call, standard in _changes(pair)}
    names = layer_names(model, graph, [call for call in graph.calls if call.outputs[0].key not in plan])
    taken = {*names.values(), *(str(tensor.name) for tensor in model.inputs)}
    ends = {id(call.layer) for value in graph.outputs if (call := graph.producer(value)) and value.key in plan}  # outputs keep their names
    made: dict[tuple[Any, ...], tuple[Pair, Any]] = {}

    def replace(call: Call, inputs: list[Any]) -> tuple[Any, ...] | None:
        if call.outputs[0].key not in plan:
            return None
        pair, standard = plan[call.outputs[0].key]
        if not standard:
            return (inputs[0],)
        if _combination(pair) not in made:
            last = _last(pair)
            if last.outputs[0] in graph.outputs and id(last.layer) in ends:
                ends.remove(id(last.layer))
                name = names[id(last.layer)]
            else:
                name = free_name(f"{last.layer.name}_standard", taken)
            taken.add(name)
            made[_combination(pair)] = (pair, _standard_layer(pair, name))
        return (made[_combination(pair)][1](inputs[0]),)

    twin = rebuild(model, replace, f"{model.name}_twin", names)
    for pair, layer in made.values():
        if pair.linear:
            kernel, bias = compose(pair)
            layer.set_weights([kernel, bias] if layer.use_bias else [kernel])
    composed = tuple(layer.name for pair, layer in made.values() if pair.linear)
    return Twin(twin, tuple(pairs), composed, tuple(layer.name for pair, layer in made.values() if not pair.linear))


def standard_cost(model: Any) -> tuple[int, int]:
    """MACs and parameters of a model's standard twin, without making it.

    Raises:
        ModelError: As `standard_twin`.
    """
    graph = read_graph(model)
    pairs = _pairs_to_replace(graph)
    changed = {call.outputs[0].key for pair in pairs for call, _ in _changes(pair)}
    kept = {id(call.layer): call.layer for call in graph.calls if call.outputs[0].key not in changed}
    parameters = sum(layer.count_params() for layer in kept.values() if hasattr(layer, "count_params"))
    for pair in {_combination(pair): pair for pair in pairs}.values():
        parameters += pair.standard_parameters + (outputs_of(_last(pair)) if _has_bias(pair) else 0)
    return cost(model).macs + sum(pair.standard_macs - pair.separable_macs for pair in pairs), parameters


def _pairs_to_replace(graph: Graph) -> list[Pair]:
    import keras

    depthwise = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
    for call in graph.calls:
        if isinstance(call.layer, depthwise) and not is_kerass(call.layer):
            raise ModelError(
                f"the {call.kind} {call.layer.name!r}, a subclass of a Keras layer, is not replaced: its call may compute anything",
                "write it with the Keras layer itself",
            )
        inner = call.layer._flatten_layers(include_self=False) if hasattr(call.layer, "_flatten_layers") else ()
        for layer in inner:
            if isinstance(layer, depthwise):
                raise ModelError(
                    f"the {type(layer).__name__} {layer.name!r} stands inside the {call.kind} {call.layer.name!r}, where it cannot be replaced",
                    "write it with the functional API: call the convolution itself",
                )
    pairs = find_pairs(graph)
    if not pairs:
        raise ModelError(f"{graph.name} has no depthwise or separable convolution", "there is nothing to replace: leave --twin away")
    return pairs


def _changes(pair: Pair) -> list[tuple[Call, bool]]:
    """Which calls vanish (False) and which one becomes the standard convolution (True); paddings stay."""
    vanishing = [call for call in pair.between if call.kind not in PADDING] + ([pair.pointwise] if pair.pointwise else [])
    return [(pair.depthwise, True)] + [(call, False) for call in vanishing]


def _combination(pair: Pair) -> tuple[Any, ...]:
    """What two places must have in common to share their standard convolution."""
    between = tuple(id(call.layer) for call in pair.between if call.kind == "BatchNormalization" or scaling(call)) if pair.linear else ()
    return (pair.rule, pair.linear, id(pair.depthwise.layer), id(pair.pointwise.layer) if pair.pointwise else None, between)


def _last(pair: Pair) -> Call:
    """The call whose width, bias and activation the standard convolution takes."""
    return pair.pointwise if pair.rule == "merged" and pair.pointwise else pair.depthwise


def _has_bias(pair: Pair) -> bool:
    return bool(_last(pair).layer.use_bias or (pair.linear and pair.adds_a_constant))


def _standard_layer(pair: Pair, name: str) -> Any:
    from keras import layers

    depthwise, last = pair.depthwise.layer, _last(pair).layer
    mixing = pair.pointwise.layer if pair.pointwise else last

    def given(role: str) -> Any:
        """A kernel's regularizer or constraint: the pointwise's, since it has most of the weights; by whichever name it goes."""
        return next((getattr(mixing, f"{kind}_{role}") for kind in ("pointwise", "depthwise", "kernel") if hasattr(mixing, f"{kind}_{role}")), None)

    return (layers.Conv1D, layers.Conv2D, layers.Conv3D)[len(depthwise.kernel_size) - 1](
        outputs_of(_last(pair)),
        depthwise.kernel_size,
        strides=depthwise.strides,
        padding=depthwise.padding,
        data_format=depthwise.data_format,
        dilation_rate=depthwise.dilation_rate,
        activation=last.activation,
        use_bias=_has_bias(pair),
        kernel_regularizer=given("regularizer"),
        kernel_constraint=given("constraint"),
        bias_regularizer=last.bias_regularizer,
        bias_constraint=last.bias_constraint,
        activity_regularizer=last.activity_regularizer,
        dtype=last.dtype_policy,
        trainable=last.trainable,
        name=name,
    )


@dataclass(frozen=True)
class Match:
    """The width at which a twin costs what its source costs.

    Args:
        alpha: Width multiplier.
        widened_by: Who says what it multiplies.
        reached: The twin's MACs or parameters over those wanted; rounding leaves a little.
    """

    alpha: float
    widened_by: str
    reached: float


BY_RULE, BY_WIDTH = "the architecture's rule", "every inner width multiplied"


def match_by_rule(spec: ArchitectureSpec, kind: str, *, alpha: float | None, **size: Any) -> Match:
    """The width multiplier of an architecture at which its standard twin costs what the separable network costs.

    Args:
        spec: The architecture.
        kind: `same-macs` or `same-parameters`.
        alpha: The separable network's width multiplier.
        **size: What else `build` is given: `resolution`, `channels`, `classes`, `top`.

    Raises:
        SpecError: The architecture has no rule for alpha, or no width comes near.
    """
    if spec.alpha is None:
        raise SpecError(f"{spec.name} has no rule for alpha, so its twin's width cannot be matched by it", "take --twin standard")
    figure = _FIGURES.index(kind)
    separable = cost(build(spec, alpha=alpha, **size))
    wanted = (separable.macs, separable.parameters)[figure]
    found, count = nearest_alpha(lambda width: standard_cost(build(spec, alpha=width, **size))[figure], wanted, kind, 1e-3)
    return Match(found, BY_RULE, count / wanted)


def match_by_width(model: Any, kind: str) -> Match:
    """The multiplier of every inner width at which a model's standard twin costs what the model costs.

    Args:
        model: A functional `keras.Model`.
        kind: `same-macs` or `same-parameters`.

    Raises:
        ModelError: There is nothing to replace, or a layer whose width cannot be changed.
        SpecError: No width comes near.
    """
    figure = _FIGURES.index(kind)
    separable = cost(model)
    wanted = (separable.macs, separable.parameters)[figure]
    followed = widths(standard_twin(model).model)
    found, count = nearest_alpha(lambda width: followed.cost(width)[figure], wanted, kind, 1e-6)
    return Match(found, BY_WIDTH, count / wanted)


def match_by_either(spec: ArchitectureSpec, model: Any, kind: str, *, alpha: float | None, **size: Any) -> Match:
    """By the architecture's rule; by every inner width where the rule, whose steps may be coarse, stays over 2% away and that comes nearer.

    Args:
        spec: The architecture.
        model: The separable network as built from it.
        kind: `same-macs` or `same-parameters`.
        alpha: The separable network's width multiplier.
        **size: What else `build` was given.

    Raises:
        SpecError: Neither comes near.
    """
    by_rule: Match | SpecError
    try:
        by_rule = match_by_rule(spec, kind, alpha=alpha, **size)
        if abs(by_rule.reached - 1) <= _NEAR:
            return by_rule
    except SpecError as refusal:
        by_rule = refusal
    try:
        by_width = match_by_width(model, kind)
    except (ModelError, SpecError):
        if isinstance(by_rule, SpecError):
            raise by_rule from None
        return by_rule
    return by_width if isinstance(by_rule, SpecError) or abs(by_width.reached - 1) < abs(by_rule.reached - 1) else by_rule


def widened_twin(model: Any, alpha: float) -> Twin:
    """The standard twin with every inner width multiplied; none of its weights are the source's."""
    standard = standard_twin(model)
    wide = widened(standard.model, alpha)
    fresh = tuple(layer.name for layer in wide.layers if layer.weights)
    return Twin(wide, standard.pairs, (), fresh)


def matching_alpha(spec: ArchitectureSpec, kind: str, *, alpha: float | None, **size: Any) -> float:
    """The width multiplier that `match_by_rule` finds."""
    return match_by_rule(spec, kind, alpha=alpha, **size).alpha
