"""Encrypted shards as a torch data set: memory-mapped, a whole batch per look-up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from blindsight.protocol import shard
from blindsight.protocol.errors import FormatError

Batch = tuple[Tensor, Tensor]
Indices = NDArray[np.int64]


class Rows(Protocol):
    """Images and labels by number."""

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def __getitems__(self, indices: Sequence[int] | Indices) -> Batch:
        """Rows in the order asked: images (b, h, w, c) uint8 and labels (b,) int64."""
        ...


class EncryptedShards(Dataset[Batch]):
    """All rows of a data set's shards.

    Args:
        paths: shard files in manifest order, already verified.

    Raises:
        FormatError: E_SHARD, a file is no shard or has no labels.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        opened = [shard.opened(path) for path in paths]
        if any(one.labels is None for one in opened):
            raise FormatError("training needs labelled shards", code="E_TASK")
        self._images = [one.images for one in opened]
        self._labels = np.concatenate([np.asarray(one.labels) for one in opened])
        self._starts = np.cumsum([0] + [one.head.rows for one in opened])

    def demand_labels(self, classes: int) -> None:
        """Refuse labels that name no class.

        Args:
            classes: number of classes, from the manifest.

        Raises:
            FormatError: E_TASK.
        """
        if len(self) and not 0 <= int(self._labels.min()) <= int(self._labels.max()) < classes:
            raise FormatError(f"a label is not from 0 to {classes - 1}", code="E_TASK")

    def __len__(self) -> int:
        """Number of rows."""
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Batch:
        """One row: ``(h, w, c)`` uint8 and a scalar label."""
        images, labels = self.__getitems__([index])
        return images[0], labels[0]

    def __getitems__(self, indices: Sequence[int] | Indices) -> Batch:
        """Rows in the order asked, gathered once per shard: ``(b, h, w, c)`` uint8 and ``(b,)`` int64."""
        rows = np.asarray(indices, dtype=np.int64)
        images = np.empty((len(rows), *self._images[0].shape[1:]), dtype=np.uint8)
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(owner):
            mine = owner == number
            images[mine] = self._images[number][rows[mine] - self._starts[number]]
        return torch.from_numpy(images), torch.from_numpy(self._labels[rows])


class Batches:
    """Batches of a data set in a given order; a sized iterable that can be walked once or more.

    Args:
        rows: the data set.
        order: ``(k,)`` row numbers.
        size: rows a batch; the last may be smaller.
    """

    def __init__(self, rows: Rows, order: Indices, size: int) -> None:
        self._rows = rows
        self._parts = [order[start : start + size] for start in range(0, len(order), size)]

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._parts)

    def __iter__(self) -> Iterator[Batch]:
        """Yield images and labels."""
        for part in self._parts:
            yield self._rows.__getitems__(part)


def shuffled(rows: Rows, size: int, epochs: int, rng: np.random.Generator, chosen: Indices | None = None) -> Batches:
    """Every row once an epoch, in a fresh order each time; a last batch of one row is left out (it has no variance).

    Args:
        rows: the data set.
        size: rows a batch.
        epochs: how many times.
        rng: decides the order.
        chosen: ``(k,)`` the rows to take; None for all.
    """
    numbers = np.arange(len(rows)) if chosen is None else chosen
    orders = [numbers[rng.permutation(len(numbers))] for _ in range(epochs)]
    order = np.concatenate(orders).astype(np.int64)
    return Batches(rows, order[: len(order) - (len(order) % size == 1)], size)


def share_of(rows: int, share: float, number: int, rng_of: Callable[[int], np.random.Generator]) -> Indices:
    """The rows that a round uses, so that successive rounds use all rows equally often.

    Args:
        rows: how many there are.
        share: the part of them that a round uses, above 0 to 1.
        number: of the round, from 1.
        rng_of: number of a pass over all rows, from 0, to the generator that orders it.

    Returns:
        ``(k,)`` row numbers, k about ``share`` of ``rows``, at least 1.
    """
    size = max(1, round(rows * share))
    first, last = (number - 1) * size, number * size - 1
    passes = [rng_of(number).permutation(rows) for number in range(first // rows, last // rows + 1)]
    start = first % rows
    return np.concatenate(passes)[start : start + size].astype(np.int64)


def in_order(rows: Rows, size: int) -> Batches:
    """Every row once, as stored."""
    return Batches(rows, np.arange(len(rows)), size)
