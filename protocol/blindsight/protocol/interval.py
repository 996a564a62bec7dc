"""How far chance may have moved a share of right answers: the interval that goes with every accuracy."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

CONFIDENCE: Final = 0.95


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share.

    Args:
        hits: successes, 0 to ``n``.
        n: trials, at least 1.

    Returns:
        Its lower and its upper end, 0 to 1.

    Raises:
        ValueError: fewer than 0 successes, more than trials, or no trial.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.
    """
    if not 0 <= hits <= n or n < 1:
        raise ValueError(f"expected 0 to n successes of at least 1 trial, got {hits} of {n}")
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share, scale = hits / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    return max(0.0, middle - reach), min(1.0, middle + reach)
