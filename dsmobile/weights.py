"""Weights put into an architecture: a file's or those of `keras.applications`, by order and shape; all of the body, or nothing.

What may stay as it was initialised is the head, for another number of classes, and the first convolution, for another number of input channels;
both are said. Layers are matched by the shapes of their arrays: the third layer of some shapes takes the numbers of the file's third layer of those
shapes. In a file of the same network that is the same as going through both in order, and it holds where two branches were built in another order, or
where the file knows its layers by class alone.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from dsmobile.errors import ModelError
from dsmobile.imagenet import imagenet_arrays
from dsmobile.stored_weights import NamedArray, leaf_layers, read_arrays, shortened, weights_of

__all__ = ["Loaded", "NamedArray", "fit", "imagenet_arrays", "read_arrays"]

_LONGEST_LIST = 10
_MOST_HEAD_LAYERS = 8  # with weights, of which a file's own head may consist
_BATCH_NORMALIZATION = frozenset({"gamma", "beta", "moving_mean", "moving_variance"})

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Loaded:
    """What came of loading.

    Args:
        origin: The file, or whose weights they are.
        loaded: How many of the model's arrays were set.
        new: The model's arrays that stay as initialised, as `LAYER: ROLE (shape)`.
        unused: The file's arrays that nobody took, as `NAME (shape)`.
        classes: Of a new head.
        channels: Of the input, where the first convolution is new.
    """

    origin: str
    loaded: int
    new: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    classes: int | None = None
    channels: int | None = None

    def notes(self) -> tuple[str, ...]:
        """Sentences for people about what was not simply loaded; none where everything was."""
        notes = []
        if self.classes is not None:
            notes.append(f"The head is new ({_counted(self.classes, 'class')}): train it before you trust its accuracy.")
        if self.channels is not None:
            notes.append(
                f"The first convolution is new ({_counted(self.channels, 'input channel')}): train the network before you trust its accuracy."
            )
        if self.new:
            notes.append(f"{self.loaded} arrays come from {self.origin}; new: {_listed(self.new)}.")
        if self.unused:
            notes.append(f"Not used of {self.origin}: {_listed(self.unused)}.")
        return tuple(notes)


@dataclass(frozen=True)
class _Part:
    """The arrays of a layer, or of one of the two convolutions of a separable one.

    Args:
        layer: The layer's name.
        names: The arrays' names.
        shapes: Their shapes.
        values: What to assign to (ours) or from (a file's).
        place: Its number in the order.
        queue: Where that order holds (`NamedArray.queue`); of ours: the layer's class.
    """

    layer: str
    names: tuple[str, ...]
    shapes: tuple[Shape, ...]
    values: tuple[Any, ...]
    place: int
    queue: str

    @property
    def bare_shapes(self) -> tuple[Shape, ...]:
        """The shapes by which layers are told apart: a 1x1 convolution's are those of a dense layer."""
        return tuple(_bare(shape) for shape in self.shapes)

    @property
    def squeezed(self) -> tuple[Shape, ...]:
        """The shapes without sizes of 1: a grouped convolution's may be those of a depthwise one."""
        return tuple(tuple(side for side in shape if side != 1) for shape in self.shapes)

    @property
    def roles(self) -> tuple[str, ...]:
        """What the arrays are, as `kernel`."""
        return tuple(_role(name) for name in self.names)

    def described(self) -> list[str]:
        """Each array as `LAYER: ROLE (shape)` where it is ours, as `NAME (shape)` where it is a file's."""
        return [f"{shortened(name)} {shape}" for name, shape in zip(self.names, self.shapes, strict=True)]


def fit(model: Any, arrays: Sequence[NamedArray], origin: str, *, head: Collection[str], stem: str | None = None) -> Loaded:
    """Sets a model's weights to a file's arrays, by order and shape. Nothing is set unless everything that must fits.

    Args:
        model: A built `keras.Model`; its weights are changed.
        arrays: Of `read_arrays` or `imagenet_arrays`.
        origin: The file, or whose weights they are, for people.
        head: The layers that may stay new, by name: for another number of classes, or a file without a top.
        stem: The first convolution, which may stay new where the file's takes another number of input channels.

    Raises:
        ModelError: The body does not fit; the message lists where, up to ten places.
    """
    ours, stored = _ours(model), _stored(arrays)
    pairs = _pairs(ours, stored, origin)
    taken = {id(theirs) for _mine, theirs in pairs}
    matched = {id(mine) for mine, _theirs in pairs}
    new = [part for part in ours if id(part) not in matched]
    left = [part for part in stored if id(part) not in taken]

    first = next((part for part in new if part.layer == stem), None)
    replaced = _other_channels(first, left, pairs) if first else None
    head_is_new = any(part.layer in head for part in new) or not any(part.layer in head for part in ours)
    rest = [part for part in left if part is not replaced]
    body = [(mine, theirs) for mine, theirs in pairs if mine.layer not in head]
    lacking = [part for part in new if part.layer not in head and not (part is first and replaced)]
    if lacking or not pairs or (rest and not (head_is_new and _is_tail(rest, body))):
        raise _misfit(model, ours, stored, origin, head=head)

    for mine, theirs in pairs:
        for variable, array, shape in zip(mine.values, theirs.values, mine.shapes, strict=True):
            variable.assign(array.reshape(shape))
    new_head = [part for part in new if part.layer in head]
    return Loaded(
        origin,
        sum(len(mine.shapes) for mine, _theirs in pairs),
        tuple(text for part in new for text in part.described()),
        tuple(text for part in left for text in part.described()),
        new_head[-1].shapes[-1][-1] if new_head else None,
        first.shapes[0][-2] if first and replaced else None,
    )


def _ours(model: Any) -> list[_Part]:
    parts: list[_Part] = []
    for layer in leaf_layers(model):
        weights = weights_of(layer)
        names = tuple(f"{layer.name}: {weight.path.rpartition('/')[2]}" for weight in weights)
        shapes = tuple(tuple(weight.shape) for weight in weights)
        parts += _halves(_Part(layer.name, names, shapes, tuple(weights), len(parts), type(layer).__name__.lower()))
    return parts


def _stored(arrays: Sequence[NamedArray]) -> list[_Part]:
    layers: dict[int, list[NamedArray]] = defaultdict(list)
    for array in arrays:
        layers[array.layer].append(array)
    parts: list[_Part] = []
    for number in sorted(layers):
        entries = layers[number]
        names, values = tuple(entry.name for entry in entries), tuple(entry.array for entry in entries)
        parts += _halves(_Part(names[0].rpartition("/")[0], names, tuple(array.shape for array in values), values, len(parts), entries[0].queue))
    return parts


def _halves(part: _Part) -> list[_Part]:
    """A separable convolution as the depthwise and the pointwise one it stands for; no part for a layer without weights."""
    if not part.shapes:
        return []
    if part.roles[:2] != ("depthwise_kernel", "pointwise_kernel") and _class_of(part.queue) != "separableconv2d":
        return [part]
    return [
        _Part(part.layer, part.names[:1], part.shapes[:1], part.values[:1], part.place, part.queue),
        _Part(part.layer, part.names[1:], part.shapes[1:], part.values[1:], part.place + 1, part.queue),
    ]


def _pairs(ours: list[_Part], stored: list[_Part], origin: str) -> list[tuple[_Part, _Part]]:
    """Ours and the file's that have the same shapes, the k-th with the k-th; then, of what is left, those that differ in sizes of 1 only."""
    pairs: list[tuple[_Part, _Part]] = []
    for shapes in (lambda part: part.bare_shapes, lambda part: part.squeezed):
        done = {id(part) for pair in pairs for part in pair}
        pairs += _by_rank([part for part in ours if id(part) not in done], [part for part in stored if id(part) not in done], shapes, origin)
    return [(mine, theirs) for mine, theirs in pairs if not _another_role(mine, theirs)]


def _by_rank(ours: list[_Part], stored: list[_Part], shapes: Callable[[_Part], tuple[Shape, ...]], origin: str) -> list[tuple[_Part, _Part]]:
    groups: dict[tuple[Shape, ...], tuple[list[_Part], list[_Part]]] = defaultdict(lambda: ([], []))
    for part in ours:
        groups[shapes(part)][0].append(part)
    for part in stored:
        groups[shapes(part)][1].append(part)
    pairs: list[tuple[_Part, _Part]] = []
    for mine, theirs in groups.values():
        queues = {part.queue for part in theirs}
        if len(queues) < 2 or not mine:
            pairs += zip(mine, theirs, strict=False)
            continue
        if len({_class_of(queue) for queue in queues}) < len(queues) or Counter(p.queue for p in mine) != Counter(_class_of(p.queue) for p in theirs):
            raise ModelError(
                f"{origin}: nothing says in which order {len(theirs)} layers of the shapes {shapes(theirs[0])} follow each other",
                "save the whole model as .keras, which keeps the order",
            )
        for queue in queues:
            pairs += zip([part for part in mine if part.queue == _class_of(queue)], [part for part in theirs if part.queue == queue], strict=True)
    return pairs


def _another_role(mine: _Part, theirs: _Part) -> bool:
    """Whether the shapes agree by accident: a batch normalization without scale, and one without centre."""
    known = set(mine.roles) <= _BATCH_NORMALIZATION and set(theirs.roles) <= _BATCH_NORMALIZATION
    return known and set(mine.roles) != set(theirs.roles)


def _other_channels(stem: _Part, left: list[_Part], pairs: list[tuple[_Part, _Part]]) -> _Part | None:
    """The file's first convolution, where it differs from `stem` in its input channels alone."""
    for part in left:
        before = all(part.place < theirs.place for _mine, theirs in pairs if theirs.queue == part.queue)
        same_rest = part.shapes[1:] == stem.shapes[1:] and part.shapes[0][:-2] + part.shapes[0][-1:] == stem.shapes[0][:-2] + stem.shapes[0][-1:]
        if before and same_rest and len(part.shapes[0]) == len(stem.shapes[0]) == 4:
            return part
    return None


def _is_tail(rest: list[_Part], body: list[tuple[_Part, _Part]]) -> bool:
    """Whether what is left of the file is a head: behind the body, short, and nothing in it looks at neighbours."""
    behind = all(part.place > theirs.place for part in rest for _mine, theirs in body if theirs.queue == part.queue)
    return behind and len(rest) <= _MOST_HEAD_LAYERS and all(len(shape) <= 2 for part in rest for shape in part.bare_shapes)


def _misfit(model: Any, ours: list[_Part], stored: list[_Part], origin: str, *, head: Collection[str]) -> ModelError:
    """What does not fit, layer beside layer."""
    body, top = [part for part in ours if part.layer not in head], [part for part in ours if part.layer in head]
    ordered = _in_our_order(ours, stored)
    if top and _ranks(ordered[-len(top) :]) == _ranks(top):
        ordered = ordered[: -len(top)]
    aligned = _aligned(body, ordered)
    places = [place for mine, theirs in aligned for place in _difference(mine, theirs)]
    if not places:
        return ModelError(f"{origin} cannot be loaded into {model.name}: its layers are in another order", "check that it is this architecture")
    found, wanted = (sum(len(part.shapes) for part in parts) for parts in (stored, ours))
    counts = f" and it holds {found} arrays instead of {wanted}" if found != wanted else ""
    more = f"; and {len(places) - _LONGEST_LIST} more" if len(places) > _LONGEST_LIST else ""
    same_layers = all(mine and theirs and len(mine.shapes) == len(theirs.shapes) for mine, theirs in aligned)
    return ModelError(
        f"{origin} cannot be loaded into {model.name}: {len(places)} of {len(aligned)} layers differ{counts}; "
        f"ours <- the file's: {'; '.join(places[:_LONGEST_LIST])}{more}",
        "check --alpha: the layers are the same, in another width" if same_layers else "check that it is this architecture, and --alpha",
    )


def _difference(mine: _Part | None, theirs: _Part | None) -> list[str]:
    """Where two layers that stand at one place differ: the first array, or the whole layer where it has others; empty where they do not."""
    if mine is None or theirs is None or len(mine.shapes) != len(theirs.shapes) or _another_role(mine, theirs):
        return [f"{', '.join(mine.described()) if mine else 'nothing'} <- {', '.join(theirs.described()) if theirs else 'nothing'}"]
    if mine.squeezed == theirs.squeezed:
        return []
    arrays = zip(mine.described(), theirs.described(), mine.bare_shapes, theirs.bare_shapes, strict=True)
    return [f"{text} <- {other}" for text, other, a, b in arrays if a != b][:1]


def _in_our_order(ours: list[_Part], stored: list[_Part]) -> list[_Part]:
    """A file's layers known by class alone, each class going where ours of that class stand; what is over comes last."""
    if not any(part.queue for part in stored):
        return stored
    waiting: dict[str, list[_Part]] = defaultdict(list)
    for part in stored:
        waiting[_class_of(part.queue)].append(part)
    ordered = [waiting[part.queue].pop(0) for part in ours if waiting[part.queue]]
    return ordered + [part for parts in waiting.values() for part in parts]


def _aligned(ours: list[_Part], stored: list[_Part]) -> list[tuple[_Part | None, _Part | None]]:
    """Ours beside the file's: one by one where the layers are the same but for their widths, else as equal layers allow."""
    exact = [part.bare_shapes for part in ours], [part.bare_shapes for part in stored]
    ranks = _ranks(ours), _ranks(stored)
    matcher: SequenceMatcher[Any] = SequenceMatcher(None, *exact, autojunk=False)
    if ranks[0] == ranks[1] or matcher.ratio() < 0.5:
        matcher = SequenceMatcher(None, *ranks, autojunk=False)
    return [pair for _tag, a, b, c, d in matcher.get_opcodes() for pair in zip_longest(ours[a:b], stored[c:d])]


def _ranks(parts: list[_Part]) -> list[Shape]:
    """How many dimensions each array of each layer has."""
    return [tuple(len(shape) for shape in part.bare_shapes) for part in parts]


def _class_of(queue: str) -> str:
    """`layers/depthwise_conv2d` as `depthwiseconv2d`: a class's name in lower case."""
    return queue.rpartition("/")[2].replace("_", "")


def _bare(shape: Shape) -> Shape:
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return shape


def _role(name: str) -> str:
    return re.split(r"[/ ]", re.sub(r":\d+$", "", name))[-1]


def _listed(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _LONGEST_LIST} more" if len(texts) > _LONGEST_LIST else ""
    return ", ".join(texts[:_LONGEST_LIST]) + more


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('s') else 's'}"
