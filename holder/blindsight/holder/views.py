"""Augmentation before encryption: several shifted and mirrored views of each image.

Trainers cannot crop or flip what they cannot read, so the holder does it, once. View 0 is the image itself. View
``v >= 1`` is the image padded by reflection, cut at an offset drawn from ``(seed, id, v)``, and mirrored left to right
if ``v`` is odd and mirroring keeps the label. A view depends on nothing else: not on the other images of the batch, nor
on how many views are made.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blindsight.protocol.errors import DataError
from blindsight.protocol.keystream import Stream
from blindsight.protocol.scheme import Images

_DRAW_BYTES = 16  # two u64 a view: the bias of a remainder is below 2^-50


def view_of_each(
    images: Images,
    wanted: NDArray[np.int64],
    count: int,
    *,
    seed: bytes,
    ids: Sequence[str],
    crop: int = 4,
    mirror: bool,
) -> Images:
    """Make one view of each image: row ``i`` of the result is view ``wanted[i]`` of image ``i``.

    Args:
        images: ``(n, h, w, c)`` uint8; never written to.
        wanted: ``(n,)``, each from 0 to ``count - 1``.
        count: views an image, at least 1.
        seed: 32 bytes; whoever knows it can repeat the offsets.
        ids: one name an image; an image of which several views are wanted stands there several times.
        crop: largest shift in pixels, in each direction; smaller than both sides.
        mirror: whether odd views are mirrored left to right.

    Returns:
        ``(n, h, w, c)`` uint8; the images themselves if there is but one view.

    Raises:
        DataError: the images are too small for the shift.
        ValueError: no batch of images, a count below 1, a negative shift, or not one id an image.
    """
    _check(images, count, ids, crop)
    if count == 1:
        return images
    result, (h, w) = images.copy(), images.shape[1:3]
    padded = np.pad(images, ((0, 0), (crop, crop), (crop, crop), (0, 0)), mode="reflect")
    offsets = _offsets(seed, ids, count, crop)[np.arange(len(images)), wanted]
    for place in np.flatnonzero(wanted):
        top, left = offsets[place].tolist()
        result[place] = padded[place, top : top + h, left : left + w]
    if mirror:
        odd = wanted % 2 == 1
        result[odd] = result[odd][:, :, ::-1]
    return result


def _check(images: Images, count: int, ids: Sequence[str], crop: int) -> None:
    if images.ndim != 4 or len(ids) != len(images):
        raise ValueError(f"expected (n, h, w, c) images and n ids, got {images.shape} and {len(ids)}")
    if count < 1 or crop < 0:
        raise ValueError(f"expected at least one view and no negative shift, got {count} and {crop}")
    if count > 1 and crop >= min(images.shape[1:3]):
        raise DataError(
            f"{images.shape[1]}x{images.shape[2]} images are too small for shifts of {crop} pixels",
            hint="use --crop 0, or --views 1",
        )


def _offsets(seed: bytes, ids: Sequence[str], count: int, crop: int) -> NDArray[np.uint64]:
    """Row and column at which each view is cut from the padded image: ``(n, count, 2)``, 0 to ``2 * crop``."""
    drawn = b"".join(Stream(seed, "views", name.encode()).bytes(_DRAW_BYTES * count) for name in ids)
    return np.frombuffer(drawn, dtype="<u8").reshape(len(ids), count, 2) % np.uint64(2 * crop + 1)
