"""``pixel``: every component of every pixel is reversed or not, then the colours of the pixel are permuted.

Source: Sirichotedumrong, Maekawa, Kinoshita & Kiya 2019, arXiv:1905.01827 (one key for all images); the same authors
in IEEE Access 2019 (a key for each image).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import log2

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.colours import INVERSE, ORDERS, Shifts
from blindsight.holder.ciphers.gather import bands, flattened
from blindsight.holder.ciphers.parameters import (
    SAMPLE_IDS,
    Indices,
    Mask,
    check_channels,
    integers_of,
    masks_of,
    shaped,
)
from blindsight.holder.ciphers.quality import Quality
from blindsight.protocol.keystream import ImageStreams, Stream
from blindsight.protocol.scheme import Descriptor, Images

COLOURS = 3


@dataclass(frozen=True, eq=False)
class PixelParameters:
    """One key for all images.

    Args:
        mask: ``(h, w, c)`` bool: True where a component is reversed.
        order: ``(h, w)`` integers from 0 to 5: how the reversed colours are permuted (``colours.ORDERS``); all 0 for
            grey images.

    Raises:
        DataError: the channels are neither 1 nor 3.
        ValueError: mask or order have a wrong type, shape or range.
    """

    mask: Mask = field(repr=False)
    order: Indices = field(repr=False)

    def __post_init__(self) -> None:
        shape = np.shape(self.mask)
        if len(shape) != 3:
            raise ValueError(f"the mask must have shape (h, w, c), got {shape}")
        check_channels(shape[2])
        object.__setattr__(self, "mask", masks_of(shape, self.mask))
        bound = len(ORDERS) if shape[2] == COLOURS else 1
        object.__setattr__(self, "order", integers_of("the order", shape[:2], bound, self.order))

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(h, w, c)`` of every image."""
        height, width, channels = self.mask.shape
        return height, width, channels

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> PixelParameters | PixelImageParameters:
        """Draw the mask from the stream ``mask/pixel`` and the order from ``order/pixel``, or from each image's."""
        shape = descriptor.shape
        size, pixels = int(np.prod(shape)), shape[0] * shape[1]
        if descriptor.traits.scope == "image":
            masks, orders = ImageStreams(scheme_key, "mask/pixel"), ImageStreams(scheme_key, "order/pixel")
            bounds = np.full(pixels, len(ORDERS))
            return PixelImageParameters(
                shape, lambda ids: masks.bits(ids, size), lambda ids: orders.belows(ids, bounds)
            )
        bounds = np.full(pixels if shape[2] == COLOURS else 0, len(ORDERS))
        drawn = Stream(scheme_key, "order/pixel").belows(bounds)
        order = drawn if shape[2] == COLOURS else np.zeros(pixels, np.int64)
        return cls(Stream(scheme_key, "mask/pixel").bits(size).reshape(shape), order.reshape(shape[:2]))

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Reverse, then permute."""
        if self.mask.shape[2] == COLOURS:
            self._forth.apply(images, out)
        else:
            np.bitwise_xor(images, self._flip.reshape(self.mask.shape), out=out)

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Undo ``encrypt``."""
        if self.mask.shape[2] == COLOURS:
            self._back.apply(images, out)
        else:
            self.encrypt(images, ids, out)

    def quality(self) -> Quality:
        """On the bytes of an image."""
        return _quality(self.mask.reshape(-1), self.order.reshape(-1), self.mask.shape[2])

    @cached_property
    def _flip(self) -> NDArray[np.uint8]:
        return np.where(self.mask, 255, 0).astype(np.uint8).reshape(-1)

    @cached_property
    def _forth(self) -> Shifts:
        order = self.order.reshape(-1)
        return Shifts.of(order, self._flip[_sources(order, COLOURS)])

    @cached_property
    def _back(self) -> Shifts:
        return Shifts.of(INVERSE[self.order.reshape(-1)], self._flip)


@dataclass(frozen=True, slots=True, eq=False)
class PixelImageParameters:
    """A key for each image.

    Args:
        shape: ``(h, w, c)`` of every image.
        masks: from ids to ``(n, h·w·c)`` bool.
        orders: from ids to ``(n, h·w)`` integers from 0 to 5; not asked for grey images.

    Raises:
        DataError: the channels are neither 1 nor 3.
    """

    shape: tuple[int, int, int]
    masks: Callable[[Sequence[str]], Mask] = field(repr=False)
    orders: Callable[[Sequence[str]], Indices] = field(repr=False)

    def __post_init__(self) -> None:
        check_channels(self.shape[2])

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Reverse, then permute, each image its own way."""
        flat, into = flattened(images), flattened(out)
        for band in bands(flat):
            into[band] = self._permuted(flat[band] ^ self._flips(ids[band]), self._orders(ids[band]))

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Undo ``encrypt`` for the same ids."""
        flat, into = flattened(images), flattened(out)
        for band in bands(flat):
            into[band] = self._permuted(flat[band], INVERSE[self._orders(ids[band])]) ^ self._flips(ids[band])

    def quality(self) -> Quality:
        """On the bytes of an image, as a mean over some images."""
        masks, orders = self.masks(SAMPLE_IDS), self._orders(SAMPLE_IDS)
        return Quality.mean(_quality(mask, order, self.shape[2]) for mask, order in zip(masks, orders, strict=True))

    def _flips(self, ids: Sequence[str]) -> NDArray[np.uint8]:
        masks = shaped("the masks", self.masks(ids), (len(ids), int(np.prod(self.shape))))
        return np.negative(masks.view(np.uint8))  # 1 becomes 255

    def _orders(self, ids: Sequence[str]) -> Indices:
        wanted = len(ids), self.shape[0] * self.shape[1]
        grey = self.shape[2] != COLOURS
        return np.zeros(wanted, np.int64) if grey else shaped("the orders", self.orders(ids), wanted)

    def _permuted(self, flat: NDArray[np.uint8], orders: Indices) -> NDArray[np.uint8]:
        """Permute the colours of every pixel: all images of a band as one long row of pixels."""
        if self.shape[2] != COLOURS:
            return flat
        return np.take(flat.reshape(-1), _sources(orders.reshape(-1), COLOURS), mode="clip").reshape(flat.shape)


def _sources(order: Indices, channels: int) -> Indices:
    """From which byte of a row of pixels each byte is taken: ``(pixels,)`` codes to ``(pixels·c,)``."""
    if channels != COLOURS:
        return np.arange(order.size)
    sources = np.take(ORDERS, order, axis=0)
    sources += np.arange(0, order.size * COLOURS, COLOURS)[:, np.newaxis]
    return sources.reshape(-1)


def _quality(mask: Mask, order: Indices, channels: int) -> Quality:
    keyspace = mask.size + (order.size * log2(len(ORDERS)) if channels == COLOURS else 0.0)
    sources = _sources(order, channels)
    return Quality.of_bytes(sources, mask[sources], channels, keyspace)
