"""Colour jitter: brightness, contrast and saturation, in whole numbers, so that every machine computes the same.

Each is a blend of the image with something that lacks it: black, the image's mean grey, the grey image. A factor of 256
leaves the image as it is, 0 gives what lacks it, up to 512 gives more of it. After each blend values are rounded to the
nearest integer, halves upwards, and clipped to 0..255.

Source:
    The operations of torchvision's ``ColorJitter`` and Pillow's ``ImageEnhance``, in fixed order. Grey is luma of
    ITU-R BT.601 in 65,536ths, as Pillow computes it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blindsight.protocol.scheme import Images

_BITS = 8  # factors are 256ths
_LUMA = (19595, 38470, 7471)  # 65,536ths
_CHUNK_BYTES = 2**16  # of pixels at a time: four times as much stays in the cache
Wide = NDArray[np.int32]


def jittered(images: Images, draws: NDArray[np.uint64], strength: float) -> Images:
    """Change brightness, contrast and saturation, in this order, by a factor of its own each.

    Args:
        images: ``(n, h, w, c)`` uint8, 1 or 3 channels; grey images have no saturation to change.
        draws: ``(n, 3)`` random integers; they become factors from ``1 - strength`` to ``1 + strength``.
        strength: from 0 (nothing changes) to 1, rounded to 256ths.

    Returns:
        ``(n, h, w, c)`` uint8.
    """
    factors, result = _factors(draws, strength), np.empty_like(images)
    rows = max(1, _CHUNK_BYTES // max(1, int(np.prod(images.shape[1:]))))
    for start in range(0, len(images), rows):
        chunk = slice(start, start + rows)
        result[chunk] = _changed(images[chunk].astype(np.int32), *factors[:, chunk])
    return result


def _factors(draws: NDArray[np.uint64], strength: float) -> Wide:
    """Brightness, contrast and saturation in 256ths: ``(3, n, 1, 1, 1)``."""
    one, most = 1 << _BITS, round(strength * (1 << _BITS))
    steps = (draws % np.uint64(2 * most + 1)).astype(np.int32)
    return (steps + np.int32(one - most)).T[:, :, np.newaxis, np.newaxis, np.newaxis]


def _changed(images: Wide, brightness: Wide, contrast: Wide, saturation: Wide) -> Wide:
    images = _blend(np.int32(0), images, brightness)
    images = _blend(_mean(_grey(images)), images, contrast)
    return _blend(_grey(images), images, saturation)


def _blend(without: Wide | np.int32, images: Wide, factors: Wide) -> Wide:
    values = images - without
    values *= factors
    values += 1 << (_BITS - 1)
    values >>= _BITS
    values += without
    return np.clip(values, 0, 255, out=values)


def _grey(images: Wide) -> Wide:
    """``(n, h, w, 1)``."""
    if images.shape[3] == 1:
        return images
    red, green, blue = (images[..., place : place + 1] * weight for place, weight in enumerate(_LUMA))
    return (red + green + blue + 2**15) >> 16


def _mean(grey: Wide) -> Wide:
    """Rounded mean of each image, halves upwards: ``(n, 1, 1, 1)``."""
    pixels = grey.shape[1] * grey.shape[2]
    total = grey.sum(axis=(1, 2, 3), dtype=np.int64, keepdims=True)
    return np.asarray((2 * total + pixels) // (2 * pixels), np.int32)
