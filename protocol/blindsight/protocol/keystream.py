"""From a key to permutations and masks: ChaCha20 keystreams with unbiased draws. FORMAT.md section F.

Every stream is read from its start for one purpose only; a second purpose takes another label.
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

from blindsight.protocol.encoding import expand

_Bytes = bytes  # the class below has a method of that name
_WORDS_AHEAD = 4096
_LOGISTIC_WARM_UP = 1000


class Stream:
    """The keystream for one label and context.

    Args:
        key: 32 bytes, usually a scheme key.
        label: the purpose, for example ``perm/pixel``.
        context: further parts, for example an image id.

    Source: RFC 8439 section 2.4 (ChaCha20, nonce of twelve zero bytes, counter from 0).
    """

    __slots__ = ("_cipher", "_words")

    def __init__(self, key: bytes, label: str, *context: bytes) -> None:
        stream_key = expand(key, "stream", label.encode(), *context)
        self._cipher = Cipher(ChaCha20(stream_key, bytes(16)), mode=None).encryptor()
        self._words: list[int] = []

    def bytes(self, count: int) -> bytes:
        """The next ``count`` bytes. Not to be mixed with draws on the same stream."""
        return self._cipher.update(bytes(count))

    def u32(self) -> int:
        """The next four bytes as an unsigned little-endian integer."""
        if not self._words:
            ahead = np.frombuffer(self.bytes(4 * _WORDS_AHEAD), dtype="<u4")
            self._words = ahead[::-1].tolist()
        return self._words.pop()

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
        if not 2 <= bound <= 2**32:
            raise ValueError(f"bound must be from 2 to 2^32, got {bound}")
        limit = 2**32 - 2**32 % bound
        while (word := self.u32()) >= limit:
            pass
        return word % bound

    def perm(self, size: int) -> NDArray[np.int64]:
        """A uniform permutation, used as a gather: ``out[k] = in[a[k]]``.

        Args:
            size: number of elements, at least 1.

        Returns:
            ``(size,)`` int64.

        Source: Durstenfeld's shuffle, from the last element down.
        """
        order = list(range(size))
        for last in range(size - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return np.array(order, dtype=np.int64)

    def bits(self, count: int) -> NDArray[np.bool_]:
        """``count`` uniform bits, least significant bit of each byte first: ``(count,)`` bool."""
        packed = np.frombuffer(self.bytes(-(-count // 8)), dtype=np.uint8)
        return np.unpackbits(packed, bitorder="little")[:count].astype(np.bool_)

    def choose(self, size: int, count: int) -> NDArray[np.int64]:
        """``count`` different elements of ``range(size)`` in random order: ``(count,)`` int64."""
        order = list(range(size))
        for place in range(count):
            left = size - place
            other = place + (self.below(left) if left >= 2 else 0)
            order[place], order[other] = order[other], order[place]
        return np.array(order[:count], dtype=np.int64)

    def logistic(self, count: int) -> _Bytes:
        """``count`` bytes of a logistic map seeded from the stream, in binary64 with one pinned order of operations.

        The first 1,000 values are dropped; a value outside (0, 1) takes a new seed and starts the count again.

        Source: FORMAT.md F; our reading of Ahmad & Shin 2022, arXiv:2203.16780.
        """
        while (values := self._logistic_run(count)) is None:
            pass
        return values

    def _logistic_run(self, count: int) -> _Bytes | None:
        x = (2 * (self.u64() >> 12) + 1) / 2**53
        r = 4 - (1 + (self.u32() & 0xFFFFFF)) / 2**31
        values = bytearray()
        for step in range(_LOGISTIC_WARM_UP + count):
            x = r * (x * (1 - x))
            if not 0 < x < 1:
                return None
            if step >= _LOGISTIC_WARM_UP:
                values.append(int(256 * x))
        return _Bytes(values)
