"""The kernel of the common-key schemes: one permutation and one mask on the units of every block.

A band of blocks is turned into planes, a row for each byte of a block, so that a permutation of units is a gather of
whole rows and everything runs at memory speed. Scratch buffers live for one call: they are reused from band to band
(fresh ones cost page faults) and shared with no other thread. What happens to a block depends on that block alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.parameters import Indices, Mask
from blindsight.holder.ciphers.planes import Grid, Planes, through_planes
from blindsight.protocol.scheme import Images

NIBBLE_BITS = 4
NIBBLE_VALUES = 16  # numpy multiplies bytes by it ten times as fast as it shifts them to the left
LOW_NIBBLE = 0x0F
HIGH_NIBBLE = 0xF0


def permute_bytes(
    images: Images, block: int, permutation: Indices, out: Images, flip: NDArray[np.uint8] | None = None
) -> None:
    """Permute the bytes of every block and perhaps reverse some.

    Args:
        images: ``(n, h, w, c)`` uint8, contiguous.
        block: side M of a block in pixels; divides ``h`` and ``w``.
        permutation: ``(M·M·c,)`` int64, ``out[k] = in[permutation[k]]``, bytes in (row, column, channel) order.
        out: ``(n, h, w, c)`` uint8, contiguous, for the result; may be the images themselves.
        flip: ``(M·M·c,)`` uint8 that the permuted bytes are XORed with; not at all if None.

    Raises:
        DataError: the blocks do not divide the images.
        ValueError: no uint8 batch, or the permutation is for blocks of another size.
    """
    grid = Grid.of(images, block, permutation.size)
    order = grid.relabelled(permutation)
    flips = None if flip is None else flip[grid.order, np.newaxis]

    def mix(planes: Planes, moved: Planes) -> Planes:
        np.take(planes, order, axis=0, out=moved, mode="clip")
        return moved if flips is None else np.bitwise_xor(moved, flips, out=moved)

    through_planes(images, grid, 1, mix, out)


def permute_nibbles(images: Images, block: int, permutation: Indices, mask: Mask, out: Images) -> None:
    """Permute the nibbles of every block and reverse (``15 - nibble``) the masked ones.

    The ``M·M·c`` bytes of a block give twice as many nibbles: all low ones first, then all high ones.

    Args:
        images: ``(n, h, w, c)`` uint8, contiguous.
        block: side M of a block in pixels; divides ``h`` and ``w``.
        permutation: ``(2·M·M·c,)`` int64, ``out[k] = in[permutation[k]]``.
        mask: ``(2·M·M·c,)`` bool; True reverses the nibble that arrives at that index.
        out: ``(n, h, w, c)`` uint8, contiguous, for the result; may be the images themselves.

    Raises:
        DataError: the blocks do not divide the images.
        ValueError: no uint8 batch, or the permutation is for blocks of another size.
    """
    grid = Grid.of(images, block, permutation.size // 2)
    order, flip = grid.relabelled(permutation), byte_mask(mask)[grid.order, np.newaxis]

    def mix(nibbles: Planes, moved: Planes) -> Planes:
        size = len(nibbles) // 2
        np.right_shift(nibbles[:size], NIBBLE_BITS, out=nibbles[size:])
        np.bitwise_and(nibbles[:size], LOW_NIBBLE, out=nibbles[:size])
        low, high = np.split(np.take(nibbles, order, axis=0, out=moved, mode="clip"), 2)
        np.multiply(high, NIBBLE_VALUES, out=high)
        np.bitwise_or(low, high, out=low)
        return np.bitwise_xor(low, flip, out=low)

    through_planes(images, grid, 2, mix, out)


def byte_mask(mask: Mask) -> NDArray[np.uint8]:
    """Fold the reversals of both nibbles of each byte into one XOR, since ``15 - x = x ^ 15``."""
    low, high = np.split(mask, 2)
    return np.where(low, LOW_NIBBLE, 0).astype(np.uint8) | np.where(high, HIGH_NIBBLE, 0).astype(np.uint8)
