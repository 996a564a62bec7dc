"""``patch-mix``: the four quarters of every patch are averaged into one. No key, and no way back.

Source: Hao et al. 2023, arXiv:2306.03679, mixing (MI). The mean of four bytes is rounded to the nearest, halves up,
so that an encrypted image is bytes again, with half the sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.moves import grid_of
from blindsight.holder.ciphers.parameters import check_block
from blindsight.holder.ciphers.quality import Quality
from blindsight.protocol.errors import DataError, SchemeError
from blindsight.protocol.scheme import Descriptor, Images

BAND_BYTES = 512 * 1024
MOST_WORD, MOST_WORDS = 8, 4


@dataclass(frozen=True, slots=True)
class PatchMixParameters:
    """Nothing but the size of a patch.

    Args:
        block: side of a patch in pixels, even.

    Raises:
        DataError: the side is odd or below 2.
    """

    block: int

    def __post_init__(self) -> None:
        check_block(self.block, 1, least=2)
        if self.block % 2:
            raise DataError(f"blocks must be an even number of pixels wide, got {self.block}", hint="use --block 4")

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> Self:
        """The same for every key."""
        return cls(descriptor.block)

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Average the quarters of every patch.

        Args:
            images: ``(n, h, w, c)`` uint8, contiguous; never written to.
            ids: not used.
            out: ``(n, h/2, w/2, c)`` uint8, contiguous, for the result.

        Raises:
            DataError: the patches do not divide the images.
        """
        down, across = grid_of(images, self.block)
        run = self.block // 2 * images.shape[3]
        halves = images.reshape(len(images) * down, 2, self.block // 2 * across * 2 * run)
        mixed = out.reshape(len(halves), -1)
        step = min(len(halves), max(1, BAND_BYTES // max(1, halves[:1].size)))
        narrow, wide = np.empty(step * halves[:1].size, np.uint8), np.empty(step * halves[:1].size, np.uint16)
        for start in range(0, len(halves), max(1, step)):
            band = halves[start : start + step]
            _mix(band, run, narrow[: band.size], wide[: band.size], mixed[start : start + step])

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> NoReturn:
        """Refused.

        Raises:
            SchemeError: E_SCHEME, three quarters of the values are lost.
        """
        raise SchemeError("scheme patch-mix loses detail: nobody can decrypt it")

    def quality(self) -> Quality:
        """There is no key."""
        return Quality(unchanged=0.0, units=0, fixed_points=0, reversals=0, keyspace=0.0)


def _mix(
    halves: NDArray[np.uint8], run: int, narrow: NDArray[np.uint8], wide: NDArray[np.uint16], out: NDArray[np.uint8]
) -> None:
    """Average the quarters of some rows of patches.

    All passes but the last are over one long row: the right neighbour of a run is added by shifting the whole band by
    one run. Half of those sums are of no use, and the last pass leaves them out.

    Args:
        halves: ``(rows of patches, 2, bytes)``, their upper and lower halves.
        run: bytes of one pixel row of a quarter.
        narrow: scratch as large as the halves.
        wide: the same.
        out: ``(rows of patches, bytes / 2)`` for the result.
    """
    size = halves.size // 2
    np.copyto(narrow.reshape(2, *halves[:, 0].shape), halves.transpose(1, 0, 2))
    np.copyto(wide, narrow)
    columns, sums = np.add(wide[:size], wide[size:], out=wide[:size]), wide[size : 2 * size - run]
    np.add(columns[:-run], columns[run:], out=sums)
    np.add(sums, 2, out=sums)
    np.right_shift(sums, 2, out=sums)
    np.copyto(narrow[: size - run], sums, casting="unsafe")
    _every_second(narrow[:size], run, out.reshape(-1))


def _every_second(runs: NDArray[np.uint8], run: int, out: NDArray[np.uint8]) -> None:
    """Copy runs 0, 2, 4 … in words of 1, 2, 4 or 8 bytes, which numpy copies much faster than items of any size."""
    word: np.dtype[Any] = np.dtype(f"u{gcd(run, MOST_WORD)}")
    if run > MOST_WORDS * word.itemsize:
        word = np.dtype((np.void, run))
    pieces = run // word.itemsize
    source, target = runs.view(word).reshape(-1, 2, pieces), out.view(word).reshape(-1, pieces)
    for piece in range(pieces):
        np.copyto(target[:, piece], source[:, 0, piece])
