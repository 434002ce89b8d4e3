"""Weights put into an architecture: a file's or those of `keras.applications`, by order and shape; all of the body, or nothing.

What may stay as it was initialised is the head, for another number of classes, and the first convolution, for another number of input channels;
both are said, and so is where the file's network computes otherwise than ours. Which layer is which is `weights_matching`'s to tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

import numpy as np

from dsmobile.errors import ModelError
from dsmobile.imagenet import imagenet_arrays
from dsmobile.stored_weights import NamedArray, read_arrays
from dsmobile.weights_matching import Pair, Part, Shape, another_role, class_of, displaced, matched, parts_in, parts_of, undecided

__all__ = ["Loaded", "NamedArray", "fit", "imagenet_arrays", "read_arrays"]

_LONGEST_LIST = 10
_MOST_HEAD_LAYERS = 8  # with weights, of which a file's own head may consist
_MOST_CHANNELS = 4  # whose mean and standard deviation a note lists


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
        remarks: Sentences on where the file's network computes otherwise than ours.
    """

    origin: str
    loaded: int
    new: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    classes: int | None = None
    channels: int | None = None
    remarks: tuple[str, ...] = ()

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
        return (*notes, *self.remarks)


def fit(model: Any, arrays: Sequence[NamedArray], origin: str, *, head: Collection[str], stem: str | None = None) -> Loaded:
    """Sets a model's weights to a file's arrays, by order and shape. Nothing is set unless everything that must fits.

    Args:
        model: A built `keras.Model`; its weights are changed.
        arrays: Of `read_arrays` or `imagenet_arrays`.
        origin: The file, or whose weights they are, for people.
        head: The layers that may stay new, by name or by what their names begin with before a `_`: for another number of classes, or a file
            without a top.
        stem: The first convolution, which may stay new where the file's takes another number of input channels.

    Raises:
        ModelError: The body does not fit, the message lists where, up to ten places; or its layers stand in another order.
    """
    ours, stored = parts_of(model), parts_in(arrays)
    normalizations = [part for part in stored if part.normalizes_input]
    stored = [part for part in stored if not part.normalizes_input]
    head = {part.layer for part in ours if any(f"{part.layer}_".startswith(f"{name}_") for name in head)}
    pairs = matched(ours, stored, origin)
    taken = {id(part) for pair in pairs for part in pair}
    new = [part for part in ours if id(part) not in taken]
    left = [part for part in stored if id(part) not in taken]

    first = next((part for part in new if part.layer == stem), None)
    replaced = _other_channels(first, left, pairs) if first else None
    head_is_new = any(part.layer in head for part in new) or not any(part.layer in head for part in ours)
    rest = [part for part in left if part is not replaced]
    body = [(mine, theirs) for mine, theirs in pairs if mine.layer not in head]
    lacking = [part for part in new if part.layer not in head and not (part is first and replaced)]
    if lacking or not pairs or (rest and not (head_is_new and _is_tail(rest, body))):
        raise _misfit(model, ours, stored, origin, head=head)
    two = displaced(pairs)
    if two:
        raise _another_order(model, two, origin)

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
        (*_normalizing(normalizations), *_differences(pairs), *_doubts(pairs)),
    )


def _normalizing(parts: list[Part]) -> list[str]:
    """What a person must know where the file's network normalizes its input by weights, which ours does not have."""
    notes = []
    for part in parts:
        mean, variance = (part.values[:2] if part.roles[0] != "variance" else part.values[1::-1]) if len(part.values) > 1 else (None, None)
        given = "mean=...,std=..."
        if mean is not None and variance is not None and mean.size <= _MOST_CHANNELS:
            given = f"mean={_slashed(mean)},std={_slashed(np.sqrt(variance))}"
        notes.append(
            f"The file normalizes its input itself (mean, variance): give them as --preprocess {given}; "
            "that counts from 0 to 255, so multiply both where the file scales bytes before."
        )
    return notes


def _slashed(values: Any) -> str:
    return "/".join(f"{value:.6g}" for value in values.reshape(-1))


def _differences(pairs: list[Pair]) -> list[str]:
    """Where the file's network, with the same weights, computes something else than ours."""
    known = [(mine.facts, theirs.facts) for mine, theirs in pairs if mine.facts and theirs.facts]
    epsilons = sorted({(b.epsilon, a.epsilon) for a, b in known if a.epsilon is not None and b.epsilon is not None and a.epsilon != b.epsilon})
    activations = sorted({(b.activation, a.activation) for a, b in known if a.activation and b.activation and a.activation != b.activation})
    return [
        f"The file's batch normalizations add {theirs:g} to the variance, ours {mine:g}: outputs differ a little; evaluate before you trust it."
        for theirs, mine in epsilons
    ] + [
        f"The file's network has {theirs} where ours has {mine}: outputs differ; check that it is this architecture." for theirs, mine in activations
    ]


def _doubts(pairs: list[Pair]) -> list[str]:
    """What the file alone cannot prove."""
    two = undecided(pairs)
    if two is None:
        return []
    return [
        f"{two[0].layer} and {two[1].layer} have the same shapes and stand in parallel branches: whether the file has them in our order "
        "only the whole model can prove (save it as .keras)."
    ]


