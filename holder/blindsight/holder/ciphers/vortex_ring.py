"""``vortex-ring``: the pixels of whole rings around some centres are rotated by whole steps. A bijection.

Ours, after the random vortex transformation of Cao et al. 2024, arXiv:2411.16207, whose rounding loses pixels: here
each ring of pixels at rounded distance k from a centre is a list in order of angle, and is rotated by a number of
steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import log2
from typing import Self

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.gather import bytes_of_pixels, gather_pixels
from blindsight.holder.ciphers.parameters import Indices, check_channels, integers_of, inverses
from blindsight.holder.ciphers.quality import Quality
from blindsight.protocol.keystream import Stream
from blindsight.protocol.scheme import Descriptor, Images

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Rings:
    """One centre and its rings.

    Args:
        row: of the centre, counted from 0.
        column: of the centre, counted from 0.
        steps: ``(r,)`` integers: by how many places the pixels of ring 1 … r move on.
    """

    row: int = field(repr=False)
    column: int = field(repr=False)
    steps: Indices = field(repr=False)


@dataclass(frozen=True, eq=False)
class VortexRingParameters:
    """Vortices that follow one another.

    Args:
        shape: ``(h, w, c)`` of every image.
        vortices: centres, in their order, with the steps of their rings.

    Raises:
        DataError: the channels are neither 1 nor 3.
        ValueError: a ring leaves the image, or steps have a wrong type or range.
    """

    shape: Shape
    vortices: tuple[Rings, ...] = field(repr=False)

    def __post_init__(self) -> None:
        check_channels(self.shape[2])
        checked = tuple(_checked(one, self.shape) for one in self.vortices)
        object.__setattr__(self, "vortices", checked)

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> Self:
        """Draw vortex i, counted from 1, from the stream ``ring/i``: row, column, then the steps of its rings."""
        count = int(descriptor.params["vortices"])
        drawn = [_draw(Stream(scheme_key, f"ring/{i}"), descriptor.shape) for i in range(1, count + 1)]
        return cls(descriptor.shape, tuple(drawn))

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Rotate the rings."""
        gather_pixels(images, self._pixels, out)

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Rotate them back."""
        gather_pixels(images, self._inverse, out)

    def quality(self) -> Quality:
        """On the bytes of an image."""
        height, width, channels = self.shape
        centre = log2((height - 2) * (width - 2))
        keyspace = sum(centre + sum(log2(size) for size in _sizes(one)) for one in self.vortices)
        source = bytes_of_pixels(self._pixels, channels)
        return Quality.of_bytes(source, np.zeros(source.size, np.bool_), channels, keyspace)

    @cached_property
    def _pixels(self) -> Indices:
        height, width, _ = self.shape
        pixels = np.arange(height * width)
        for one in self.vortices:
            for ring, step in zip(_rings(len(one.steps)), one.steps, strict=True):
                places = (one.row + ring[0]) * width + one.column + ring[1]
                pixels[np.roll(places, -step)] = pixels[places].copy()
        return pixels

    @cached_property
    def _inverse(self) -> Indices:
        return inverses(self._pixels)


def _radius(row: int, column: int, shape: Shape) -> int:
    return min(row, column, shape[0] - 1 - row, shape[1] - 1 - column)


def _draw(stream: Stream, shape: Shape) -> Rings:
    row, column = 1 + stream.below(shape[0] - 2), 1 + stream.below(shape[1] - 2)
    sizes = [len(ring[0]) for ring in _rings(_radius(row, column, shape))]
    return Rings(row, column, stream.belows(sizes))


def _checked(one: Rings, shape: Shape) -> Rings:
    sizes = _sizes(one)
    if len(sizes) > _radius(one.row, one.column, shape):
        raise ValueError(
            f"{len(sizes)} rings around row {one.row}, column {one.column} leave a {shape[0]}x{shape[1]} image"
        )
    steps = integers_of("the steps", (len(sizes),), max(sizes, default=1), one.steps)
    return Rings(one.row, one.column, steps)


def _sizes(one: Rings) -> list[int]:
    return [len(ring[0]) for ring in _rings(len(one.steps))]


def _rings(radius: int) -> Iterator[NDArray[np.int64]]:
    """The pixels of ring 1 … radius around (0, 0): ``(2, n)`` rows and columns, in order of angle."""
    rows, columns = np.indices((2 * radius + 1, 2 * radius + 1)).reshape(2, -1) - radius
    distance = np.floor(np.sqrt(rows**2 + columns**2) + 0.5).astype(np.int64)  # never half-way: squares are integers
    order = np.lexsort((np.arctan2(rows, columns), distance))
    starts = np.searchsorted(distance[order], np.arange(1, radius + 2))
    for start, stop in pairwise(starts.tolist()):
        ring = order[start:stop]
        yield np.stack((rows[ring], columns[ring]))
