"""Augmentation before encryption: several shifted, mirrored, recoloured and partly covered views of each image.

Trainers cannot augment what they cannot read, so the holder does it, once. View 0 is the image itself. View ``v >= 1``
is, in this order,

1. the image padded by reflection and cut at an offset,
2. mirrored left to right if ``v`` is odd and mirroring keeps the label,
3. changed in brightness, contrast and saturation (``jitter``),
4. covered by a square of its own mean colour (``cutout``).

What is drawn for a view follows from ``(seed, id, v)`` and depends on nothing else: not on the other images of the
batch, nor on how many views are made. Each step draws from a stream of its own, so that one more leaves the others as
they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blindsight.holder import cutout as squares
from blindsight.holder import jitter as colours
from blindsight.protocol.errors import DataError
from blindsight.protocol.keystream import ImageStreams, Stream
from blindsight.protocol.scheme import Images

_DRAW_BYTES = 8  # one u64: the bias of a remainder is below 2^-50
Draws = NDArray[np.uint64]
Indices = NDArray[np.int64]


def view_of_each(
    images: Images,
    wanted: Indices,
    count: int,
    *,
    seed: bytes,
    ids: Sequence[str],
    crop: int = 4,
    mirror: bool,
    jitter: float = 0.0,
    cutout: int = 0,
) -> Images:
    """Make one view of each image: row ``i`` of the result is view ``wanted[i]`` of image ``i``.

    Args:
        images: ``(n, h, w, c)`` uint8; never written to.
        wanted: ``(n,)``, each from 0 to ``count - 1``.
        count: views an image, at least 1.
        seed: 32 bytes; whoever knows it can repeat what is drawn.
        ids: one name an image; an image of which several views are wanted stands there several times.
        crop: largest shift in pixels, in each direction; smaller than both sides.
        mirror: whether odd views are mirrored left to right.
        jitter: strength of the changes of colour, from 0 (none) to 1.
        cutout: side of the covered square in pixels, smaller than both sides; 0 for none.

    Returns:
        ``(n, h, w, c)`` uint8; the images themselves if there is but one view.

    Raises:
        DataError: the images are too small for the shift or the square.
        ValueError: no batch of images, a count below 1, a negative shift or square, a strength that is none, or not
            one id an image.
    """
    _check(images, count, ids, crop, jitter, cutout)
    changed = np.flatnonzero(wanted)
    if count == 1 or not changed.size:
        return images
    names, numbers = [ids[place] for place in changed.tolist()], wanted[changed]
    views = _cut(images[changed], _offsets(seed, names, numbers, crop), crop)
    if mirror:
        odd = numbers % 2 == 1
        views[odd] = _mirrored(views[odd])
    if jitter:
        views = colours.jittered(views, _drawn(seed, "views/jitter", names, numbers, 3), jitter)
    if cutout:
        views = squares.cut_out(views, _drawn(seed, "views/cutout", names, numbers, 2), cutout)
    result = images.copy()
    result[changed] = views
    return result


def demand_room(shape: tuple[int, ...], count: int, crop: int, cutout: int) -> None:
    """Refuse views that images are too small for.

    Args:
        shape: ``(h, w, c)`` of the images.
        count: views an image.
        crop: largest shift in pixels.
        cutout: side of the covered square in pixels.

    Raises:
        DataError: a side is not longer than the shift or the square.
    """
    height, width = shape[:2]
    for what, side, option in (("shifts", crop, "--crop 0"), ("a cutout", cutout, "--cutout 0")):
        if count > 1 and side and side >= min(height, width):
            raise DataError(
                f"{height}x{width} images are too small for {what} of {side} pixels",
                hint=f"use {option}, or --views 1",
            )


def _check(images: Images, count: int, ids: Sequence[str], crop: int, jitter: float, cutout: int) -> None:
    if images.ndim != 4 or len(ids) != len(images):
        raise ValueError(f"expected (n, h, w, c) images and n ids, got {images.shape} and {len(ids)}")
    if count < 1 or crop < 0 or cutout < 0:
        raise ValueError(
            f"expected at least one view and no negative shift or square, got {count}, {crop} and {cutout}"
        )
    if not 0 <= jitter <= 1:
        raise ValueError(f"expected a strength from 0 to 1, got {jitter}")
    demand_room(images.shape[1:], count, crop, cutout)


def _cut(images: Images, offsets: Indices, crop: int) -> Images:
    """Cut each image, padded by reflection, at its own offset; rows need no padding, only the right numbers."""
    n, h, w, c = images.shape
    rows = np.pad(np.arange(h), crop, mode="reflect")[offsets[:, :1] + np.arange(h)]
    pieces = np.lib.stride_tricks.sliding_window_view(_widened(images, crop), w * c, axis=2)
    cut: Images = pieces[np.arange(n)[:, np.newaxis], rows, c * offsets[:, 1:]]
    return cut.reshape(images.shape)


def _widened(images: Images, crop: int) -> Images:
    """Rows padded by reflection: ``(n, h, (w + 2 * crop) * c)``."""
    n, h, w, c = images.shape
    columns = np.pad(np.arange(w), crop, mode="reflect")
    wide = np.empty((n, h, len(columns), c), np.uint8)
    wide[:, :, crop : crop + w] = images
    for edge in (slice(None, crop), slice(crop + w, None)):
        wide[:, :, edge] = images[:, :, columns[edge]]
    return wide.reshape(n, h, -1)


def _mirrored(images: Images) -> Images:
    """Left to right; turning round three bytes at a time would be slow."""
    n, h, w, c = images.shape
    if c == 1:
        return images[:, :, ::-1]
    places = np.arange(w * c).reshape(w, c)[::-1].reshape(-1)
    mirrored: Images = images.reshape(n, h, w * c).take(places, axis=2)
    return mirrored.reshape(images.shape)


def _offsets(seed: bytes, ids: Sequence[str], numbers: Indices, crop: int) -> Indices:
    """Row and column at which each view is cut from the padded image: ``(n, 2)``, 0 to ``2 * crop``."""
    size = 2 * _DRAW_BYTES
    views = zip(ids, numbers.tolist(), strict=True)
    drawn = b"".join(Stream(seed, "views", name.encode()).bytes(size * (view + 1))[-size:] for name, view in views)
    return (np.frombuffer(drawn, "<u8").reshape(len(ids), 2) % np.uint64(2 * crop + 1)).astype(np.int64)


def _drawn(seed: bytes, label: str, ids: Sequence[str], numbers: Indices, values: int) -> Draws:
    """So many u64 for each view, from the streams of one label: ``(n, values)``."""
    count = int(numbers.max()) + 1
    every = ImageStreams(seed, label).bytes(ids, _DRAW_BYTES * values * count)
    return every.view("<u8").reshape(len(ids), count, values)[np.arange(len(ids)), numbers]
