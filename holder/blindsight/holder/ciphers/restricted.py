"""``restricted``: some blocks of an image and some bytes of each block are permuted, by a key for each image.

Nobody shares a key: each image's follows from the holder's key and the image's id, and a network is trained on images
under many keys. Much of a picture stays in its place.

Source: Horio et al. 2024, arXiv:2408.08529 (restricted permutation matrices); Aso et al. 2024, arXiv:2408.05737
(disposable keys).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self

import numpy as np

from blindsight.holder.ciphers.gather import bands, flattened
from blindsight.holder.ciphers.moves import grid_of, move_blocks
from blindsight.holder.ciphers.parameters import SAMPLE_IDS, Indices, block_bytes, check_block, inverses
from blindsight.holder.ciphers.quality import Quality, factorial_bits
from blindsight.protocol.keystream import ImageStreams
from blindsight.protocol.scheme import Descriptor, Images

Moved = Callable[[Sequence[str]], Indices]


@dataclass(frozen=True, slots=True, eq=False)
class RestrictedParameters:
    """Which blocks and bytes move, image by image.

    Args:
        shape: ``(h, w, c)`` of every image.
        block: side M of a block in pixels, at least 3.
        blocks_moved: from ids to ``(n, moved)`` integers: different blocks; the place of the i-th smallest takes the
            i-th in this order.
        bytes_moved: the same for the bytes of a block, in all blocks of an image.

    Raises:
        DataError: the block is too small, or the channels are neither 1 nor 3.
    """

    shape: tuple[int, int, int]
    block: int
    blocks_moved: Moved = field(repr=False)
    bytes_moved: Moved = field(repr=False)

    def __post_init__(self) -> None:
        check_block(self.block, self.shape[2])

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> Self:
        """Choose from each image's streams ``moved/block`` and ``moved/byte``."""
        height, width, channels = descriptor.shape
        count = height // descriptor.block * (width // descriptor.block)
        size = block_bytes(descriptor.block, channels)
        blocks, inside = ImageStreams(scheme_key, "moved/block"), ImageStreams(scheme_key, "moved/byte")
        return cls(
            descriptor.shape,
            descriptor.block,
            partial(blocks.chosen, size=count, count=count - int(descriptor.params["fixed_blocks"])),
            partial(inside.chosen, size=size, count=size - int(descriptor.params["fixed_pixels"])),
        )

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Permute blocks, then bytes.

        Raises:
            DataError: the blocks do not divide the images.
        """
        for band in bands(flattened(images)):
            moved = np.empty(images[band].shape, np.uint8)
            move_blocks(images[band], self.block, self._blocks(ids[band]), moved)
            self._permute(moved, self._bytes(ids[band]), out[band])

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Undo ``encrypt`` for the same ids; errors are the same."""
        for band in bands(flattened(images)):
            moved = np.empty(images[band].shape, np.uint8)
            self._permute(images[band], inverses(self._bytes(ids[band])), moved)
            move_blocks(moved, self.block, inverses(self._blocks(ids[band])), out[band])

    def quality(self) -> Quality:
        """On the bytes of a block, as a mean over some images; a pixel also moves with its block."""
        blocks, inside = self._blocks(SAMPLE_IDS), self._bytes(SAMPLE_IDS)
        fixed_blocks = blocks.shape[1] - self.blocks_moved(SAMPLE_IDS).shape[1]
        fixed_bytes = inside.shape[1] - self.bytes_moved(SAMPLE_IDS).shape[1]
        keyspace = factorial_bits(blocks.shape[1]) - factorial_bits(fixed_blocks)
        keyspace += factorial_bits(inside.shape[1]) - factorial_bits(fixed_bytes)
        still = np.zeros(inside.shape[1], np.bool_)
        return Quality.mean(
            Quality.of_bytes(order, still, self.shape[2], keyspace).scaled(
                float((places == np.arange(len(places))).mean())
            )
            for places, order in zip(blocks, inside, strict=True)
        )

    def _blocks(self, ids: Sequence[str]) -> Indices:
        count = self.shape[0] // self.block * (self.shape[1] // self.block)
        return _whole(self.blocks_moved(ids), count)

    def _bytes(self, ids: Sequence[str]) -> Indices:
        return _whole(self.bytes_moved(ids), block_bytes(self.block, self.shape[2]))

    def _permute(self, images: Images, orders: Indices, out: Images) -> None:
        """Permute the bytes of every block, those of each image in its own order: rows of ``(n·d, blocks)``."""
        n, size = orders.shape
        down, across = grid_of(images, self.block)
        cut = (n, down, self.block, across, self.block * self.shape[2])
        planes = np.ascontiguousarray(images.reshape(cut).transpose(0, 2, 4, 1, 3)).reshape(n * size, down * across)
        rows = (orders + np.arange(0, n * size, size)[:, np.newaxis]).reshape(-1)
        turned = np.take(planes, rows, axis=0).reshape(n, self.block, -1, down, across)
        np.copyto(out.reshape(cut), turned.transpose(0, 3, 1, 4, 2))


def _whole(moved: Indices, size: int) -> Indices:
    """Permutations of ``size`` elements from those that move: ``(n, moved)`` to ``(n, size)``.

    Raises:
        ValueError: the same element moves twice, or there is none of that number.
    """
    ordered = np.sort(moved, axis=1)
    if moved.size and not (ordered.min() >= 0 and ordered.max() < size and (np.diff(ordered, axis=1) > 0).all()):
        raise ValueError(f"what moves must be different numbers from 0 to {size - 1}")
    whole = np.repeat(np.arange(size)[np.newaxis], len(moved), axis=0)
    np.put_along_axis(whole, ordered, moved, axis=1)
    return whole
