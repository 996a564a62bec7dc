"""How documents get from party to party: one seam, several ways. FORMAT.md section K.

Documents protect themselves; a transport moves named bytes and is trusted with nothing: it may lose, delay, repeat,
reorder or change what it is given. Names are hints for people and for finding things; content decides.

    a folder that all sites see         box, /mnt/share/box
    whatever fsspec reaches             s3://bucket/box, memory://box          extra ``remote``
    a relay                             relay+https://relay.example/ward       see ``blindsight relay``

A place never holds a password: it stands in command lines, in messages and in the lists of processes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from blindsight.protocol.errors import DataError, FormatError, ProtocolError

SUFFIX = ".json"
COPY_BYTES = 8 * 2**20
_BROKEN_URL = re.compile(r"[a-z][a-z0-9+.-]+:/(?!/).*")


@dataclass(frozen=True, slots=True)
class Piece:
    """A document as a transport hands it over.

    Args:
        name: below the box, ``/`` between folders.
        data: its bytes; empty when ``fault`` says why it cannot be read.
        fault: why not.
    """

    name: str
    data: bytes
    fault: ProtocolError | None = None


class Transport(Protocol):
    """Moves named bytes. What has a name that ``names.is_safe`` does not accept is neither put nor shown.

    Listing raises ``FormatError`` E_IO when the place cannot be reached; one document that cannot be read is a
    ``Piece`` with a fault.
    """

    @property
    def place(self) -> str:
        """Where it leads, for people; never with a password in it."""

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder, sorted; ``""`` is the box itself."""

    def documents(self, folder: str) -> Iterator[Piece]:
        """Every ``*.json`` that lies directly in a folder, sorted by name, none larger than a document may be.

        A name may come several times with different content where a transport keeps every version.
        """

    def files(self, folder: str) -> list[str]:
        """The names of all files directly in a folder, sorted, half-written ones left out."""

    def put(self, name: str, data: bytes) -> str:
        """Put a document, whole or not at all; putting the same again does nothing.

        Returns:
            Where it lies now, for people.

        Raises:
            ProtocolError: E_IO; E_FORMAT, the name is not safe.
            DataError: the transport does not take that much.
        """

    def send(self, source: Path, name: str) -> None:
        """Put a file of any size, whole or not at all.

        Raises:
            BlindsightError: E_IO; E_FORMAT, the name is not safe; E_DATA where the transport takes documents only.
        """

    def fetch(self, name: str, target: Path, most: int) -> None:
        """Read a file into a new local file, whole or not at all.

        Args:
            name: of the file.
            target: the local file.
            most: bytes that it may have; whoever can write there must not fill our disk.

        Raises:
            BlindsightError: E_IO, it is missing or cannot be read; E_SHARD, it is larger; E_DATA where the transport
                gives documents only.
        """


def copy(reader: BinaryIO, writer: BinaryIO, most: int, name: str) -> None:
    """Copy a stream that may have so many bytes.

    Raises:
        FormatError: E_SHARD, it has more.
    """
    left = most
    while piece := reader.read(COPY_BYTES):
        left -= len(piece)
        if left < 0:
            raise FormatError(f"{name} has more than the {most} bytes expected", code="E_SHARD")
        writer.write(piece)


def at(place: str | Path) -> Transport:
    """The transport that leads to a place.

    Args:
        place: a folder, an fsspec URL, or ``relay+http(s)://host/room``.

    Raises:
        MissingExtraError: its library is not installed.
        DataError: the place cannot be understood.
    """
    text = str(place)
    kind, separator, _ = text.partition("://")
    if _BROKEN_URL.fullmatch(text):
        raise DataError(f"{text[:60]!r} is no folder, and a URL has two slashes after the colon")
    if not separator:
        from blindsight.protocol.transport.folder import Folder

        return Folder(Path(place))
    if kind in ("relay+http", "relay+https"):
        from blindsight.protocol.transport.relay import Relay

        return Relay(text.removeprefix("relay+"))
    if kind in ("http", "https"):
        raise DataError(f"a relay is written relay+{text}", hint=f"--dropbox relay+{text}")
    from blindsight.protocol.transport.remote import Remote

    return Remote(text)
