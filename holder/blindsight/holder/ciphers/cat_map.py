"""``cat-map``: pixels move over the whole image by five cat maps, and colours roll: a control that is not learnable.

With ``A(r, c) = (r + c, r + 2c) mod t`` a cat map of a ``t x t`` square moves channel k of pixel (r, c), after
rolling the channels of that pixel, to ``A`` applied ``turns[k]`` times. First the whole image is mapped; then its
even and odd rows and columns are sorted into four quadrants, and each quadrant is mapped.

Source: the baseline of Tanaka 2018, arXiv:1804.00490, section IV, as his program ``imageshuffle.CatMapComb`` runs it
with its default flags, where ``p = q = 1``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import log2
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from blindsight.holder.ciphers.gather import gather_bytes
from blindsight.holder.ciphers.parameters import Indices, check_channels, integers_of, inverses
from blindsight.holder.ciphers.quality import Quality
from blindsight.protocol.errors import DataError
from blindsight.protocol.keystream import Stream
from blindsight.protocol.scheme import Descriptor, Images

SQUARES = 5
LEAST_TURNS, TURN_CHOICES = 2, 8
WHOLE = 4
QUADRANTS = ((0, 0), (0, 1), (1, 0), (1, 1))


@dataclass(frozen=True, eq=False)
class CatMapParameters:
    """Five cat maps: of the top left, top right, bottom left and bottom right quadrant, and of the whole image.

    Args:
        rolls: five arrays ``(t, t)`` of integers below the number of channels: by how much a pixel's channels roll; t
            is half the image's side for the quadrants, the side for the whole.
        turns: five arrays ``(channels,)`` of integers from 2 to 9: how often the map is applied to each channel.

    Raises:
        DataError: the image is not square with an even side, or the channels are neither 1 nor 3.
        ValueError: the arrays have a wrong type, shape or range.
    """

    rolls: tuple[Indices, ...] = field(repr=False)
    turns: tuple[Indices, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.rolls) != SQUARES or len(self.turns) != SQUARES:
            raise ValueError(f"there must be {SQUARES} rolls and turns, got {len(self.rolls)} and {len(self.turns)}")
        side, channels = len(np.asarray(self.rolls[WHOLE])), len(np.asarray(self.turns[WHOLE]))
        check_channels(channels)
        if side % 2 or not side:
            raise DataError(f"images must be square with an even side, got {side}x{side}")
        sides = [side // 2] * WHOLE + [side]
        object.__setattr__(self, "rolls", tuple(map(_rolls, sides, [channels] * SQUARES, self.rolls)))
        object.__setattr__(self, "turns", tuple(_turns(channels, given) for given in self.turns))

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(h, w, c)`` of every image."""
        side = len(self.rolls[WHOLE])
        return side, side, self.turns[WHOLE].size

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> Self:
        """Draw the rolls of square j from the stream ``roll/j`` and its turns from ``turns/j``."""
        side, _, channels = descriptor.shape
        rolls, turns = [], []
        for place, edge in enumerate([side // 2] * WHOLE + [side]):
            bounds = np.full(edge * edge if channels > 1 else 0, channels)
            drawn = Stream(scheme_key, f"roll/{place}").belows(bounds)
            rolls.append(drawn.reshape(edge, edge) if channels > 1 else np.zeros((edge, edge), np.int64))
            more = Stream(scheme_key, f"turns/{place}").belows(np.full(channels, TURN_CHOICES))
            turns.append(LEAST_TURNS + more)
        return cls(tuple(rolls), tuple(turns))

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Move every channel of every pixel."""
        gather_bytes(images, self._source, None, out)

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Undo ``encrypt``."""
        gather_bytes(images, self._inverse, None, out)

    def quality(self) -> Quality:
        """On the bytes of an image."""
        channels = self.turns[WHOLE].size
        keyspace = sum(roll.size * log2(channels) for roll in self.rolls) + SQUARES * channels * log2(TURN_CHOICES)
        return Quality.of_bytes(self._source, np.zeros(self._source.size, np.bool_), channels, keyspace)

    @cached_property
    def _source(self) -> Indices:
        side, channels = len(self.rolls[WHOLE]), self.turns[WHOLE].size
        whole = _cat(np.arange(side * side * channels).reshape(side, side, channels), *self._square(WHOLE))
        mapped = np.empty_like(whole)
        half = side // 2
        for place, (down, right) in enumerate(QUADRANTS):
            quadrant = mapped[down * half : down * half + half, right * half : right * half + half]
            quadrant[:] = _cat(whole[down::2, right::2], *self._square(place))
        return mapped.reshape(-1)

    @cached_property
    def _inverse(self) -> Indices:
        return inverses(self._source)

    def _square(self, place: int) -> tuple[Indices, Indices]:
        return self.rolls[place], self.turns[place]


def _rolls(side: int, channels: int, given: ArrayLike) -> Indices:
    return integers_of("the rolls", (side, side), channels, given)


def _turns(channels: int, given: ArrayLike) -> Indices:
    turns = integers_of("the turns", (channels,), LEAST_TURNS + TURN_CHOICES, given)
    if turns.min() < LEAST_TURNS:
        raise ValueError(f"the turns must be at least {LEAST_TURNS}, got {turns.min()}")
    return turns


def _cat(square: Indices, roll: Indices, turns: Indices) -> Indices:
    """Apply one cat map to a ``(t, t, c)`` array."""
    channels = np.arange(square.shape[2])
    rolled = np.take_along_axis(square, (channels - roll[:, :, np.newaxis]) % len(channels), axis=2)
    moved = np.empty_like(rolled)
    rows: Indices
    rows, columns = np.mgrid[: len(roll), : len(roll)]
    for channel in channels:
        r, c = _arnold(rows, columns, int(turns[channel]))
        moved[r, c, channel] = rolled[:, :, channel]
    return moved


def _arnold(rows: Indices, columns: Indices, times: int) -> tuple[Indices, Indices]:
    """Where the cat map brings each place."""
    side = len(rows)
    for _ in range(times):
        rows, columns = (rows + columns) % side, (rows + 2 * columns) % side
    return rows, columns
