"""``logistic-xor``: bytes are XORed with a sequence of a logistic map that a second key has shuffled.

Our reading of the paper: it names a logistic map for the sequence and a second key that shuffles it, and leaves open
the map's parameter, its warm-up, the way from numbers to bytes and the treatment of channels. Those are fixed in
FORMAT.md F: lanes of at most 1,024 values, each with a seed of its own, dealt to the pixels in turn; one shuffle of
positions for all channels.

Source: Ahmad & Shin 2022, arXiv:2203.16780.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.parameters import SAMPLE_IDS, Indices, check_channels, permutation_of, shaped
from blindsight.holder.ciphers.quality import Quality, factorial_bits
from blindsight.protocol.keystream import ImageStreams, Stream, Words, logistic
from blindsight.protocol.scheme import Descriptor, Images

Shape = tuple[int, int, int]
LANE = 1024
SEED_WORDS, SEED_BITS = 3, 52 + 24
GROUP_LANES, GROUPS_AT_ONCE = 1536, 16


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

    @property
    def shape(self) -> Shape:
        """``(h, w, c)`` of every image."""
        height, width, channels = self.sequence.shape
        return height, width, channels

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> LogisticXorParameters | LogisticXorImageParameters:
        """Draw seeds from the stream ``logistic/seed``, or each image's, and the shuffle from ``order/sequence``."""
        shape = descriptor.shape
        order = Stream(scheme_key, "order/sequence").perm(shape[0] * shape[1])
        if descriptor.traits.scope == "image":
            words = partial(ImageStreams(scheme_key, "logistic/seed").words, count=_words(shape))
            return LogisticXorImageParameters(shape, words, order)
        seeds = Stream(scheme_key, "logistic/seed").words(_words(shape))
        return cls(_sequences(seeds[np.newaxis], shape, order)[0], _keyspace(shape))

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
        for part in _parts(len(images), self.shape):
            seeds = shaped("the seeds", self.seeds(ids[part]), (len(ids[part]), _words(self.shape)))
            sequences = _sequences(seeds, self.shape, self.order)
            np.bitwise_xor(images[part], sequences, out=out[part])

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """The same as ``encrypt``, for the same ids."""
        self.encrypt(images, ids, out)

    def quality(self) -> Quality:
        """On the bits of an image, as a mean over some images."""
        sequences = (_sequences(self.seeds([image]), self.shape, self.order)[0] for image in SAMPLE_IDS)
        return Quality.mean(_quality(one, _keyspace(self.shape)) for one in sequences)


def _lanes(shape: Shape) -> int:
    """Lanes of one channel."""
    return -(-shape[0] * shape[1] // LANE)


def _words(shape: Shape) -> int:
    return SEED_WORDS * _lanes(shape) * shape[2]


def _keyspace(shape: Shape) -> float:
    return SEED_BITS * _lanes(shape) * shape[2] + factorial_bits(shape[0] * shape[1])


def _parts(count: int, shape: Shape) -> Iterator[slice]:
    """Cut images into stretches of whole groups, the last few aside."""
    group = _group(shape)
    whole, step = count // group * group, group * GROUPS_AT_ONCE
    starts = [*range(0, whole, step), whole]
    yield from (slice(start, stop) for start, stop in pairwise(starts))
    if whole < count:
        yield slice(whole, count)


def _group(shape: Shape) -> int:
    """Images whose lanes are transposed together."""
    return max(1, GROUP_LANES // (_lanes(shape) * shape[2]))


def _sequences(seeds: Words, shape: Shape, order: Indices) -> NDArray[np.uint8]:
    """Shuffled sequences from the seeds of whole groups, or of less than one: ``(n, words)`` to ``(n, h, w, c)``."""
    pixels, channels, lanes = shape[0] * shape[1], shape[2], _lanes(shape)
    group = min(_group(shape), len(seeds))
    values = logistic(seeds.reshape(-1, group * lanes * channels, SEED_WORDS), -(-pixels // lanes))
    if lanes == 1:
        values = np.take(values, order, axis=1)
    by_image = _by_image(values, lanes * channels).view(np.dtype((np.void, channels)))
    sequences = by_image if lanes == 1 else np.take(by_image, order, axis=1)
    return sequences.view(np.uint8).reshape(-1, *shape)


def _by_image(values: NDArray[np.uint8], width: int) -> NDArray[np.void]:
    """Turn ``(groups, steps, n·width)`` into ``(groups·n, steps)`` items of ``width`` bytes."""
    items = values.view(np.dtype((np.void, width)))
    return np.ascontiguousarray(items.transpose(0, 2, 1)).reshape(-1, items.shape[1])


def _quality(sequence: NDArray[np.uint8], keyspace: float) -> Quality:
    bits = np.unpackbits(sequence)
    unchanged = float((sequence == 0).all(axis=2).mean())
    return Quality(unchanged, bits.size, bits.size - int(bits.sum()), int(bits.sum()), keyspace)
