"""Rooms for tests: the sites of one federation with real keystores, and the places through which they speak.

Use as ``from tests.holder import rooms``. Every act opens its keystore anew, as a command does.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from blindsight.holder import ceremony, federation
from blindsight.protocol import agreement, keystore
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ProtocolError
from blindsight.protocol.log import Log
from blindsight.protocol.messages import ABORT, COMMIT, COMPLAINT, PROPOSE, REVEAL
from blindsight.protocol.records import EPOCH
from blindsight.protocol.session import Phase, Session, from_json
from blindsight.protocol.transport import Piece, Transport
from tests.protocol import worlds
from tests.protocol.worlds import NOW

NAMES = ("anna", "bert", "cleo")
DEADLINE = NOW + timedelta(days=7)
LATE = DEADLINE + timedelta(hours=1)
NOT_AFTER = NOW + timedelta(days=365)


def found(root: Path, names: Iterable[str] = NAMES) -> Path:
    """A founded federation of these sites, with the code compared; its shared folder is ``box``."""
    box = DropBox(root / "box")
    stores = [worlds.keystore_of(root, name) for name in names]
    cards = [store.key.entry for store in stores]
    options = {"name": "ward", "cards": cards, "policy": "all", "nonce": os.urandom(32), "created": worlds.CREATED}
    genesis = federation.create(stores[0], box, **options)
    for store in stores[1:]:
        federation.sign(store, box, None)
    for store in stores:
        log = federation.follow(store, box, genesis.mid)
        federation.verify(store, log, log.code)
    return root


class KilledError(BaseException):
    """The power went out."""


class Way:
    """One site's way to the others: what it puts is on its way to each of them until it is handed over.

    Args:
        name: of the site.
        ways: of all sites, by name; this one enters itself.
        history: what anybody has ever put: name and bytes.
    """

    place = "post"

    def __init__(self, name: str, ways: dict[str, Way], history: list[tuple[str, bytes]]) -> None:
        self.name = name
        self.ways = ways
        self.history = history
        self.seen: dict[str, bytes] = {}
        self.coming: list[tuple[str, bytes]] = []
        self.fuse = -1
        ways[name] = self

    def folders(self, folder):
        prefix = f"{folder}/" if folder else ""
        below = [name.removeprefix(prefix) for name in self.seen if name.startswith(prefix)]
        return sorted({name.partition("/")[0] for name in below if "/" in name})

    def documents(self, folder):
        names = [name for name in self.seen if name.rpartition("/")[0] == folder]
        return iter([Piece(name, self.seen[name]) for name in sorted(names)])

    def put(self, name, data):
        """Blow the fuse, or let a document leave; sent again it comes again to those who lack it."""
        self.fuse -= 1
        if self.fuse == -1:
            raise KilledError
        self.seen[name] = data
        if (name, data) not in self.history:
            self.history.append((name, data))
        for other in self.ways.values():
            if other.seen.get(name) != data and (name, data) not in other.coming:
                other.coming.append((name, data))
        return name

    def hand_over(self, place=0):
        """Let the site see what is on its way at that place of the queue."""
        name, data = self.coming.pop(place)
        self.seen[name] = data
        return name, data

    def hand_over_all(self):
        while self.coming:
            self.hand_over()


class Room:
    """The sites below a root. By default all use the folder ``box``; ``through`` gives each a way of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = tuple(sorted(path.parent.name for path in root.glob("*/keystore.json")))
        self.box = DropBox(root / "box")
        self.boxes = dict.fromkeys(self.names, self.box)
        self.told = defaultdict(list)
        self.keys = {}
        for name in self.names:
            with self.store(name) as store:
                self.keys[name] = store.key
                (self.fed,) = store.data["feds"]

    def through(self, ways: dict[str, Transport]) -> Room:
        """The same sites, each with its own transport; what lies in the folder is put there first."""
        for piece in list(self.pieces()):
            for way in ways.values():
                way.put(*piece)
        self.boxes = {name: DropBox(way) for name, way in ways.items()}
        return self

    def pieces(self):
        """Every document in the shared folder: name and bytes."""
        root = self.box.transport.root
        return ((path.relative_to(root).as_posix(), path.read_bytes()) for path in sorted(root.rglob("*.json")))

    def store(self, name):
        return keystore.opened(self.root / name / "keystore.json", worlds.PASSPHRASE)

    def follow(self, store, name):
        return federation.follow(store, self.boxes[name], self.fed, self.told[name].append)

    def propose(self, name="anna", *, moment=NOW, deadline=DEADLINE, schemes=worlds.SCHEMES, entropy=os.urandom):
        with self.store(name) as store:
            return ceremony.propose(
                store, self.boxes[name], self.follow(store, name), schemes=schemes, moment=moment, deadline=deadline,
                not_after=NOT_AFTER, entropy=entropy,
            )  # fmt: skip

    def step(self, name, *, moment=NOW, entropy=os.urandom):
        with self.store(name) as store:
            return ceremony.step(store, self.boxes[name], self.follow(store, name), moment, entropy=entropy)

    def steps(self, *names, **options):
        """One step of each, in this order: what the last one said."""
        return [self.step(name, **options) for name in names][-1]

    def abort(self, name, *, moment=NOW):
        with self.store(name) as store:
            return ceremony.abort(store, self.boxes[name], self.follow(store, name), moment)

    def round(self, **options):
        return {name: self.step(name, **options) for name in self.names}

    def finish(self, rounds=6, **options):
        """Everybody steps in turn until all hold an epoch and wait for nothing, or so many times."""
        for _ in range(rounds):
            if {progress.phase for progress in self.round(**options).values()} == {"active"}:
                return

    def state(self, name):
        with self.store(name) as store:
            return store.data["feds"][self.fed]

    def label(self, name):
        return self.keys[name].entry.label

    def fpr(self, name):
        return self.keys[name].entry.fpr

    def session(self, name):
        document = self.state(name)["session"]
        return None if document is None else from_json(document)

    def held(self, name):
        """Epoch → status of each secret this site remembers, by sequence."""
        return {held["seq"]: held["status"] for held in self.state(name)["secrets"].values()}

    @property
    def sessions(self) -> Path:
        """The folder of ceremony messages."""
        return self.box.transport.root / self.box.federation(self.fed) / "sessions"

    def message(self, kind, name):
        (path,) = self.sessions.glob(f"*/{kind}-{self.fpr(name)[:12]}.json")
        return path

    def record(self, seq, name):
        """The file in which a site's signature under a record lies."""
        (path,) = (self.sessions.parent / "records").glob(f"{seq}-*-{self.fpr(name)[:12]}.json")
        return path

    def log(self):
        """What anybody who can read the folder sees."""
        return self.box.log(self.fed)

    def agreed(self):
        """Assert that all sites hold one secret and one record, and return its check value."""
        seen = set()
        for name in self.names:
            with self.store(name) as store:
                log = self.follow(store, name)
                epoch, secret = federation.epoch_secret(store, log, None)
                assert store.data["feds"][self.fed]["session"] is None
                assert agreement.key_check_value(secret, self.fed, epoch.number) == epoch.kcv
                seen.add((epoch.number, epoch.kcv, epoch.record, secret))
        assert len(seen) == 1
        return seen.pop()[1]


