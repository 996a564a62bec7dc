"""``logistic-xor``: bytes are XORed with a sequence of a logistic map that a second key has shuffled.

Our reading of the paper: it names a logistic map for the sequence and a second key that shuffles it, and leaves open the
map's parameter, its warm-up, the way from numbers to bytes and the treatment of channels. Those are fixed in FORMAT.md F:
lanes of 1,024 values each with a seed of its own, channel after channel, one shuffle of positions for all channels.

Source: Ahmad & Shin 2022, arXiv:2203.16780.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.parameters import SAMPLE_IDS, Indices, check_channels, permutation_of
from blindsight.holder.ciphers.quality import Quality, factorial_bits
from blindsight.protocol.keystream import ImageStreams, Stream, Words, logistic
from blindsight.protocol.scheme import Descriptor, Images

Shape = tuple[int, int, int]
LANE = 1024
SEED_WORDS, SEED_BITS = 3, 52 + 24
LANES_AT_ONCE = 6144
TILE = 64


@dataclass(frozen=True, slots=True, eq=False)
class LogisticXorParameters:
    """One sequence for all images.

    Args:
        sequence: ``(h, w, c)`` uint8, already shuffled.
        keyspace: bits of the key it was drawn from.

    Raises:
        DataError: the channels are neither 1 nor 3.
        ValueError: no ``(h, w, c)`` uint8.
    """

    sequence: NDArray[np.uint8] = field(repr=False)
    keyspace: float = 0.0

    def __post_init__(self) -> None:
        given = np.asarray(self.sequence)
        if given.ndim != 3 or given.dtype != np.uint8:
            raise ValueError(f"the sequence must be (h, w, c) uint8, got {given.shape} {given.dtype}")
        check_channels(given.shape[2])
        copy = np.ascontiguousarray(given).copy()
        copy.flags.writeable = False
        object.__setattr__(self, "sequence", copy)

    @classmethod
    def from_key(
        cls, scheme_key: bytes, descriptor: Descriptor
    ) -> LogisticXorParameters | LogisticXorImageParameters:
        """Draw seeds from the stream ``logistic/seed``, or each image's, and the shuffle from ``order/sequence``."""
        shape = descriptor.shape
        order = Stream(scheme_key, "order/sequence").perm(shape[0] * shape[1])
        if descriptor.traits.scope == "image":
            words = partial(ImageStreams(scheme_key, "logistic/seed").words, count=_words(shape))
            return LogisticXorImageParameters(shape, words, order)
        seeds = Stream(scheme_key, "logistic/seed").words(_words(shape))
        return cls(_sequences(seeds, shape, order)[0].reshape(shape), _keyspace(shape))

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """XOR every image with the sequence."""
        np.bitwise_xor(images, self.sequence, out=out)

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """The same as ``encrypt``."""
        self.encrypt(images, ids, out)

    def quality(self) -> Quality:
        """On the bits of an image."""
        return _quality(self.sequence, self.keyspace)


@dataclass(frozen=True, slots=True, eq=False)
class LogisticXorImageParameters:
    """A sequence for each image.

    Args:
        shape: ``(h, w, c)`` of every image.
        seeds: from ids to ``(n, words)`` uint32, three words a lane.
        order: ``(h·w,)`` integers, the shuffle of positions, the same for all images.

    Raises:
        DataError: the channels are neither 1 nor 3.
        ValueError: the order is no permutation.
    """

    shape: Shape
    seeds: Callable[[Sequence[str]], Words] = field(repr=False)
    order: Indices = field(repr=False)

    def __post_init__(self) -> None:
        check_channels(self.shape[2])
        object.__setattr__(self, "order", permutation_of(self.shape[0] * self.shape[1], self.order))

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """XOR every image with its own sequence."""
        step = max(1, LANES_AT_ONCE // (_words(self.shape) // SEED_WORDS))
        for start in range(0, len(images), step):
            part = slice(start, start + step)
            sequences = _sequences(self.seeds(ids[part]), self.shape, self.order)
            np.bitwise_xor(images[part], sequences.reshape(-1, *self.shape), out=out[part])

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """The same as ``encrypt``, for the same ids."""
        self.encrypt(images, ids, out)

    def quality(self) -> Quality:
        """On the bits of an image, as a mean over some images."""
        sequences = _sequences(self.seeds(SAMPLE_IDS), self.shape, self.order)
        return Quality.mean(_quality(one.reshape(self.shape), _keyspace(self.shape)) for one in sequences)


def _lanes(shape: Shape) -> int:
    """Lanes of one channel."""
    return -(-shape[0] * shape[1] // LANE)


def _words(shape: Shape) -> int:
    return SEED_WORDS * _lanes(shape) * shape[2]


def _keyspace(shape: Shape) -> float:
    return SEED_BITS * _lanes(shape) * shape[2] + factorial_bits(shape[0] * shape[1])


def _sequences(seeds: Words, shape: Shape, order: Indices) -> NDArray[np.uint8]:
    """Shuffled sequences from seeds: ``(n, words)`` to ``(n, h·w, c)``."""
    pixels, channels, lanes = shape[0] * shape[1], shape[2], _lanes(shape)
    values = logistic(seeds.reshape(-1, SEED_WORDS), min(LANE, pixels))
    if lanes == 1:
        return _beside(np.take(values, order, axis=0), channels)
    whole = values.T.reshape(-1, channels, lanes * LANE)[:, :, order]
    return np.ascontiguousarray(whole.transpose(0, 2, 1))


def _beside(values: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Turn ``(pixels, n·c)`` into ``(n, pixels, c)``, tile by tile so that both stay in the cache."""
    pixels = len(values)
    items = values.view(np.dtype((np.void, channels)))
    turned = np.empty((items.shape[1], pixels), items.dtype)
    for start in range(0, len(turned), TILE):
        np.copyto(turned[start : start + TILE], items[:, start : start + TILE].T)
    return turned.view(np.uint8).reshape(-1, pixels, channels)


def _quality(sequence: NDArray[np.uint8], keyspace: float) -> Quality:
    bits = np.unpackbits(sequence)
    unchanged = float((sequence == 0).all(axis=2).mean())
    return Quality(unchanged, bits.size, bits.size, int(bits.sum()), keyspace)
