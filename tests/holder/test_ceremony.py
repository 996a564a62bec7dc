"""The ceremony by hand: three keystores in three folders, one shared folder, and everything that may go wrong there."""

import contextlib
import os
import shutil
from datetime import timedelta

import pytest

from blindsight.holder import ceremony, federation
from blindsight.protocol import agreement, kem, keystore
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import from_b64, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, PolicyError, ProtocolError, SignatureError
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.session import Phase, from_json
from tests.protocol import worlds
from tests.protocol.worlds import NOW

NAMES = ("anna", "bert", "cleo")
DEADLINE = NOW + timedelta(days=7)


class Room:
    """Three sites and a shared folder below one root. Every act opens its keystore anew, as a command does."""

    def __init__(self, root):
        self.root = root
        self.box = DropBox(root / "box")
        self.keys = {}
        for name in NAMES:
            with self.store(name) as store:
                self.keys[name] = store.key
                (self.fed,) = store.data["feds"]

    def store(self, name):
        return keystore.opened(self.root / name / "keystore.json", worlds.PASSPHRASE)

    def follow(self, store):
        return federation.follow(store, self.box, self.fed)

    def propose(self, name="anna", *, moment=NOW, deadline=DEADLINE, schemes=worlds.SCHEMES):
        with self.store(name) as store:
            return ceremony.propose(
                store, self.box, self.follow(store), schemes=schemes, moment=moment, deadline=deadline,
                not_after=NOW + timedelta(days=365),
            )  # fmt: skip

    def step(self, name, *, moment=NOW):
        with self.store(name) as store:
            return ceremony.step(store, self.box, self.follow(store), moment)

    def round(self, **options):
        return {name: self.step(name, **options) for name in NAMES}

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

    def message(self, kind, name):
        (path,) = (self.box.transport.root / self.box.federation(self.fed) / "sessions").glob(
            f"*/{kind}-{self.fpr(name)[:12]}.json"
        )
        return path

    def finish(self, rounds=6):
        for _ in range(rounds):
            self.round()

    def agreed(self):
        """Assert that all sites hold one secret and one record, and return its check value."""
        seen = set()
        for name in NAMES:
            with self.store(name) as store:
                log = self.follow(store)
                epoch, secret = federation.epoch_secret(store, log, None)
                assert store.data["feds"][self.fed]["session"] is None
                assert agreement.key_check_value(secret, self.fed, epoch.number) == epoch.kcv
                seen.add((epoch.number, epoch.kcv, epoch.record))
        assert len(seen) == 1
        return seen.pop()[1]


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """Three sites of one founded federation, with the code compared."""
    root = tmp_path_factory.mktemp("founded")
    box = DropBox(root / "box")
    stores = [worlds.keystore_of(root, name) for name in NAMES]
    cards = [store.key.entry for store in stores]
    options = {"name": "ward", "cards": cards, "policy": "all", "nonce": os.urandom(32), "created": worlds.CREATED}
    genesis = federation.create(stores[0], box, **options)
    for store in stores[1:]:
        federation.sign(store, box, None)
    for store in stores:
        log = federation.follow(store, box, genesis.mid)
        federation.verify(store, log, log.code)
    return root


@pytest.fixture
def room(founded, tmp_path):
    shutil.copytree(founded, tmp_path / "room")
    return Room(tmp_path / "room")


def codes(progress):
    return {refusal.error.code for refusal in progress.refused}


# As it should be.


def test_three_sites_end_with_one_secret_that_the_shared_folder_never_saw(room):
    room.propose()
    room.finish()
    room.agreed()
    with room.store("anna") as store:
        _, secret = federation.epoch_secret(store, room.follow(store), None)
    for path in room.box.transport.root.rglob("*.json"):
        data = path.read_bytes()
        payload = Envelope.from_bytes(data).payload
        assert not any(form in data + payload for form in (secret, secret.hex().encode(), to_b64(secret).encode()))


def test_every_step_says_where_the_ceremony_stands_and_who_is_awaited(room):
    assert room.step("anna").phase == "idle"
    room.propose()
    first = room.step("anna")
    assert (first.phase, first.epoch, first.waiting_kind) == ("committed", 1, "commit")
    assert set(first.waiting_for) == {room.label("bert"), room.label("cleo")}
    assert room.step("bert").phase == "committed"
    assert room.step("cleo").phase == "revealed"
    assert (room.step("anna").phase, room.step("bert").phase) == ("revealed", "confirmed")
    confirmed = room.step("cleo")
    assert (confirmed.phase, confirmed.waiting_kind) == ("confirmed", "confirm")
    last = room.step("anna")
    assert (last.phase, last.waiting_for) == ("active", ())
    assert last.kcv == confirmed.kcv != ""


