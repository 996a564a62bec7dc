"""``etc``: blocks are permuted, turned, mirrored, negated, their colours permuted: what JPEG can still compress.

Source: the encryption-then-compression line of Kurihara, Chuman, Kiya and others (four keys: order of the blocks;
turn and mirror; negative-positive; colours); arXiv:2204.07707 for networks on such images. Turn and mirror are drawn
independently here: the eight symmetries of a square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import log2
from typing import Self

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.colours import ORDERS
from blindsight.holder.ciphers.gather import block_index, gather_bytes
from blindsight.holder.ciphers.parameters import (
    Indices,
    Mask,
    blocks_in,
    check_block,
    integers_of,
    inverses,
    masks_of,
    permutation_of,
)
from blindsight.holder.ciphers.quality import Quality, factorial_bits
from blindsight.protocol.keystream import Stream
from blindsight.protocol.scheme import Descriptor, Images

TURNS, QUARTERS, COLOURS = 8, 4, 3


@dataclass(frozen=True, eq=False)
class EtcParameters:
    """What becomes of every block.

    Args:
        shape: ``(h, w, c)`` of every image.
        block: side M of a block in pixels.
        blocks: ``(N,)`` integers: block k of the result is made of block ``blocks[k]``.
        turns: ``(N,)`` integers from 0 to 7: from 4 on block k is mirrored left to right; then it is turned by
            ``turns[k] mod 4`` quarters counter-clockwise.
        negatives: ``(N,)`` bool: True where the bytes of block k are replaced by ``255 - byte``.
        orders: ``(N,)`` integers from 0 to 5: how its colours are permuted (``colours.ORDERS``); all 0 for grey images.

    Raises:
        DataError: the block is below 1, or the channels are neither 1 nor 3.
        ValueError: an array has a wrong type, shape or range.
    """

    shape: tuple[int, int, int]
    block: int
    blocks: Indices = field(repr=False)
    turns: Indices = field(repr=False)
    negatives: Mask = field(repr=False)
    orders: Indices = field(repr=False)

    def __post_init__(self) -> None:
        check_block(self.block, self.shape[2], least=1)
        count, colours = blocks_in(self.shape, self.block), len(ORDERS) if self.shape[2] == COLOURS else 1
        object.__setattr__(self, "blocks", permutation_of(count, self.blocks))
        object.__setattr__(self, "turns", integers_of("the turns", (count,), TURNS, self.turns))
        object.__setattr__(self, "negatives", masks_of((count,), self.negatives))
        object.__setattr__(self, "orders", integers_of("the orders", (count,), colours, self.orders))

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> Self:
        """Draw from the streams ``perm/block``, ``turn/block``, ``mask/block`` and ``order/block``."""
        height, width, channels = descriptor.shape
        count = height // descriptor.block * (width // descriptor.block)
        blocks = Stream(scheme_key, "perm/block").perm(count)
        turns = Stream(scheme_key, "turn/block").belows(np.full(count, TURNS))
        negatives = Stream(scheme_key, "mask/block").bits(count)
        orders = np.zeros(count, np.int64)
        if channels == COLOURS:
            orders = Stream(scheme_key, "order/block").belows(np.full(count, len(ORDERS)))
        return cls(descriptor.shape, descriptor.block, blocks, turns, negatives, orders)

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Move and change every block."""
        gather_bytes(images, self._source, self._flip, out)

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Undo ``encrypt``."""
        gather_bytes(images, *self._back, out)

    def quality(self) -> Quality:
        """On the bytes of an image."""
        per_block = log2(TURNS) + 1 + (log2(len(ORDERS)) if self.shape[2] == COLOURS else 0.0)
        keyspace = factorial_bits(self.blocks.size) + self.blocks.size * per_block
        return Quality.of_bytes(self._source, self._flip > 0, self.shape[2], keyspace)

    @cached_property
    def _source(self) -> Indices:
        places = block_index(self.shape, self.block)
        taken = places[self.blocks]
        for turn in range(TURNS):
            of_kind = self.turns == turn
            mirrored = taken[of_kind][:, :, ::-1] if turn >= QUARTERS else taken[of_kind]
            taken[of_kind] = np.rot90(mirrored, turn % QUARTERS, axes=(1, 2))
        if self.shape[2] == COLOURS:
            taken = np.take_along_axis(taken, ORDERS[self.orders][:, np.newaxis, np.newaxis], axis=3)
        source = np.empty(int(np.prod(self.shape)), np.int64)
        source[places] = taken
        return source

    @cached_property
    def _flip(self) -> NDArray[np.uint8]:
        flip = np.empty(int(np.prod(self.shape)), np.uint8)
        flip[block_index(self.shape, self.block)] = np.where(self.negatives, 255, 0)[
            :, np.newaxis, np.newaxis, np.newaxis
        ]
        return flip

    @cached_property
    def _back(self) -> tuple[Indices, NDArray[np.uint8]]:
        inverse = inverses(self._source)
        return inverse, self._flip[inverse]
