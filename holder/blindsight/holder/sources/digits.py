"""``digits``: 1,797 handwritten digits that ship with the package, for a first try without any download.

The file ``digits.npz`` holds the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, UCI
Machine Learning Repository, 1998, doi:10.24432/C50P49, licence CC BY 4.0) as 8x8 images with values 0 to 16, taken from
scikit-learn's ``load_digits``. They are changed here in two ways: values are scaled to 0 to 255, and sides are enlarged
four times (bilinear) to 32x32 pixels in three equal channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blindsight.holder.geometry import Fit
from blindsight.holder.sources.source import Indices, Picture, Source, Split

FILE = Path(__file__).with_name("digits.npz")
SIDE = 32  # pixels
FULL_SCALE = 16  # the darkest value in the file
TEST_EVERY = 5
CLASSES = tuple(str(digit) for digit in range(10))


def open_digits() -> Source:
    """The digits in two splits: every fifth is in ``test``, the others are in ``train``."""
    with np.load(FILE, allow_pickle=False) as file:
        images, labels = file["images"], file["labels"].astype(np.int64)
    whole = Split(len(labels), labels, (SIDE, SIDE, 3), _Digits(images))
    test = np.arange(len(labels)) % TEST_EVERY == TEST_EVERY - 1
    splits = {"train": whole.part(np.flatnonzero(~test)), "test": whole.part(np.flatnonzero(test))}
    return Source("digits", CLASSES, splits, mirror=False, fit=Fit())


@dataclass(frozen=True, slots=True, eq=False)
class _Digits:
    images: NDArray[np.uint8]  # (1797, 8, 8), 0 to 16

    def read(self, indices: Indices) -> Picture:
        pictures = np.empty((indices.size, SIDE, SIDE, 3), np.uint8)
        for place, index in enumerate(indices.tolist()):
            pictures[place] = _enlarged(self.images[index])[:, :, np.newaxis]
        return pictures


def _enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scaled = (image.astype(np.uint16) * 255 + FULL_SCALE // 2) // FULL_SCALE
    return np.asarray(Image.fromarray(scaled.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
