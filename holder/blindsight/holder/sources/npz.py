"""Named arrays in an ``.npz`` file, read a few images at a time.

Accepted are ``images`` and ``labels``, or ``<split>_images`` and ``<split>_labels`` for train, val and test, and
``classes``. Arrays that were stored are read where they lie in the file; compressed ones are unpacked once to an
anonymous temporary file. Pickled objects are never loaded.

Source: numpy.lib.format (the ``.npy`` format); PKWARE APPNOTE 4.3.7 (local file header).
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from blindsight.holder.sources.rows import RowFile, RowImages
from blindsight.holder.sources.settings import Settings
from blindsight.holder.sources.source import SPLITS, Labels, Source, Split, numbered
from blindsight.protocol.errors import DataError

LOCAL_HEADER = struct.Struct("<4s5H3I2H")
LOCAL_MAGIC = b"PK\x03\x04"
PIECE_BYTES = 1024 * 1024
ENCRYPTED_FLAG = 0x1
SAVE_HINT = "np.savez('set.npz', images=images, labels=labels) with (n, h, w, c) uint8 images and n integer labels"
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, struct.error)


def open_npz(path: Path, settings: Settings) -> Source:
    """Open an ``.npz`` file of images.

    Args:
        path: the file.
        settings: may name the classes, else ``classes`` does, else they are numbers.

    Raises:
        DataError: the file is damaged, or its arrays are not those described above.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _source(path, archive, settings)
    except _DAMAGE:
        raise DataError(f"{path} is damaged or no .npz file", hint=SAVE_HINT) from None


def _source(path: Path, archive: zipfile.ZipFile, settings: Settings) -> Source:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    splits = {split: _split(path, archive, members, prefix) for split, prefix in _prefixes(path, members).items()}
    classes = settings.classes or _class_names(path, archive, members, splits)
    return Source(path.stem, classes, splits, mirror=False, fit=settings.fitted("keep"))


def _prefixes(path: Path, members: Mapping[str, zipfile.ZipInfo]) -> Mapping[str, str]:
    """Which splits there are, and how the names of their arrays begin."""
    prefixes = {split: f"{split}_" for split in SPLITS if f"{split}_images" in members}
    if "images" in members:
        prefixes = {"train": ""} if not prefixes else {}
    expected = {"classes"} | {prefix + kind for prefix in prefixes.values() for kind in ("images", "labels")}
    if not prefixes or not set(members) <= expected:
        got = ", ".join(sorted(members)[:8]) or "none"
        raise DataError(f"{path} must hold images and labels, or train_images and so on, got {got}", hint=SAVE_HINT)
    return prefixes


def _split(path: Path, archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], prefix: str) -> Split:
    name = f"{path}: {prefix}images"
    info = members[f"{prefix}images"]
    with _opened(archive, info, name) as file:
        shape, kind = _header(file, info, name)
        if kind != np.uint8 or len(shape) not in (3, 4) or (*shape, 1)[3] not in (1, 3) or 0 in shape[1:]:
            raise DataError(f"{name} must be (n, h, w), (n, h, w, 1) or (n, h, w, 3) uint8, got {shape} {kind}")
        image = (shape[1], shape[2], (*shape, 1)[3])
        rows = _rows(path, info, file, count=shape[0], row_bytes=int(np.prod(image)))
    labels = _labels(path, archive, members.get(f"{prefix}labels"), f"{path}: {prefix}labels", shape[0])
    return Split(shape[0], labels, image, RowImages((rows,), image))


def _opened(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> IO[bytes]:
    if info.flag_bits & ENCRYPTED_FLAG:
        raise DataError(f"{name} is locked with a zip password", hint=SAVE_HINT)
    return archive.open(info)


def _header(file: IO[bytes], info: zipfile.ZipInfo, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array in C order that fills its member exactly; ``file`` then stands at the data."""
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(npy.read_magic(file))
    if read is None:
        raise DataError(f"{name} is in an unknown version of the .npy format", hint=SAVE_HINT)
    shape, fortran, kind = read(file)
    if kind.hasobject:
        raise DataError(f"{name} holds Python objects, which are never loaded", hint=SAVE_HINT)
    if fortran and len(shape) > 1:
        raise DataError(f"{name} is in column order", hint="save np.ascontiguousarray(images)")
    if file.tell() + int(np.prod(shape, dtype=object)) * kind.itemsize != info.file_size:
        raise DataError(f"{name} is not as long as its header says", hint="copy the file again")
    return shape, kind


def _rows(path: Path, info: zipfile.ZipInfo, file: IO[bytes], *, count: int, row_bytes: int) -> RowFile:
    if info.compress_type != zipfile.ZIP_STORED:
        return RowFile.spooled(_pieces(file), f"{path}: {info.filename}", row_bytes=row_bytes, count=count)
    offset = _member_offset(path, info) + file.tell()
    return RowFile.open(path, offset=offset, row_bytes=row_bytes, count=count)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece


def _member_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member begin in the archive."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        magic, *_, name_bytes, extra_bytes = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
        offset = info.header_offset + LOCAL_HEADER.size + int(name_bytes) + int(extra_bytes)
        if magic != LOCAL_MAGIC or offset + info.file_size > os.fstat(file.fileno()).st_size:
            raise DataError(f"{path} ends before {info.filename}", hint="copy the file again")
    return offset


def _labels(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo | None, name: str, count: int) -> Labels | None:
    if info is None:
        return None
    labels = _small_array(archive, info, name)
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise DataError(f"{name} must be {count} integers, got {labels.shape} {labels.dtype}", hint=SAVE_HINT)
    return labels.astype(np.int64)


def _small_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> NDArray[Any]:
    with _opened(archive, info, name) as file:
        shape, kind = _header(file, info, name)
        return np.frombuffer(file.read(), kind).reshape(shape)


def _class_names(
    path: Path, archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], splits: Mapping[str, Split]
) -> tuple[str, ...]:
    if "classes" in members:
        names = _small_array(archive, members["classes"], f"{path}: classes")
        if names.dtype.kind != "U" or names.ndim != 1:
            raise DataError(f"{path}: classes must be a row of text, got {names.shape} {names.dtype}")
        return tuple(str(name) for name in names)
    return numbered(splits.values())
