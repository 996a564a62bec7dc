"""What every source of images gives: class names, splits, labels, and images read a few at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.geometry import Fit
from blindsight.protocol.errors import DataError

Picture = NDArray[np.uint8]
Indices = NDArray[np.int64]
Labels = NDArray[np.int64]
SPLITS = ("train", "val", "test")


class Reader(Protocol):
    """Gives images by number without holding the others."""

    def read(self, indices: Indices) -> Sequence[Picture] | Picture:
        """The images of these numbers, in the order asked."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One part of a source: labels at hand, images on demand.

    Args:
        count: number of images.
        labels: ``(count,)`` int64, numbers of classes; None when the images have no labels.
        shape: ``(h, w, c)`` of every image; None when they differ.
        reader: gives the images.

    Raises:
        ValueError: there is not one int64 label an image.
    """

    count: int
    labels: Labels | None = field(repr=False)
    shape: tuple[int, int, int] | None
    reader: Reader = field(repr=False)

    def __post_init__(self) -> None:
        if self.labels is not None and (self.labels.shape != (self.count,) or self.labels.dtype != np.int64):
            raise ValueError(f"expected {self.count} int64 labels, got {self.labels.shape} {self.labels.dtype}")

    def __len__(self) -> int:
        return self.count

    def read(self, indices: NDArray[np.integer]) -> Sequence[Picture] | Picture:
        """Read some images.

        Args:
            indices: ``(k,)`` integers, each from 0 to ``count - 1``; in any order, with repetitions if wanted.

        Returns:
            ``(k, h, w, c)`` uint8, or, when sizes differ, a list of ``k`` arrays ``(h, w, c)`` uint8; grey images have
            one channel.

        Raises:
            DataError: a file is damaged or gone.
            ValueError: an index is out of range or no integer.
        """
        if indices.ndim != 1 or indices.dtype.kind not in "iu":
            raise ValueError(f"indices must be one row of integers, got {indices.shape} {indices.dtype}")
        if indices.size and not 0 <= indices.min() <= indices.max() < self.count:
            raise ValueError(f"indices must be from 0 to {self.count - 1}, got {indices.min()} to {indices.max()}")
        return self.reader.read(indices.astype(np.int64))

    def each(self, indices: NDArray[np.integer]) -> Iterator[Picture]:
        """Read some images one at a time, however large a photograph is; arguments and errors are those of ``read``."""
        for index in indices:
            yield from self.read(np.array([index]))

    def part(self, indices: NDArray[np.integer]) -> Split:
        """The split that holds only these images, in this order.

        Args:
            indices: ``(k,)`` integers, each from 0 to ``count - 1``.
        """
        chosen = indices.astype(np.int64)
        labels = None if self.labels is None else self.labels[chosen]
        return Split(chosen.size, labels, self.shape, _Part(self.reader, chosen))

    def divided(self, share: float) -> tuple[Split, Split]:
        """Take a share out, evenly spread over the order of the images: what stays, and what was taken.

        Args:
            share: from 0 to below 1.
        """
        numbers = np.arange(self.count)
        taken = np.floor((numbers + 1) * share) > np.floor(numbers * share)
        return self.part(numbers[~taken]), self.part(numbers[taken])


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    whole: Reader
    chosen: Indices

    def read(self, indices: Indices) -> Sequence[Picture] | Picture:
        return self.whole.read(self.chosen[indices])


@dataclass(frozen=True, slots=True)
class Source:
    """A set of images as the holder has it.

    Args:
        name: short name, from the kind or the path.
        classes: names of the classes; label ``k`` means ``classes[k]``. Empty when nothing is labelled.
        splits: parts by name: ``train``, ``val``, ``test``.
        mirror: whether a left-right mirrored image keeps its label.
        fit: how the images come to one shape.

    Raises:
        DataError: no split, an unknown split, or a label without a class.
    """

    name: str
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    mirror: bool
    fit: Fit

    def __post_init__(self) -> None:
        if not self.splits or not set(self.splits) <= set(SPLITS):
            got = ", ".join(self.splits) or "none"
            raise DataError(f"{self.name} must have splits named {', '.join(SPLITS)}, got {got}")
        for name, split in self.splits.items():
            _check_labels(f"{self.name}, split {name}", split.labels, len(self.classes))


def numbered(splits: Iterable[Split]) -> tuple[str, ...]:
    """Numbers as names for classes that have none: from 0 to the highest label."""
    highest = max((int(split.labels.max()) for split in splits if split.labels is not None and split.count), default=-1)
    return tuple(str(number) for number in range(highest + 1))


def _check_labels(what: str, labels: Labels | None, classes: int) -> None:
    if labels is None or not labels.size:
        return
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"{what}: labels must be from 0 to {classes - 1}, got {labels.min()} to {labels.max()}")
