"""Every way in which a relay may be hostile: the same epoch for all, or a named refusal; never two secrets.

The ceremonies are real: a keystore for each site, and between them ``tests.relay.adversary``.
"""

import shutil
from datetime import timedelta

import pytest

from blindsight.protocol import agreement
from blindsight.protocol.encoding import from_b64
from blindsight.protocol.envelope import Envelope
from tests.holder import rooms
from tests.holder.rooms import LATE, NAMES, Room, codes
from tests.protocol import worlds
from tests.relay.adversary import Adversary, Memory

NEXT_WEEK = LATE + timedelta(days=7)
SEEDS = range(3)


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    return rooms.found(tmp_path_factory.mktemp("founded"))


@pytest.fixture
def room(founded, tmp_path):
    shutil.copytree(founded, tmp_path / "room")
    return Room(tmp_path / "room")


class Game:
    """Three sites behind a hostile relay."""

    def __init__(self, room, seed=0, **switches):
        self.room = room
        self.memory = Memory()
        self.relay = Adversary(self.memory, seed, **switches)
        self.ways = {name: self.relay.party(name) for name in room.names}
        room.through(self.ways)
        self.refused = {name: [] for name in room.names}

    def play(self, rounds=6, *, moment=worlds.NOW):
        """Everybody steps; what each is told is kept."""
        for _ in range(rounds):
            for name in self.room.names:
                self.refused[name] += self.room.step(name, moment=moment).refused

    def codes(self):
        return {refusal.error.code for found in self.refused.values() for refusal in found}

    def become_honest(self):
        """The relay shows everybody everything it was ever given, and nothing else."""
        self.ways.update(dict.fromkeys(self.room.names, self.memory))
        self.room.through(dict.fromkeys(self.room.names, self.memory))

    def secrets(self):
        """Record → the different secrets that sites hold for it."""
        found = {}
        for name in self.room.names:
            for mid, held in self.room.state(name)["secrets"].items():
                if held["secret"]:
                    found.setdefault(mid, set()).add(held["secret"])
        return found

    def assert_never_two_secrets(self):
        assert all(len(secrets) == 1 for secrets in self.secrets().values())
        active = set()
        for name in self.room.names:
            with self.room.store(name) as store:
                for number, epoch in self.room.follow(store, name).epochs.items():
                    held = store.data["feds"][self.room.fed]["secrets"].get(epoch.record, {"status": ""})
                    if held["status"] == "active":
                        secret = from_b64(held["secret"])
                        assert agreement.key_check_value(secret, self.room.fed, number) == epoch.kcv
                        active.add((number, secret))
        assert len({number for number, _ in active}) == len(active)
        rooms.assert_of_one_voice(self.relay.history, [key.entry for key in self.room.keys.values()])

    def agree_in_the_end(self, moment=LATE):
        """Once the relay is honest and the deadline has passed, the members agree."""
        self.become_honest()
        self.play(2, moment=moment)
        if not any(self.room.state(name)["secrets"] for name in NAMES) or not self.active():
            self.room.propose("anna", moment=moment, deadline=NEXT_WEEK)
            self.play(6, moment=moment)
        self.assert_never_two_secrets()
        return self.room.agreed()

    def active(self):
        return all("active" in self.room.held(name).values() for name in self.room.names)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "switches",
    [
        {"reorder": True},
        {"duplicate": 1.0},
        {"delay": 2},
        {"reorder": True, "duplicate": 0.5, "delay": 1},
        {"replay": 0.3},
    ],
    ids=["reorder", "duplicate", "delay", "all three", "replay"],
)
def test_a_relay_that_only_disorders_keeps_nobody_from_the_epoch(room, seed, switches):
    game = Game(room, seed, **switches)
    game.play(1)
    room.propose()
    game.play(24 if "delay" in switches else 8)
    game.assert_never_two_secrets()
    room.agreed()
    assert game.codes() <= {"E_SID", "E_FORMAT"}  # E_FORMAT: records that are shown among the messages


@pytest.mark.parametrize("seed", SEEDS)
def test_a_relay_that_drops_ends_in_a_named_wait_or_the_epoch_and_after_the_deadline_all_goes_on(room, seed):
    game = Game(room, seed)
    room.propose()
    for way in game.ways.values():
        way.drop = 0.3
    game.play()
    for name in NAMES:
        progress = room.step(name)
        assert progress.phase in ("idle", "active") or progress.waiting_for
    game.assert_never_two_secrets()
    game.play(1, moment=LATE)
    game.assert_never_two_secrets()
    game.agree_in_the_end()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.2, 0.6])
def test_a_relay_that_changes_bytes_is_refused_with_a_code_and_evidence_and_after_the_deadline_all_goes_on(
    room, seed, share
):
    game = Game(room, seed)
    room.propose()
    for way in game.ways.values():
        way.edit = share
    game.play()
    game.assert_never_two_secrets()
    assert all(code.startswith("E_") for code in game.codes())
    assert game.codes() <= {"E_FORMAT", "E_CANON", "E_SIG", "E_ROSTER", "E_QUORUM", "E_SID", "E_FED", "E_SUITE"}
    for name in NAMES:
        signed = [refusal.error for refusal in game.refused[name] if refusal.error.code == "E_SIG"]
        kept = {envelope.to_bytes() for envelope in rooms.evidence(room.root / name)}
        assert all(set(error.evidence) <= kept for error in signed)
    game.agree_in_the_end()


