"""Cutout: a square of each view is covered with the view's own mean colour.

One fixed colour, such as mid grey, would put the same plain blocks into very many images; under a key that serves all
blocks they would be known and recognisable. The mean colour differs from image to image, and it leaves the mean of the
pixels nearly as it was. It is still flat: a covered block shows of the key what any flat block shows.

Source:
    DeVries and Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout" (arXiv 1708.04552),
    section 3: the centre is any pixel, so that the square may reach beyond the border.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blindsight.protocol.scheme import Images


def cut_out(images: Images, draws: NDArray[np.uint64], side: int) -> Images:
    """Cover one square in each image.

    Args:
        images: ``(n, h, w, c)`` uint8; never written to.
        draws: ``(n, 2)`` random integers; they become row and column of the centre. An even square reaches one pixel
            further up and left of it.
        side: of the square in pixels, at least 1.

    Returns:
        ``(n, h, w, c)`` uint8.
    """
    n, h, w, c = images.shape
    rows, columns = _within(h, draws[:, 0], side), _within(w, draws[:, 1], side)
    covered = rows[:, :, np.newaxis] & columns.repeat(c, axis=1)[:, np.newaxis]
    result = images.reshape(n, h, w * c).copy()
    np.copyto(result, np.tile(_mean_colours(images), w)[:, np.newaxis], where=covered)
    return result.reshape(images.shape)


def _within(length: int, draws: NDArray[np.uint64], side: int) -> NDArray[np.bool_]:
    """Which places along one direction are covered: ``(n, length)``."""
    first = (draws % np.uint64(length)).astype(np.int64)[:, np.newaxis] - side // 2
    places = np.arange(length)
    return (places >= first) & (places < first + side)


def _mean_colours(images: Images) -> Images:
    """Rounded mean of each channel of each image, halves upwards: ``(n, c)``."""
    n, h, w, c = images.shape
    columns = images.reshape(n, h, w * c).sum(axis=1, dtype=np.int64)  # adding up three bytes at a time would be slow
    totals = columns.reshape(n, w, c).sum(axis=1)
    return np.asarray((2 * totals + h * w) // (2 * h * w), np.uint8)