def test_stepping_when_nothing_is_new_writes_nothing_into_the_folder(room):
    room.propose()
    room.step("bert")
    before = {path: path.stat().st_mtime_ns for path in room.box.transport.root.rglob("*")}
    room.step("bert")
    assert {path: path.stat().st_mtime_ns for path in room.box.transport.root.rglob("*")} == before


def test_afterwards_every_step_names_the_epoch_that_is_active(room):
    room.propose()
    room.finish()
    kcv = room.agreed()
    for progress in room.round().values():
        assert (progress.phase, progress.epoch, progress.kcv, progress.refused) == ("active", 1, kcv, ())


def test_a_second_ceremony_gives_a_second_epoch_and_keeps_the_first_secret(room):
    room.propose()
    room.finish()
    first = room.agreed()
    room.propose("cleo")
    room.finish()
    assert room.agreed() != first
    assert set(room.state("bert")["epochs"]) == {"1", "2"}


def test_seeds_and_contributions_are_gone_from_the_keystore_afterwards(room):
    room.propose()
    room.finish()
    for name in NAMES:
        state = room.state(name)
        assert state["session"] is None
        assert set(state["epochs"]["1"]) == {"record", "secret", "status"}
        assert (state["promised_seq"], state["epochs"]["1"]["status"]) == (1, "active")


def test_a_second_proposal_waits_for_the_end_of_the_first(room):
    room.propose()
    with pytest.raises(PolicyError, match="open already") as caught:
        room.propose()
    assert caught.value.code == "E_EXISTS"


def test_two_proposals_at_once_are_refused_until_people_agree_on_one(room):
    room.propose("anna")
    room.propose("bert")
    with pytest.raises(PolicyError, match="several proposals"):
        room.step("cleo")
    assert "E_SID" in codes(room.step("anna"))


def test_the_refusal_of_two_proposals_does_not_claim_that_people_are_unverified(room):
    room.propose("anna")
    room.propose("bert")
    with pytest.raises(PolicyError) as caught:
        room.step("cleo")
    assert caught.value.code != "E_UNVERIFIED"


def test_one_of_two_proposals_is_removed_and_the_other_is_agreed(room):
    room.propose("anna")
    other = room.propose("bert")
    shutil.rmtree(room.box.transport.root / room.box.federation(room.fed) / "sessions" / other.mid[:12])
    room.step("cleo")
    assert room.session("cleo").sid == room.session("anna").sid


# What others put into the folder.


@pytest.mark.parametrize(
    "junk", [b"", b"junk", b"{}", b"[" * 9999, b'{"payload":"","payloadType":"x","signatures":[]}']
)
def test_garbage_in_the_folder_is_reported_and_does_not_block(room, junk):
    room.propose()
    folder = room.message("propose", "anna").parent
    (folder / "commit-junk.json").write_bytes(junk)
    progress = room.step("bert")
    assert [(r.file, r.error.code) for r in progress.refused] == [(f"{folder.name}/commit-junk.json", "E_FORMAT")]
    room.finish()
    room.agreed()


def test_an_envelope_of_an_impossible_type_is_reported_and_does_not_block(room):
    room.propose()
    odd = b'{"payload":"","payloadType":"\\ud800","signatures":[]}'
    (room.message("propose", "anna").parent / "commit-odd.json").write_bytes(odd)
    (room.box.transport.root / room.box.federation(room.fed) / "records" / "0-odd.json").write_bytes(odd)
    room.finish()
    room.agreed()


def test_garbage_is_reported_while_there_is_no_ceremony_too(room):
    folder = room.box.transport.root / room.box.federation(room.fed) / "sessions" / "aa"
    folder.mkdir(parents=True)
    (folder / "propose-junk.json").write_bytes(b"junk")
    progress = room.step("anna")
    assert (progress.phase, codes(progress)) == ("idle", {"E_FORMAT"})


BEFORE_ANNA_READS = {
    "commit": ("bert",),
    "reveal": ("bert", "cleo", "bert"),
    "confirm": ("bert", "cleo", "anna", "bert"),
}


