"""``ele``: learnable encryption with a key of its own for each block of the image; then the blocks are permuted.

Source: Madono, Tanaka, Onishi & Ogawa 2020, arXiv:2001.07761 (extended learnable encryption); pixel operation first,
keyed by the block's place in the plain image, then the shuffle, as in the authors' program. The masks are independent
here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np

from blindsight.holder.ciphers.own_blocks import OwnBlocks
from blindsight.holder.ciphers.parameters import (
    Indices,
    Mask,
    block_bytes,
    blocks_in,
    check_block,
    inverses,
    masks_of,
    permutation_of,
    permutations_of,
)
from blindsight.holder.ciphers.quality import Quality, factorial_bits
from blindsight.protocol.keystream import Stream
from blindsight.protocol.scheme import Descriptor, Images


@dataclass(frozen=True, eq=False)
class EleParameters:
    """A permutation and a mask for every block, and a permutation of the blocks.

    Args:
        shape: ``(h, w, c)`` of every image.
        block: side M of a block in pixels, at least 3.
        blocks: ``(N,)`` integers: block k of the result is encrypted block ``blocks[k]``.
        permutations: ``(N, 2·M·M·c)`` integers, of the nibbles of each plain block, as in ``le``.
        masks: ``(N, 2·M·M·c)`` bool, the reversals of each plain block, as in ``le``.

    Raises:
        DataError: the block is too small, or the channels are neither 1 nor 3.
        ValueError: an array has a wrong type or shape, or holds no permutations.
    """

    shape: tuple[int, int, int]
    block: int
    blocks: Indices = field(repr=False)
    permutations: Indices = field(repr=False)
    masks: Mask = field(repr=False)

    def __post_init__(self) -> None:
        check_block(self.block, self.shape[2])
        count, size = blocks_in(self.shape, self.block), 2 * block_bytes(self.block, self.shape[2])
        object.__setattr__(self, "blocks", permutation_of(count, self.blocks))
        object.__setattr__(self, "permutations", permutations_of((count, size), self.permutations))
        object.__setattr__(self, "masks", masks_of((count, size), self.masks))

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> Self:
        """Draw from the streams ``perm/block``, ``perm/nibble`` and ``mask/nibble``, block after block."""
        height, width, channels = descriptor.shape
        block = descriptor.block
        count, size = height // block * (width // block), 2 * block_bytes(block, channels)
        permutations = Stream(scheme_key, "perm/nibble").perms(count, size)
        masks = Stream(scheme_key, "mask/nibble").bits(count * size).reshape(count, size)
        return cls(descriptor.shape, block, Stream(scheme_key, "perm/block").perm(count), permutations, masks)

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Encrypt every block with its own key and permute the blocks.

        Raises:
            DataError: the blocks do not divide the images.
        """
        self._forth.apply(images, out)

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Undo ``encrypt``; errors are the same."""
        self._back.apply(images, out)

    def quality(self) -> Quality:
        """On the nibbles of an image; those of blocks that move do not stay."""
        keyspace = factorial_bits(self.blocks.size) + self.masks.size
        keyspace += self.blocks.size * factorial_bits(self.masks.shape[1])
        moved = self.blocks != np.arange(self.blocks.size)
        source = np.where(moved[:, np.newaxis], -1, self._forth.order)
        return Quality.of_nibbles(source, self.masks[self.blocks], self.shape[2], keyspace)

    @cached_property
    def _forth(self) -> OwnBlocks:
        return OwnBlocks.of(self.block, self.blocks, self.permutations[self.blocks], self.masks[self.blocks])

    @cached_property
    def _back(self) -> OwnBlocks:
        orders = inverses(self.permutations)
        masks = np.take_along_axis(self.masks, orders, axis=1)
        return OwnBlocks.of(self.block, inverses(self.blocks), orders, masks)
