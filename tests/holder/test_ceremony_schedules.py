"""Ceremonies under every schedule: lost, late, doubled, changed post; power cuts; clocks; people who give up.

Two machines look for a schedule that breaks an invariant: one plays pure sessions, one plays real keystores,
each site with its own way to the others. When a schedule ends, the post becomes honest, and the members must come to an
agreement without help.
"""

import contextlib
import hashlib
import shutil
import tempfile
from collections import defaultdict
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from blindsight.protocol import agreement
from blindsight.protocol.encoding import canonical, from_b64, parse_canonical, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import PolicyError, ProtocolError
from blindsight.protocol.records import EPOCH
from blindsight.protocol.session import Phase, from_json, to_json
from tests.holder import rooms
from tests.holder.rooms import KilledError, Room, Way
from tests.protocol import worlds

FUSES = (-1,) * 12 + tuple(range(6))  # how many documents still leave before the power goes out
KINDS = (
    ("catch_up", 12), ("step", 5), ("everybody", 2), ("hand_over_one", 5), ("lose_one", 3), ("change_one", 2),
    ("double_one", 1), ("misplace_one", 1), ("propose", 2), ("wait", 1), ("abort", 1),
)  # fmt: skip
BRIEF = settings(deadline=None, suppress_health_check=list(HealthCheck))
SITES = st.integers(0, 3)
PLACES = st.integers(0, 10_000)
EVENTS = st.tuples(st.sampled_from([kind for kind, weight in KINDS for _ in range(weight)]), SITES, PLACES)
FOUNDED: dict[int, Path] = {}


@pytest.fixture(scope="module", autouse=True)
def founded(tmp_path_factory):
    """Founded federations of three and of four sites."""
    for count in (3, 4):
        root = tmp_path_factory.mktemp(f"founded-{count}")
        FOUNDED[count] = rooms.found(root, ("anna", "bert", "cleo", "dora")[:count])


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # this disk does not lose what it has


def changed(data, place):
    """The same bytes with one of them changed."""
    return (
        data[: place % len(data)] + bytes([data[place % len(data)] ^ (1 + place % 255)]) + data[place % len(data) + 1 :]
    )


