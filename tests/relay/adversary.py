"""A transport that misbehaves in every way a drop-box may, each by a switch of its own, the same way for one seed.

Use as ``from tests.relay.adversary import Adversary, Memory``:

    hostile = Adversary(Memory(), seed=7, drop=0.2, edit=0.1)
    boxes = {name: DropBox(hostile.party(name)) for name in ("anna", "bert")}
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from blindsight.protocol.errors import FormatError
from blindsight.protocol.files import write_whole
from blindsight.protocol.transport import SUFFIX, Piece, Transport
from blindsight.protocol.transport.names import demand_safe


class Memory:
    """An honest transport in memory that keeps every version, as a relay does."""

    def __init__(self) -> None:
        self.pieces: list[tuple[str, bytes]] = []

    @property
    def place(self) -> str:
        return "memory"

    def folders(self, folder: str) -> list[str]:
        return sorted({below.partition("/")[0] for below, _ in self._below(folder) if "/" in below})

    def documents(self, folder: str) -> Iterator[Piece]:
        prefix = f"{folder}/" if folder else ""
        for below, data in sorted(self._below(folder), key=lambda item: item[0]):
            if "/" not in below and below.endswith(SUFFIX):
                yield Piece(prefix + below, data)

    def files(self, folder: str) -> list[str]:
        return sorted({below for below, _ in self._below(folder) if "/" not in below})

    def put(self, name: str, data: bytes) -> str:
        if (demand_safe(name), data) not in self.pieces:
            self.pieces.append((name, data))
        return f"memory/{name}"

    def send(self, source: Path, name: str) -> None:
        self.put(name, source.read_bytes())

    def fetch(self, name: str, target: Path, most: int) -> None:
        found = [data for other, data in self.pieces if other == name]
        if not found:
            raise FormatError(f"there is no {name}", code="E_IO")
        write_whole(target, found[-1])

    def _below(self, folder: str) -> list[tuple[str, bytes]]:
        prefix = f"{folder}/" if folder else ""
        return [(name.removeprefix(prefix), data) for name, data in self.pieces if name.startswith(prefix)]


@dataclass
class Adversary:
    """A transport between the parties and an honest one.

    Every choice follows from the seed, the switch and the document, so that it stays the same from read to read and
    from run to run; only ``reorder`` draws anew at each read. Without any switch it is honest.

    Args:
        inner: where documents really lie.
        seed: of all choices.
        drop: share of documents that nobody ever sees.
        delay: a document is seen by a party only after that many reads of its folder by that party.
        reorder: documents come in another order at each read.
        duplicate: share of documents that come twice, the second time under another name.
        edit: share of documents in which one byte is another.
        fork: of several contents under one name, a party sees only one: the n-th party named the n-th
            content (counted round). ``plant`` adds contents to choose from.
        replay: share of all documents ever put that come again in every folder, under other names.
        name: of the party that looks through this view; see ``party``.
    """

    inner: Transport
    seed: int
    drop: float = 0.0
    delay: int = 0
    reorder: bool = False
    duplicate: float = 0.0
    edit: float = 0.0
    fork: bool = False
    replay: float = 0.0
    name: str = ""
    history: list[tuple[str, bytes]] = field(default_factory=list)
    planted: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    parties: list[str] = field(default_factory=list)
    _reads: Counter[str] = field(default_factory=Counter, init=False)
    _seen: dict[tuple[str, bytes], int] = field(default_factory=dict, init=False)

    def party(self, name: str) -> Adversary:
        """The view of one party: the same documents and switches, reads of its own."""
        if name not in self.parties:
            self.parties.append(name)
        switches = {key: getattr(self, key) for key in ("drop", "delay", "reorder", "duplicate", "edit", "fork")}
        shared = {"history": self.history, "planted": self.planted, "parties": self.parties}
        return Adversary(self.inner, self.seed, **switches, replay=self.replay, name=name, **shared)

    def plant(self, name: str, data: bytes, party: str) -> None:
        """Show a document to one party only, instead of whatever has that name."""
        self.planted.setdefault(party, []).append((name, data))

    @property
    def place(self) -> str:
        return self.inner.place

    def folders(self, folder: str) -> list[str]:
        return self.inner.folders(folder)

    def files(self, folder: str) -> list[str]:
        return self.inner.files(folder)

    def put(self, name: str, data: bytes) -> str:
        if (name, data) not in self.history:
            self.history.append((name, data))
        return self.inner.put(name, data)

    def send(self, source: Path, name: str) -> None:
        self.inner.send(source, name)

    def fetch(self, name: str, target: Path, most: int) -> None:
        self.inner.fetch(name, target, most)

    def documents(self, folder: str) -> Iterator[Piece]:
        """What this party is shown."""
        self._reads[folder] += 1
        pieces = self._forked(folder, list(self.inner.documents(folder)))
        pieces = [piece for piece in pieces if not self._chance("drop", piece, self.drop)]
        pieces = [self._edited(piece) for piece in pieces if self._is_due(folder, piece)]
        pieces += [_renamed(piece, "copy") for piece in pieces if self._chance("duplicate", piece, self.duplicate)]
        pieces += self._replayed(folder)
        if self.reorder:
            random.Random(f"{self.seed}/{self.name}/{folder}/{self._reads[folder]}").shuffle(pieces)
        yield from pieces

    def _chance(self, switch: str, piece: Piece, share: float) -> bool:
        return self._number(switch, piece) < share * 2**64

    def _number(self, switch: str, piece: Piece) -> int:
        text = f"{self.seed}/{switch}/{piece.name}/".encode() + piece.data
        return int.from_bytes(hashlib.sha256(text).digest()[:8])

    def _is_due(self, folder: str, piece: Piece) -> bool:
        first = self._seen.setdefault((piece.name, piece.data), self._reads[folder])
        return self._reads[folder] - first >= self.delay

    def _edited(self, piece: Piece) -> Piece:
        if not piece.data or not self._chance("edit", piece, self.edit):
            return piece
        place = self._number("place", piece) % len(piece.data)
        changed = bytearray(piece.data)
        changed[place] ^= 1 + self._number("bits", piece) % 255
        return Piece(piece.name, bytes(changed))

    def _forked(self, folder: str, pieces: list[Piece]) -> list[Piece]:
        """One content a name, the party's own; what was planted for it goes first."""
        mine = {name: data for name, data in self.planted.get(self.name, []) if name.rpartition("/")[0] == folder}
        if self.fork:
            pieces = [self._version(name) or piece for name, piece in {piece.name: piece for piece in pieces}.items()]
        return [piece for piece in pieces if piece.name not in mine] + [Piece(*item) for item in mine.items()]

    def _version(self, name: str) -> Piece | None:
        contents = [data for other, data in self.history if other == name]
        turn = self.parties.index(self.name) if self.name in self.parties else 0
        return Piece(name, contents[turn % len(contents)]) if contents else None

    def _replayed(self, folder: str) -> list[Piece]:
        old = [Piece(name, data) for name, data in self.history if name.endswith(SUFFIX)]
        chosen = [piece for piece in old if self._chance("replay", piece, self.replay)]
        return [Piece(f"{folder}/replay-{place}{SUFFIX}".lstrip("/"), p.data) for place, p in enumerate(chosen)]


def _renamed(piece: Piece, how: str) -> Piece:
    return Piece(f"{piece.name.removesuffix(SUFFIX)} ({how}){SUFFIX}", piece.data, piece.fault)
