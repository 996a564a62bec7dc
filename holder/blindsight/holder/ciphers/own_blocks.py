"""The kernel of ``ele``: every block of the result takes the nibbles of one block, in an order of its own.

Images are taken in bands of rows of blocks. In a band the pixel rows of blocks are gathered block by block, so that
what a block needs lies within a few hundred bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.blocks import LOW_NIBBLE, NIBBLE_BITS, NIBBLE_VALUES, byte_mask
from blindsight.holder.ciphers.gather import bands, flattened
from blindsight.holder.ciphers.moves import grid_of, runs_of
from blindsight.holder.ciphers.parameters import Indices, Mask
from blindsight.protocol.scheme import Images

BAND_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class OwnBlocks:
    """What every block of the result is made of.

    Args:
        block: side M of a block in pixels.
        taken: ``(N,)``: block k is made of block ``taken[k]``.
        order: ``(N, 2·d)``: nibble i of block k is nibble ``order[k, i]`` of that block, low ones first.
        flip: ``(N, d)`` uint8 that the bytes of block k are XORed with.
    """

    block: int
    taken: Indices = field(repr=False)
    order: Indices = field(repr=False)
    flip: NDArray[np.uint8] = field(repr=False)

    @classmethod
    def of(cls, block: int, taken: Indices, order: Indices, mask: Mask) -> OwnBlocks:
        """From a mask ``(N, 2·d)``: True reverses the nibble that arrives at that index."""
        return cls(block, taken, order, byte_mask(mask.T).T)

    def apply(self, images: Images, out: Images) -> None:
        """Make all images; both contiguous."""
        down, across = grid_of(images, self.block)
        step = max(1, BAND_BYTES // max(1, across * self.flip.shape[1]))
        for band in bands(flattened(images), BAND_BYTES):
            for top in range(0, down, step):
                self._band(images[band], out[band], top * across, min(top + step, down) * across, across)

    def _band(self, images: Images, out: Images, first: int, stop: int, across: int) -> None:
        """Make the blocks from ``first`` to ``stop``, whole rows of blocks."""
        n, count, size = len(images), stop - first, self.flip.shape[1]
        rows, columns = np.divmod(self.taken[first:stop], across)
        lines = np.arange(self.block) * across
        starts = (rows * self.block * across + columns)[:, np.newaxis] + lines
        plain = np.take(runs_of(images, self.block), starts.reshape(-1), axis=1).view(np.uint8).reshape(n, count, size)
        mixed = self._mixed(plain, first, stop).reshape(n, -1).view(f"V{size // self.block}")
        places = np.arange(count).reshape(-1, 1, across) * self.block + np.arange(self.block)[:, np.newaxis]
        into = runs_of(out, self.block)[:, first * self.block : stop * self.block]
        into[:] = np.take(mixed, places.reshape(-1), axis=1)

    def _mixed(self, plain: NDArray[np.uint8], first: int, stop: int) -> NDArray[np.uint8]:
        """Take the nibbles of ``(n, blocks, d)`` bytes."""
        n, count, size = plain.shape
        split = np.concatenate((plain & LOW_NIBBLE, plain >> NIBBLE_BITS), axis=2).reshape(n, -1)
        order = self.order[first:stop] + np.arange(0, 2 * size * count, 2 * size)[:, np.newaxis]
        joined = np.take(split, order.reshape(-1), axis=1, mode="clip").reshape(n, count, 2 * size)
        mixed: NDArray[np.uint8] = np.multiply(joined[:, :, size:], np.uint8(NIBBLE_VALUES))
        mixed |= joined[:, :, :size]
        mixed ^= self.flip[first:stop]
        return mixed
