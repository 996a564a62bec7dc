"""Means with their spread over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Some values.

    Args:
        mean: their mean.
        deviation: their sample standard deviation; None of fewer than two.
        count: how many, at least 1.
    """

    mean: float
    deviation: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """The spread of some values; None of none."""
        if not values:
            return None
        deviation = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), deviation, len(values))

    def shown(self, digits: int, *, sign: bool = False) -> str:
        """``83.12 ± 0.21``, or the mean alone where there is one value.

        Args:
            digits: behind the point.
            sign: whether a plus stands before what is above zero.
        """
        mean = f"{self.mean:{'+' if sign else ''}.{digits}f}".replace("-", "−")
        return mean if self.deviation is None else f"{mean} ± {self.deviation:.{digits}f}"


def standard_error(share: float, count: int) -> float:
    """Of a share that was measured on some images: the root of p (1 - p) / n.

    Args:
        share: 0 to 1.
        count: images, at least 1.
    """
    return math.sqrt(share * (1.0 - share) / count)
