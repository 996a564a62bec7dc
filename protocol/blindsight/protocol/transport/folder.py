"""A shared folder: on one disk, over NFS, or kept in step by any program that syncs folders."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blindsight.protocol.encoding import MAX_DOCUMENT_BYTES
from blindsight.protocol.errors import FormatError
from blindsight.protocol.files import replacing, write_whole
from blindsight.protocol.transport import SUFFIX, Piece
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

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file out of the folder."""
        _copy(self.root / demand_safe(name), target)

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
            with path.open("rb") as file:
                return Piece(name, file.read(MAX_DOCUMENT_BYTES + 1))
        except OSError as error:
            return Piece(name, b"", FormatError(f"{path.name} cannot be read: {error.strerror}", code="E_IO"))


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as reader, replacing(target) as writer:
            shutil.copyfileobj(reader, writer)
    except OSError as error:
        raise FormatError(f"{source} cannot be copied to {target}: {error.strerror}", code="E_IO") from error
