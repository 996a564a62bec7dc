"""Decode one image file to 8-bit grey or colour, or say why not.

PNG, JPEG, WebP and BMP are read; the orientation that a camera noted is applied. Black-and-white and grey images give
one channel, all others three: palettes are resolved, transparent pixels are laid over white, CMYK is converted without
a colour profile. Images with more than 8 bits a sample and moving images are refused, since reading them would mean to
choose a window or a frame for the holder.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from blindsight.holder.sources.source import Picture
from blindsight.protocol.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MOVING_FORMATS = ("PNG", "WEBP")  # further images in a JPEG are previews
MAX_PIXELS = 64 * 1024 * 1024
GREY_MODES = ("1", "L", "LA", "La")
COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
ORIENTATION_TAG = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, struct.error, zlib.error)


def decode(path: Path) -> Picture:
    """Decode an image file.

    Args:
        path: a PNG, JPEG, WebP or BMP file.

    Returns:
        ``(h, w, 1)`` or ``(h, w, 3)`` uint8.

    Raises:
        DataError: the file is gone, damaged, cut short, too large, or of a kind that is refused.
    """
    with _opened(path) as image:
        return _pixels(image)


def measure(path: Path) -> tuple[int, int, int]:
    """The shape that ``decode`` will give, from the head of the file alone.

    Args:
        path: a PNG, JPEG, WebP or BMP file.

    Returns:
        ``(h, w, c)``.

    Raises:
        DataError: as ``decode``, as far as the head of the file shows it.
    """
    with _opened(path) as image:
        return _shape(image)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=FORMATS) as image:
            _check(image, path)
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(path) from None
    except FileNotFoundError:
        raise DataError(f"{path} is gone") from None
    except _DAMAGE:
        raise DataError(f"{path} is damaged, cut short or no image", hint="replace or remove the file") from None


def _check(image: Image.Image, path: Path) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(path)
    if image.format in MOVING_FORMATS and getattr(image, "n_frames", 1) != 1:
        raise DataError(f"{path} holds several frames, expected one image", hint="save one frame of it")
    deep = any("16B" in str(tile.args) for tile in getattr(image, "tile", ()))
    if deep or image.mode.startswith(("I", "F")):
        raise DataError(f"{path} has more than 8 bits a sample", hint="convert it to 8 bits with a window you choose")
    if image.mode not in GREY_MODES + COLOUR_MODES:
        raise DataError(f"{path} has colour mode {image.mode}, expected grey, RGB, palette or CMYK")


def _too_large(path: Path) -> DataError:
    return DataError(f"{path} has more than {MAX_PIXELS} pixels", hint="scale it down first")


def _shape(image: Image.Image) -> tuple[int, int, int]:
    channels = 1 if image.mode in GREY_MODES else 3
    if _orientation(image) in SIDEWAYS:
        return image.width, image.height, channels
    return image.height, image.width, channels


def _pixels(image: Image.Image) -> Picture:
    turn = TURNS.get(_orientation(image))
    mode = "L" if image.mode in GREY_MODES else "RGB"
    flat = _over_white(image).convert(mode)
    pixels = np.array(flat if turn is None else flat.transpose(turn))
    return pixels[:, :, np.newaxis] if mode == "L" else pixels


def _over_white(image: Image.Image) -> Image.Image:
    image.load()
    if not image.has_transparency_data:
        return image
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)


def _orientation(image: Image.Image) -> int:
    """How the camera was held, 1 to 8, as far as it stands before the pixels."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    value = image.getexif().get(ORIENTATION_TAG, 1)
    return value if isinstance(value, int) else 1
