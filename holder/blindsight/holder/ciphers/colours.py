"""The kernel of ``pixel``: the bytes of a pixel change places, pixel by pixel its own way, and some are reversed.

With three channels a byte comes from at most two bytes before or behind. So the result is the OR of five shifted copies
of the image, each masked to where that shift is wanted: ten passes at memory speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.gather import flattened
from blindsight.holder.ciphers.parameters import Indices
from blindsight.protocol.scheme import Images

ORDERS: Final = np.array([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
"""The six orders of three colours: channel k of the result is channel ``ORDERS[code][k]``. FORMAT.md F.3, ``pixel``."""
INVERSE: Final = np.array([0, 1, 2, 4, 3, 5])
"""The code of each order's inverse."""
SPAN_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Shifts:
    """Where each byte of an image comes from, as masks.

    Args:
        keep: shift → ``(h·w·c,)`` uint8, 255 where a byte comes from so many bytes further on.
        flip: ``(h·w·c,)`` uint8 that the result is XORed with.
    """

    keep: dict[int, NDArray[np.uint8]]
    flip: NDArray[np.uint8]

    @classmethod
    def of(cls, order: Indices, flip: NDArray[np.uint8]) -> Shifts:
        """From the code of each pixel's order, ``(pixels,)``."""
        shifts = (ORDERS - np.arange(3))[order].reshape(-1)
        keep = {int(shift): np.where(shifts == shift, 255, 0).astype(np.uint8) for shift in np.unique(shifts)}
        return cls(keep, flip)

    def apply(self, images: Images, out: Images) -> None:
        """Move and reverse the bytes of every image into ``out``."""
        flat, into = flattened(images), flattened(out)
        size = flat.shape[1]
        rows = max(1, SPAN_BYTES // max(1, size))
        spare = np.empty((rows, min(size, SPAN_BYTES)), np.uint8)
        for first in range(0, len(flat), rows):
            for start in range(0, size, SPAN_BYTES):
                self._span(flat[first : first + rows], into[first : first + rows], start, spare)

    def _span(self, flat: NDArray[np.uint8], into: NDArray[np.uint8], start: int, spare: NDArray[np.uint8]) -> None:
        stop = min(start + SPAN_BYTES, flat.shape[1])
        result = into[:, start:stop]
        result[:] = self.flip[start:stop]
        for shift, keep in self.keep.items():
            low, high = max(start, -shift), min(stop, flat.shape[1] - shift)
            part = spare[: len(flat), : high - low]
            np.bitwise_and(flat[:, low + shift : high + shift], keep[low:high], out=part)
            wanted = into[:, low:high]
            np.bitwise_xor(wanted, part, out=wanted)