def codes(progress):
    """The codes of everything that a step refused."""
    return {refusal.error.code for refusal in progress.refused}


def sentences(progress):
    """Everything that a step refused, in one text."""
    return "\n".join(refusal.error.message for refusal in progress.refused)


def evidence(folder):
    """The documents in a site's evidence folder."""
    return [Envelope.from_bytes(path.read_bytes()) for path in sorted((folder / "evidence").glob("*.json"))]


def outsider(log: Log, envelopes: Iterable[Envelope], sid: str = "") -> Session:
    """What somebody without any secret knows of a ceremony who has the log and these documents."""
    order = (PROPOSE, COMMIT, REVEAL)
    envelopes = sorted(envelopes, key=lambda e: order.index(e.type) if e.type in order else len(order))
    (proposal,) = [e for e in envelopes if e.type == PROPOSE and sid in ("", e.mid)][:1]
    agreement.read_proposal(log, proposal)
    session = Session("", log.roster.members, proposal, Phase.COMMITTED)
    for envelope in envelopes:
        with contextlib.suppress(ProtocolError):
            session = agreement.receive(session, envelope)
    return session


def said(pieces, members):
    """What members have genuinely signed: (member, session, kind) → ids; and (member, sequence) → ids of records."""
    messages, records = defaultdict(set), defaultdict(set)
    for _, data in pieces:
        try:
            envelope = Envelope.from_bytes(data)
            body = envelope.body()
        except ProtocolError:
            continue
        for member in members:
            if not envelope.is_signed_by(member):
                continue
            if envelope.type in (COMMIT, REVEAL, COMPLAINT, ABORT, EPOCH):
                messages[member.name, body["sid"], envelope.type].add(envelope.mid)
            if envelope.type == EPOCH:
                records[member.name, body["seq"]].add(envelope.mid)
    return messages, records


def assert_of_one_voice(pieces, members):
    """Nobody has said two different things of one kind in one session, or signed two records of one sequence."""
    for heard in said(pieces, members):
        assert {who: mids for who, mids in heard.items() if len(mids) > 1} == {}


def text_of(state) -> str:
    """All that a keystore remembers, as text: for the search of what ought to be erased."""
    return json.dumps(state)
