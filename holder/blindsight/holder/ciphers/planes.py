"""Between images and planes: a row for each byte of a block, a column a block.

Images are cut into bands of rows of blocks, and a band is turned into ``(M·M·C, blocks)`` bytes, so that a permutation
of bytes is a gather of whole rows. Which byte of a block a row holds is the layout's affair (``Grid.order``), and so is
the order of the columns, since what happens to a block depends on that block alone.

Where a pixel row of a block is a number of whole words of four bytes, words are moved instead of bytes, and four rows
of words, from different blocks, become four rows of bytes by exchanging halves and then bytes in place: numpy moves
scattered items at 0.3 ns each, whether they are one byte or eight, and works on whole rows at 50 GB/s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.parameters import Indices
from blindsight.protocol.errors import DataError
from blindsight.protocol.scheme import Images

Planes = NDArray[np.uint8]
Mix = Callable[[Planes, Planes], Planes]
Words = NDArray[np.uint32]
BAND_BYTES = 1024 * 1024
FEWEST_BYTES = 32 * 1024  # below, moving words costs more calls than it saves
WORD = 4
LITTLE = np.dtype("<u4")
HALVES, BYTES = (np.uint32(16), np.uint32(0x0000FFFF)), (np.uint32(8), np.uint32(0x00FF00FF))


@dataclass(frozen=True, slots=True)
class Grid:
    """How a batch falls into blocks.

    Args:
        block: side of a block in pixels.
        rows: rows of blocks in the whole batch.
        across: blocks across an image.
        run: bytes of one pixel row of a block.
        band: rows of blocks that are turned together, a multiple of four unless there are none.
        words: words in one pixel row of a block, or 0 where bytes are moved.
    """

    block: int
    rows: int
    across: int
    run: int
    band: int
    words: int

    @classmethod
    def of(cls, images: Images, block: int, size: int) -> Grid:
        """The grid of a batch.

        Args:
            images: ``(n, h, w, c)`` uint8.
            block: side of a block in pixels.
            size: bytes a block that are expected.

        Raises:
            DataError: the blocks do not divide the images.
            ValueError: no uint8 batch, or blocks of another size.
        """
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
        rows = n * (h // block)
        band = min(max(WORD, BAND_BYTES // (block * w * c) // WORD * WORD), -(-rows // WORD) * WORD)
        by_words = block * c % WORD == 0 and rows >= WORD and images.nbytes >= FEWEST_BYTES
        words = block * c // WORD if by_words else 0
        return cls(block, rows, w // block, block * c, max(1, band), words)

    @property
    def order(self) -> Indices:
        """Which byte of a block each plane holds: ``(M·M·C,)``."""
        places = np.arange(self.block * self.run)
        if not self.words:
            return places
        return places.reshape(self.block, self.words, WORD).transpose(2, 1, 0).reshape(-1)

    @property
    def band_bytes(self) -> int:
        """Bytes of a band."""
        return self.band * self.across * self.block * self.run

    def relabelled(self, permutation: Indices) -> Indices:
        """A permutation of the bytes of a block, or of several units a byte, as one of planes.

        Args:
            permutation: ``(k·M·M·C,)``: unit u of byte b is number ``u·M·M·C + b``.
        """
        order = self.order
        places, units = np.argsort(order), permutation.reshape(-1, len(order))[:, order]
        return (units // len(order) * len(order) + places[units % len(order)]).reshape(-1)


def through_planes(images: Images, grid: Grid, units: int, mix: Mix, out: Images) -> None:
    """Turn a batch into planes, band by band, do something to them, and turn them back.

    Args:
        images: ``(n, h, w, c)`` uint8, contiguous.
        grid: of these images.
        units: what a byte becomes: 1, or 2 for nibbles.
        mix: gets two arrays ``(units·M·M·C, blocks)``: the first begins with the planes, the second is scratch where it
            leaves its result, ``M·M·C`` rows, and returns them. It may write to both.
        out: contiguous, for the result; may be the images themselves.
    """
    first, second = np.empty(units * grid.band_bytes, np.uint8), np.empty(units * grid.band_bytes, np.uint8)
    row = grid.block * grid.run * grid.across
    before, after = images.reshape(grid.rows, row), out.reshape(grid.rows, row)
    turn = _by_words if grid.words else _by_runs
    for start in range(0, grid.rows, grid.band):
        band = slice(start, start + grid.band)
        size = units * before[band].size
        turn(before[band], grid, mix, first[:size], second[:size], after[band])


def _by_words(before: Planes, grid: Grid, mix: Mix, first: Planes, second: Planes, after: Planes) -> None:
    if missing := -len(before) % WORD:
        whole = np.concatenate((before, np.zeros((missing, before.shape[1]), np.uint8)))
        room = np.empty((2, whole.size * (first.size // before.size)), np.uint8)
        _by_words(whole, grid, mix, room[0], room[1], whole)
        np.copyto(after, whole[: len(before)])
        return
    size = before.size
    _words_in(before.reshape(-1), grid, second[:size], first[:size])
    mixed = mix(*_rows(grid, size, first, second))
    _words_out(mixed.reshape(-1), grid, first[:size], after.reshape(-1))


def _by_runs(before: Planes, grid: Grid, mix: Mix, first: Planes, second: Planes, after: Planes) -> None:
    size = before.size
    _runs_in(before, grid, second[:size], first[:size])
    _runs_out(mix(*_rows(grid, size, first, second)), grid, first[:size], after)


def _rows(grid: Grid, size: int, first: Planes, second: Planes) -> tuple[Planes, Planes]:
    blocks = size // (grid.block * grid.run)
    return first.reshape(-1, blocks), second.reshape(-1, blocks)


def _words_in(band: Planes, grid: Grid, room: Planes, planes: Planes) -> None:
    """Word w of every run to row w; rows of blocks to four quarters, pixel rows before them; then the bytes."""
    apart, pieces = room.view(LITTLE).reshape(grid.words, -1), band.view(LITTLE).reshape(-1, grid.words)
    for word in range(grid.words):
        np.copyto(apart[word], pieces[:, word])
    np.copyto(*_lines(planes, room, grid))
    _exchange(planes.view(LITTLE).reshape(WORD, -1), room.view(LITTLE))


def _words_out(planes: Planes, grid: Grid, room: Planes, band: Planes) -> None:
    """Undo ``_words_in``."""
    _exchange(planes.view(LITTLE).reshape(WORD, -1), room.view(LITTLE))
    quarters, apart = _lines(planes, room, grid)
    np.copyto(apart, quarters)
    rows, pieces = room.view(LITTLE).reshape(grid.words, -1), band.view(LITTLE).reshape(-1, grid.words)
    for word in range(grid.words):
        np.copyto(pieces[:, word], rows[word])


def _lines(planes: Planes, room: Planes, grid: Grid) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Planes and scratch as items of one word of all blocks across: ``(4, words, M, rows of blocks / 4)``."""
    item = np.dtype((np.void, WORD * grid.across))
    apart = room.view(item).reshape(grid.words, WORD, -1, grid.block).transpose(1, 0, 3, 2)
    return planes.view(item).reshape(WORD, grid.words, grid.block, -1), apart


