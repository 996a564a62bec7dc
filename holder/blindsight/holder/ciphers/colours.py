"""The kernel of ``pixel``: the bytes of a pixel change places, pixel by pixel its own way, and some are reversed.

With three channels a byte comes from at most two bytes before or behind. So the result is the OR of five shifted copies
of the image, each masked to where that shift is wanted: ten passes at memory speed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.ciphers.parameters import Indices
from blindsight.protocol.scheme import Images

ORDERS: Final = np.array([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
"""The six orders of three colours: channel k of the result is channel ``ORDERS[code][k]``. FORMAT.md F.3, ``pixel``."""
INVERSE: Final = np.array([0, 1, 2, 4, 3, 5])
"""The code of each order's inverse."""
SHIFTS: Final = (0, 1, 2, -1, -2)
SPAN_BYTES = 384 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Shifts:
    """Where each byte of an image comes from, as masks. Small images are repeated until they fill a span.

    Args:
        keep: shift → ``(period,)`` uint8, 255 where a byte comes from so many bytes further on.
        flip: ``(period,)`` uint8 that the result is XORed with.
    """

    keep: dict[int, NDArray[np.uint8]] = field(repr=False)
    flip: NDArray[np.uint8] = field(repr=False)

    @classmethod
    def of(cls, order: Indices, flip: NDArray[np.uint8]) -> Shifts:
        """From the code of each pixel's order, ``(pixels,)``, and ``(pixels·3,)`` uint8."""
        shifts = (ORDERS - np.arange(3))[order].reshape(-1)
        repeats = max(1, SPAN_BYTES // flip.size)
        masks = {shift: np.where(shifts == shift, 255, 0).astype(np.uint8) for shift in SHIFTS}
        return cls({shift: np.tile(mask, repeats) for shift, mask in masks.items()}, np.tile(flip, repeats))

    def apply(self, images: Images, out: Images) -> None:
        """Move and reverse the bytes of every image into ``out``; both contiguous."""
        flat, into = images.reshape(-1), out.reshape(-1)
        period, spare = len(self.flip), np.empty(SPAN_BYTES, np.uint8)
        for first in range(0, len(flat), period):
            length = min(period, len(flat) - first)
            for start in range(0, length, SPAN_BYTES):
                self._span(flat, into, first, slice(start, min(start + SPAN_BYTES, length)), spare)

    def _span(
        self, flat: NDArray[np.uint8], into: NDArray[np.uint8], first: int, span: slice, spare: NDArray[np.uint8]
    ) -> None:
        """One stretch; bytes never come from another pixel, so shifts may run over the borders of images."""
        here = slice(first + span.start, first + span.stop)
        result = np.bitwise_and(flat[here], self.keep[0][span], out=into[here])
        for shift, keep in self.keep.items():
            low, high = max(here.start, -shift), min(here.stop, len(flat) - shift)
            if shift:
                source, part, wanted = flat[low + shift : high + shift], spare[: high - low], into[low:high]
                np.bitwise_and(source, keep[low - first : high - first], out=part)
                np.bitwise_or(wanted, part, out=wanted)
        np.bitwise_xor(result, self.flip[span], out=result)