@pytest.mark.parametrize("kind", BEFORE_ANNA_READS)
def test_a_changed_byte_in_a_message_is_refused_naming_its_author_and_the_file(room, kind):
    proposal = room.propose()
    for name in BEFORE_ANNA_READS[kind]:
        room.step(name)
    path = room.message(kind, "bert")
    good = path.read_bytes()
    envelope = Envelope.from_bytes(good)
    sid = proposal.mid.encode()
    changed = envelope.payload.replace(sid, sid[:-1] + (b"0" if sid[-1:] != b"0" else b"1"))
    path.write_bytes(Envelope(envelope.type, changed, envelope.signatures).to_bytes())
    progress = room.step("anna")
    (refusal,) = progress.refused
    assert (refusal.file, refusal.error.code) == (f"{path.parent.name}/{path.name}", "E_SIG")
    assert room.label("bert") in refusal.error.message
    assert [written.name.split("-")[0] for written in progress.evidence] == ["E_SIG"]
    path.write_bytes(good)
    room.finish()
    room.agreed()


def test_a_second_different_commit_is_refused_with_both_envelopes_as_evidence_files(room):
    room.propose()
    room.step("bert")
    room.step("anna")
    first = Envelope.from_bytes(room.message("commit", "bert").read_bytes())
    second = worlds.resigned(first, [room.keys["bert"]], com="00" * 32)
    (room.message("commit", "bert").parent / "commit-other.json").write_bytes(second.to_bytes())
    progress = room.step("anna")
    (refusal,) = progress.refused
    assert refusal.error.code == "E_EQUIVOCATION"
    assert room.label("bert") in refusal.error.message
    assert {Envelope.from_bytes(path.read_bytes()).mid for path in progress.evidence} == {first.mid, second.mid}
    assert {path.parent for path in progress.evidence} == {room.root / "anna" / "evidence"}


def test_a_stranger_is_refused(room):
    room.propose()
    stranger = worlds.identity("mallory")
    commit = Envelope.from_bytes(room.message("commit", "anna").read_bytes())
    forged = worlds.resigned(commit, [stranger], **{"from": stranger.entry.fpr})
    (room.message("propose", "anna").parent / "commit-mallory.json").write_bytes(forged.to_bytes())
    assert codes(room.step("bert")) == {"E_ROSTER"}


def test_a_ceremony_of_a_foreign_roster_is_refused(room):
    keys = [room.keys["bert"], worlds.identity("mallory")]
    foreign = worlds.proposal(keys[0], worlds.founded(keys))
    folder = room.box.transport.root / room.box.federation(room.fed) / "sessions" / "foreign"
    folder.mkdir(parents=True)
    (folder / "propose-x.json").write_bytes(foreign.to_bytes())
    progress = room.step("anna")
    assert (progress.phase, codes(progress)) == ("idle", {"E_FED"})
    assert room.label("bert") in progress.refused[0].error.message


def saved_session(room):
    """What a relay keeps of a ceremony."""
    (folder,) = (room.box.transport.root / room.box.federation(room.fed) / "sessions").iterdir()
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def replayed(room, files, folder):
    target = room.box.transport.root / room.box.federation(room.fed) / "sessions" / folder
    target.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (target / name).write_bytes(data)


def test_an_old_ceremony_replayed_is_refused_naming_its_proposer(room):
    room.propose()
    room.finish()
    kcv = room.agreed()
    replayed(room, saved_session(room), "replayed")
    progress = room.step("cleo")
    assert (progress.phase, progress.kcv) == ("active", kcv)
    assert room.state("cleo")["session"] is None
    assert codes(progress) == {"E_EPOCH"}
    assert room.label("anna") in progress.refused[0].error.message


def test_an_old_ceremony_replayed_into_a_new_one_is_refused_message_by_message(room):
    room.propose()
    room.finish()
    first = room.agreed()
    old = saved_session(room)
    proposal = room.propose("bert")
    replayed(room, old, proposal.mid[:12])
    progress = room.step("cleo")
    assert codes(progress) <= {"E_EPOCH", "E_PREV", "E_SID"}
    assert {refusal.file for refusal in progress.refused} == {f"{proposal.mid[:12]}/{name}" for name in old}
    room.finish()
    assert room.agreed() != first