def _exchange(words: Words, room: Words) -> None:
    """In place: bytes j of the words k of all four rows become word k of row j. Its own inverse."""
    spare = room[: words.size // 2].reshape(2, -1)
    _swap(words[:2], words[2:], *HALVES, spare)
    _swap(words[::2], words[1::2], *BYTES, spare)


def _swap(low: Words, high: Words, shift: np.uint32, mask: np.uint32, spare: Words) -> None:
    """Exchange the upper parts of ``low`` with the lower parts of ``high``."""
    np.right_shift(low, shift, out=spare)
    np.bitwise_xor(spare, high, out=spare)
    np.bitwise_and(spare, mask, out=spare)
    np.bitwise_xor(high, spare, out=high)
    np.left_shift(spare, shift, out=spare)
    np.bitwise_xor(low, spare, out=low)


def _runs_in(band: Planes, grid: Grid, room: Planes, planes: Planes) -> None:
    """First whole runs side by side, then a plain transposition."""
    beside, runs = _beside(band, grid, room)
    np.copyto(beside, runs)
    np.copyto(planes.reshape(grid.block, grid.run, -1), _bytes(beside, grid).transpose(0, 2, 1))


def _runs_out(planes: Planes, grid: Grid, room: Planes, band: Planes) -> None:
    """Undo ``_runs_in``."""
    beside, runs = _beside(band, grid, room)
    np.copyto(_bytes(beside, grid).transpose(0, 2, 1), planes.reshape(grid.block, grid.run, -1))
    np.copyto(runs, beside)


def _beside(band: Planes, grid: Grid, room: Planes) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Scratch and band as runs: ``(M, rows of blocks, across)``."""
    item = np.dtype((np.void, grid.run))
    runs = band.reshape(-1).view(item).reshape(len(band), grid.block, grid.across)
    return room[: band.size].view(item).reshape(grid.block, len(band), grid.across), runs.transpose(1, 0, 2)


def _bytes(beside: NDArray[np.void], grid: Grid) -> Planes:
    return beside.view(np.uint8).reshape(grid.block, -1, grid.run)
