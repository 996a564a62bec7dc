"""From a key to permutations and masks: ChaCha20 keystreams with unbiased draws. FORMAT.md section F.

Every stream is read from its start for one purpose only; a second purpose takes another label. ``ImageStreams`` holds
one stream for each image: what it draws for many images at once is what each image's own ``Stream`` would draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Self

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import ArrayLike, NDArray

from blindsight.protocol.encoding import expand

_Bytes = bytes  # the classes below have methods of that name
Words = NDArray[np.uint32]
Draws = NDArray[np.int64]
_AHEAD = 256  # words read at once for single draws
_SPAN = 4096  # draws that are checked at once
_FEW = 16  # rows below which swaps are made one by one
_NONCE = 12
_IMAGE_TAG = b"blindsight1:image\0"
_LOGISTIC_WARM_UP = 1000
_SEED_WORDS = 3


class Stream:
    """The keystream for one label and context.

    Args:
        key: 32 bytes, usually a scheme key.
        label: the purpose, for example ``perm/pixel``.
        context: further parts.

    Source: RFC 8439 section 2.4 (ChaCha20, nonce of twelve zero bytes, counter from 0).
    """

    __slots__ = ("_ahead", "_cipher")

    def __init__(self, key: bytes, label: str, *context: bytes) -> None:
        self._cipher = _keystream(_stream_key(key, label, *context), bytes(_NONCE))
        self._ahead: Words = np.empty(0, np.uint32)

    @classmethod
    def _of(cls, cipher: CipherContext) -> Self:
        stream = cls.__new__(cls)
        stream._cipher, stream._ahead = cipher, np.empty(0, np.uint32)
        return stream

    def bytes(self, count: int) -> bytes:
        """The next ``count`` bytes. Not to be mixed with draws on the same stream."""
        return self._cipher.update(bytes(count))

    def words(self, count: int) -> Words:
        """The next ``count`` unsigned little-endian integers of four bytes: ``(count,)`` uint32."""
        missing = count - len(self._ahead)
        if missing > 0:
            fresh = np.frombuffer(self.bytes(4 * max(missing, _AHEAD)), dtype="<u4")
            self._ahead = np.concatenate((self._ahead, fresh))
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken

    def u32(self) -> int:
        """The next four bytes as an unsigned little-endian integer."""
        return int(self.words(1)[0])

    def u64(self) -> int:
        """The next eight bytes as an unsigned little-endian integer."""
        low = self.u32()
        return low | self.u32() << 32

    def below(self, bound: int) -> int:
        """A uniform integer in ``[0, bound)`` by rejection.

        Args:
            bound: 2 to 2^32.

        Raises:
            ValueError: the bound is outside that range.
        """
        return int(self.belows([bound])[0])

    def belows(self, bounds: ArrayLike) -> Draws:
        """One draw of ``below`` after another.

        Args:
            bounds: ``(n,)`` integers, each 2 to 2^32.

        Returns:
            ``(n,)`` int64.

        Raises:
            ValueError: a bound is outside that range.
        """
        wide = _bounds(bounds)
        spans = [self._span(wide[start : start + _SPAN]) for start in range(0, len(wide), _SPAN)]
        return np.concatenate([np.empty(0, np.int64), *spans])

    def _span(self, bounds: NDArray[np.uint64]) -> Draws:
        last, words = _last(bounds), self.words(len(bounds))
        while len(refused := np.flatnonzero(words > last)):
            words = np.concatenate((np.delete(words, refused[0]), self.words(1)))
        return _remainders(words, bounds)

    def perm(self, size: int) -> Draws:
        """A uniform permutation, used as a gather: ``out[k] = in[a[k]]``.

        Args:
            size: number of elements, at least 1.

        Returns:
            ``(size,)`` int64.

        Source: Durstenfeld's shuffle, from the last element down.
        """
        (order,) = self.perms(1, size)
        return np.asarray(order)

    def perms(self, count: int, size: int) -> Draws:
        """One permutation after another: ``(count, size)`` int64."""
        others = self.belows(np.tile(_falling(size), count)).reshape(count, size - 1)
        return _swapped(size, range(size - 1, 0, -1), others)

    def bits(self, count: int) -> NDArray[np.bool_]:
        """``count`` uniform bits, least significant bit of each byte first: ``(count,)`` bool."""
        return _unpacked(np.frombuffer(self.bytes(-(-count // 8)), np.uint8), count)

    def choose(self, size: int, count: int) -> Draws:
        """``count`` different elements of ``range(size)`` in random order: ``(count,)`` int64."""
        (chosen,) = _chosen(size, count, self.belows(_shrinking(size, count))[np.newaxis])
        return np.asarray(chosen)

    def logistic(self, count: int) -> _Bytes:
        """``count`` bytes of a logistic map seeded by the next three words; see ``logistic``."""
        return logistic(self.words(_SEED_WORDS).reshape(1, 1, -1), count).tobytes()


class ImageStreams:
    """The keystreams of one label, one for each image.

    Args:
        key: 32 bytes, usually a scheme key.
        label: the purpose.

    The stream key is that of the label without context; the nonce is the first twelve bytes of ``H("image", id)``.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes, label: str) -> None:
        self._key = _stream_key(key, label)

    def __repr__(self) -> str:
        return "ImageStreams()"

    def one(self, image: str) -> Stream:
        """The stream of one image."""
        return Stream._of(_keystream(self._key, _nonce(image)))

    def bytes(self, ids: Sequence[str], count: int) -> NDArray[np.uint8]:
        """The first ``count`` bytes of each image's stream: ``(n, count)`` uint8."""
        cipher, zeros = _keystream(self._key, bytes(_NONCE)), bytes(count)
        rows = []
        for image in ids:
            cipher.reset_nonce(bytes(4) + _nonce(image))  # making a new context would cost ten times as much
            rows.append(cipher.update(zeros))
        return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), count)

    def words(self, ids: Sequence[str], count: int) -> Words:
        """The first ``count`` words of each image's stream: ``(n, count)`` uint32."""
        return self.bytes(ids, 4 * count).view("<u4")

    def bits(self, ids: Sequence[str], count: int) -> NDArray[np.bool_]:
        """``Stream.bits`` of each image: ``(n, count)`` bool."""
        return _unpacked(self.bytes(ids, -(-count // 8)), count)

    def belows(self, ids: Sequence[str], bounds: ArrayLike) -> Draws:
        """``Stream.belows`` of each image: ``(n, len(bounds))`` int64."""
        wide = _bounds(bounds)
        words = self.words(ids, len(wide))
        drawn = _remainders(words, wide)
        for row in np.flatnonzero((words > _last(wide)).any(axis=1)).tolist():
            drawn[row] = self.one(ids[row]).belows(wide)
        return drawn

    def perms(self, ids: Sequence[str], size: int) -> Draws:
        """``Stream.perm`` of each image: ``(n, size)`` int64."""
        return _swapped(size, range(size - 1, 0, -1), self.belows(ids, _falling(size)))

    def chosen(self, ids: Sequence[str], size: int, count: int) -> Draws:
        """``Stream.choose`` of each image: ``(n, count)`` int64."""
        return _chosen(size, count, self.belows(ids, _shrinking(size, count)))


def logistic(seeds: Words, count: int) -> NDArray[np.uint8]:
    """Bytes of logistic maps ``x ← r·(x·(1 − x))`` in binary64 with one pinned order of operations, side by side.

    The first 1,000 values are dropped; a byte is ``floor(256·x)``. As r < 4, x stays strictly between 0 and 1.

    Args:
        seeds: ``(groups, lanes, 3)`` words: x from the first two (low, high), r from the third.
        count: bytes of each lane.

    Returns:
        ``(groups, count, lanes)`` uint8. Many lanes at once are fast to compute, small groups are fast to transpose.

    Source: FORMAT.md F; our reading of Ahmad & Shin 2022, arXiv:2203.16780.
    """
    low, high, third = np.moveaxis(seeds.astype(np.uint64), -1, 0)
    x = (2 * ((low | high << np.uint64(32)) >> np.uint64(12)) + 1).astype(np.float64) / 2**45
    r = (4 - (1 + (third & np.uint64(0xFFFFFF))).astype(np.float64) / 2**31) / 256
    rest, values = np.empty_like(x), np.empty((x.shape[0], count, x.shape[1]), np.uint8)
    for step in range(-_LOGISTIC_WARM_UP, count):  # on 256·x and r/256: powers of two change no rounding
        np.subtract(256, x, out=rest)
        np.multiply(x, rest, out=rest)
        np.multiply(r, rest, out=x)
        if step >= 0:
            np.copyto(values[:, step], x, casting="unsafe")
    return values


def _stream_key(key: bytes, label: str, *context: bytes) -> bytes:
    return expand(key, "stream", label.encode(), *context)


def _keystream(stream_key: bytes, nonce: bytes) -> CipherContext:
    return Cipher(ChaCha20(stream_key, bytes(4) + nonce), mode=None).encryptor()  # four bytes of counter come first


def _nonce(image: str) -> bytes:
    """The first bytes of ``H("image", image)``, hashed at once: this runs for every image."""
    data = image.encode()
    return sha256(_IMAGE_TAG + len(data).to_bytes(8, "big") + data).digest()[:_NONCE]


def _bounds(bounds: ArrayLike) -> NDArray[np.uint64]:
    given = np.asarray(bounds, np.int64)
    if given.size and not (given.min() >= 2 and given.max() <= 2**32):
        raise ValueError(f"bound must be from 2 to 2^32, got {given.min()} to {given.max()}")
    return given.astype(np.uint64)


def _last(bounds: NDArray[np.uint64]) -> Words:
    """The last word that is not refused: up to it each remainder is as likely as any other."""
    whole = np.uint64(2**32)
    return (whole - whole % bounds - np.uint64(1)).astype(np.uint32)


def _remainders(words: Words, bounds: NDArray[np.uint64]) -> Draws:
    """Words modulo bounds; one bound for all is divided by much faster."""
    if bounds.size and bounds.max() < 2**32 and (bounds == bounds[0]).all():
        bound = np.uint32(bounds[0])
        whole: Words = words // bound * bound
        return (words - whole).astype(np.int64)
    return (words % bounds).astype(np.int64)


def _falling(size: int) -> Draws:
    return np.arange(size, 1, -1)


def _shrinking(size: int, count: int) -> Draws:
    """Elements left before each draw of ``choose``; the last one is not drawn."""
    left = size - np.arange(count)
    return left[left >= 2]


def _chosen(size: int, count: int, drawn: Draws) -> Draws:
    places = range(drawn.shape[1])
    return _swapped(size, places, drawn + np.arange(drawn.shape[1]))[:, :count]


def _unpacked(packed: NDArray[np.uint8], count: int) -> NDArray[np.bool_]:
    return np.unpackbits(packed, axis=-1, count=count, bitorder="little").view(np.bool_)


def _swapped(size: int, places: Iterable[int], others: Draws) -> Draws:
    """Swap elements of ``range(size)``, in each row its own.

    Args:
        size: number of elements.
        places: the first element of each swap.
        others: ``(rows, swaps)``, the second one.
    """
    if len(others) < _FEW:
        rows = [_swapped_row(size, places, row.tolist()) for row in others]
        return np.array(rows, np.int64).reshape(len(others), size)
    order = np.repeat(np.arange(size, dtype=np.int32)[:, np.newaxis], len(others), axis=1)  # a column for each row
    flat, first = order.reshape(-1), np.arange(len(others))
    for place, other in zip(places, (others.T * len(others) + first), strict=True):
        met = flat[other]
        flat[other] = order[place]
        order[place] = met
    return np.ascontiguousarray(order.T).astype(np.int64)


def _swapped_row(size: int, places: Iterable[int], others: list[int]) -> list[int]:
    order = list(range(size))
    for place, other in zip(places, others, strict=True):
        order[place], order[other] = order[other], order[place]
    return order
