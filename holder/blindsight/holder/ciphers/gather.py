"""The kernel of schemes whose key covers the whole image: where each byte comes from.

The index is made once for a key and shape and kept by the scheme's parameters. Images are taken in bands that fit the
processor's cache; what happens to an image depends on that image alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.parameters import Indices
from blindsight.protocol.scheme import Images

BAND_BYTES = 256 * 1024


def gather_bytes(images: Images, source: Indices, flip: NDArray[np.uint8] | None, out: Images) -> None:
    """Take every byte of every image from somewhere in the same image.

    Args:
        images: ``(n, h, w, c)`` uint8, contiguous; never written to.
        source: ``(h·w·c,)`` int64, ``out[k] = in[source[k]]`` in the flattened image.
        flip: ``(h·w·c,)`` uint8 that the result is XORed with; not at all if None.
        out: the same shape, contiguous, for the result.
    """
    flat, into = flattened(images), flattened(out)
    for band in bands(flat):
        taken = np.take(flat[band], source, axis=1, out=into[band], mode="clip")
        if flip is not None:
            np.bitwise_xor(taken, flip, out=taken)


def gather_pixels(images: Images, source: Indices, out: Images) -> None:
    """Take every pixel, with all its channels, from somewhere in the same image.

    Args:
        images: ``(n, h, w, c)`` uint8, contiguous; never written to.
        source: ``(h·w,)`` int64, from which pixel of the flattened image each is taken.
        out: the same shape, contiguous, for the result.
    """
    pixel = np.dtype((np.void, images.shape[3]))
    flat, into = flattened(images).view(pixel), flattened(out).view(pixel)
    for band in bands(flattened(images)):
        np.take(flat[band], source, axis=1, out=into[band], mode="clip")


def bytes_of_pixels(pixels: Indices, channels: int) -> Indices:
    """The same map in bytes: ``(h·w,)`` to ``(h·w·c,)``."""
    return (pixels[:, np.newaxis] * channels + np.arange(channels)).reshape(-1)


def flattened(images: Images) -> NDArray[np.uint8]:
    """Contiguous images as ``(n, h·w·c)``, a view."""
    return images.reshape(len(images), int(np.prod(images.shape[1:])))


def bands(flat: NDArray[np.uint8], size: int = BAND_BYTES) -> Iterator[slice]:
    """Cut images into stretches of about so many bytes, at least one image each."""
    step = max(1, size // max(1, flat.shape[1]))
    return (slice(start, start + step) for start in range(0, len(flat), step))


def block_index(shape: tuple[int, int, int], block: int) -> Indices:
    """Where the bytes of every block stand in the flattened image.

    Args:
        shape: ``(h, w, c)``; h and w multiples of the block.
        block: side M of a block in pixels.

    Returns:
        ``(blocks, M, M, c)`` int64; blocks row by row.
    """
    height, width, channels = shape
    places = np.arange(height * width * channels).reshape(height // block, block, width // block, block, channels)
    return places.transpose(0, 2, 1, 3, 4).reshape(-1, block, block, channels)
