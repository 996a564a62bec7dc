"""The ceremony by hand: three keystores in three folders, one shared folder, and everything that may go wrong there.

How ceremonies end badly is in ``test_ceremony_ends``.
"""

import shutil

import pytest

from blindsight.holder import federation
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import from_b64, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import PolicyError
from blindsight.protocol.keystore import Keystore
from tests.holder import rooms
from tests.holder.rooms import NAMES, Room, codes, sentences
from tests.protocol import worlds


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """Three sites of one founded federation, with the code compared."""
    return rooms.found(tmp_path_factory.mktemp("founded"))


@pytest.fixture
def room(founded, tmp_path):
    shutil.copytree(founded, tmp_path / "room")
    return Room(tmp_path / "room")


# As it should be.


def test_three_sites_end_with_one_secret_that_the_shared_folder_never_saw(room):
    room.propose()
    room.finish()
    room.agreed()
    with room.store("anna") as store:
        _, secret = federation.epoch_secret(store, room.follow(store, "anna"), None)
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
    assert room.held("bert") == {1: "active", 2: "active"}


def test_seeds_and_contributions_are_gone_from_the_keystore_afterwards(room):
    room.propose()
    drawn = [from_b64(room.state("anna")["session"][what]) for what in ("kem_seed", "contribution")]
    room.finish()
    for name in NAMES:
        state = room.state(name)
        assert state["session"] is None
        assert {key for held in state["secrets"].values() for key in held} == {
            "epoch",
            "seq",
            "sid",
            "commits",
            "status",
            "secret",
        }
        assert (state["promised_seq"], room.held(name)) == (1, {1: "active"})
    assert all(to_b64(secret) not in rooms.text_of(room.state("anna")) for secret in drawn)


def test_a_second_proposal_waits_for_the_end_of_the_first(room):
    room.propose()
    with pytest.raises(PolicyError, match="open already") as caught:
        room.propose()
    assert caught.value.code == "E_EXISTS"


def at_once(room, *names):
    """Several propose before the folder shows them the others' proposals: ids, the one that takes precedence first."""
    mids = []
    for name in names:
        hidden = room.sessions.with_name("hidden")
        if mids:
            room.sessions.rename(hidden)
        mids.append(room.propose(name).mid)
        if hidden.exists():
            shutil.copytree(hidden, room.sessions, dirs_exist_ok=True)
            shutil.rmtree(hidden)
    return sorted(mids)


def test_a_proposal_waits_for_the_end_of_anothers(room):
    room.propose("anna")
    with pytest.raises(PolicyError) as caught:
        room.propose("bert")
    assert caught.value.code == "E_EXISTS"


@pytest.mark.parametrize("order", [NAMES, NAMES[::-1]])
def test_members_who_proposed_at_once_come_together_in_the_proposal_with_the_smallest_id(room, order):
    first, *others = at_once(room, *order)
    room.finish()
    room.agreed()
    for name in NAMES:
        with room.store(name) as store:
            assert room.follow(store, name).latest.sid == first
        assert set(room.state(name)["ended"]) <= set(others)


def test_giving_way_to_a_rival_is_said_in_an_abort_and_counted_against_nobody(room):
    mids = at_once(room, "anna", "bert")
    room.finish(2)
    (path,) = room.sessions.glob("*/abort-*.json")
    body = Envelope.from_bytes(path.read_bytes()).body()
    assert (body["sid"], body["reason"]) == (mids[1], "rival")
    assert [room.state(name)["aborts"] for name in NAMES] == [{}, {}, {}]


def test_a_rival_that_comes_late_draws_those_who_have_only_committed(room):
    first, second = at_once(room, "anna", "bert")
    rival = room.sessions / first[:12]
    rival.rename(room.sessions.with_name("hidden"))
    proposer = next(name for name in ("anna", "bert") if room.session(name).sid == first)
    assert {room.step(name).phase for name in NAMES if name != proposer} == {"committed"}
    assert room.session("cleo").sid == second
    room.sessions.with_name("hidden").rename(rival)
    room.finish()
    room.agreed()


