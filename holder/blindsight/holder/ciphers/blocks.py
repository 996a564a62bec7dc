"""The kernel of the common-key schemes: one permutation and one mask on the units of every block.

Images are cut into bands of blocks. A band is copied to planes, one row for each of the ``M·M·C`` bytes of a block and
one column a block, so that a permutation of units is a gather of whole rows and everything between the two copies runs
at memory speed. Scratch buffers live for one call: they are reused from band to band (fresh ones cost page faults) and
shared with no other thread. What happens to a block depends on that block alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.parameters import Indices, Mask
from blindsight.protocol.errors import DataError
from blindsight.protocol.scheme import Images

Planes = NDArray[np.uint8]
Mix = Callable[[Planes], Planes]
BAND_BYTES = 256 * 1024
NIBBLE_BITS = 4
LOW_NIBBLE = 0x0F
HIGH_NIBBLE = 0xF0


def permute_bytes(images: Images, block: int, permutation: Indices, out: Images) -> None:
    """Permute the bytes of every block.

    Args:
        images: ``(n, h, w, c)`` uint8, contiguous; never written to.
        block: side M of a block in pixels; divides ``h`` and ``w``.
        permutation: ``(M·M·c,)`` int64, ``out[k] = in[permutation[k]]``, bytes in (row, column, channel) order.
        out: ``(n, h, w, c)`` uint8, contiguous, for the result.

    Raises:
        DataError: the blocks do not divide the images.
        ValueError: no uint8 batch, or the permutation is for blocks of another size.
    """
    grid = _Grid.of(images, block, permutation.size)
    moved = np.empty(grid.band * grid.across * permutation.size, np.uint8)

    def mix(planes: Planes) -> Planes:
        return np.take(planes, permutation, axis=0, out=_cut(moved, planes.shape), mode="clip")

    _through_planes(images, grid, mix, out)


def permute_nibbles(images: Images, block: int, permutation: Indices, mask: Mask, out: Images) -> None:
    """Permute the nibbles of every block and reverse (``15 - nibble``) the masked ones.

    The ``M·M·c`` bytes of a block give twice as many nibbles: all low ones first, then all high ones.

    Args:
        images: ``(n, h, w, c)`` uint8, contiguous; never written to.
        block: side M of a block in pixels; divides ``h`` and ``w``.
        permutation: ``(2·M·M·c,)`` int64, ``out[k] = in[permutation[k]]``.
        mask: ``(2·M·M·c,)`` bool; True reverses the nibble that arrives at that index.
        out: ``(n, h, w, c)`` uint8, contiguous, for the result.

    Raises:
        DataError: the blocks do not divide the images.
        ValueError: no uint8 batch, or the permutation is for blocks of another size.
    """
    grid = _Grid.of(images, block, permutation.size // 2)
    room = grid.band * grid.across * permutation.size
    nibbles, moved = np.empty(room, np.uint8), np.empty(room, np.uint8)
    flip = byte_mask(mask)[:, np.newaxis]

    def mix(planes: Planes) -> Planes:
        d, n = planes.shape
        split = _cut(nibbles, (2 * d, n))
        np.bitwise_and(planes, LOW_NIBBLE, out=split[:d])
        np.right_shift(planes, NIBBLE_BITS, out=split[d:])
        joined = np.take(split, permutation, axis=0, out=_cut(moved, (2 * d, n)), mode="clip")
        np.left_shift(joined[d:], NIBBLE_BITS, out=planes)
        np.bitwise_or(planes, joined[:d], out=planes)
        return np.bitwise_xor(planes, flip, out=planes)

    _through_planes(images, grid, mix, out)


def byte_mask(mask: Mask) -> NDArray[np.uint8]:
    """Fold the reversals of both nibbles of each byte into one XOR, since ``15 - x = x ^ 15``."""
    low, high = np.split(mask, 2)
    return np.where(low, LOW_NIBBLE, 0).astype(np.uint8) | np.where(high, HIGH_NIBBLE, 0).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class _Grid:
    """How a batch falls into blocks: rows of blocks, blocks across, bytes in one pixel row of a block, rows a band."""

    block: int
    rows: int
    across: int
    run: int
    band: int

    @classmethod
    def of(cls, images: Images, block: int, size: int) -> _Grid:
        n, h, w, c = images.shape
        if images.dtype != np.uint8 or size != block * block * c:
            raise ValueError(
                f"expected uint8 images of {size} bytes a block, got {images.dtype} of {block * block * c}"
            )
        if h % block or w % block:
            raise DataError(
                f"{h}x{w} images do not divide into blocks of {block}x{block}",
                hint="choose another --block, or --fit pad",
            )
        band = max(1, BAND_BYTES // max(1, block * w * c))
        return cls(block, n * (h // block), w // block, block * c, min(band, max(1, n * (h // block))))

    def runs(self, images: Images) -> NDArray[np.void]:
        """View contiguous images as ``(rows, block, across)`` items, each a pixel row of one block."""
        item = np.dtype((np.void, self.run))
        return images.reshape(self.rows, self.block, self.across * self.run).view(item)


def _through_planes(images: Images, grid: _Grid, mix: Mix, out: Images) -> None:
    before, after = grid.runs(images), grid.runs(out)
    size = grid.band * grid.across * grid.block * grid.run
    gathered, planes = np.empty(size, np.uint8), np.empty(size, np.uint8)
    for start in range(0, grid.rows, grid.band):
        stop = min(start + grid.band, grid.rows)
        mixed = mix(_to_planes(before[start:stop], gathered, planes))
        _from_planes(mixed, gathered, after[start:stop])


def _to_planes(runs: NDArray[np.void], gathered: Planes, planes: Planes) -> Planes:
    """Copy a band of runs to ``(M·M·C, blocks)``: first whole runs side by side, then a plain transposition."""
    rows, block, across = runs.shape
    run, blocks = runs.dtype.itemsize, rows * across
    beside = _cut(gathered, (block, blocks, run))
    np.copyto(beside.view(runs.dtype).reshape(block, rows, across), runs.transpose(1, 0, 2))
    np.copyto(_cut(planes, (block, run, blocks)), beside.transpose(0, 2, 1))
    return _cut(planes, (block * run, blocks))


def _from_planes(planes: Planes, gathered: Planes, runs: NDArray[np.void]) -> None:
    """Undo ``_to_planes`` into a band of the result."""
    rows, block, across = runs.shape
    run, blocks = runs.dtype.itemsize, rows * across
    beside = _cut(gathered, (block, blocks, run))
    np.copyto(beside.transpose(0, 2, 1), planes.reshape(block, run, blocks))
    np.copyto(runs, beside.view(runs.dtype).reshape(block, rows, across).transpose(1, 0, 2))


def _cut(scratch: Planes, shape: tuple[int, ...]) -> Planes:
    """The front of a flat scratch buffer in the shape of the band at hand."""
    return scratch[: int(np.prod(shape))].reshape(shape)
