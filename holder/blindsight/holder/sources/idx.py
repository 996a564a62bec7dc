"""MNIST-style IDX files: ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and ``t10k-…``, or each with ``.gz``.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from blindsight.holder.sources.rows import RowFile, RowImages
from blindsight.holder.sources.settings import Settings
from blindsight.holder.sources.source import Labels, Source, Split, numbered
from blindsight.protocol.errors import DataError

SPLIT_PREFIXES = {"train": "train", "test": "t10k"}
IMAGES_NAME = "{}-images-idx3-ubyte"
LABELS_NAME = "{}-labels-idx1-ubyte"
IMAGES_MAGIC = 0x00000803  # unsigned bytes, three dimensions
LABELS_MAGIC = 0x00000801  # unsigned bytes, one dimension
PIECE_BYTES = 1024 * 1024


def is_idx(path: Path) -> bool:
    """Whether a folder holds IDX images."""
    return any(_find(path, IMAGES_NAME.format(prefix)) for prefix in SPLIT_PREFIXES.values())


def open_idx(path: Path, settings: Settings) -> Source:
    """Open a folder of IDX files.

    Args:
        path: the folder.
        settings: may name the classes, which are numbers otherwise.

    Raises:
        DataError: a file is missing or damaged, or is not as long as its header says.
    """
    splits = {
        split: _split(path, prefix)
        for split, prefix in SPLIT_PREFIXES.items()
        if _find(path, IMAGES_NAME.format(prefix))
    }
    if not splits:
        raise DataError(f"{path} holds no IDX images", hint=f"expected is {path / 'train-images-idx3-ubyte'}")
    classes = settings.classes or numbered(splits.values())
    return Source(path.resolve().name, classes, splits, mirror=False, fit=settings.fitted("keep"))


def _find(path: Path, name: str) -> Path | None:
    return next((file for file in (path / name, path / f"{name}.gz") if file.is_file()), None)


def _split(path: Path, prefix: str) -> Split:
    images, labels = (_find(path, name.format(prefix)) for name in (IMAGES_NAME, LABELS_NAME))
    if images is None or labels is None:
        raise DataError(f"{path / LABELS_NAME.format(prefix)} is missing", hint="put it beside the images")
    rows, shape = _images(images)
    return Split(rows.count, _labels(labels, rows.count), shape, RowImages((rows,), shape))


def _images(path: Path) -> tuple[RowFile, tuple[int, int, int]]:
    with _opened(path) as file:
        count, height, width = _header(path, file, IMAGES_MAGIC, dimensions=3)
        if not height or not width:
            raise DataError(f"{path} holds images without pixels: {height}x{width}")
        head, row_bytes = file.tell(), height * width
        if path.suffix == ".gz":
            rows = RowFile.spooled(_pieces(path, file), str(path), row_bytes=row_bytes, count=count)
        else:
            _check_length(path, path.stat().st_size - head, count * row_bytes)
            rows = RowFile.open(path, offset=head, row_bytes=row_bytes, count=count)
    return rows, (height, width, 1)


def _labels(path: Path, expected: int) -> Labels:
    with _opened(path) as file:
        (count,) = _header(path, file, LABELS_MAGIC, dimensions=1)
        if count != expected:
            raise DataError(f"{path} must hold one label an image, got {count} for {expected}")
        labels = b"".join(_pieces(path, file, limit=count + 1))
    _check_length(path, len(labels), count)
    return np.frombuffer(labels, np.uint8).astype(np.int64)


def _opened(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")


def _header(path: Path, file: BinaryIO, magic: int, *, dimensions: int) -> tuple[int, ...]:
    head = b"".join(_pieces(path, file, limit=4 + 4 * dimensions))
    if len(head) < 4 + 4 * dimensions:
        raise DataError(f"{path} ends within its header", hint="copy the file again")
    got, *sizes = struct.unpack(f">{1 + dimensions}I", head)
    if got != magic:
        raise DataError(f"{path} must begin with {magic:#010x}, got {got:#010x}")
    return tuple(sizes)


def _pieces(path: Path, file: BinaryIO, limit: int | None = None) -> Iterator[bytes]:
    """The rest of a file, or its next ``limit`` bytes."""
    left = limit
    while left is None or left > 0:
        try:
            piece = file.read(PIECE_BYTES if left is None else min(left, PIECE_BYTES))
        except (OSError, EOFError, zlib.error):
            raise DataError(f"{path} is damaged or cut short", hint="copy the file again") from None
        if not piece:
            return
        left = None if left is None else left - len(piece)
        yield piece


def _check_length(path: Path, got: int, expected: int) -> None:
    if got != expected:
        raise DataError(f"{path} must hold {expected} bytes after its header, got {got}", hint="copy the file again")