def _other_channels(stem: Part, left: list[Part], pairs: list[tuple[Part, Part]]) -> Part | None:
    """The file's first convolution, where it differs from `stem` in its input channels alone."""
    for part in left:
        before = all(part.place < theirs.place for _mine, theirs in pairs if theirs.queue == part.queue)
        same_rest = part.shapes[1:] == stem.shapes[1:] and part.shapes[0][:-2] + part.shapes[0][-1:] == stem.shapes[0][:-2] + stem.shapes[0][-1:]
        if before and same_rest and len(part.shapes[0]) == len(stem.shapes[0]) == 4:
            return part
    return None


def _is_tail(rest: list[Part], body: list[tuple[Part, Part]]) -> bool:
    """Whether what is left of the file is a head: behind the body, short, and nothing in it looks at neighbours."""
    behind = all(part.place > theirs.place for part in rest for _mine, theirs in body if theirs.queue == part.queue)
    return behind and len(rest) <= _MOST_HEAD_LAYERS and all(len(shape) <= 2 for part in rest for shape in part.bare_shapes)


def _another_order(model: Any, two: tuple[Pair, Pair], origin: str) -> ModelError:
    """Layers of the right shapes that follow each other otherwise than ours do."""
    (mine, theirs), (other, its) = two
    return ModelError(
        f"{origin} cannot be loaded into {model.name}: its layers stand in another order, or in other branches; "
        f"ours <- the file's: {mine.described()[0]} <- {theirs.described()[0]}, then {other.described()[0]} <- {its.described()[0]}",
        "check that it is this architecture, kernel by kernel",
    )


def _misfit(model: Any, ours: list[Part], stored: list[Part], origin: str, *, head: Collection[str]) -> ModelError:
    """What does not fit, layer beside layer."""
    body, top = [part for part in ours if part.layer not in head], [part for part in ours if part.layer in head]
    ordered = _in_our_order(ours, stored)
    if top and _ranks(ordered[-len(top) :]) == _ranks(top):
        ordered = ordered[: -len(top)]
    aligned = _aligned(body, ordered)
    places = [place for mine, theirs in aligned for place in _difference(mine, theirs)]
    if not places:
        return ModelError(f"{origin} cannot be loaded into {model.name}: its layers stand in another order", "check that it is this architecture")
    found, wanted = (sum(len(part.shapes) for part in parts) for parts in (stored, ours))
    counts = f" and it holds {found} arrays instead of {wanted}" if found != wanted else ""
    more = f"; and {len(places) - _LONGEST_LIST} more" if len(places) > _LONGEST_LIST else ""
    same_layers = all(mine and theirs and _without_widths(mine) == _without_widths(theirs) for mine, theirs in aligned)
    return ModelError(
        f"{origin} cannot be loaded into {model.name}: {len(places)} of {len(aligned)} layers differ{counts}; "
        f"ours <- the file's: {'; '.join(places[:_LONGEST_LIST])}{more}",
        "check --alpha: the layers are the same, in another width" if same_layers else "check that it is this architecture, and --alpha",
    )


def _difference(mine: Part | None, theirs: Part | None) -> list[str]:
    """Where two layers that stand at one place differ: the first array, or the whole layer where it has others; empty where they do not."""
    if mine is None or theirs is None or len(mine.shapes) != len(theirs.shapes) or another_role(mine, theirs):
        return [f"{', '.join(mine.described()) if mine else 'nothing'} <- {', '.join(theirs.described()) if theirs else 'nothing'}"]
    if mine.fits(theirs):
        return []
    arrays = zip(mine.described(), theirs.described(), mine.bare_shapes, theirs.bare_shapes, strict=True)
    return [f"{text} <- {other}" for text, other, a, b in arrays if a != b][:1]


def _without_widths(part: Part) -> list[tuple[int, Shape]]:
    """How many dimensions each array has, and the sides of a kernel."""
    return [(len(shape), shape[:-2]) for shape in part.bare_shapes]


def _in_our_order(ours: list[Part], stored: list[Part]) -> list[Part]:
    """A file's layers known by class alone, each class going where ours of that class stand; what is over comes last."""
    if not any(part.queue for part in stored):
        return stored
    waiting: dict[str, list[Part]] = defaultdict(list)
    for part in stored:
        waiting[class_of(part.queue)].append(part)
    ordered = [waiting[part.queue].pop(0) for part in ours if waiting[part.queue]]
    return ordered + [part for parts in waiting.values() for part in parts]


def _aligned(ours: list[Part], stored: list[Part]) -> list[tuple[Part | None, Part | None]]:
    """Ours beside the file's: one by one where the layers are the same but for their widths, else as equal layers allow."""
    exact = [part.bare_shapes for part in ours], [part.bare_shapes for part in stored]
    ranks = _ranks(ours), _ranks(stored)
    matcher: SequenceMatcher[Any] = SequenceMatcher(None, *exact, autojunk=False)
    if ranks[0] == ranks[1] or matcher.ratio() < 0.5:
        matcher = SequenceMatcher(None, *ranks, autojunk=False)
    return [pair for _tag, a, b, c, d in matcher.get_opcodes() for pair in zip_longest(ours[a:b], stored[c:d])]


def _ranks(parts: list[Part]) -> list[Shape]:
    """How many dimensions each array of each layer has."""
    return [tuple(len(shape) for shape in part.bare_shapes) for part in parts]


def _listed(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _LONGEST_LIST} more" if len(texts) > _LONGEST_LIST else ""
    return ", ".join(texts[:_LONGEST_LIST]) + more


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('s') else 's'}"
