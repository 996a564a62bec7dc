"""Splits one labelled data set among simulated holders.

Own code rather than ``flwr-datasets``, which needs pyarrow and pandas (about 250 MB installed) for two functions of
ten lines. Real holders bring their own data; this is for simulations only, so a numpy seed is good enough here.

Two ways:

``iid``
    Shuffle, then cut into parts whose sizes differ by one at most.
``dirichlet:ALPHA``
    Label skew. For every class the shares of the holders are one draw from a symmetric Dirichlet distribution with
    concentration ALPHA: about 100 is nearly even, 0.1 gives most of a class to one or two holders. The sizes of the
    holders differ too. A draw that leaves a holder with fewer than ``MIN_SAMPLES`` samples is repeated, up to
    ``MAX_DRAWS`` times; after that the largest holders give single samples of their commonest class to the smallest.
    Both rules make the split a little more even than the distribution alone would.

Source:
    McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data"
    (arXiv 1602.05629), section 3: the IID split. Hsu, Qi and Brown 2019, "Measuring the Effects of Non-Identical Data
    Distribution for Federated Visual Classification" (arXiv 1909.06335), section 3: Dirichlet concentration as the
    measure of skew; there it is drawn per holder with equal sizes, here per class, which keeps every sample.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from blindsight.protocol.errors import DataError

MIN_SAMPLES: Final = 10  # samples; fewer only where the data set has fewer than this for each holder
MAX_DRAWS: Final = 100
ALPHA_MIN: Final = 0.01
ALPHA_MAX: Final = 1000.0

Indices = npt.NDArray[np.int64]

_DIRICHLET = re.compile(r"dirichlet:([0-9]{1,6}(?:\.[0-9]{1,6})?)", re.ASCII)
_HINT = f"write iid, or dirichlet:ALPHA with ALPHA from {ALPHA_MIN:g} to {ALPHA_MAX:g}, such as dirichlet:0.3"


@dataclass(frozen=True, slots=True)
class Partition:
    """How a data set is split.

    Args:
        alpha: concentration of the Dirichlet distribution, ALPHA_MIN to ALPHA_MAX; None for an even, random split.

    Raises:
        ValueError: alpha is outside its range.
    """

    alpha: float | None = None

    def __post_init__(self) -> None:
        if self.alpha is not None and not ALPHA_MIN <= self.alpha <= ALPHA_MAX:
            raise ValueError(f"expected alpha from {ALPHA_MIN:g} to {ALPHA_MAX:g}, got {self.alpha}")

    def __str__(self) -> str:
        if self.alpha is None:
            return "iid"
        return "dirichlet:" + f"{self.alpha:.6f}".rstrip("0").rstrip(".")  # six decimals, as many as parse reads


def parse(spec: str) -> Partition:
    """Reads ``iid`` or ``dirichlet:ALPHA``.

    Args:
        spec: as typed by the user.

    Returns:
        The partition.

    Raises:
        DataError: anything else, or ALPHA outside its range.
    """
    if spec == "iid":
        return Partition()
    match = _DIRICHLET.fullmatch(spec)
    if match is None:
        raise DataError(f"expected a partition, got {spec!r}", hint=_HINT)
    try:
        return Partition(alpha=float(match[1]))
    except ValueError as error:
        raise DataError(f"partition {spec!r}: {error}", hint=_HINT) from error


def split(labels: npt.NDArray[np.integer], holders: int, partition: Partition, seed: int) -> list[Indices]:
    """Splits samples among holders: disjoint, complete, the same for the same arguments.

    Args:
        labels: (n,) integers, the class of each sample.
        holders: number of holders, 1 or more.
        partition: how to split.
        seed: 0 or more.

    Returns:
        For each holder its sample numbers in ascending order, int64. Every holder gets at least ``MIN_SAMPLES``, or
        n // holders where that is less.

    Raises:
        DataError: fewer samples than holders.
        ValueError: labels are not a vector of integers, or holders is below 1.
    """
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"expected labels as a vector of integers, got {labels.dtype} of shape {labels.shape}")
    if holders < 1:
        raise ValueError(f"expected 1 holder or more, got {holders}")
    if len(labels) < holders:
        message = f"expected at least one sample for each of {holders} holders, got {len(labels)} samples"
        raise DataError(message, hint="use fewer --holders, more data or a higher --limit")
    rng = np.random.default_rng(seed)
    parts = (
        _even(len(labels), holders, rng) if partition.alpha is None else _skewed(labels, holders, partition.alpha, rng)
    )
    return [np.sort(part).astype(np.int64) for part in parts]


def _even(count: int, holders: int, rng: np.random.Generator) -> list[Indices]:
    return np.array_split(rng.permutation(count), holders)


def _skewed(labels: npt.NDArray[np.integer], holders: int, alpha: float, rng: np.random.Generator) -> list[Indices]:
    classes, totals = np.unique(labels, return_counts=True)
    counts = _draw_until_filled(totals, holders, alpha, rng)
    pieces: list[list[Indices]] = [[] for _ in range(holders)]
    for label, row in zip(classes, counts, strict=True):
        members = rng.permutation(np.flatnonzero(labels == label))
        for part, piece in zip(pieces, np.split(members, np.cumsum(row)[:-1]), strict=True):
            part.append(piece)
    return [np.concatenate(part) for part in pieces]


def _draw_until_filled(totals: Indices, holders: int, alpha: float, rng: np.random.Generator) -> Indices:
    """Returns counts (classes, holders) whose columns all reach the least number of samples."""
    least = min(MIN_SAMPLES, int(totals.sum()) // holders)
    for _ in range(MAX_DRAWS):
        counts = _draw(totals, holders, alpha, rng)
        if counts.sum(axis=0).min() >= least:
            return counts
    return _top_up(counts, least)


def _draw(totals: Indices, holders: int, alpha: float, rng: np.random.Generator) -> Indices:
    shares = rng.dirichlet(np.full(holders, alpha), size=len(totals))  # (classes, holders)
    cuts = np.rint(np.cumsum(shares, axis=1) * totals[:, None]).astype(np.int64)
    cuts[:, -1] = totals  # the last sum of shares may be 0.999...
    return np.diff(np.minimum(cuts, totals[:, None]), axis=1, prepend=0)


def _top_up(counts: Indices, least: int) -> Indices:
    """Moves single samples from the largest to the smallest holder; least is at most the mean, so this ends."""
    counts = counts.copy()
    while (sizes := counts.sum(axis=0)).min() < least:
        giver, taker = sizes.argmax(), sizes.argmin()
        commonest = counts[:, giver].argmax()
        counts[commonest, giver] -= 1
        counts[commonest, taker] += 1
    return counts
