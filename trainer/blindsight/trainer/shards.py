"""Encrypted shards as a torch data set: memory-mapped, a whole batch per look-up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from blindsight.protocol import shard
from blindsight.protocol.errors import FormatError

Batch = tuple[Tensor, Tensor]
Indices = NDArray[np.int64]
Change = Callable[[Tensor], Tensor]


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
        change: what is done to the images of each batch.
    """

    def __init__(self, rows: EncryptedShards, order: Indices, size: int, change: Change | None = None) -> None:
        self._rows = rows
        self._change = change
        self._parts = [order[start : start + size] for start in range(0, len(order), size)]

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._parts)

    def __iter__(self) -> Iterator[Batch]:
        """Yield images and labels."""
        for part in self._parts:
            images, labels = self._rows.__getitems__(part)
            yield (images if self._change is None else self._change(images)), labels


def shuffled(
    rows: EncryptedShards, size: int, epochs: int, rng: np.random.Generator, change: Change | None = None
) -> Batches:
    """Every row once an epoch, in a fresh order each time; a last batch of one row is left out (it has no variance).

    Args:
        rows: the data set.
        size: rows a batch.
        epochs: how many times.
        rng: decides the order.
        change: what is done to the images of each batch, such as a shift by whole blocks.
    """
    orders = [rng.permutation(len(rows)) for _ in range(epochs)]
    order = np.concatenate(orders).astype(np.int64)
    return Batches(rows, order[: len(order) - (len(order) % size == 1)], size, change)


def in_order(rows: EncryptedShards, size: int) -> Batches:
    """Every row once, as stored."""
    return Batches(rows, np.arange(len(rows)), size)
