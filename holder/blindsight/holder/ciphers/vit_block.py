"""``vit-block``: blocks are permuted; in each, bytes are permuted and some reversed, alike in all blocks.

With the side of a block equal to the patch of a vision transformer, the patch embedding absorbs what happens inside a
block and the position embedding absorbs the order of the blocks.

Source: Kiya et al. 2022, arXiv:2207.05366; Qi et al. 2022, arXiv:2205.12041; reversal as in their negative-positive step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.blocks import permute_bytes
from blindsight.holder.ciphers.gather import bands, flattened
from blindsight.holder.ciphers.moves import grid_of, move_blocks
from blindsight.holder.ciphers.parameters import (
    Indices,
    Mask,
    block_bytes,
    check_block,
    inverses,
    mask_of,
    permutation_of,
)
from blindsight.holder.ciphers.quality import Quality, factorial_bits
from blindsight.protocol.errors import DataError
from blindsight.protocol.keystream import Stream
from blindsight.protocol.scheme import Descriptor, Images


@dataclass(frozen=True, slots=True, eq=False)
class VitBlockParameters:
    """One permutation of the blocks, one of the bytes of a block, one reversal mask.

    Args:
        block: side M of a block in pixels, at least 3.
        channels: 1 or 3.
        blocks: ``(number of blocks,)`` integers: block k of the result is made of block ``blocks[k]``.
        permutation: ``(M·M·channels,)`` integers: byte i of a block is taken from byte ``permutation[i]``.
        mask: ``(M·M·channels,)`` bool: True where byte i is replaced by ``255 - byte``.

    Raises:
        DataError: the block is too small, or the channels are neither 1 nor 3.
        ValueError: an array has a wrong type or shape, or is no permutation.
    """

    block: int
    channels: int
    blocks: Indices = field(repr=False)
    permutation: Indices = field(repr=False)
    mask: Mask = field(repr=False)

    def __post_init__(self) -> None:
        check_block(self.block, self.channels)
        size = block_bytes(self.block, self.channels)
        object.__setattr__(self, "blocks", permutation_of(np.size(self.blocks), self.blocks))
        object.__setattr__(self, "permutation", permutation_of(size, self.permutation))
        object.__setattr__(self, "mask", mask_of(size, self.mask))

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> Self:
        """Draw from the streams ``perm/block``, ``perm/byte`` and ``mask/byte``."""
        height, width, channels = descriptor.shape
        block, size = descriptor.block, block_bytes(descriptor.block, channels)
        blocks = Stream(scheme_key, "perm/block").perm(height // block * (width // block))
        permutation = Stream(scheme_key, "perm/byte").perm(size)
        return cls(block, channels, blocks, permutation, Stream(scheme_key, "mask/byte").bits(size))

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Permute the blocks, then the bytes of every block, and reverse.

        Raises:
            DataError: the blocks do not divide the images, or are not as many as the key is for.
        """
        self._demand(images)
        for band in bands(flattened(images)):
            moved = np.empty(images[band].shape, np.uint8)
            move_blocks(images[band], self.block, self.blocks[np.newaxis], moved)
            permute_bytes(moved, self.block, self.permutation, out[band], _flip(self.mask))

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Undo ``encrypt``; errors are the same."""
        self._demand(images)
        inverse, back = inverses(self.permutation), inverses(self.blocks)[np.newaxis]
        for band in bands(flattened(images)):
            mixed = np.empty(images[band].shape, np.uint8)
            permute_bytes(images[band], self.block, inverse, mixed, _flip(self.mask[inverse]))
            move_blocks(mixed, self.block, back, out[band])

    def quality(self) -> Quality:
        """On the bytes of a block; a pixel also moves with its block."""
        keyspace = factorial_bits(self.blocks.size) + factorial_bits(self.permutation.size) + self.mask.size
        inside = Quality.of_bytes(self.permutation, self.mask, self.channels, keyspace)
        staying = float((self.blocks == np.arange(self.blocks.size)).mean())
        return inside.scaled(staying)

    def _demand(self, images: Images) -> None:
        down, across = grid_of(images, self.block)
        if down * across != self.blocks.size:
            raise DataError(f"the key is for images of {self.blocks.size} blocks, got {down * across}")


def _flip(mask: Mask) -> NDArray[np.uint8]:
    return np.where(mask, 255, 0).astype(np.uint8)
