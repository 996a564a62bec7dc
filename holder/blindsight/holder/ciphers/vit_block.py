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

from blindsight.holder.ciphers.blocks import permute_bytes
from blindsight.holder.ciphers.gather import block_index
from blindsight.holder.ciphers.moves import grid_of, line_sources, runs_of
from blindsight.holder.ciphers.parameters import (
    Indices,
    Mask,
    block_bytes,
    blocks_in,
    check_block,
    inverses,
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
        self._turn(images, self._lines, self.permutation, self._flip, out)

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Undo ``encrypt``: what happens to blocks and what happens in them may change places."""
        inverse = inverses(self.permutation)
        self._turn(images, self._lines_back, inverse, self._flip[inverse], out)

    def quality(self) -> Quality:
        """On the bytes of an image."""
        places = block_index(self.shape, self.block).reshape(self.blocks.size, -1)
        source, changed = np.empty(places.size, np.int64), np.empty(places.size, np.bool_)
        source[places] = places[self.blocks][:, self.permutation]
        changed[places] = self.mask
        keyspace = factorial_bits(self.blocks.size) + factorial_bits(self.permutation.size) + self.mask.size
        return Quality.of_bytes(source, changed, self.shape[2], keyspace)

    def _turn(self, images: Images, lines: Indices, permutation: Indices, flip: NDArray[np.uint8], out: Images) -> None:
        grid_of(images, self.block)
        np.take(runs_of(images, self.block), lines, axis=1, out=runs_of(out, self.block), mode="clip")
        permute_bytes(out, self.block, permutation, out, flip)

    @property
    def _flip(self) -> NDArray[np.uint8]:
        return np.where(self.mask, 255, 0).astype(np.uint8)

    @cached_property
    def _lines(self) -> Indices:
        return line_sources(self.blocks, self.shape, self.block)

    @cached_property
    def _lines_back(self) -> Indices:
        return line_sources(inverses(self.blocks), self.shape, self.block)
