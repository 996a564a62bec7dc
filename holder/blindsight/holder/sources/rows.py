"""Files of equally long rows, read a few rows at a time.

Rows are read into a buffer rather than mapped: pages of a mapped file count as memory of the process.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.sources.source import Indices, Labels, Picture
from blindsight.protocol.errors import DataError

CHUNK_ROWS = 1024


class RowFile:
    """Rows of bytes at a fixed distance in an open file, which is closed when nobody holds this any more.

    Args:
        descriptor: open file descriptor, taken over.
        name: how messages call the file.
        offset: bytes before the first row.
        row_bytes: bytes a row, at least 1.
        count: number of rows.
    """

    def __init__(self, descriptor: int, name: str, *, offset: int, row_bytes: int, count: int) -> None:
        self._descriptor = descriptor
        self._finalizer = weakref.finalize(self, os.close, descriptor)
        self.name = name
        self.offset = offset
        self.row_bytes = row_bytes
        self.count = count

    @classmethod
    def open(cls, path: Path, *, offset: int, row_bytes: int, count: int) -> Self:
        """Open a named file.

        Raises:
            DataError: the file cannot be opened.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise DataError(f"cannot open {path}: {error.strerror}") from None
        return cls(descriptor, str(path), offset=offset, row_bytes=row_bytes, count=count)

    @classmethod
    def spooled(cls, pieces: Iterable[bytes], name: str, *, row_bytes: int, count: int) -> Self:
        """Write pieces, one after the other, to an anonymous temporary file that vanishes with this object.

        Args:
            pieces: exactly ``count * row_bytes`` bytes together.
            name: how messages call the file.
            row_bytes: bytes a row, at least 1.
            count: number of rows.

        Raises:
            DataError: the pieces are shorter or longer than that, or there is no room for them.
        """
        expected, got = count * row_bytes, 0
        with tempfile.TemporaryFile(buffering=0) as file:
            for piece in pieces:
                got += len(piece)
                if got > expected:
                    break
                _write(file, piece)
            descriptor = os.dup(file.fileno())
        rows = cls(descriptor, name, offset=0, row_bytes=row_bytes, count=count)
        if got != expected:
            raise DataError(f"{name} must hold {expected} bytes of images, got {'more' if got > expected else got}")
        return rows

    def read(self, indices: Indices) -> NDArray[np.uint8]:
        """Read rows in the order asked.

        Args:
            indices: ``(k,)`` int64, each from 0 to ``count - 1``.

        Returns:
            ``(k, row_bytes)`` uint8.

        Raises:
            DataError: the file is shorter than it was.
        """
        rows = np.empty((indices.size, self.row_bytes), np.uint8)
        breaks = np.flatnonzero(np.diff(indices) != 1) + 1
        edges = [0, *breaks.tolist(), indices.size]
        for start, stop in itertools.pairwise(edges):
            if start < stop:
                self._fill(rows[start:stop], int(indices[start]))
        return rows

    def column(self, place: int) -> NDArray[np.uint8]:
        """One byte of every row: ``(count,)`` uint8."""
        column = np.empty(self.count, np.uint8)
        for start in range(0, self.count, CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, self.count)
            column[start:stop] = self.read(np.arange(start, stop))[:, place]
        return column

    def _fill(self, rows: NDArray[np.uint8], first: int) -> None:
        left = rows.data.cast("B")
        at = self.offset + first * self.row_bytes
        while left:
            got = os.preadv(self._descriptor, [left], at)
            if not got:
                raise DataError(f"{self.name} ends before row {first + len(rows) - 1}", hint="copy the file again")
            left, at = left[got:], at + got


def _write(file: IO[bytes], piece: bytes) -> None:
    left = memoryview(piece)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise DataError(
            f"cannot unpack to {tempfile.gettempdir()}: {error.strerror}", hint="set TMPDIR to a folder with more room"
        ) from None


@dataclass(frozen=True, slots=True, eq=False)
class RowImages:
    """Images that are rows of one or several files.

    Args:
        files: files of equally long rows, one after the other.
        shape: ``(h, w, c)`` of an image.
        skip: bytes before the pixels of a row.
        planar: whether the channels of an image stand one after the other.
    """

    files: tuple[RowFile, ...]
    shape: tuple[int, int, int]
    skip: int = 0
    planar: bool = False

    def read(self, indices: Indices) -> Picture:
        """The images of these numbers: ``(k, h, w, c)`` uint8.

        Raises:
            DataError: a file is shorter than it was.
        """
        images = np.empty((indices.size, *self.shape), np.uint8)
        first = 0
        for file in self.files:
            here = (indices >= first) & (indices < first + file.count)
            if here.any():
                images[here] = self._decoded(file.read(indices[here] - first))
            first += file.count
        return images

    def _decoded(self, rows: NDArray[np.uint8]) -> Picture:
        h, w, c = self.shape
        if self.planar:
            return rows[:, self.skip :].reshape(len(rows), c, h, w).transpose(0, 2, 3, 1)
        return rows[:, self.skip :].reshape(len(rows), h, w, c)


def labels_in_column(files: Iterable[RowFile], place: int) -> Labels:
    """One byte of every row of several files as labels: ``(n,)`` int64."""
    return np.concatenate([file.column(place) for file in files]).astype(np.int64)
