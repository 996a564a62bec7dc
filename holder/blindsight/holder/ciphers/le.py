"""``le``: the nibbles of every block are permuted and some reversed, by one key for all blocks and images.

A block of M x M pixels is flattened in (row, column, channel) order, channel fastest, to ``d = M·M·C`` bytes and then
to the vector ``x`` of ``2·d`` nibbles: the low nibbles first, then the high ones. Encryption is

    y[i] = x[permutation[i]]        or ``15 - x[permutation[i]]`` where ``mask[i]``

and byte ``k`` of the result is ``(y[d + k] << 4) + y[k]``. The mask is drawn independently of the permutation and holds
the net reversals; in Tanaka's program it follows from the permutation: ``mask = rev ^ rev[permutation]`` with
``rev = permutation > d``.

Source: Tanaka 2018, arXiv:1804.00490, section III.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from blindsight.holder.ciphers.blocks import permute_nibbles
from blindsight.holder.ciphers.parameters import Indices, Mask, check_block, mask_of, permutation_of
from blindsight.holder.ciphers.quality import Quality, factorial_bits
from blindsight.protocol.keystream import Stream
from blindsight.protocol.scheme import Descriptor, Images


@dataclass(frozen=True, slots=True, eq=False)
class LeParameters:
    """One permutation of the nibbles of a block and one reversal mask.

    Args:
        block: side M of a block in pixels, at least 3.
        channels: 1 or 3.
        permutation: ``(2·M·M·channels,)`` integers, ``y[i] = x[permutation[i]]``.
        mask: ``(2·M·M·channels,)`` bool, the net reversals: True where ``y[i]`` is reversed.

    Raises:
        DataError: the block is too small, or the channels are neither 1 nor 3.
        ValueError: the permutation or the mask has a wrong type or shape, or the permutation is none.
    """

    block: int
    channels: int
    permutation: Indices = field(repr=False)
    mask: Mask = field(repr=False)

    def __post_init__(self) -> None:
        check_block(self.block, self.channels)
        size = 2 * self.block * self.block * self.channels
        object.__setattr__(self, "permutation", permutation_of(size, self.permutation))
        object.__setattr__(self, "mask", mask_of(size, self.mask))

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> Self:
        """Draw the permutation from the stream ``perm/nibble`` and the mask from ``mask/nibble``.

        Args:
            scheme_key: 32 bytes.
            descriptor: gives block and channels.

        Raises:
            DataError: the block is too small, or the channels are neither 1 nor 3.
        """
        block, channels = descriptor.block, descriptor.shape[2]
        check_block(block, channels)
        size = 2 * block * block * channels
        permutation = Stream(scheme_key, "perm/nibble").perm(size)
        return cls(block, channels, permutation, Stream(scheme_key, "mask/nibble").bits(size))

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Permute and reverse the nibbles of every block.

        Raises:
            DataError: the blocks do not divide the images.
        """
        permute_nibbles(images, self.block, self.permutation, self.mask, out)

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Undo ``encrypt``; errors are the same."""
        inverse = np.argsort(self.permutation)
        permute_nibbles(images, self.block, inverse, self.mask[inverse], out)

    def quality(self) -> Quality:
        """On the nibbles of a block."""
        keyspace = factorial_bits(self.permutation.size) + self.mask.size
        return Quality.of_nibbles(self.permutation[np.newaxis], self.mask[np.newaxis], self.channels, keyspace)
