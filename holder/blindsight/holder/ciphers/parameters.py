"""What all schemes demand of explicit parameters, and parameters that differ from image to image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blindsight.protocol.errors import DataError
from blindsight.protocol.scheme import CHANNELS, MIN_BLOCK

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
T = TypeVar("T", bound=np.generic)
Orders = Callable[[Sequence[str], int], Indices]

SAMPLE_IDS = tuple(f"quality/{number}" for number in range(8))
"""Images that stand for all when a key that draws for each image is judged."""


def check_block(block: int, channels: int, least: int = MIN_BLOCK) -> None:
    """Demand a block with enough units to permute, on grey or colour images.

    Raises:
        DataError: the block is smaller than ``least``, or there are neither 1 nor 3 channels.
    """
    if block < least:
        raise DataError(f"blocks must be at least {least} pixels wide, got {block}", hint="use --block 4")
    check_channels(channels)


def check_channels(channels: int) -> None:
    """Demand grey or colour images.

    Raises:
        DataError: there are neither 1 nor 3 channels.
    """
    if channels not in CHANNELS:
        raise DataError(f"images must have 1 or 3 channels, got {channels}", hint="use --channels 3")


def block_bytes(block: int, channels: int) -> int:
    """Bytes of a block."""
    return block * block * channels


def blocks_in(shape: tuple[int, int, int], block: int) -> int:
    """How many blocks an image has.

    Raises:
        DataError: they do not divide it.
    """
    height, width, _ = shape
    if height % block or width % block:
        raise DataError(
            f"{height}x{width} images do not divide into blocks of {block}x{block}",
            hint="choose another --block, or --fit pad",
        )
    return height // block * (width // block)


def permutation_of(size: int, values: ArrayLike) -> Indices:
    """A read-only copy of a permutation.

    Args:
        size: number of units.
        values: ``(size,)`` integers, each of ``0 … size - 1`` once.

    Returns:
        ``(size,)`` int64, not writeable.

    Raises:
        ValueError: wrong type, wrong shape, or not a permutation.
    """
    return permutations_of((size,), values)


def permutations_of(shape: tuple[int, ...], values: ArrayLike) -> Indices:
    """A read-only copy of permutations, one along each last axis.

    Args:
        shape: of the array; the last side is the number of units.
        values: integers.

    Returns:
        ``shape`` int64, not writeable.

    Raises:
        ValueError: wrong type, wrong shape, or not permutations.
    """
    copy = integers_of("a permutation", shape, shape[-1], values)
    if not np.array_equal(np.sort(copy, axis=-1), np.broadcast_to(np.arange(shape[-1]), shape)):
        raise ValueError(f"the permutation must hold each of 0 to {shape[-1] - 1} once")
    return copy


def integers_of(what: str, shape: tuple[int, ...], bound: int, values: ArrayLike) -> Indices:
    """A read-only copy of integers below a bound.

    Args:
        what: their name in the error sentence.
        shape: of the array.
        bound: one more than the largest.
        values: integers of ``0 … bound - 1``.

    Returns:
        ``shape`` int64, not writeable.

    Raises:
        ValueError: wrong type, shape or range.
    """
    given = np.asarray(values)
    if given.dtype.kind not in "iu":
        raise ValueError(f"{what} must hold integers, got {given.dtype}")
    if given.shape != shape:
        raise ValueError(f"{what} must have shape {shape}, got {given.shape}")
    if given.size and not (given.min() >= 0 and given.max() < bound):
        raise ValueError(f"{what} must hold integers from 0 to {bound - 1}, got {given.min()} to {given.max()}")
    return _frozen(given.astype(np.int64))


def mask_of(size: int, values: ArrayLike) -> Mask:
    """A read-only copy of a mask.

    Args:
        size: number of units.
        values: ``(size,)`` bool.

    Returns:
        ``(size,)`` bool, not writeable.

    Raises:
        ValueError: wrong type or wrong shape.
    """
    return masks_of((size,), values)


def masks_of(shape: tuple[int, ...], values: ArrayLike) -> Mask:
    """A read-only copy of a mask of any shape; raises as ``mask_of`` does."""
    given = np.asarray(values)
    if given.dtype != np.bool_:
        raise ValueError(f"a mask must hold booleans, got {given.dtype}")
    if given.shape != shape:
        raise ValueError(f"the mask must have shape {shape}, got {given.shape}")
    return _frozen(given.copy())


def for_images(given: Mapping[str, ArrayLike]) -> Orders:
    """Permutations given by hand, one an image.

    Args:
        given: image id → permutation, integers.

    Returns:
        What schemes with a key for each image take: ids and the number of elements → ``(n, elements)`` int64. It
        raises ValueError for an image that has none, or whose values are no permutation of that many elements.
    """
    return _Given(given)


class _Given:
    def __init__(self, given: Mapping[str, ArrayLike]) -> None:
        self.ids = tuple(given)
        self._given = dict(given)

    def __call__(self, ids: Sequence[str], size: int) -> Indices:
        if unknown := [image for image in ids if image not in self._given]:
            raise ValueError(f"there is no permutation for image {unknown[0]!r}")
        rows = [permutation_of(size, self._given[image]) for image in ids]
        return np.array(rows, np.int64).reshape(len(ids), size)


def sample_ids(orders: object) -> tuple[str, ...]:
    """Images on which a key is judged: those that it was given for, or a fixed sample."""
    return orders.ids if isinstance(orders, _Given) else SAMPLE_IDS


def shaped(what: str, values: NDArray[T], shape: tuple[int, ...]) -> NDArray[T]:
    """What a callable made by hand has given for some images.

    Args:
        what: its name in the error sentence.
        values: an array, a row an image.
        shape: what it must be.

    Raises:
        ValueError: it has another shape.
    """
    if np.shape(values) != shape:
        raise ValueError(f"{what} must have shape {shape} for {shape[0]} images, got {np.shape(values)}")
    return values


def inverses(permutations: Indices) -> Indices:
    """The inverse of each permutation along the last axis."""
    inverse = np.empty_like(permutations)
    places = np.broadcast_to(np.arange(permutations.shape[-1]), permutations.shape)
    np.put_along_axis(inverse, permutations, places, axis=-1)
    return inverse


def _frozen(copy: NDArray[T]) -> NDArray[T]:
    copy.flags.writeable = False
    return copy
