"""Which layer of a file is which of ours: by the shapes of their arrays, in an order that our graph allows.

The third layer of some shapes takes the numbers of the file's third layer of those shapes. Then the places taken in the file must rise along our
order; two layers may stand the other way round only where our graph shows that neither needs the other's output, as in parallel branches. Where the
file holds the model, its graph must show the same as ours.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from dsmobile.errors import ModelError
from dsmobile.layer_facts import LayerFacts, facts_of, leaf_layers, weights_of
from dsmobile.stored_weights import NamedArray, shortened

Shape = tuple[int, ...]

_BATCH_NORMALIZATION = frozenset({"gamma", "beta", "moving_mean", "moving_variance"})


@dataclass(frozen=True)
class Part:
    """The arrays of a layer, or of one of the two convolutions of a separable one.

    Args:
        layer: The layer's name.
        names: The arrays' names.
        shapes: Their shapes.
        values: What to assign to (ours) or from (a file's).
        place: Its number in the order.
        queue: Where that order holds (`NamedArray.queue`); of ours: the layer's class.
        number: The layer's, as `facts` counts.
        facts: What its model knows of the layer.
        alternative: The shapes of the same numbers as a grouped instead of a depthwise convolution, or the other way round; ours only.
    """

    layer: str
    names: tuple[str, ...]
    shapes: tuple[Shape, ...]
    values: tuple[Any, ...]
    place: int
    queue: str
    number: int
    facts: LayerFacts | None = None
    alternative: tuple[Shape, ...] | None = None

    @property
    def bare_shapes(self) -> tuple[Shape, ...]:
        """The shapes by which layers are told apart: a 1x1 convolution's are those of a dense layer."""
        return tuple(shape[-2:] if len(shape) > 2 and set(shape[:-2]) == {1} else shape for shape in self.shapes)

    @property
    def roles(self) -> tuple[str, ...]:
        """What the arrays are, as `kernel`."""
        return tuple(re.split(r"[/ ]", re.sub(r":\d+$", "", name))[-1] for name in self.names)

    @property
    def normalizes_input(self) -> bool:
        """Whether it is a `Normalization`, which holds the mean and variance of a data set."""
        return set(self.roles) == {"mean", "variance"} or class_of(self.queue) == "normalization"

    def described(self) -> list[str]:
        """Each array as `LAYER: ROLE (shape)` where it is ours, as `NAME (shape)` where it is a file's."""
        return [f"{shortened(name)} {shape}" for name, shape in zip(self.names, self.shapes, strict=True)]

    def fits(self, theirs: Part) -> bool:
        """Whether a file's layer can be this one of ours, by shape."""
        return (self.bare_shapes == theirs.bare_shapes or self.alternative == theirs.shapes) and not another_role(self, theirs)

    def needs(self, other: Part) -> bool | None:
        """Whether it cannot be computed before another part of the same model; None where that is not known."""
        if self.number == other.number:
            return self.place > other.place
        return other.number in self.facts.before if self.facts else None


Pair = tuple[Part, Part]


def parts_of(model: Any) -> list[Part]:
    """Our layers with weights, in the model's order."""
    layers = list(leaf_layers(model))
    parts: list[Part] = []
    for number, (layer, facts) in enumerate(zip(layers, facts_of(model, layers), strict=True)):
        weights = weights_of(layer)
        names = tuple(f"{layer.name}: {weight.path.rpartition('/')[2]}" for weight in weights)
        shapes = tuple(tuple(weight.shape) for weight in weights)
        part = Part(layer.name, names, shapes, tuple(weights), len(parts), type(layer).__name__.lower(), number, facts)
        parts += [replace(half, alternative=_alternative(half, getattr(layer, "groups", 1))) for half in _halves(part)]
    return parts


def parts_in(arrays: Sequence[NamedArray]) -> list[Part]:
    """A file's layers with weights, in the file's order."""
    layers: dict[int, list[NamedArray]] = defaultdict(list)
    for array in arrays:
        layers[array.layer].append(array)
    parts: list[Part] = []
    for number in sorted(layers):
        entries = layers[number]
        names, values = tuple(entry.name for entry in entries), tuple(entry.array for entry in entries)
        shapes, first = tuple(array.shape for array in values), entries[0]
        parts += _halves(Part(names[0].rpartition("/")[0], names, shapes, values, len(parts), first.queue, number, first.facts))
    return parts


def _halves(part: Part) -> list[Part]:
    """A separable convolution as the depthwise and the pointwise one it stands for; no part for a layer without weights."""
    if not part.shapes:
        return []
    if part.roles[:2] != ("depthwise_kernel", "pointwise_kernel") and class_of(part.queue) != "separableconv2d":
        return [part]
    return [
        replace(part, names=part.names[:1], shapes=part.shapes[:1], values=part.values[:1]),
        replace(part, names=part.names[1:], shapes=part.shapes[1:], values=part.values[1:], place=part.place + 1),
    ]


def _alternative(part: Part, groups: int) -> tuple[Shape, ...] | None:
    """(K, K, C, M) of a depthwise convolution as (K, K, 1, C*M) of one in C groups, or the other way round; the numbers lie the same way."""
    kernel, rest = part.shapes[0], part.shapes[1:]
    if len(kernel) != 4:
        return None
    height, width, inputs, outputs = kernel
    if part.queue == "depthwiseconv2d" or (part.queue == "separableconv2d" and part.roles[0] == "depthwise_kernel"):
        return ((height, width, 1, inputs * outputs), *rest)
    if groups > 1 and inputs == 1:
        return ((height, width, groups, outputs // groups), *rest)
    return None


def matched(ours: list[Part], stored: list[Part], origin: str) -> list[Pair]:
    """Ours and the file's that have the same shapes, the k-th with the k-th; then, of what is left, depthwise and grouped convolutions.

    Raises:
        ModelError: The file does not tell the order of layers of the same shapes.
    """
    pairs: list[Pair] = _by_rank(ours, stored, lambda part: part.bare_shapes, lambda part: part.bare_shapes, origin)
    done = {id(part) for pair in pairs for part in pair}
    left = [part for part in ours if id(part) not in done and part.alternative], [part for part in stored if id(part) not in done]
    pairs += _by_rank(*left, lambda part: part.alternative or (), lambda part: part.shapes, origin)
    pairs = [(mine, theirs) for mine, theirs in pairs if not another_role(mine, theirs)]
    if displaced(pairs) is not None and all(part.facts for part in ours + stored):
        others = _by_graph(ours, stored)
        if len(others) == len(pairs) and displaced(others) is None:
            return others
    return pairs


def _by_graph(ours: list[Part], stored: list[Part]) -> list[Pair]:
    """Each of ours with the first of the file's of its shapes that needs those taken so far as ours does: branches in another order."""
    pairs: list[Pair] = []
    left = list(stored)
    for mine in ours:
        for theirs in left:
            if mine.fits(theirs) and not any(_contradict(pair, (mine, theirs)) for pair in pairs):
                pairs.append((mine, theirs))
                left.remove(theirs)
                break
    return pairs


Key = Callable[[Part], tuple[Shape, ...]]


def _by_rank(ours: list[Part], stored: list[Part], mine_by: Key, theirs_by: Key, origin: str) -> list[Pair]:
    groups: dict[tuple[Shape, ...], tuple[list[Part], list[Part]]] = defaultdict(lambda: ([], []))
    for part in ours:
        groups[mine_by(part)][0].append(part)
    for part in stored:
        groups[theirs_by(part)][1].append(part)
    pairs: list[Pair] = []
    for mine, theirs in groups.values():
        queues = {part.queue for part in theirs}
        if len(queues) < 2 or not mine:
            pairs += zip(mine, theirs, strict=False)
            continue
        if len({class_of(queue) for queue in queues}) < len(queues) or Counter(p.queue for p in mine) != Counter(class_of(p.queue) for p in theirs):
            raise ModelError(
                f"{origin}: nothing says in which order {len(theirs)} layers of the shapes {theirs[0].shapes} follow each other",
                "save the whole model as .keras, which keeps the order",
            )
        for queue in queues:
            pairs += zip([part for part in mine if part.queue == class_of(queue)], [part for part in theirs if part.queue == queue], strict=True)
    return pairs


def displaced(pairs: list[Pair]) -> tuple[Pair, Pair] | None:
    """Two pairs that the file has in another order, or in other branches, than our graph; None where it has all as ours needs it."""
    ordered = sorted(pairs, key=lambda pair: pair[0].place)
    return next(((first, second) for first, second in combinations(ordered, 2) if _contradict(first, second)), None)


def _contradict(first: Pair, second: Pair) -> bool:
    """Whether the file has two layers otherwise than we; `first` is the earlier of ours."""
    (mine, theirs), (other, its) = first, second
    needs, ours = (theirs.needs(its), its.needs(theirs)), (mine.needs(other), other.needs(mine))
    if None not in (*needs, *ours):
        return needs != ours
    return theirs.queue == its.queue and theirs.place > its.place and ours[1] is not False


def undecided(pairs: list[Pair]) -> tuple[Part, Part] | None:
    """Two of our layers in parallel branches that a file without the model may have the other way round; None where it tells, by name at least."""
    groups: dict[tuple[Any, ...], list[Part]] = defaultdict(list)
    for mine, theirs in pairs:
        if theirs.facts is None and mine.layer not in re.split(r"[/() ]", theirs.names[0]):
            groups[mine.bare_shapes, theirs.queue].append(mine)
    for parts in groups.values():
        for mine, other in combinations(parts, 2):
            if mine.needs(other) is False and other.needs(mine) is False:
                return mine, other
    return None


def another_role(mine: Part, theirs: Part) -> bool:
    """Whether the shapes agree by accident: a batch normalization without scale, and one without centre."""
    known = set(mine.roles) <= _BATCH_NORMALIZATION and set(theirs.roles) <= _BATCH_NORMALIZATION
    return known and set(mine.roles) != set(theirs.roles)


def class_of(queue: str) -> str:
    """`layers/depthwise_conv2d` as `depthwiseconv2d`: a class's name in lower case."""
    return queue.rpartition("/")[2].replace("_", "")
