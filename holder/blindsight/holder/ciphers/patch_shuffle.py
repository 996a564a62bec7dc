"""``patch-shuffle``: the patches of an image are permuted, those of each image by a permutation of its own.

In the paper the permutation is drawn anew and thrown away: a network without positions needs none. Here it follows from
the key and the image's id, so that the holder can undo it.

Source: Hao et al. 2023, arXiv:2306.03679, random shuffling (RS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from blindsight.holder.ciphers.gather import bands, flattened
from blindsight.holder.ciphers.moves import grid_of, move_blocks
from blindsight.holder.ciphers.parameters import Indices, Orders, check_block, inverses, sample_ids
from blindsight.holder.ciphers.quality import Quality, factorial_bits
from blindsight.protocol.keystream import ImageStreams
from blindsight.protocol.scheme import Descriptor, Images

BAND_BYTES = 8 * 2**20  # bounds the memory of the index; images are gathered at once otherwise


@dataclass(frozen=True, slots=True, eq=False)
class PatchShuffleParameters:
    """A permutation of patches for each image.

    Args:
        shape: ``(h, w, c)`` of every image.
        block: side of a patch in pixels.
        orders: from ids and the number of patches to ``(n, patches)`` int64, ``out[k] = in[order[k]]``, patches
            counted row by row; ``parameters.for_images`` makes one of permutations given by hand.

    Raises:
        DataError: the patch is below 1, or the channels are neither 1 nor 3.
    """

    shape: tuple[int, int, int]
    block: int
    orders: Orders = field(repr=False)

    def __post_init__(self) -> None:
        check_block(self.block, self.shape[2], least=1)

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> Self:
        """Draw each image's permutation from its stream ``perm/block``."""
        return cls(descriptor.shape, descriptor.block, ImageStreams(scheme_key, "perm/block").perms)

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Permute the patches of each image.

        Raises:
            DataError: the patches do not divide the images.
            ValueError: an image has no permutation.
        """
        for band in bands(flattened(images), BAND_BYTES):
            move_blocks(images[band], self.block, self._orders(images, ids[band]), out[band])

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Undo ``encrypt``; errors are the same."""
        for band in bands(flattened(images), BAND_BYTES):
            move_blocks(images[band], self.block, inverses(self._orders(images, ids[band])), out[band])

    def quality(self) -> Quality:
        """On the patches of an image, as a mean over some images."""
        height, width, _ = self.shape
        count = height // self.block * (width // self.block)
        still = np.zeros(count, np.bool_)
        orders = self.orders(sample_ids(self.orders), count)
        return Quality.mean(Quality.of_bytes(order, still, 1, factorial_bits(count)) for order in orders)

    def _orders(self, images: Images, ids: Sequence[str]) -> Indices:
        down, across = grid_of(images, self.block)
        return self.orders(ids, down * across)