class KeystoreMachine(RuleBasedStateMachine):
    """Sites with real keystores, each with its own way to the others."""

    @initialize(count=st.sampled_from([3, 3, 4]))
    def found(self, count):
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name) / "room"
        shutil.copytree(FOUNDED[count], root)
        self.history, self.ways = [], {}
        self.room = Room(root)
        self.room.through({name: Way(name, self.ways, self.history) for name in self.room.names})
        self.members = [key.entry for key in self.room.keys.values()]
        self.moment, self.draws, self.drawn, self.heard = worlds.NOW, 0, defaultdict(list), 0
        self.messages, self.signed, self.records = defaultdict(set), defaultdict(set), {}
        self.states = {name: self.room.state(name) for name in self.room.names}
        self.propose(self.site(0), self.ways[self.site(0)], 0)

    def site(self, number):
        return self.room.names[number % len(self.room.names)]

    def entropy_of(self, name):
        def entropy(count):
            self.draws += 1
            drawn = hashlib.shake_256(f"{name}/{self.draws}".encode()).digest(count)
            self.drawn[name].append(to_b64(drawn))
            return drawn

        return entropy

    def act(self, name, act, fuse=-1, refusal=KilledError):
        """Let a site act until its power goes out after so many documents that it puts; then look at its keystore."""
        self.ways[name].fuse = fuse
        with contextlib.suppress(KilledError, refusal):
            act()
        self.ways[name].fuse = -1
        self.states[name] = self.room.state(name)

    @rule(events=st.lists(EVENTS, min_size=12, max_size=40))
    def run(self, events):
        for kind, site, place in events:
            name = self.site(site)
            getattr(self, kind)(name, self.ways[name], place)
            self.nobody_says_two_things_of_one_kind_in_one_session_or_signs_two_records_of_one_sequence()
            self.what_belongs_to_no_open_session_is_erased()

    def propose(self, name, way, place):
        options = {"moment": self.moment, "deadline": self.moment + timedelta(days=7), "entropy": self.entropy_of(name)}
        self.act(name, lambda: self.room.propose(name, **options), FUSES[place % len(FUSES)], PolicyError)

    def step(self, name, way, place):
        entropy = self.entropy_of(name)
        self.act(name, lambda: self.room.step(name, moment=self.moment, entropy=entropy), FUSES[place % len(FUSES)])

    def catch_up(self, name, way, place):
        way.hand_over_all()
        self.step(name, way, place)

    def everybody(self, name, way, place):
        for each, its_way in self.ways.items():
            self.catch_up(each, its_way, 0)

    def abort(self, name, way, place):
        self.act(name, lambda: self.room.abort(name, moment=self.moment), refusal=PolicyError)

    def hand_over_one(self, name, way, place):
        if way.coming:
            way.hand_over(place % len(way.coming))

    def lose_one(self, name, way, place):
        if way.coming:
            way.coming.pop(place % len(way.coming))

    def change_one(self, name, way, place):
        if way.coming:
            where, data = way.coming[place % len(way.coming)]
            way.seen[where] = changed(data, place)

    def double_one(self, name, way, place):
        if way.coming:
            where, data = way.hand_over(place % len(way.coming))
            way.seen[where.replace(".json", " (copy).json")] = data

    def misplace_one(self, name, way, place):
        """Something old comes again in the folder of some session."""
        folders = sorted({where.rpartition("/")[0] for where, _ in self.history if "/sessions/" in where})
        if folders:
            _, data = self.history[place % len(self.history)]
            way.seen[f"{folders[place % len(folders)]}/old-{place}.json"] = data

    def wait(self, name, way, place):
        self.moment += timedelta(days=(1, 8)[place % 2])

    def listen(self):
        """Take down what members have said since the last time."""
        new, self.heard = self.history[self.heard :], len(self.history)
        for known, more in zip((self.messages, self.signed), rooms.said(new, self.members), strict=True):
            for who, mids in more.items():
                known[who] |= mids
        for _, data in new:
            envelope = Envelope.from_bytes(data)
            if envelope.type == EPOCH:
                self.records[envelope.mid] = envelope.body()

    @invariant()
    def nobody_says_two_things_of_one_kind_in_one_session_or_signs_two_records_of_one_sequence(self):
        self.listen()
        assert {who: mids for who, mids in {**self.messages, **self.signed}.items() if len(mids) > 1} == {}

    @invariant()
    def one_record_has_one_secret_and_its_check_value(self):
        secrets = defaultdict(set)
        for state in self.states.values():
            for mid, held in state["secrets"].items():
                if held["secret"]:
                    secrets[mid].add(held["secret"])
                    assert held["status"] in ("pending", "active", "passed")
        assert {mid: found for mid, found in secrets.items() if len(found) > 1} == {}
        for mid in secrets.keys() & self.records.keys():
            (secret,), body = secrets[mid], self.records[mid]
            assert agreement.key_check_value(from_b64(secret), self.room.fed, body["epoch"]) == body["kcv"]

    @invariant()
    def what_belongs_to_no_open_session_is_erased(self):
        for name, state in self.states.items():
            text = rooms.text_of({**state, "session": None})
            assert not any(secret in text for secret in self.drawn[name])
            assert state["session"] is None or state["session"]["phase"] in ("committed", "revealed", "confirmed")

    def teardown(self):
        """With an honest post, and once all deadlines have passed, the members agree without anybody's help."""
        if not hasattr(self, "room"):
            return
        try:
            self.come_together()
        finally:
            self.folder.cleanup()

    def come_together(self):
        for way in self.ways.values():
            way.seen = {name: data for name, data in way.seen.items() if (name, data) in self.history}
            for name, data in self.history:
                way.seen.setdefault(name, data)
        self.moment += timedelta(days=30)
        name = self.site(0)
        for _ in range(2):
            self.everybody(name, self.ways[name], 0)
        self.propose(name, self.ways[name], 0)
        for _ in range(6):
            self.everybody(name, self.ways[name], 0)
            if all(state["session"] is None for state in self.states.values()):
                break
        self.room.agreed()


KEYS = worlds.holders(3)
LOG = worlds.founded(KEYS)
OPEN = (Phase.COMMITTED, Phase.REVEALED)