def test_a_relay_that_shows_each_member_another_proposal_makes_no_two_epochs(room):
    game = Game(room)
    offers = {name: room.propose(name) for name in NAMES[:1]}
    log = room.log()
    for name in NAMES[1:]:
        offers[name] = worlds.proposal(room.keys["anna"], log, nonce=NAMES.index(name))
        folder = f"{room.box.federation(room.fed)}/sessions/{offers[name].mid[:12]}"
        game.relay.plant(f"{folder}/propose-{room.fpr('anna')[:12]}.json", offers[name].to_bytes(), name)
    for way in game.ways.values():
        way.drop = 1.0
    game.play(2)
    for way in game.ways.values():
        way.drop = 0.0
    game.play(6)
    game.assert_never_two_secrets()
    game.agree_in_the_end()


def two_faced_member(room, game):
    """Bert and the relay are one: Anna is shown another commit of his than Cleo is."""
    room.propose()
    room.step("bert")
    mine = next(
        (name, data) for name, data in reversed(game.relay.history) if f"commit-{room.fpr('bert')[:12]}" in name
    )
    commit = Envelope.from_bytes(mine[1])
    other = worlds.resigned(commit, [room.keys["bert"]], com="00" * 32)
    game.relay.plant(mine[0], other.to_bytes(), "anna")
    return commit, other


def test_a_relay_that_forks_with_a_members_help_is_refused_with_evidence_on_both_sides(room):
    game = Game(room)
    both = two_faced_member(room, game)
    game.play(4)
    assert "E_COMMITSET" in codes(room.step("anna"))
    assert "E_COMMITSET" in codes(room.step("cleo"))
    assert "active" not in {status for name in NAMES for status in room.held(name).values()}
    shown = {e.mid for name in ("anna", "cleo") for e in rooms.evidence(room.root / name)}
    assert {envelope.mid for envelope in both} <= shown
    assert all(len(secrets) == 1 for secrets in game.secrets().values())


def renamed(history, place):
    """Old documents under names of their own, in a folder that says nothing."""
    folder = f"{place}/sessions/{'f' * 12}"
    return [(f"{folder}/again-{number}.json", data) for number, (name, data) in enumerate(history) if "/sess" in name]


def test_an_old_ceremony_replayed_under_new_names_is_history(room):
    game = Game(room)
    room.propose()
    game.play(4)
    kcv = room.agreed()
    for name, data in renamed(game.relay.history, room.box.federation(room.fed)):
        game.memory.put(name, data)
    game.play(2)
    assert (game.codes(), room.agreed()) == (set(), kcv)


def test_an_old_ceremony_replayed_into_a_new_one_is_refused_and_stops_nobody(room):
    game = Game(room)
    room.propose()
    game.play(4)
    first = room.agreed()
    old = [(name, data) for name, data in game.relay.history if "/sessions/" in name]
    sid = room.propose("bert").mid[:12]
    for name, data in old:
        game.memory.put("/".join([*name.split("/")[:-2], sid, name.split("/")[-1]]), data)
    game.play(4)
    assert game.codes() == {"E_SID"}
    assert room.agreed() != first
    game.assert_never_two_secrets()


@pytest.mark.parametrize("late_again", [False, True])
def test_a_confirm_withheld_until_after_the_deadline_and_then_delivered_makes_no_second_secret(room, late_again):
    game = Game(room)
    room.propose()
    cleo = room.fpr("cleo")[:12]

    def withhold():
        hidden = [piece for piece in game.memory.pieces if f"confirm-{cleo}" in piece[0] or _is_record_of(piece, cleo)]
        game.memory.pieces = [piece for piece in game.memory.pieces if piece not in hidden]

    for _ in range(4):
        for name in NAMES:
            room.step(name)
            withhold()
    assert [room.held(name)[1] for name in NAMES] == ["pending", "pending", "active"]
    for name in ("anna", "bert"):
        assert codes(room.step(name, moment=LATE)) == {"E_EXPIRED"}
    if late_again:
        room.propose("anna", moment=LATE, deadline=NEXT_WEEK)
        for name in ("bert", "anna", "cleo"):
            room.step(name, moment=LATE)
            withhold()
    game.assert_never_two_secrets()
    for piece in game.relay.history:
        game.memory.put(*piece)
    game.play(4, moment=LATE)
    game.assert_never_two_secrets()
    room.agreed()
    assert [room.held(name)[1] for name in NAMES] == ["active"] * 3


def _is_record_of(piece, fpr12):
    name, data = piece
    return "/records/1-" in name and fpr12 in Envelope.from_bytes(data).to_bytes().decode() and fpr12 in name


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_a_relay_that_does_everything_at_once_makes_no_two_secrets(room, seed):
    game = Game(room, seed)
    room.propose()
    for way in game.ways.values():
        way.drop, way.edit, way.duplicate, way.replay, way.delay, way.reorder = 0.1, 0.1, 0.3, 0.1, seed % 3, True
    game.play(10)
    game.assert_never_two_secrets()
    game.agree_in_the_end()
