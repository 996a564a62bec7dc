"""``vortex``: pixels are swirled around some centres by a rounding gather that loses some of them.

A vortex of radius r turns the pixels of ring k (at rounded distance k) by ``(r - k)·swirl(k)``. Each pixel takes what
stands at the nearest place of the turned window, so that some places are taken twice and others are lost.

Source: Cao et al. 2024, arXiv:2411.16207, random vortex transformation; the conventions (rows first, counted from 1,
window centre at ``r + 1/2``, halves rounded away from zero, ``swirl`` of ring k from function value ``(k - 1)/r``)
are those of the program published with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import log2
from typing import Final, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.gather import bytes_of_pixels, gather_pixels
from blindsight.holder.ciphers.parameters import Indices, check_channels
from blindsight.holder.ciphers.quality import Quality
from blindsight.protocol.errors import SchemeError
from blindsight.protocol.keystream import Stream
from blindsight.protocol.scheme import Descriptor, Images

Values = NDArray[np.float64]
Shape = tuple[int, int, int]
WEIGHTS, WEIGHT_STEPS = 6, 65_536
MILLION = 1e6
FAMILY: Final[tuple[Callable[[Values, Values], Values], ...]] = (
    lambda x, w: w[0] * np.sin(w[1] * x + w[2]) + w[3] * np.cos(w[4] * x + w[5]),
    lambda x, w: w[0] * x + w[1] * x**3 + w[2] * np.exp(2 * x) + w[3] * np.cos(w[4] * x + w[5]),
    lambda x, w: w[0] * np.sqrt(x) + w[1] * x**2 + w[2] * np.exp(x) + w[3] * np.sin(w[4] * x + w[5]),
    lambda x, w: w[0] * x**5 + w[1] * np.log(x + 1) + w[2] * np.exp(x) + w[3] * np.cos(w[4] * x + w[5]),
    lambda x, w: w[0] * 2**x + 2 * w[1] * x + w[2] * np.log10(x + 1) + w[3] * np.sin(w[4] * x + w[5]),
)
"""How strongly rings turn, from 0 at the centre to 1 at the rim; vortex i takes number i mod 5."""


@dataclass(frozen=True, slots=True, eq=False)
class Vortex:
    """One vortex.

    Args:
        row: of the centre, counted from 1.
        column: of the centre, counted from 1.
        swirl: ``(r,)`` float64, of ring 1 … r, in radians; its length is the radius.
    """

    row: int = field(repr=False)
    column: int = field(repr=False)
    swirl: Values = field(repr=False)


@dataclass(frozen=True, eq=False)
class VortexParameters:
    """Vortices that follow one another.

    Args:
        shape: ``(h, w, c)`` of every image.
        vortices: in their order; those of radius 0 do nothing.

    Raises:
        DataError: the channels are neither 1 nor 3.
        ValueError: a vortex leaves the image, or its swirl is no list of finite numbers.
    """

    shape: Shape
    vortices: tuple[Vortex, ...] = field(repr=False)

    def __post_init__(self) -> None:
        check_channels(self.shape[2])
        object.__setattr__(self, "vortices", tuple(_checked(one, self.shape) for one in self.vortices))

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> Self:
        """Draw vortex i, counted from 1, from the stream ``vortex/i``: row, column, then six weights."""
        strength, count = int(descriptor.params["strength"]), int(descriptor.params["vortices"])
        streams = (Stream(scheme_key, f"vortex/{i}") for i in range(1, count + 1))
        drawn = [_draw(stream, descriptor.shape, i, strength) for i, stream in enumerate(streams, start=1)]
        return cls(descriptor.shape, tuple(drawn))

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Swirl every image."""
        gather_pixels(images, self.pixel_map, out)

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> NoReturn:
        """Refused.

        Raises:
            SchemeError: E_SCHEME, some pixels are lost.
        """
        raise SchemeError("scheme vortex loses pixels: nobody can decrypt it, with or without a key")

    def quality(self) -> Quality:
        """On the bytes of an image."""
        height, width, channels = self.shape
        moving = sum(len(one.swirl) > 1 for one in self.vortices)  # the only ring of radius 1 turns by nothing
        keyspace = moving * (log2((height - 3) * (width - 3)) + WEIGHTS * log2(WEIGHT_STEPS))
        source = bytes_of_pixels(self.pixel_map, channels)
        return Quality.of_bytes(source, np.zeros(source.size, np.bool_), channels, keyspace)

    @cached_property
    def pixel_map(self) -> Indices:
        """``(h·w,)`` int64: from which pixel of the flattened image each pixel is taken."""
        height, width, _ = self.shape
        pixels = np.arange(height * width).reshape(height, width)
        for one in self.vortices:
            radius = len(one.swirl)
            top, left = one.row - radius - 1, one.column - radius - 1
            window = pixels[top : top + 2 * radius + 1, left : left + 2 * radius + 1]
            window[:] = window[_turned(one.swirl)]
        return pixels.reshape(-1)


def _turned(swirl: Values) -> tuple[Indices, Indices]:
    """From which row and column of the ``(2r + 1, 2r + 1)`` window, counted from 0, each of its pixels is taken."""
    radius = len(swirl)
    rows, columns = np.indices((2 * radius + 1, 2 * radius + 1)) + 1
    middle = radius + 0.5
    x, y = rows - middle, columns - middle
    distance = np.hypot(x, y)
    ring = np.minimum(_rounded(distance), radius)
    angle = np.arctan2(y, x) + (radius - ring) * np.append(swirl, 0.0)[ring - 1]
    inside = distance <= radius
    from_rows = np.where(inside, _rounded(distance * np.cos(angle) + middle), rows)
    from_columns = np.where(inside, _rounded(distance * np.sin(angle) + middle), columns)
    return from_rows - 1, from_columns - 1


def _rounded(values: Values) -> Indices:
    """To the nearest integer, halves away from zero."""
    return (np.sign(values) * np.floor(np.abs(values) + 0.5)).astype(np.int64)


def _radius(row: int, column: int, shape: Shape) -> int:
    return min(row, column, shape[0] - row, shape[1] - column) - 1


def _draw(stream: Stream, shape: Shape, number: int, strength: int) -> Vortex:
    row, column = 2 + stream.below(shape[0] - 3), 2 + stream.below(shape[1] - 3)
    weights = stream.belows(np.full(WEIGHTS, WEIGHT_STEPS)) / 32_768 - 2
    radius = _radius(row, column, shape)
    turns = FAMILY[number % len(FAMILY)](np.arange(radius) / radius, weights)
    return Vortex(row, column, _rounded(1000 * strength * turns) / MILLION)


def _checked(one: Vortex, shape: Shape) -> Vortex:
    swirl = np.array(one.swirl, np.float64)
    if swirl.ndim != 1 or not np.isfinite(swirl).all():
        raise ValueError(f"a swirl must be a list of finite numbers, got shape {swirl.shape}")
    if len(swirl) > max(0, _radius(one.row, one.column, shape)):
        raise ValueError(f"a radius of {len(swirl)} at row {one.row}, column {one.column} leaves {shape[0]}x{shape[1]}")
    swirl.flags.writeable = False
    return Vortex(one.row, one.column, swirl)