# A void ceremony.


def voided(room):
    """A ceremony that Anna has given up because Bert's box for her was wrong: the code she was told."""
    room.propose()
    room.step("bert")
    room.step("cleo")
    room.step("anna")
    room.step("bert")
    room.message("confirm", "bert").unlink()
    path = room.message("reveal", "bert")
    reveal = Envelope.from_bytes(path.read_bytes())
    boxes = reveal.body()["boxes"] | {room.fpr("anna"): to_b64(bytes(32 + kem.OVERHEAD_BYTES))}
    path.write_bytes(worlds.resigned(reveal, [room.keys["bert"]], boxes=boxes).to_bytes())
    with pytest.raises(SignatureError) as caught:
        room.step("anna")
    return caught.value


def test_a_wrong_box_ends_the_ceremony_and_names_who_sealed_it(room):
    error = voided(room)
    assert error.code == "E_BOX"
    assert room.label("bert") in error.message
    assert room.state("anna")["session"] is None


def test_a_void_ceremony_leaves_no_secret_in_the_keystore(room):
    voided(room)
    assert room.state("anna")["epochs"] == {}
    assert room.state("anna")["promised_seq"] == 0


def test_a_void_ceremony_is_not_joined_again(room):
    voided(room)
    assert room.step("anna").phase == "idle"
    assert room.state("anna")["session"] is None


def test_a_void_ceremony_is_not_joined_again_under_another_folder_name(room):
    voided(room)
    files = {name: data for name, data in saved_session(room).items() if name.startswith("propose")}
    replayed(room, files, "elsewhere")
    assert room.step("anna").phase == "idle"
    assert room.state("anna")["session"] is None


def test_a_member_never_signs_two_commits_for_one_session_whatever_the_folder_does(room):
    error = voided(room)
    assert error.code == "E_BOX"
    mine = Envelope.from_bytes(room.message("commit", "anna").read_bytes())
    files = saved_session(room)
    replayed(room, {name: data for name, data in files.items() if name.startswith("propose")}, "elsewhere")
    shutil.rmtree(room.message("commit", "anna").parent)
    room.step("anna")
    found = (room.box.transport.root / room.box.federation(room.fed) / "sessions").glob("*/commit-*.json")
    commits = [Envelope.from_bytes(path.read_bytes()) for path in found]
    assert [commit.mid for commit in commits if commit.body()["from"] == room.fpr("anna")] in ([], [mine.mid])


def two_faced(room):
    """Bert shows Anna another commit than Cleo: both sides have all commits and reveals of their view."""
    room.propose()
    room.step("bert")
    path = room.message("commit", "bert")
    first = path.read_bytes()
    public = to_b64(kem.public_key(b"\7" * 32))
    second = worlds.resigned(Envelope.from_bytes(first), [room.keys["bert"]], kem=public, com="00" * 32)
    path.write_bytes(second.to_bytes())
    room.step("anna")
    path.write_bytes(first)
    room.step("cleo")
    room.step("bert")


def test_different_commit_sets_stop_the_ceremony_with_evidence(room):
    two_faced(room)
    with pytest.raises(ConflictError) as caught:
        room.step("anna")
    assert caught.value.code == "E_COMMITSET"
    assert list((room.root / "anna" / "evidence").glob("E_COMMITSET-*.json"))


def test_a_ceremony_stopped_by_two_faces_ends_at_its_deadline_so_that_a_new_one_can_begin(room):
    two_faced(room)
    with pytest.raises(ConflictError):
        room.step("anna")
    late = DEADLINE + timedelta(hours=1)
    with pytest.raises(ProtocolError):
        room.step("anna", moment=late)
    assert room.state("anna")["session"] is None
    room.propose("anna", moment=late, deadline=late + timedelta(days=7))


# Deadlines.


def test_a_proposal_after_its_deadline_is_not_accepted(room):
    room.propose()
    progress = room.step("bert", moment=DEADLINE + timedelta(hours=1))
    assert (progress.phase, codes(progress)) == ("idle", {"E_EXPIRED"})


def test_ten_minutes_after_the_deadline_are_forgiven(room):
    room.propose()
    assert room.step("bert", moment=DEADLINE + timedelta(minutes=9)).phase == "committed"


