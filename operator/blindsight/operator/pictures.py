"""Folders of encrypted images as PNG files.

PNG alone, because it gives back the very bytes that were encrypted. After JPEG, WebP or the like a pixel differs a
little from the encrypted one, and what differs a little in the encrypted image differs at random in what the network
makes of it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blindsight.protocol.errors import DataError

LOSSY = (".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".heic", ".heif", ".jxl", ".jp2", ".gif")
MODES = {"L": 1, "RGB": 3, "RGBA": 4}
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, struct.error, zlib.error)


@dataclass(frozen=True, slots=True)
class PictureRows:
    """The images of a folder, decoded when asked for.

    Args:
        paths: PNG files in row order.
        shape: ``(H, W, C)`` of every image.
    """

    paths: Sequence[Path]
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: slice) -> NDArray[np.uint8]:
        """``(n, H, W, C)`` uint8 of a stretch of rows.

        Raises:
            DataError: E_DATA, an image is damaged or of another shape.
        """
        paths = self.paths[rows]
        images = np.empty((len(paths), *self.shape), dtype=np.uint8)
        for place, path in enumerate(paths):
            images[place] = self._decoded(path)
        return images

    def check(self) -> None:
        """Read the heads of all files, so that a wrong one is named before the first prediction.

        Raises:
            DataError: E_DATA.
        """
        for path in self.paths:
            with _opened(path) as image:
                self._demand_shape(path, image)

    def _decoded(self, path: Path) -> NDArray[np.uint8]:
        with _opened(path) as image:
            self._demand_shape(path, image)
            return np.asarray(image, dtype=np.uint8).reshape(self.shape)

    def _demand_shape(self, path: Path, image: Image.Image) -> None:
        got = (image.height, image.width, MODES.get(image.mode, 0))
        if got != self.shape or getattr(image, "n_frames", 1) != 1:
            expected = "x".join(str(side) for side in self.shape)
            raise DataError(f"{path.name} is {got[0]}x{got[1]} {image.mode}, expected {expected} in 8 bits")


def listed(folder: Path) -> list[Path]:
    """The PNG files of a folder by name; hidden files are passed over.

    Raises:
        DataError: E_DATA, there is none, or something else lies among them.
    """
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    for path in paths:
        _demand_png(path)
    if not paths:
        raise DataError(f"{folder} holds no images", hint="expected encrypted images as PNG files")
    return paths


def _demand_png(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in LOSSY:
        raise DataError(
            f"{path.name}: {suffix[1:].upper()} does not keep pixels as they are, so an encrypted image is lost in it",
            hint="write encrypted images as PNG",
        )
    if suffix != ".png" or not path.is_file():
        raise DataError(f"{path.name} is no PNG file", hint="the folder must hold nothing but encrypted PNG images")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{path.name} has far more pixels than expected") from None
    except _DAMAGE:
        raise DataError(f"{path.name} is damaged, cut short or no PNG file") from None