class SessionMachine(RuleBasedStateMachine):
    """Pure sessions, stored before anything leaves; post as a list of messages that come in any order."""

    def __init__(self):
        super().__init__()
        self.offers, self.stored, self.posted, self.late = [], {}, [], False
        self.said, self.draws = defaultdict(set), 0

    @rule(site=SITES)
    def propose(self, site):
        if len(self.offers) < 3:
            self.offers.append(worlds.proposal(KEYS[site % 3], LOG, nonce=len(self.offers) + 1))

    @precondition(lambda self: self.offers)
    @rule(site=SITES, place=PLACES)
    def accept(self, site, place):
        """A member accepts one of the proposals, once in its life, and never one in which it has given up."""
        key, offer = KEYS[site % 3], self.offers[place % len(self.offers)]
        if key.entry.fpr not in self.stored:
            self.draws += 1
            self.store_and_send(worlds.accepted(key, LOG, offer, str(self.draws)), sent=99)

    def store_and_send(self, session, sent):
        """Store a session, then let so many of its messages leave before the power goes out."""
        self.stored[session.me] = canonical(to_json(session))
        for message in session.outbox[:sent]:
            self.said[session.me, session.sid, message.type].add(message.mid)
            self.posted.append(message)

    def session(self, site):
        stored = self.stored.get(KEYS[site % 3].entry.fpr)
        return None if stored is None else from_json(parse_canonical(stored, "session"))

    @precondition(lambda self: self.posted and self.stored)
    @rule(site=SITES, places=st.lists(PLACES, max_size=6), sent=st.integers(0, 5), flip=st.integers(0, 2_000))
    def take_in(self, site, places, sent, flip):
        """Some messages come, one perhaps changed; the power may go out before all that follows from them has left."""
        session = self.session(site)
        if session is None:
            return
        for place in places:
            message = self.posted[place % len(self.posted)]
            with contextlib.suppress(ProtocolError):
                data = message.to_bytes()
                changed_now = Envelope.from_bytes(changed(data, place)) if flip == place % 2_000 else message
                session = agreement.receive(session, changed_now)
        self.store_and_send(agreement.advance(session, KEYS[site % 3]), sent)

    @precondition(lambda self: self.posted)
    @rule(site=SITES, sent=st.integers(3, 5))
    def take_in_everything(self, site, sent):
        self.take_in(site, range(len(self.posted)), sent, -1)

    @rule(site=SITES, reason=st.sampled_from(["person", "deadline", "rival", "head"]))
    def give_up(self, site, reason):
        session = self.session(site)
        if session is not None and session.phase in OPEN:
            self.store_and_send(agreement.give_up(session, KEYS[site % 3], reason), sent=5)

    @invariant()
    def nobody_says_two_things_of_one_kind(self):
        assert {who: mids for who, mids in self.said.items() if len(mids) > 1} == {}

    @invariant()
    def one_record_has_one_secret_and_its_check_value(self):
        secrets = defaultdict(set)
        for site in range(3):
            session = self.session(site)
            if session is not None and session.secret:
                record, body = session.record, session.record.body()
                secrets[record.mid].add(session.secret)
                assert agreement.key_check_value(session.secret, LOG.fed, body["epoch"]) == body["kcv"]
                if session.phase is Phase.ACTIVE:
                    assert set(record.signatures) == {key.entry.fpr for key in KEYS}
        assert all(len(found) == 1 for found in secrets.values())

    @invariant()
    def a_session_that_has_ended_holds_no_seed_and_no_contribution(self):
        for site in range(3):
            session = self.session(site)
            if session is not None and session.phase not in (*OPEN, Phase.CONFIRMED):
                assert (session.kem_seed, session.contribution) == (b"", b"")
                assert bool(session.secret) == (session.phase is Phase.ACTIVE)

    @invariant()
    def a_member_that_waits_in_vain_can_still_leave_or_has_confirmed(self):
        for site in range(3):
            session = self.session(site)
            if session is not None and not session.over and session.phase is not Phase.ACTIVE:
                assert session.phase in OPEN or session.secret

    def teardown(self):
        """When everything has come everywhere, members of one session in which nobody gave up are active together."""
        for _ in range(4):
            for site in range(3):
                if self.posted:
                    self.take_in_everything(site, 5)
        sessions = [self.session(site) for site in range(3)]
        if all(sessions) and len({session.sid for session in sessions}) == 1:
            phases = {session.phase for session in sessions}
            assert phases in ({Phase.ACTIVE}, {Phase.ABORTED}, {Phase.ABORTED, Phase.CONFIRMED})


class TestSessions(SessionMachine.TestCase):
    settings = settings(BRIEF, max_examples=40, stateful_step_count=30)


class TestKeystores(KeystoreMachine.TestCase):
    settings = settings(BRIEF, max_examples=15, stateful_step_count=2)


@pytest.mark.slow
class TestSessionsAtLength(SessionMachine.TestCase):
    settings = settings(BRIEF, max_examples=2_000, stateful_step_count=60)


@pytest.mark.slow
class TestKeystoresAtLength(KeystoreMachine.TestCase):
    settings = settings(BRIEF, max_examples=150, stateful_step_count=4)