@pytest.mark.parametrize("steps", [0, 1])
def test_after_the_deadline_an_unfinished_ceremony_is_forgotten_with_its_secrets(room, steps):
    room.propose()
    for _ in range(steps):
        room.step("bert")
        room.step("cleo")
    room.step("anna")
    with pytest.raises(PolicyError, match="deadline") as caught:
        room.step("anna", moment=DEADLINE + timedelta(hours=1))
    assert caught.value.code == "E_EXPIRED"
    state = room.state("anna")
    assert (state["session"], state["epochs"], len(state["void"])) == (None, {}, 1)


def test_after_the_deadline_a_new_ceremony_succeeds(room):
    room.propose()
    room.step("bert")
    late = DEADLINE + timedelta(hours=1)
    for name in ("anna", "bert"):
        with pytest.raises(PolicyError):
            room.step(name, moment=late)
    room.propose("bert", moment=late, deadline=late + timedelta(days=7))
    for _ in range(5):
        room.round(moment=late)
    room.agreed()


def test_a_secret_that_all_have_confirmed_is_kept_beyond_the_deadline_and_becomes_active(room):
    room.propose()
    for name in ("bert", "cleo", "anna", "bert", "cleo"):
        room.step(name)
    for name in ("bert", "cleo"):
        room.message("confirm", name).unlink()
    assert room.step("anna").phase == "confirmed"
    late = DEADLINE + timedelta(days=1)
    assert room.step("bert", moment=late).phase == "confirmed"
    for _ in range(3):
        room.round(moment=late)
    room.agreed()


def test_when_only_some_confirmed_before_the_deadline_the_federation_is_not_stuck(room):
    room.propose()
    for name in ("bert", "cleo", "anna", "bert"):
        room.step(name)
    assert room.session("bert").phase is Phase.CONFIRMED
    late = DEADLINE + timedelta(days=1)
    for name in ("anna", "cleo", "bert"):
        with contextlib.suppress(PolicyError):
            room.step(name, moment=late)
    with contextlib.suppress(PolicyError):
        room.propose("anna", moment=late, deadline=late + timedelta(days=7))
    for _ in range(5):
        room.round(moment=late)
    room.agreed()


def test_a_deadline_that_no_calendar_has_is_refused_and_does_not_block(room):
    keys = room.keys
    with room.store("anna") as store:
        log = room.follow(store)
    for name, deadline in (("far", "9999-12-31T23:59:59Z"), ("odd", "2026-02-31T00:00:00Z")):
        if name == "odd":
            offer = worlds.resigned(worlds.proposal(keys["bert"], log), [keys["bert"]], deadline=deadline)
            replayed(room, {"propose-x.json": offer.to_bytes()}, name)
    progress = room.step("anna")
    assert (progress.phase, codes(progress)) == ("idle", {"E_FORMAT"})


def test_a_deadline_at_the_end_of_the_calendar_is_simply_far_away(room):
    with room.store("anna") as store:
        offer = worlds.proposal(room.keys["bert"], room.follow(store), deadline="9999-12-31T23:59:59Z")
    replayed(room, {"propose-x.json": offer.to_bytes()}, "far")
    assert room.step("anna").phase == "committed"


# Confirms and records that the folder withholds.


def test_a_member_that_missed_the_last_confirms_takes_them_from_the_record(room):
    room.propose()
    for name in ("bert", "cleo", "anna", "bert", "cleo", "anna"):
        room.step(name)
    assert room.state("anna")["epochs"]["1"]["status"] == "active"
    assert room.state("bert")["epochs"]["1"]["status"] == "pending"
    shutil.rmtree(room.box.transport.root / room.box.federation(room.fed) / "sessions")
    room.finish(3)
    room.agreed()


def test_messages_that_the_folder_loses_are_put_there_again(room):
    room.propose()
    room.step("bert")
    room.step("cleo")
    before = saved_session(room)
    shutil.rmtree(room.box.transport.root / room.box.federation(room.fed) / "sessions")
    for name in ("bert", "cleo", "anna"):
        room.step(name)
    after = saved_session(room)
    assert {name: after[name] for name in before} == before


