"""``patch-mix``: the four quarters of every patch are averaged into one. No key, and no way back.

Source: Hao et al. 2023, arXiv:2306.03679, mixing (MI). The mean of four bytes is rounded to the nearest, halves up, so that
an encrypted image is bytes again, with half the sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, Self

import numpy as np

from blindsight.holder.ciphers.moves import grid_of
from blindsight.holder.ciphers.parameters import check_block
from blindsight.holder.ciphers.quality import Quality
from blindsight.protocol.errors import DataError, SchemeError
from blindsight.protocol.scheme import Descriptor, Images

BAND_BYTES = 128 * 1024


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
        n, _, width, channels = images.shape
        down, across = grid_of(images, self.block)
        half = self.block // 2
        quarters = images.reshape(n * down, 2, half, across, 2, half * channels)
        mixed = out.reshape(n * down, half, across, half * channels)
        step = max(1, BAND_BYTES // (self.block * width * channels))
        for start in range(0, n * down, step):
            band = quarters[start : start + step]
            rows = np.add(band[:, 0], band[:, 1], dtype=np.uint16)
            total = np.add(rows[:, :, :, 0], rows[:, :, :, 1])
            total += 2
            np.right_shift(total, 2, out=total)
            np.copyto(mixed[start : start + step], total, casting="unsafe")

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> NoReturn:
        """Refused.

        Raises:
            SchemeError: E_SCHEME, three quarters of the values are lost.
        """
        raise SchemeError("scheme patch-mix loses detail: nobody can decrypt it")

    def quality(self) -> Quality:
        """There is no key."""
        return Quality(unchanged=0.0, units=0, fixed_points=0, reversals=0, keyspace=0.0)
