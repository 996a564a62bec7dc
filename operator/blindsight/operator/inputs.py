"""Inputs of ``predict``: a shard, a data set with its manifest, a ``.npy`` file, a folder of encrypted PNG images.

Whatever ``opened`` returns has been admitted: its tag, its shape and its labels fit the bundle. Images stay on disk
until a batch is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blindsight.operator import pictures
from blindsight.operator.admission import Terms
from blindsight.protocol import manifest, shard
from blindsight.protocol.errors import DataError, FormatError, SchemeError
from blindsight.protocol.log import Log
from blindsight.protocol.manifest import Manifest


class Rows(Protocol):
    """Images by row: a memory map, or files that are decoded when asked for."""

    def __len__(self) -> int:
        """Number of images."""

    def __getitem__(self, rows: slice, /) -> NDArray[np.uint8]:
        """``(n, H, W, C)`` uint8."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of rows in one place.

    Args:
        images: its images.
        labels: ``(rows,)`` int64, or None.
        names: a name for each row (a file), or empty.
    """

    images: Rows
    labels: NDArray[np.int64] | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive rows.

    Args:
        first: number of the first row within the input.
        images: ``(n, H, W, C)`` uint8.
        labels: ``(n,)`` int64, or None.
        names: a name for each row, or empty.
    """

    first: int
    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Input:
    """An admitted input.

    Args:
        name: for people.
        parts: its rows, in order.
    """

    name: str
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """Number of images."""
        return sum(len(part.images) for part in self.parts)

    def batches(self, size: int) -> Iterator[Batch]:
        """Take the rows in order, never more than ``size`` at once; a batch does not cross parts.

        Args:
            size: largest number of images, at least 1.
        """
        offset = 0
        for part in self.parts:
            for start in range(0, len(part.images), size):
                rows = slice(start, start + size)
                labels = None if part.labels is None else np.asarray(part.labels[rows])
                yield Batch(offset + start, np.asarray(part.images[rows]), labels, part.names[rows])
            offset += len(part.images)


def opened(path: Path, terms: Terms, log: Log) -> Input:
    """Open an input, whatever its kind, and admit it.

    Args:
        path: a file or folder.
        terms: what the bundle demands.
        log: the verified membership log, for manifests.

    Raises:
        SchemeError: E_SCHEME, E_TASK, it does not fit the bundle.
        ProtocolError: a manifest is refused, or a shard is not the one that was signed.
        FormatError: E_SHARD, E_IO, it is damaged or cannot be read.
        DataError: E_DATA, it holds no images or is of no known kind.
    """
    if path.is_dir():
        parts = _data_set(path, terms, log) if (path / manifest.FILE_NAME).exists() else _folder(path, terms)
    elif path.is_file():
        parts = _array(path, terms) if path.suffix == ".npy" else _shard(path, terms)
    else:
        raise FormatError(f"there is no input at {path}", code="E_IO")
    return Input(path.name, parts)


def _data_set(folder: Path, terms: Terms, log: Log) -> tuple[Part, ...]:
    offer = manifest.load(folder, log)
    terms.demand_tag(f"the data set of {offer.holder}", _claims(offer))
    _demand_task(offer, terms)
    if faults := manifest.shard_faults(offer, folder):
        raise FormatError("; ".join(fault.message for fault in faults), code=faults[0].code)
    return tuple(part for entry in offer.predicate["shards"] for part in _shard(folder / entry["path"], terms))


def _claims(offer: Manifest) -> dict[str, object]:
    return {name: getattr(offer.tag, name) for name in ("fed", "epoch", "record", "kcv", "scheme_digest", "scv")}


def _demand_task(offer: Manifest, terms: Terms) -> None:
    stated = offer.predicate["task"].get("labels_digest", terms.labels_digest)
    if stated != terms.labels_digest:
        raise SchemeError(
            f"the data set of {offer.holder} has other classes: expected labels {terms.labels_digest[:16]}, "
            f"got {stated[:16]}",
            code="E_TASK",
        )


def _shard(path: Path, terms: Terms) -> tuple[Part, ...]:
    found = shard.opened(path)
    head = found.head
    terms.demand_tag(f"shard {path.name}", {"fed": head.fed, "epoch": head.epoch, "scheme_digest": head.scheme_digest})
    terms.demand_images(f"shard {path.name}", found.images.dtype, found.images.shape)
    terms.demand_labels(f"shard {path.name}", found.labels)
    return (Part(found.images, found.labels),)


def _array(path: Path, terms: Terms) -> tuple[Part, ...]:
    terms.demand_tag(path.name, {})
    try:
        images = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f"{path.name} is damaged or no array of numbers", hint="write it with numpy.save, as uint8 (n, H, W, C)"
        ) from error
    terms.demand_images(path.name, images.dtype, images.shape)
    return (Part(images),)


def _folder(path: Path, terms: Terms) -> tuple[Part, ...]:
    paths = pictures.listed(path)
    terms.demand_tag(f"folder {path.name}", {})
    rows = pictures.PictureRows(paths, terms.shape)
    rows.check()
    return (Part(rows, None, tuple(entry.name for entry in paths)),)
