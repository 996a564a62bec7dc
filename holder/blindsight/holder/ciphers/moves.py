"""The kernel of schemes that move whole blocks: pixel rows of blocks are gathered as single items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.parameters import Indices
from blindsight.protocol.errors import DataError
from blindsight.protocol.scheme import Images


def move_blocks(images: Images, block: int, sources: Indices, out: Images) -> None:
    """Take every block of every image from some place of the same image.

    Args:
        images: ``(n, h, w, c)`` uint8, contiguous; never written to.
        block: side M of a block in pixels; divides ``h`` and ``w``.
        sources: ``(n, blocks)`` int64: block k of the result is block ``sources[k]``, blocks counted row by row.
        out: the same shape, contiguous, for the result.

    Raises:
        DataError: the blocks do not divide the images.
    """
    n, height = images.shape[:2]
    down, across = grid_of(images, block)
    rows, columns = np.divmod(sources.reshape(-1, down, 1, across), across)
    starts = rows * (block * across) + columns + np.arange(block)[:, np.newaxis] * across
    starts += (np.arange(n) * (height * across))[:, np.newaxis, np.newaxis, np.newaxis]
    np.take(runs_of(images, block).reshape(-1), starts.reshape(-1), out=runs_of(out, block).reshape(-1), mode="clip")


def line_sources(blocks: Indices, shape: tuple[int, int, int], block: int) -> Indices:
    """Which pixel row of a block stands in the place of which, as ``runs_of`` counts them.

    Args:
        blocks: ``(N,)``: block k of the result is block ``blocks[k]``, blocks counted row by row.
        shape: ``(h, w, c)`` of every image.
        block: side M of a block in pixels.

    Returns:
        ``(h·w/M,)`` int64.
    """
    across = shape[1] // block
    rows, columns = np.divmod(blocks.reshape(-1, 1, across), across)
    return (rows * (block * across) + columns + np.arange(block)[:, np.newaxis] * across).reshape(-1)


def grid_of(images: Images, block: int) -> tuple[int, int]:
    """Blocks of an image from top to bottom and from left to right.

    Raises:
        DataError: the blocks do not divide the images.
    """
    height, width = images.shape[1:3]
    if height % block or width % block:
        raise DataError(
            f"{height}x{width} images do not divide into blocks of {block}x{block}",
            hint="choose another --block, or --fit pad",
        )
    return height // block, width // block


def runs_of(images: Images, block: int) -> NDArray[np.void]:
    """View contiguous images as ``(n, h·w/M)`` items, each a pixel row of one block."""
    n, height, width, channels = images.shape
    item = np.dtype((np.void, block * channels))
    return images.reshape(n, height * width * channels).view(item)
