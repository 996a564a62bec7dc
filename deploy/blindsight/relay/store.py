"""Rooms on disk: documents by digest, and one list of names that only grows.

    <store>/<room>/m/<digest>      a document, written whole
    <store>/<room>/list            one line an entry: cursor, bytes, digest, name

A document is on disk before its line is; a line counts when its newline is there. So what a kill interrupts leaves
either no entry or a whole one. One process at a time; threads may share a store.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import threading
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blindsight.protocol.errors import DataError, FormatError
from blindsight.protocol.files import sweep_parts, sync_folder, write_whole
from blindsight.protocol.transport.names import is_safe
from blindsight.protocol.transport.relay import ROOM

if TYPE_CHECKING:
    from blindsight.relay.limits import Limits

LIST = "list"
CONTENT = "m"
_LINE = re.compile(r"([1-9][0-9]{0,15}) (0|[1-9][0-9]{0,11}) ([0-9a-f]{64}) (.{1,255})")


@dataclass(frozen=True, slots=True)
class Entry:
    """One document under one name.

    Args:
        cursor: its place in the list, growing from 1.
        size: bytes.
        digest: SHA-256, hex.
        name: a hint of the one who put it.
    """

    cursor: int
    size: int
    digest: str
    name: str

    def to_json(self) -> dict[str, Any]:
        """As the list shows it."""
        return {"cursor": self.cursor, "name": self.name, "digest": self.digest, "bytes": self.size}

    def line(self) -> bytes:
        """As the list is stored."""
        return f"{self.cursor} {self.size} {self.digest} {self.name}\n".encode("ascii")


class Full(Exception):  # noqa: N818
    """Something has reached its limit.

    Args:
        what: the store, the room or the name.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(slots=True)
class Room:
    """One room.

    Args:
        folder: where it lies; made when something is put.
    """

    folder: Path
    entries: list[Entry] = field(default_factory=list)
    by_key: dict[tuple[str, str], Entry] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    versions: Counter[str] = field(default_factory=Counter)
    used: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def opened(cls, folder: Path) -> Room:
        """The room as it lies on disk; a line that was cut off is removed."""
        room = cls(folder)
        path = folder / LIST
        data = path.read_bytes() if path.exists() else b""
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(path, whole)
        for line in data[:whole].splitlines():
            if (found := _LINE.fullmatch(line.decode("ascii", "replace"))) and is_safe(found[4]):
                room.remember(Entry(int(found[1]), int(found[2]), found[3], found[4]))
        if (folder / CONTENT).is_dir():
            sweep_parts(folder / CONTENT)
        return room

    def remember(self, entry: Entry) -> None:
        """Count an entry in."""
        self.entries.append(entry)
        self.by_key[entry.name, entry.digest] = entry
        self.versions[entry.name] += 1
        if entry.digest not in self.sizes:
            self.sizes[entry.digest] = entry.size
            self.used += entry.size

    def after(self, cursor: int, limit: int) -> tuple[list[Entry], bool]:
        """At most that many entries after a cursor, and whether there are more."""
        start = bisect_right(self.entries, cursor, key=attrgetter("cursor"))
        return self.entries[start : start + limit], len(self.entries) > start + limit

    def path(self, digest: str) -> Path | None:
        """Where a document lies, if it is in this room."""
        return self.folder / CONTENT / digest if digest in self.sizes else None

    def put(self, name: str, digest: str, data: bytes, limits: Limits) -> tuple[Entry, bool]:
        """Add a document under a name.

        Returns:
            The entry, and whether it is new.

        Raises:
            Full: the room or the name.
        """
        with self.lock:
            if entry := self.by_key.get((name, digest)):
                return entry, False
            self._demand_space(name, digest, len(data), limits)
            entry = Entry(self.entries[-1].cursor + 1 if self.entries else 1, len(data), digest, name)
            if digest not in self.sizes:
                (self.folder / CONTENT).mkdir(parents=True, exist_ok=True)
                write_whole(self.folder / CONTENT / digest, data)
            _append(self.folder / LIST, entry.line())
            self.remember(entry)
            return entry, True

    def _demand_space(self, name: str, digest: str, size: int, limits: Limits) -> None:
        if self.versions[name] >= limits.versions:
            raise Full("name")
        added = 0 if digest in self.sizes else size
        if len(self.entries) >= limits.entries or self.used + added > limits.room:
            raise Full("room")


class Store:
    """All rooms below a folder, for one process.

    Args:
        root: the folder; it is made.
        limits: what is taken.

    Raises:
        DataError: E_LOCKED, another process uses the store.
        FormatError: E_IO, it cannot be read or written.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self.limits = limits
        self._root, self._lock = root, threading.Lock()
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._guard = _locked(root / ".lock")
            self._rooms = {path.name: Room.opened(path) for path in sorted(root.iterdir()) if _is_room(path)}
        except OSError as error:
            raise FormatError(f"the store {root} cannot be used: {error.strerror}", code="E_IO") from error

    def close(self) -> None:
        """Let another process use the store."""
        os.close(self._guard)

    def room(self, name: str) -> Room | None:
        """A room in which something lies."""
        return self._rooms.get(name)

    def put(self, room: str, name: str, digest: str, data: bytes) -> tuple[Entry, bool]:
        """Add a document to a room, which is made if need be.

        Raises:
            Full: the store, the room or the name.
            OSError: the disk's.
        """
        return self._made(room).put(name, digest, data, self.limits)

    def _made(self, name: str) -> Room:
        with self._lock:
            if name not in self._rooms:
                if len(self._rooms) >= self.limits.rooms:
                    raise Full("store")
                (self._root / name).mkdir(exist_ok=True)
                sync_folder(self._root)
                self._rooms[name] = Room(self._root / name)
            return self._rooms[name]


def _is_room(path: Path) -> bool:
    return path.is_dir() and ROOM.fullmatch(path.name) is not None


def _append(path: Path, line: bytes) -> None:
    """Add a line durably; a line that the disk took in part is taken back."""
    is_new = not path.exists()
    with path.open("ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise
    if is_new:
        sync_folder(path.parent)


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DataError(f"another relay uses the store {path.parent}", code="E_LOCKED") from error
    return descriptor
