"""``block-shuffle``: the bytes of every block are permuted, by one permutation for all blocks and images.

Source: Tanaka 2018, arXiv:1804.00490, section IV, "naive block-wise pixel shuffle"; the permutation crosses channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from blindsight.holder.ciphers.blocks import permute_bytes
from blindsight.holder.ciphers.parameters import Indices, check_block, permutation_of
from blindsight.holder.ciphers.quality import Quality, factorial_bits
from blindsight.protocol.keystream import Stream
from blindsight.protocol.scheme import Descriptor, Images


@dataclass(frozen=True, slots=True, eq=False)
class BlockShuffleParameters:
    """One permutation of the bytes of a block.

    Args:
        block: side M of a block in pixels, at least 3.
        channels: 1 or 3.
        permutation: ``(M·M·channels,)`` integers, ``out[k] = in[permutation[k]]``; bytes of a block in (row, column,
            channel) order, channel fastest.

    Raises:
        DataError: the block is too small, or the channels are neither 1 nor 3.
        ValueError: the permutation has a wrong type or shape, or is not a permutation.
    """

    block: int
    channels: int
    permutation: Indices = field(repr=False)

    def __post_init__(self) -> None:
        check_block(self.block, self.channels)
        size = self.block * self.block * self.channels
        object.__setattr__(self, "permutation", permutation_of(size, self.permutation))

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> Self:
        """Draw the permutation from the stream ``perm/byte``.

        Args:
            scheme_key: 32 bytes.
            descriptor: gives block and channels.

        Raises:
            DataError: the block is too small, or the channels are neither 1 nor 3.
        """
        block, channels = descriptor.block, descriptor.shape[2]
        check_block(block, channels)
        return cls(block, channels, Stream(scheme_key, "perm/byte").perm(block * block * channels))

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Permute the bytes of every block.

        Raises:
            DataError: the blocks do not divide the images.
        """
        permute_bytes(images, self.block, self.permutation, out)

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Undo ``encrypt``; errors are the same."""
        permute_bytes(images, self.block, np.argsort(self.permutation), out)

    def quality(self) -> Quality:
        """On the bytes of a block."""
        size = self.permutation.size
        return Quality.of_bytes(self.permutation, np.zeros(size, np.bool_), self.channels, factorial_bits(size))
