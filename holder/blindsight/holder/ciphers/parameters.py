"""Checks on the explicit parameters of the schemes: block, permutation, mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blindsight.protocol.errors import DataError
from blindsight.protocol.scheme import CHANNELS, MIN_BLOCK


def check_block(block: int, channels: int) -> None:
    """Demand a block with enough units to permute, on grey or colour images.

    Raises:
        DataError: the block is smaller than ``MIN_BLOCK``, or there are neither 1 nor 3 channels.
    """
    if block < MIN_BLOCK:
        raise DataError(f"blocks must be at least {MIN_BLOCK} pixels wide, got {block}", hint="use --block 4")
    if channels not in CHANNELS:
        raise DataError(f"images must have 1 or 3 channels, got {channels}", hint="use --channels 3")


def permutation_of(size: int, values: ArrayLike) -> NDArray[np.int64]:
    """A read-only copy of a permutation.

    Args:
        size: number of units.
        values: ``(size,)`` integers, each of ``0 … size - 1`` once.

    Returns:
        ``(size,)`` int64, not writeable.

    Raises:
        ValueError: wrong type, wrong shape, or not a permutation.
    """
    given = np.asarray(values)
    if given.dtype.kind not in "iu":
        raise ValueError(f"a permutation must hold integers, got {given.dtype}")
    if given.shape != (size,):
        raise ValueError(f"the permutation must have shape ({size},), got {given.shape}")
    if not np.array_equal(np.sort(given), np.arange(size)):
        raise ValueError(f"the permutation must hold each of 0 to {size - 1} once")
    copy = given.astype(np.int64)
    copy.flags.writeable = False
    return copy


def mask_of(size: int, values: ArrayLike) -> NDArray[np.bool_]:
    """A read-only copy of a mask.

    Args:
        size: number of units.
        values: ``(size,)`` bool.

    Returns:
        ``(size,)`` bool, not writeable.

    Raises:
        ValueError: wrong type or wrong shape.
    """
    given = np.asarray(values)
    if given.dtype != np.bool_:
        raise ValueError(f"a mask must hold booleans, got {given.dtype}")
    if given.shape != (size,):
        raise ValueError(f"the mask must have shape ({size},), got {given.shape}")
    copy = given.copy()
    copy.flags.writeable = False
    return copy