def test_another_outcome_is_refused_with_both_records_as_evidence(room):
    room.propose()
    for name in ("bert", "cleo", "anna", "bert"):
        room.step(name)
    path = room.message("confirm", "bert")
    confirm = Envelope.from_bytes(path.read_bytes())
    path.unlink()
    assert room.step("anna").phase == "confirmed"
    path.write_bytes(worlds.resigned(confirm, [room.keys["bert"]], kcv="00" * 32).to_bytes())
    progress = room.step("anna")
    assert (progress.phase, codes(progress)) == ("confirmed", {"E_TRANSCRIPT"})
    assert room.label("bert") in progress.refused[0].error.message
    assert [written.name.split("-")[0] for written in progress.evidence] == ["E_TRANSCRIPT"] * 2


def test_another_outcome_seen_before_confirming_stops_the_ceremony_with_evidence(room):
    room.propose()
    for name in ("bert", "cleo", "anna", "bert"):
        room.step(name)
    path = room.message("confirm", "bert")
    other = worlds.resigned(Envelope.from_bytes(path.read_bytes()), [room.keys["bert"]], kcv="00" * 32)
    path.write_bytes(other.to_bytes())
    with pytest.raises(ConflictError, match="bert") as caught:
        room.step("anna")
    assert caught.value.code == "E_TRANSCRIPT"
    assert len(list((room.root / "anna" / "evidence").glob("E_TRANSCRIPT-*.json"))) == 2


# Killed between any two steps.


class KilledError(BaseException):
    """The power went out."""


class Power:
    """Goes out just before the given call that leaves a trace: saving a keystore or putting a document."""

    def __init__(self, monkeypatch, left):
        self.left = left
        self.sent = {}
        for owner, name in ((Keystore, "save"), (DropBox, "put_message"), (DropBox, "put_record")):
            monkeypatch.setattr(owner, name, self.cut(getattr(owner, name)))

    def cut(self, call):
        def wrapped(*args, **kwargs):
            if self.left == 0:
                self.left = -1
                raise KilledError
            self.left -= 1
            if call.__name__ == "put_message":
                _, envelope, _, sid, kind, signer = args
                self.sent.setdefault((sid, kind, signer), set()).add(envelope.mid)
            return call(*args, **kwargs)

        return wrapped


def play_until_killed(room):
    """Everybody acts in turn; whoever is killed goes on at the next turn. Returns whether anybody was."""
    killed, phases = False, {}
    for turn in range(8):
        if set(phases.values()) == {"active"}:
            break
        for name in NAMES:
            try:
                if turn == 0 and name == "anna":
                    room.propose()
                else:
                    phases[name] = room.step(name).phase
            except KilledError:
                killed = True
                if turn == 0 and name == "anna" and room.state("anna")["session"] is None:
                    room.propose()
    return killed


def test_killed_before_any_trace_is_left_all_end_with_one_secret_and_nobody_says_two_things(founded, tmp_path):
    calls = 0
    killed = True
    while killed:
        shutil.copytree(founded, tmp_path / f"{calls}")
        room = Room(tmp_path / f"{calls}")
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # this disk does not lose what it has
            power = Power(monkeypatch, calls)
            killed = play_until_killed(room)
        room.agreed()
        assert {key: len(said) for key, said in power.sent.items() if len(said) > 1} == {}, f"killed at call {calls}"
        shutil.rmtree(tmp_path / f"{calls}")
        calls += 1
    assert calls > 30


def test_a_keystore_from_before_the_kill_still_opens_and_goes_on(room, monkeypatch):
    room.propose()
    room.step("bert")
    with monkeypatch.context() as patch:
        patch.setattr(Keystore, "save", lambda store: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            room.step("cleo")
    assert room.state("cleo")["session"] is None
    room.finish()
    room.agreed()


def test_nothing_leaves_before_it_is_saved(room, monkeypatch):
    order = []
    for owner, name in ((Keystore, "save"), (DropBox, "put_message"), (DropBox, "put_record")):
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, _real=real, _name=name: (order.append(_name), _real(*a))[1])
    room.propose()
    assert order[0] == "save"
    for name in ("bert", "cleo", "anna", "bert", "cleo", "anna"):
        order.clear()
        room.step(name)
        assert order[0] == "save"
        assert "save" not in order[order.index("put_message") :]


def test_a_progress_and_a_refusal_show_no_secret(room):
    room.propose()
    room.step("bert")
    progress = room.step("cleo")
    session = room.session("cleo")
    for secret in (session.kem_seed, session.contribution):
        assert to_b64(secret) not in repr(progress)
        assert repr(secret) not in repr(progress)
    assert from_b64(room.state("cleo")["session"]["kem_seed"]) == session.kem_seed