def test_what_is_withheld_of_two_rivals_keeps_nobody_from_the_other_for_ever(room):
    at_once(room, "anna", "bert")
    shutil.rmtree(room.sessions)
    room.finish()
    room.agreed()


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
    folder = room.sessions / "aa"
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
    folder = room.sessions / "foreign"
    folder.mkdir(parents=True)
    (folder / "propose-x.json").write_bytes(foreign.to_bytes())
    progress = room.step("anna")
    assert (progress.phase, codes(progress)) == ("idle", {"E_FED"})
    assert room.label("bert") in progress.refused[0].error.message


def saved_session(room):
    """What a relay keeps of a ceremony."""
    (folder,) = room.sessions.iterdir()
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def replayed(room, files, folder):
    target = room.sessions / folder
    target.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (target / name).write_bytes(data)


@pytest.mark.parametrize("folder", ["replayed", "0" * 12])
def test_an_old_ceremony_replayed_is_history_wherever_it_lies(room, folder):
    room.propose()
    room.finish()
    kcv = room.agreed()
    replayed(room, saved_session(room), folder)
    progress = room.step("cleo")
    assert (progress.phase, progress.kcv, progress.refused) == ("active", kcv, ())
    assert room.state("cleo")["session"] is None


def test_an_old_ceremony_under_a_new_number_is_refused_naming_its_proposer(room):
    offer = room.propose()
    room.finish()
    kcv = room.agreed()
    again = worlds.resigned(offer, [room.keys["anna"]], epoch=2, seq=2)
    replayed(room, {"propose-x.json": again.to_bytes()}, "replayed")
    progress = room.step("cleo")
    assert (progress.phase, progress.kcv, codes(progress)) == ("active", kcv, {"E_PREV"})
    assert room.label("anna") in sentences(progress)


def test_an_old_ceremony_replayed_into_a_new_one_is_refused_message_by_message(room):
    room.propose()
    room.finish()
    first = room.agreed()
    old = saved_session(room)
    proposal = room.propose("bert")
    replayed(room, old, proposal.mid[:12])
    progress = room.step("cleo")
    assert codes(progress) == {"E_SID"}
    assert {refusal.file for refusal in progress.refused} == {f"{proposal.mid[:12]}/{name}" for name in old}
    room.finish()
    assert room.agreed() != first


# Confirms and records that the folder withholds.


def test_a_member_that_missed_the_last_confirms_takes_them_from_the_record(room):
    room.propose()
    for name in ("bert", "cleo", "anna", "bert", "cleo", "anna"):
        room.step(name)
    assert room.held("anna") == {1: "active"}
    assert room.held("bert") == {1: "pending"}
    shutil.rmtree(room.sessions)
    room.finish(3)
    room.agreed()


def test_messages_that_the_folder_loses_are_put_there_again(room):
    room.propose()
    room.step("bert")
    room.step("cleo")
    before = saved_session(room)
    shutil.rmtree(room.sessions)
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


def test_another_outcome_seen_before_confirming_keeps_the_member_from_confirming(room):
    room.propose()
    room.steps("bert", "cleo", "anna", "bert")
    path = room.message("confirm", "bert")
    other = worlds.resigned(Envelope.from_bytes(path.read_bytes()), [room.keys["bert"]], kcv="00" * 32)
    path.write_bytes(other.to_bytes())
    progress = room.step("anna")
    assert (progress.phase, codes(progress)) == ("revealed", {"E_TRANSCRIPT"})
    assert room.label("bert") in sentences(progress)
    assert [file.name.split("-")[0] for file in progress.evidence] == ["E_TRANSCRIPT"] * 2
    assert room.held("anna") == {}


# Killed between any two steps; at every rename: ``test_ceremony_kill``.


class KilledError(BaseException):
    """The power went out."""


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
