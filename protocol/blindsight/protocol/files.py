"""Writing files whole: beside the target, synced, renamed. What is interrupted leaves the old file or none."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` that takes its place when the block ends without an error.

    Args:
        path: the target; its folder must exist.
        mode: permission bits of the new file.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_whole(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a small file so that it exists whole or not at all."""
    with replacing(path, mode=mode) as file:
        file.write(data)


def read_bounded(file: BinaryIO, limit: int) -> bytes:
    """What an open regular file holds, up to one byte more than a limit, without reserving memory for more than that.

    Args:
        file: at its beginning.
        limit: bytes it may have; longer content shows by its length.
    """
    return file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)


def sync_folder(folder: Path) -> None:
    """Make a rename inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_parts(folder: Path) -> None:
    """Remove temporary files that a killed writer left in a folder."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)
