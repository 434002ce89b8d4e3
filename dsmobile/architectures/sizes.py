"""Channel counts that must change together when a network is widened.

Along an axis of a tensor lie channels that one or more layers made, in order and perhaps several times over (after a `Flatten`, once for each
place of the map). Where two tensors are added, their channels must stay equal; where channels are split into groups, they must stay divisible.
Both are written as: this piece consists of those pieces.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dsmobile.errors import ModelError

_MOST_PIECES = 1 << 16


@dataclass(frozen=True)
class Size:
    """How many channels lie along an axis: `times` the sum of some pieces.

    Args:
        pieces: Numbers of pieces in `Sizes`, in order.
        times: How often they lie there.
    """

    pieces: tuple[int, ...]
    times: int = 1


@dataclass
class Sizes:
    """The pieces of one network.

    Args:
        widths: Channels of each piece in the network as it is.
        fixed: The pieces that keep their channels: inputs and outputs of the network.
        held: Pieces that something we cannot rewrite needs as they are, and what that is.
        parts: What a piece consists of, where it was taken apart.
        ties: Sizes, and those that stay as they are where the first of them does.
    """

    widths: list[int] = field(default_factory=list)
    fixed: set[int] = field(default_factory=set)
    held: dict[int, str] = field(default_factory=dict)
    parts: dict[int, Size] = field(default_factory=dict)
    ties: list[tuple[Size, list[Size]]] = field(default_factory=list)

    def new(self, width: int, *, fixed: bool = False) -> Size:
        """A piece of its own."""
        self.widths.append(width)
        if fixed:
            self.fixed.add(len(self.widths) - 1)
        return Size((len(self.widths) - 1,))

    def total(self, size: Size) -> int:
        """Channels in the network as it is."""
        return size.times * sum(self.widths[piece] for piece in size.pieces)

    def at(self, size: Size, alpha: float) -> int:
        """Channels at a width multiplier: every piece rounded to a whole number, at least 1."""
        size = self.resolved(size)
        return size.times * sum(self._scaled(piece, alpha) for piece in size.pieces)

    def fix(self, size: Size) -> None:
        """Lets channels stay as they are."""
        self.fixed.update(self.resolved(size).pieces)

    def tie(self, size: Size, others: list[Size]) -> None:
        """Lets `others` stay as they are wherever `size` does."""
        self.ties.append((size, others))

    def fix_what_is_tied(self) -> None:
        """Follows the ties from the channels that stay, however many there are in a row."""
        for _ in self.ties:
            for size, others in self.ties:
                if all(piece in self.fixed for piece in self.resolved(size).pieces):
                    for other in others:
                        self.fix(other)

    def hold(self, size: Size, reason: str) -> None:
        """Notes that channels cannot change, and why."""
        for piece in self.resolved(size).pieces:
            self.held.setdefault(piece, reason)

    def reason_to_refuse(self) -> str | None:
        """Why the network cannot be widened; None where it can."""
        for piece, reason in self.held.items():
            if any(inner not in self.fixed for inner in self.resolved(Size((piece,))).pieces):
                return reason
        return None

    def resolved(self, size: Size) -> Size:
        """The same in pieces that were not taken apart."""
        while any(piece in self.parts for piece in size.pieces):
            if len(size.pieces) == 1:
                inner = self.parts[size.pieces[0]]
                size = Size(inner.pieces, inner.times * size.times)
            else:
                written = [piece for outer in size.pieces for piece in self._written_out(self.parts.get(outer, Size((outer,))))]
                size = Size(tuple(written), size.times)
        return size

    def join(self, sizes: list[Size]) -> Size:
        """Channels one after the other."""
        if len(sizes) == 1:
            return sizes[0]
        return Size(tuple(piece for size in sizes for piece in self._written_out(self.resolved(size))))

    def unify(self, first: Size, second: Size) -> None:
        """Lets two axes of the same number of channels stay equal."""
        first, second = self.resolved(first), self.resolved(second)
        if first == second:
            return
        for one, other in ((first, second), (second, first)):
            if one.times == 1 and len(one.pieces) == 1 and (other.times > 1 or len(other.pieces) > 1):
                self._take_apart(one.pieces[0], other)
                return
        if first.times == second.times:
            self._align(list(first.pieces), list(second.pieces))
        else:
            self._align(list(self._written_out(first)), list(self._written_out(second)))

    def _align(self, left: list[int], right: list[int]) -> None:
        left.reverse()
        right.reverse()
        while left and right:
            one, other = left.pop(), right.pop()
            if one in self.parts or other in self.parts:
                left += reversed(self._written_out(self.resolved(Size((one,)))))
                right += reversed(self._written_out(self.resolved(Size((other,)))))
            elif one != other:
                if self.widths[one] == self.widths[other]:
                    self._take_apart(one, Size((other,)))
                elif self.widths[one] > self.widths[other]:
                    rest = self.new(self.widths[one] - self.widths[other]).pieces[0]
                    self._take_apart(one, Size((other, rest)))
                    left.append(rest)
                else:
                    rest = self.new(self.widths[other] - self.widths[one]).pieces[0]
                    self._take_apart(other, Size((one, rest)))
                    right.append(rest)

    def _take_apart(self, piece: int, inner: Size) -> None:
        self.parts[piece] = inner
        if piece in self.fixed:
            self.fix(inner)

    def _written_out(self, size: Size) -> tuple[int, ...]:
        if size.times * len(size.pieces) > _MOST_PIECES:
            raise ModelError(f"{size.times * len(size.pieces):,} groups of channels are too many to follow", "take --twin standard")
        return size.pieces * size.times

    def _scaled(self, piece: int, alpha: float) -> int:
        return self.widths[piece] if piece in self.fixed else max(1, int(self.widths[piece] * alpha + 0.5))
