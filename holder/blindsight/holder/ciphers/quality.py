"""What a key leaves as it was: reported when a key is made or looked at, to its owner alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import lgamma, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEYSPACE_NOTE = "keyspace is not how such schemes fall: what opens them are known images or statistics, not guessing"
KEY_BITS = 256


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures on a key, whatever an image shows.

    Args:
        unchanged: share of an image's pixels that stay where they are with all their values, 0 to 1.
        units: how many units the key treats each on its own: of a block, or of the image.
        fixed_points: how many of them it leaves in their places with their values.
        reversals: how many of them it reverses, wherever they go.
        keyspace: logarithm to base 2 of the number of parameters the scheme tells apart.
    """

    unchanged: float
    units: int
    fixed_points: int
    reversals: int
    keyspace: float

    def numbers(self) -> dict[str, Any]:
        """For programs."""
        return {
            "unchanged_pixels": round(self.unchanged, 6),
            "units": self.units,
            "fixed_points": self.fixed_points,
            "reversals": self.reversals,
            "keyspace_bits": round(min(self.keyspace, KEY_BITS), 1),
            "scheme_keyspace_bits": round(self.keyspace, 1),
            "note": KEYSPACE_NOTE,
        }

    def facts(self) -> dict[str, Any]:
        """For people, in the order in which they matter."""
        real = min(self.keyspace, KEY_BITS)
        bits = (
            f"{real:.0f}" if real == self.keyspace else f"{real} (of {self.keyspace:.0f} that the scheme tells apart)"
        )
        return {
            "unchanged pixels": f"{100 * self.unchanged:.1f} %",
            "fixed points": f"{self.fixed_points} of {self.units}",
            "reversals": self.reversals,
            "keyspace bits": bits,
            "note": KEYSPACE_NOTE,
        }

    @classmethod
    def of_bytes(cls, source: NDArray[np.int64], changed: NDArray[np.bool_], channels: int, keyspace: float) -> Quality:
        """Of a map of bytes.

        Args:
            source: ``(n,)``, from where each byte is taken; n a multiple of the channels.
            changed: ``(n,)``, whether its value is changed.
            channels: of a pixel.
            keyspace: in bits.
        """
        fixed = (source == np.arange(len(source))) & ~changed
        same = fixed.reshape(-1, channels).all(axis=1)
        return cls(float(same.mean()), len(source), int(fixed.sum()), int(changed.sum()), keyspace)

    @classmethod
    def of_nibbles(
        cls, source: NDArray[np.int64], reversed_: NDArray[np.bool_], channels: int, keyspace: float
    ) -> Quality:
        """Of maps of nibbles, of one block or of several.

        Args:
            source: ``(blocks, 2·d)``, from which nibble of its block each nibble is taken, low ones first; a nibble
                that comes from another block is given as −1.
            reversed_: ``(blocks, 2·d)``, whether it is reversed.
            channels: of a pixel.
            keyspace: in bits.
        """
        fixed = (source == np.arange(source.shape[1])) & ~reversed_
        same = fixed.reshape(len(source), 2, -1, channels).all(axis=(1, 3))
        return cls(float(same.mean()), source.size, int(fixed.sum()), int(reversed_.sum()), keyspace)

    def scaled(self, share: float) -> Quality:
        """The same key where only a share of the blocks stay in their places."""
        return replace(self, unchanged=self.unchanged * share)

    @classmethod
    def mean(cls, several: Iterable[Quality]) -> Quality:
        """Of keys for single images, on the average; counts are rounded."""
        all_ = list(several)
        count = len(all_)
        return cls(
            sum(one.unchanged for one in all_) / count,
            all_[0].units,
            round(sum(one.fixed_points for one in all_) / count),
            round(sum(one.reversals for one in all_) / count),
            all_[0].keyspace,
        )


def factorial_bits(count: int) -> float:
    """Logarithm to base 2 of ``count!``."""
    return lgamma(count + 1) / log(2)
