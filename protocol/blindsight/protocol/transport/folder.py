"""A shared folder: on one disk, over NFS, or kept in step by any program that syncs folders."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from blindsight.protocol.encoding import MAX_DOCUMENT_BYTES
from blindsight.protocol.errors import FormatError
from blindsight.protocol.files import read_bounded, replacing, write_whole
from blindsight.protocol.transport import SUFFIX, Piece, copy
from blindsight.protocol.transport.names import demand_safe, is_safe


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder; it is made when something is put into it.

    Args:
        root: the folder.
    """

    root: Path

    @property
    def place(self) -> str:
        """The folder's path."""
        return str(self.root)

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder."""
        return sorted(path.name for path in self._inside(folder) if path.is_dir())

    def documents(self, folder: str) -> Iterator[Piece]:
        """Every document directly in a folder."""
        for path in sorted(self._inside(folder)):
            if path.name.endswith(SUFFIX):
                yield self._piece(path)

    def files(self, folder: str) -> list[str]:
        """The names of all files directly in a folder."""
        return sorted(path.name for path in self._inside(folder) if path.is_file())

    def put(self, name: str, data: bytes) -> str:
        """Put a document unless the same one lies there."""
        path = self.root / demand_safe(name)
        try:
            if not _holds(path, data):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, data)
        except OSError as error:
            raise FormatError(f"the drop-box cannot take {path}: {error.strerror}", code="E_IO") from error
        return str(path)

    def send(self, source: Path, name: str) -> None:
        """Copy a file into the folder."""
        _copy(source, self.root / demand_safe(name))

    def fetch(self, name: str, target: Path, most: int) -> None:
        """Copy a file out of the folder."""
        _copy(self.root / demand_safe(name), target, most)

    def _inside(self, folder: str) -> list[Path]:
        try:
            return [path for path in (self.root / folder).iterdir() if is_safe(path.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise FormatError(f"the drop-box {self.root} cannot be read: {error.strerror}", code="E_IO") from error

    def _piece(self, path: Path) -> Piece:
        name = path.relative_to(self.root).as_posix()
        try:
            with _opened(path) as file:
                return Piece(name, read_bounded(file, MAX_DOCUMENT_BYTES))
        except OSError as error:
            return Piece(name, b"", FormatError(f"{path.name} cannot be read: {error.strerror}", code="E_IO"))


def _opened(path: Path) -> BinaryIO:
    """A regular file, opened: whoever can write into the folder must not make us wait for a pipe or a terminal."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return os.fdopen(descriptor, "rb")


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


def _copy(source: Path, target: Path, most: int = sys.maxsize) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _opened(source) as reader, replacing(target) as writer:
            copy(reader, writer, most, source.name)
    except OSError as error:
        raise FormatError(f"{source} cannot be copied to {target}: {error.strerror}", code="E_IO") from error
