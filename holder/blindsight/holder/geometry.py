"""Bring decoded images to one shape whose sides are multiples of what the scheme asks for, usually of a block.

Nothing here leaves an image partly outside the blocks: what does not fit is refused, or padded, resized or cut first,
as the holder chose.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blindsight.protocol.errors import DataError
from blindsight.protocol.scheme import Images

Picture = NDArray[np.uint8]
Shape = tuple[int, int, int]
Policy = Literal["refuse", "pad", "resize", "crop"]
Channels = Literal[1, 3, "keep"]
POLICIES: tuple[Policy, ...] = ("refuse", "pad", "resize", "crop")
CHANNELS: tuple[Channels, ...] = (1, 3, "keep")
MAX_SIDE = 65_536  # pixels


@dataclass(frozen=True, slots=True)
class Fit:
    """How images come to the shape that is encrypted.

    Args:
        policy: ``refuse`` takes only images that fit; ``pad`` repeats the bottom and right edge; ``resize`` scales
            (bilinear, with antialiasing); ``crop`` cuts out the centre.
        size: target ``(h, w)`` in pixels. None: ``pad`` goes up and ``crop`` down to the next multiple.
        channels: 1 (luma), 3 (grey is repeated) or ``keep``.

    Raises:
        DataError: unknown policy or channels, no size for ``resize``, a size for ``refuse``, or a side out of range.
    """

    policy: Policy = "refuse"
    size: tuple[int, int] | None = None
    channels: Channels = "keep"

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise DataError(f"the fit policy must be one of {', '.join(POLICIES)}, got {self.policy!r}")
        if type(self.channels) not in (int, str) or self.channels not in CHANNELS:
            raise DataError(f"channels must be 1, 3 or keep, got {self.channels!r}")
        if self.policy == "resize" and self.size is None:
            raise DataError("fit policy resize needs a size", hint="use --fit resize --size 224x224")
        if self.policy == "refuse" and self.size is not None:
            raise DataError("fit policy refuse takes no size", hint="use --fit pad, resize or crop")
        if self.size is not None and not all(1 <= side <= MAX_SIDE for side in self.size):
            raise DataError(f"sides must be from 1 to {MAX_SIDE} pixels, got {self.size[0]}x{self.size[1]}")


def target_shape(fit: Fit, source_shape: Shape | None, multiple: int) -> Shape:
    """The shape that all images are brought to.

    Args:
        fit: what the holder chose.
        source_shape: ``(h, w, c)`` of every image, or None when they differ.
        multiple: what the sides must be a multiple of, in pixels: ``scheme.multiple_of``, usually the block.

    Returns:
        ``(H, W, C)`` with ``H`` and ``W`` such multiples.

    Raises:
        DataError: the multiple is below 1, the shape is none, or cannot be told from images that differ.
    """
    if multiple < 1:
        raise DataError(f"the block must be at least 1 pixel wide, got {multiple}")
    height, width = _target_sides(fit, source_shape, multiple)
    if height % multiple or width % multiple or not height or not width:
        raise DataError(
            f"sides must be multiples of {multiple} pixels under this scheme, got {height}x{width}",
            hint="use --fit pad" if fit.size is None else f"use a --size of multiples of {multiple}",
        )
    return height, width, _target_channels(fit, source_shape)


def _target_sides(fit: Fit, source_shape: Shape | None, multiple: int) -> tuple[int, int]:
    if fit.size is not None:
        return fit.size
    if source_shape is None:
        raise DataError("the images differ in size or channels", hint="use --fit resize --size 224x224 --channels 3")
    height, width, _ = source_shape
    if fit.policy == "pad":
        return -(-height // multiple) * multiple, -(-width // multiple) * multiple
    if fit.policy == "crop":
        return height // multiple * multiple, width // multiple * multiple
    return height, width


def _target_channels(fit: Fit, source_shape: Shape | None) -> int:
    if fit.channels != "keep":
        return fit.channels
    if source_shape is None:
        raise DataError("the images differ, so their number of channels must be given", hint="use --channels 3")
    return source_shape[2]


def apply(fit: Fit, image: Picture, shape: Shape) -> Picture:
    """Bring one image to a shape.

    Args:
        fit: what the holder chose.
        image: ``(h, w, c)`` uint8 with 1 or 3 channels; never written to.
        shape: what ``target_shape`` gave.

    Returns:
        ``shape`` uint8; the image itself if it has that shape already.

    Raises:
        DataError: the image does not come to that shape under this policy.
        ValueError: no uint8 image with 1 or 3 channels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(f"an image must be (h, w, 1 or 3) uint8, got {image.shape} {image.dtype}")
    if image.shape[:2] != shape[:2]:
        image = _resized(image, shape) if fit.policy == "resize" else _cut_or_padded(fit, image, shape)
    return _with_channels(image, shape[2])


def apply_all(fit: Fit, images: Images | Iterable[Picture], shape: Shape) -> Images:
    """Bring a batch to a shape.

    Args:
        fit: what the holder chose.
        images: ``(n, h, w, c)`` uint8, or ``(h, w, c)`` images that may differ in size.
        shape: what ``target_shape`` gave.

    Returns:
        ``(n, *shape)`` uint8; the batch itself if it has that shape already.

    Raises:
        DataError: an image does not come to that shape under this policy.
        ValueError: no uint8 images with 1 or 3 channels.
    """
    if isinstance(images, np.ndarray) and images.shape[1:] == shape and images.dtype == np.uint8:
        return images
    fitted = [apply(fit, image, shape) for image in images]
    return np.stack(fitted) if fitted else np.empty((0, *shape), np.uint8)


def _cut_or_padded(fit: Fit, image: Picture, shape: Shape) -> Picture:
    height, width = shape[0] - image.shape[0], shape[1] - image.shape[1]
    if fit.policy == "pad" and height >= 0 and width >= 0:
        return np.pad(image, ((0, height), (0, width), (0, 0)), mode="edge")
    if fit.policy == "crop" and height <= 0 and width <= 0:
        top, left = -height // 2, -width // 2
        return image[top : top + shape[0], left : left + shape[1]].copy()  # the rest need not stay in memory
    raise DataError(
        f"fit policy {fit.policy} cannot bring {image.shape[0]}x{image.shape[1]} pixels to {shape[0]}x{shape[1]}",
        hint=f"use --fit resize --size {shape[0]}x{shape[1]}",
    )


def _resized(image: Picture, shape: Shape) -> Picture:
    scaled = _to_pil(image).resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(scaled).reshape(shape[0], shape[1], image.shape[2])


def _with_channels(image: Picture, channels: int) -> Picture:
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    return np.asarray(_to_pil(image).convert("L"))[:, :, np.newaxis]


def _to_pil(image: Picture) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
