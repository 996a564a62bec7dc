"""``vit-block``: blocks are permuted; in each, bytes are permuted and some reversed, alike in all blocks.

With the side of a block equal to the patch of a vision transformer, the patch embedding absorbs what happens inside a
block and the position embedding absorbs the order of the blocks.

Source: Kiya et al. 2022, arXiv:2207.05366; Qi et al. 2022, arXiv:2205.12041; reversal as in their negative-positive
step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.gather import block_index, gather_bytes
from blindsight.holder.ciphers.parameters import (
    Indices,
    Mask,
    block_bytes,
    blocks_in,
    check_block,
    mask_of,
    permutation_of,
)
from blindsight.holder.ciphers.quality import Quality, factorial_bits
from blindsight.protocol.keystream import Stream
from blindsight.protocol.scheme import Descriptor, Images


@dataclass(frozen=True, eq=False)
class VitBlockParameters:
    """One permutation of the blocks, one of the bytes of a block, one reversal mask.

    Args:
        shape: ``(h, w, c)`` of every image.
        block: side M of a block in pixels, at least 3.
        blocks: ``(number of blocks,)`` integers: block k of the result is made of block ``blocks[k]``.
        permutation: ``(M·M·channels,)`` integers: byte i of a block is taken from byte ``permutation[i]``.
        mask: ``(M·M·channels,)`` bool: True where byte i is replaced by ``255 - byte``.

    Raises:
        DataError: the block is too small, or the channels are neither 1 nor 3.
        ValueError: an array has a wrong type or shape, or is no permutation.
    """

    shape: tuple[int, int, int]
    block: int
    blocks: Indices = field(repr=False)
    permutation: Indices = field(repr=False)
    mask: Mask = field(repr=False)

    def __post_init__(self) -> None:
        check_block(self.block, self.shape[2])
        count, size = blocks_in(self.shape, self.block), block_bytes(self.block, self.shape[2])
        object.__setattr__(self, "blocks", permutation_of(count, self.blocks))
        object.__setattr__(self, "permutation", permutation_of(size, self.permutation))
        object.__setattr__(self, "mask", mask_of(size, self.mask))

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> Self:
        """Draw from the streams ``perm/block``, ``perm/byte`` and ``mask/byte``."""
        height, width, channels = descriptor.shape
        block, size = descriptor.block, block_bytes(descriptor.block, channels)
        blocks = Stream(scheme_key, "perm/block").perm(height // block * (width // block))
        permutation = Stream(scheme_key, "perm/byte").perm(size)
        return cls(descriptor.shape, block, blocks, permutation, Stream(scheme_key, "mask/byte").bits(size))

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Permute the blocks, permute the bytes of every block, and reverse."""
        gather_bytes(images, *self._forth, out)

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Undo ``encrypt``."""
        gather_bytes(images, *self._back, out)

    def quality(self) -> Quality:
        """On the bytes of an image."""
        source, flip = self._forth
        keyspace = factorial_bits(self.blocks.size) + factorial_bits(self.permutation.size) + self.mask.size
        return Quality.of_bytes(source, flip > 0, self.shape[2], keyspace)

    @cached_property
    def _forth(self) -> tuple[Indices, NDArray[np.uint8]]:
        """From which byte of the image each byte comes, and what it is XORed with."""
        places = block_index(self.shape, self.block).reshape(self.blocks.size, -1)
        source, flip = np.empty(places.size, np.int64), np.empty(places.size, np.uint8)
        source[places] = places[self.blocks][:, self.permutation]
        flip[places] = np.where(self.mask, 255, 0)
        return source, flip

    @cached_property
    def _back(self) -> tuple[Indices, NDArray[np.uint8]]:
        source, flip = self._forth
        inverse = np.argsort(source)
        return inverse, flip[inverse]
