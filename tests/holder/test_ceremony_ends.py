"""How a ceremony ends badly, over real keystores: who is told what, what is erased, and how the federation goes on."""

import shutil
from datetime import timedelta

import pytest

from blindsight.holder import federation
from blindsight.protocol import agreement, kem, verdict
from blindsight.protocol.encoding import from_b64, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import KeystoreError, PolicyError
from blindsight.protocol.messages import COMMIT, COMPLAINT
from blindsight.protocol.session import Phase
from tests.holder import rooms
from tests.holder.rooms import DEADLINE, LATE, NAMES, Room, codes, sentences
from tests.protocol import worlds

NEXT_WEEK = LATE + timedelta(days=7)


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    return rooms.found(tmp_path_factory.mktemp("founded"))


@pytest.fixture
def room(founded, tmp_path):
    shutil.copytree(founded, tmp_path / "room")
    return Room(tmp_path / "room")


def in_box(room):
    """Every document of every ceremony in the folder."""
    return [Envelope.from_bytes(path.read_bytes()) for path in sorted(room.sessions.rglob("*.json"))]


def reason_of(room, name):
    return Envelope.from_bytes(room.message("abort", name).read_bytes()).body()["reason"]


def drawn(room, name):
    """The secrets of a site's open session, as they stand in its keystore."""
    session = room.session(name)
    return [to_b64(secret) for secret in (session.kem_seed, session.contribution, session.secret) if secret]


def assert_erased(room, name, secrets):
    assert secrets
    assert all(secret not in rooms.text_of(room.state(name)) for secret in secrets)


# Boxes that do not open, and complaints.


def sealed_wrongly(room):
    """Everything is there for all to confirm, but Bert's box for Anna is noise; Bert has confirmed."""
    room.propose()
    room.steps("bert", "cleo", "anna", "bert")
    room.record(1, "bert").unlink()
    room.message("confirm", "bert").unlink()
    path = room.message("reveal", "bert")
    reveal = Envelope.from_bytes(path.read_bytes())
    boxes = reveal.body()["boxes"] | {room.fpr("anna"): to_b64(bytes(32 + kem.OVERHEAD_BYTES))}
    path.write_bytes(worlds.resigned(reveal, [room.keys["bert"]], boxes=boxes).to_bytes())


def complained(room):
    """Anna has found it out."""
    sealed_wrongly(room)
    return room.step("anna")


def test_a_wrong_box_ends_the_ceremony_and_names_who_sealed_it(room):
    progress = complained(room)
    assert (progress.phase, codes(progress)) == ("idle", {"E_BOX"})
    assert room.label("bert") in sentences(progress)
    assert room.state("anna")["session"] is None


def test_who_complains_keeps_nothing_and_has_promised_nothing(room):
    sealed_wrongly(room)
    secrets = drawn(room, "anna")
    room.step("anna")
    assert_erased(room, "anna", secrets)
    state = room.state("anna")
    assert (state["secrets"], state["promised_seq"]) == ({}, 0)
    assert [ended["phase"] for ended in state["ended"].values()] == [Phase.VOID]


def test_a_true_complaint_ends_the_ceremony_for_those_who_wait(room):
    complained(room)
    secrets = drawn(room, "cleo")
    progress = room.step("cleo")
    assert codes(progress) == {"E_COMPLAINT"}
    assert f"{room.label('anna')} has complained about {room.label('bert')} rightly" in sentences(progress)
    assert_erased(room, "cleo", secrets)


def false_complaint(room, **changes):
    """Anna's complaint about Bert, whose boxes are right; she shows the key she committed."""
    session = room.session("anna")
    body = {"v": 1, "type": "complaint", "sid": session.sid, "from": room.fpr("anna"), "about": room.fpr("bert")}
    body |= {"code": "E_BOX", "kem_seed": to_b64(session.kem_seed)}
    complaint = Envelope.of("complaint", body | changes).signed(room.keys["anna"])
    (room.sessions / session.sid[:12] / f"complaint-{room.fpr('anna')[:12]}.json").write_bytes(complaint.to_bytes())
    return complaint


def test_a_false_complaint_voids_a_confirmed_ceremony_erases_its_secret_and_names_the_complainer(room):
    room.propose()
    room.steps("bert", "cleo", "anna", "bert")
    assert room.held("bert") == {1: "pending"}
    secrets = drawn(room, "bert")
    false_complaint(room)
    progress = room.step("bert")
    assert codes(progress) == {"E_COMPLAINT"}
    assert f"falsely: the box opens to what was committed; at fault is {room.label('anna')}" in sentences(progress)
    assert room.held("bert") == {1: "void"}
    assert_erased(room, "bert", secrets)


def test_a_void_ceremony_is_void_even_when_its_record_is_completed(room):
    room.propose()
    room.steps("bert", "cleo", "anna", "bert")
    confirm = Envelope.from_bytes(room.message("confirm", "bert").read_bytes())
    false_complaint(room)
    room.step("bert")
    for name in NAMES:
        confirm = confirm.signed(room.keys[name])
    room.box.put_record(confirm, room.fed, 1, room.fpr("anna"))
    room.step("bert")
    with room.store("bert") as store:
        log = room.follow(store, "bert")
        assert log.latest.record == confirm.mid
        assert store.data["feds"][room.fed]["secrets"][confirm.mid]["secret"] == ""


def test_a_complaint_that_comes_after_the_ceremony_was_set_aside_erases_the_secret_all_the_same(room):
    set_aside(room)
    held = [held["secret"] for held in room.state("bert")["secrets"].values()]
    session = Envelope.from_bytes(room.message("propose", "anna").read_bytes()).mid
    body = {"v": 1, "type": "complaint", "sid": session, "from": room.fpr("cleo"), "about": room.fpr("bert")}
    seed = room.kem_seed_of_cleo
    complaint = Envelope.of("complaint", body | {"code": "E_BOX", "kem_seed": seed}).signed(room.keys["cleo"])
    room.box.put_message(complaint, room.fed, session, "complaint", room.fpr("cleo"))
    room.step("bert", moment=LATE)
    assert room.held("bert") == {1: "void"}
    assert_erased(room, "bert", held)


def test_a_complaint_after_all_is_agreed_makes_the_others_warn_of_the_epoch(room):
    room.propose()
    room.steps("bert", "cleo")
    seed, sid = drawn(room, "cleo")[0], room.session("cleo").sid
    room.finish()
    room.agreed()
    body = {"v": 1, "type": "complaint", "sid": sid, "from": room.fpr("cleo"), "about": room.fpr("bert")}
    complaint = Envelope.of("complaint", body | {"code": "E_BOX", "kem_seed": seed}).signed(room.keys["cleo"])
    room.box.put_message(complaint, room.fed, sid, "complaint", room.fpr("cleo"))
    room.step("anna")
    with room.store("anna") as store, pytest.raises(PolicyError) as caught:
        room.follow(store, "anna").demand_usable(1, worlds.NOW)
    assert caught.value.code == "E_NOTICE"


def test_a_second_commit_made_afterwards_for_a_complaint_to_fit_makes_nobody_warn(room):
    room.propose()
    room.finish()
    room.agreed()
    sid, seed = room.log().latest.sid, bytes([7]) * 32
    commit = {"v": 1, "type": "commit", "sid": sid, "from": room.fpr("cleo"), "kem": to_b64(kem.public_key(seed))}
    second = Envelope.of("commit", commit | {"com": "ab" * 32}).signed(room.keys["cleo"])
    body = {"v": 1, "type": "complaint", "sid": sid, "from": room.fpr("cleo"), "about": room.fpr("bert")}
    body |= {"code": "E_BOX", "kem_seed": to_b64(seed)}
    complaint = Envelope.of("complaint", body).signed(room.keys["cleo"])
    room.box.put_message(second, room.fed, sid, "commit", "0" * 12)
    room.box.put_message(complaint, room.fed, sid, "complaint", room.fpr("cleo"))
    room.step("anna")
    with room.store("anna") as store:
        room.follow(store, "anna").demand_usable(1, worlds.NOW)


def test_a_complaint_that_shows_another_key_is_refused_with_evidence_and_stops_nobody(room):
    room.propose()
    room.steps("bert", "cleo", "anna", "bert")
    complaint = false_complaint(room, kem_seed=to_b64(bytes(32)))
    progress = room.step("bert")
    assert (progress.phase, codes(progress)) == ("confirmed", {"E_COMPLAINT"})
    assert {e.type for e in rooms.evidence(room.root / "bert")} == {COMPLAINT, COMMIT}
    assert complaint.mid in {e.mid for e in rooms.evidence(room.root / "bert")}
    room.finish()
    room.agreed()


def verdicts(log, documents):
    session = rooms.outsider(log, documents)
    return [verdict.judge(session, complaint) for complaint in session.complaints.values()]


def test_what_lies_in_the_box_tells_an_outsider_who_sealed_wrongly(room):
    complained(room)
    (found,) = verdicts(room.log(), in_box(room))
    assert f"rightly: the box from {room.label('bert')} does not open" in found


@pytest.mark.parametrize("name", ["anna", "cleo"])
def test_the_evidence_of_either_side_alone_tells_an_outsider_who_sealed_wrongly(room, name):
    complained(room)
    room.step("cleo")
    (found,) = verdicts(room.log(), rooms.evidence(room.root / name))
    assert f"rightly: the box from {room.label('bert')} does not open" in found


def test_the_evidence_tells_an_outsider_that_a_complaint_was_false(room):
    room.propose()
    room.steps("bert", "cleo", "anna", "bert")
    false_complaint(room)
    room.step("bert")
    (found,) = verdicts(room.log(), rooms.evidence(room.root / "bert"))
    assert f"at fault is {room.label('anna')}" in found


def test_a_void_ceremony_is_not_joined_again(room):
    complained(room)
    assert room.step("anna").phase == "idle"
    assert room.state("anna")["session"] is None


def test_a_void_ceremony_is_not_joined_again_under_another_folder_name_or_by_those_who_never_heard_of_it(room):
    complained(room)
    elsewhere = room.sessions / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(room.message("propose", "anna"), elsewhere)
    for name in NAMES:
        room.step(name)
        assert room.state(name)["session"] is None


def test_a_member_never_signs_two_commits_for_one_session_whatever_the_folder_does(room):
    complained(room)
    before = list(room.pieces())
    elsewhere = room.sessions / "elsewhere"
    elsewhere.mkdir()
    shutil.move(room.message("propose", "anna"), elsewhere)
    (mine,) = (path.parent for path in room.sessions.glob(f"*/commit-{room.fpr('anna')[:12]}.json"))
    shutil.rmtree(mine)
    room.step("anna")
    anna = room.keys["anna"].entry
    rooms.assert_of_one_voice([*before, *room.pieces()], [anna])


def test_after_a_void_ceremony_a_new_one_succeeds(room):
    complained(room)
    room.round()
    room.propose("cleo")
    room.finish()
    room.agreed()


# Two faces.


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
    progress = room.step("anna")
    assert "E_COMMITSET" in codes(progress)
    assert list((room.root / "anna" / "evidence").glob("E_COMMITSET-*.json"))
    assert room.held("anna") == {}


def test_the_evidence_of_both_sides_tells_who_has_two_faces(room):
    two_faced(room)
    room.round()
    commits = {}
    for name in ("anna", "cleo"):
        for envelope in rooms.evidence(room.root / name):
            if envelope.type == COMMIT:
                envelope.verify(room.log().roster.member(envelope.body()["from"]), "the commit")
                commits.setdefault(envelope.body()["from"], set()).add(envelope.mid)
    assert [fpr for fpr, mids in commits.items() if len(mids) > 1] == [room.fpr("bert")]


def test_who_finds_two_commit_sets_has_revealed_so_that_the_others_find_them_too(room):
    two_faced(room)
    room.step("anna")
    assert room.session("anna").phase is Phase.REVEALED
    assert "E_COMMITSET" in codes(room.step("cleo"))


def test_two_commit_sets_are_counted_against_nobody_else_than_who_made_them(room):
    two_faced(room)
    room.step("anna")
    room.step("anna", moment=LATE)
    assert set(room.state("anna")["aborts"]) <= {room.fpr("bert")}


def test_a_ceremony_stopped_by_two_faces_ends_at_its_deadline_so_that_a_new_one_can_begin(room):
    two_faced(room)
    room.step("anna")
    room.round(moment=LATE)
    assert room.session("anna") is None
    room.propose("anna", moment=LATE, deadline=NEXT_WEEK)
    room.finish(moment=LATE)
    room.agreed()


# Deadlines.


def test_a_proposal_after_its_deadline_is_passed_over(room):
    room.propose()
    progress = room.step("bert", moment=LATE)
    assert (progress.phase, codes(progress)) == ("idle", set())


def test_a_proposal_of_an_epoch_that_has_ended_already_is_refused(room):
    with room.store("anna") as store:
        log = room.follow(store, "anna")
    ended = worlds.proposal(room.keys["anna"], log, not_after="2020-01-01T00:00:00Z")
    room.box.put_message(ended, room.fed, ended.mid, "propose", room.fpr("anna"))
    progress = room.step("bert")
    assert (progress.phase, codes(progress), room.session("bert")) == ("idle", {"E_EXPIRED"}, None)


def test_ten_minutes_after_the_deadline_are_forgiven(room):
    room.propose()
    assert room.step("bert", moment=DEADLINE + timedelta(minutes=9)).phase == "committed"


@pytest.mark.parametrize("steps", [0, 1])
def test_after_the_deadline_an_unfinished_ceremony_is_given_up_and_its_secrets_are_erased(room, steps):
    room.propose()
    for _ in range(steps):
        room.steps("bert", "cleo")
    room.step("anna")
    secrets = drawn(room, "anna")
    for name in ("bert", "cleo"):
        for path in room.sessions.glob(f"*/reveal-{room.fpr(name)[:12]}.json"):
            path.unlink()
    progress = room.step("anna", moment=LATE)
    assert (progress.phase, codes(progress)) == ("idle", {"E_EXPIRED"})
    assert (room.session("anna"), reason_of(room, "anna"), room.held("anna")) == (None, "deadline", {})
    assert_erased(room, "anna", secrets)


def test_who_kept_the_others_waiting_past_the_deadline_is_named_and_counted(room):
    room.propose()
    room.step("bert")
    progress = room.step("anna", moment=LATE)
    assert f"waiting for the commit of {room.label('cleo')}" in sentences(progress)
    assert room.state("anna")["aborts"] == {room.fpr("cleo"): 1}


def test_ceremonies_that_fail_in_a_row_are_counted_until_one_succeeds(room):
    moment = worlds.NOW
    for count in (1, 2):
        room.propose(moment=moment, deadline=moment + timedelta(days=1))
        room.step("bert", moment=moment)
        moment += timedelta(days=2)
        room.steps("anna", "bert", moment=moment)
        assert room.state("anna")["aborts"] == room.state("bert")["aborts"] == {room.fpr("cleo"): count}
    room.propose(moment=moment, deadline=moment + timedelta(days=1))
    room.finish(moment=moment)
    room.agreed()
    assert [room.state(name)["aborts"] for name in NAMES] == [{}, {}, {}]


def test_a_ceremony_that_all_have_revealed_in_is_confirmed_even_after_the_deadline(room):
    room.propose()
    room.steps("bert", "cleo", "anna", "bert")
    room.finish(3, moment=LATE)
    room.agreed()


def test_after_the_deadline_a_new_ceremony_succeeds(room):
    room.propose()
    room.step("bert")
    for name in ("anna", "bert"):
        assert codes(room.step(name, moment=LATE)) == {"E_EXPIRED"}
    room.propose("bert", moment=LATE, deadline=NEXT_WEEK)
    room.finish(moment=LATE)
    room.agreed()


def test_a_deadline_that_no_calendar_has_is_refused_and_does_not_block(room):
    bert = room.keys["bert"]
    offer = worlds.resigned(worlds.proposal(bert, room.log()), [bert], deadline="2026-02-31T00:00:00Z")
    room.box.put_message(offer, room.fed, "odd", "propose", room.fpr("bert"))
    progress = room.step("anna")
    assert (progress.phase, codes(progress)) == ("idle", {"E_FORMAT"})
    room.propose()


def test_a_deadline_at_the_end_of_the_calendar_is_simply_far_away(room):
    offer = worlds.proposal(room.keys["bert"], room.log(), deadline="9999-12-31T23:59:59Z")
    room.box.put_message(offer, room.fed, "far", "propose", room.fpr("bert"))
    assert room.step("anna").phase == "committed"


# A person gives up.


@pytest.mark.parametrize("steps", [(), ("bert", "cleo", "anna")])
def test_who_gives_up_before_confirming_keeps_nothing_and_says_so(room, steps):
    room.propose()
    for name in steps:
        room.step(name)
    secrets = drawn(room, "anna")
    sid = room.abort("anna")
    assert_erased(room, "anna", secrets)
    assert (room.session("anna"), reason_of(room, "anna")) == (None, "person")
    assert room.state("anna")["ended"][sid]["phase"] == "aborted"
    assert room.step("anna").phase == "idle"


def test_when_one_gives_up_all_who_have_not_confirmed_do(room):
    room.propose()
    room.steps("bert", "cleo")
    secrets = drawn(room, "cleo")
    room.abort("anna")
    progress = room.step("cleo")
    assert (progress.phase, codes(progress)) == ("idle", {"E_ABORT"})
    assert room.label("anna") in sentences(progress)
    assert reason_of(room, "cleo") == "abort"
    assert_erased(room, "cleo", secrets)
    assert room.step("bert").phase == "idle"


def test_a_ceremony_that_somebody_gave_up_is_joined_by_nobody(room):
    room.propose()
    room.abort("anna")
    assert (room.step("bert").phase, room.session("bert")) == ("idle", None)
    room.propose("bert")
    room.finish()
    room.agreed()


def test_who_gives_up_is_counted_by_the_others(room):
    room.propose()
    room.steps("bert", "cleo")
    room.abort("anna")
    room.round()
    assert [room.state(name)["aborts"] for name in NAMES] == [{}, {room.fpr("anna"): 1}, {room.fpr("anna"): 1}]


def test_a_confirm_cannot_be_taken_back(room):
    room.propose()
    room.steps("bert", "cleo", "anna", "bert")
    with pytest.raises(PolicyError) as caught:
        room.abort("bert")
    assert caught.value.code == "E_ABORT"
    assert (room.session("bert").phase, room.held("bert")) == (Phase.CONFIRMED, {1: "pending"})


def test_there_is_nothing_to_give_up_without_a_ceremony(room):
    with pytest.raises(PolicyError) as caught:
        room.abort("anna")
    assert caught.value.code == "E_ABORT"


def forged_abort(room, name, reason):
    sid = Envelope.from_bytes(room.message("propose", "anna").read_bytes()).mid
    body = {"v": 1, "type": "abort", "sid": sid, "from": room.fpr(name), "reason": reason}
    room.box.put_message(Envelope.of("abort", body).signed(room.keys[name]), room.fed, sid, "abort", room.fpr(name))


def test_an_abort_by_a_stranger_ends_nothing(room):
    room.propose()
    sid = room.session("anna").sid
    mallory = worlds.identity("mallory")
    body = {"v": 1, "type": "abort", "sid": sid, "from": mallory.entry.fpr, "reason": "person"}
    room.box.put_message(Envelope.of("abort", body).signed(mallory), room.fed, sid, "abort", mallory.entry.fpr)
    assert (room.step("bert").phase, codes(room.step("anna"))) == ("committed", {"E_ROSTER"})


def test_who_leaves_after_having_seen_all_reveals_is_counted_whatever_reason_it_gives(room):
    room.propose()
    room.steps("bert", "cleo", "anna", "bert")
    room.message("confirm", "bert").unlink()
    room.record(1, "bert").unlink()
    forged_abort(room, "bert", "rival")
    room.step("cleo")
    assert room.state("cleo")["aborts"].get(room.fpr("bert")) == 1


@pytest.mark.parametrize("reason", ["rival", "head", "deadline", "abort"])
def test_who_keeps_its_reveal_back_and_leaves_with_a_false_reason_is_counted(room, reason):
    room.propose()
    room.steps("bert", "cleo", "anna")
    assert not list(room.sessions.glob(f"*/reveal-{room.fpr('bert')[:12]}.json"))
    forged_abort(room, "bert", reason)
    room.step("cleo")
    assert room.state("cleo")["aborts"] == {room.fpr("bert"): 1}


def test_who_leaves_because_another_one_did_is_not_counted(room):
    room.propose()
    room.steps("bert", "cleo", "anna")
    forged_abort(room, "bert", "person")
    room.steps("anna", "cleo")
    assert room.state("cleo")["aborts"] == {room.fpr("bert"): 1}


def test_a_false_complaint_is_counted_against_the_complainer(room):
    room.propose()
    room.steps("bert", "cleo", "anna", "bert")
    false_complaint(room)
    room.step("bert")
    assert room.state("bert")["aborts"] == {room.fpr("anna"): 1}


def test_a_wrong_box_is_counted_against_who_sealed_it_by_everybody(room):
    complained(room)
    room.step("cleo")
    assert [room.state(name)["aborts"] for name in ("anna", "cleo")] == [{room.fpr("bert"): 1}] * 2


# Set aside.


def set_aside(room):
    """Bert has confirmed, Anna and Cleo never saw his reveal; the deadline passes for all. Cleo is at the keyboard."""
    room.propose()
    room.steps("bert", "cleo")
    room.kem_seed_of_cleo = drawn(room, "cleo")[0]
    room.steps("anna", "bert")
    hidden = room.root / "hidden"
    hidden.mkdir()
    shutil.move(room.message("reveal", "bert"), hidden)
    shutil.move(room.message("confirm", "bert"), hidden)
    assert room.held("bert") == {1: "pending"}
    progress = room.step("bert", moment=LATE)
    for kind in ("reveal", "confirm"):
        room.message(kind, "bert").unlink(missing_ok=True)
    room.steps("anna", "cleo", moment=LATE)
    return progress


def test_a_confirmed_ceremony_is_set_aside_after_its_deadline_and_its_secret_stays(room):
    progress = set_aside(room)
    assert (progress.phase, codes(progress)) == ("idle", {"E_EXPIRED"})
    assert "is set aside without the confirm of" in sentences(progress)
    assert (room.session("bert"), room.held("bert")) == (None, {1: "pending"})
    assert room.held("anna") == room.held("cleo") == {}


@pytest.mark.parametrize("proposer", NAMES)
def test_after_one_was_set_aside_a_new_ceremony_proposed_by_anybody_succeeds(room, proposer):
    set_aside(room)
    room.propose(proposer, moment=LATE, deadline=NEXT_WEEK)
    for name in NAMES:
        progress = room.step(name, moment=LATE)
        assert "E_SEQ" not in codes(progress)
    room.finish(moment=LATE)
    room.agreed()
    assert room.held("bert") == {1: "superseded", 2: "active"}
    assert rooms.text_of(room.state("bert")["secrets"]).count('"secret": ""') == 1


def withheld(room):
    """All have confirmed. Only Cleo sees everything; Anna and Bert lack her confirm and set the ceremony aside."""
    room.propose()
    room.steps("bert", "cleo", "anna", "bert", "cleo")
    confirms = [room.message("confirm", "cleo"), room.record(1, "cleo")]
    kept = {path: path.read_bytes() for path in confirms}
    for path in confirms:
        path.unlink()
    room.steps("anna", "bert")
    for name in ("anna", "bert"):
        assert codes(room.step(name, moment=LATE)) == {"E_EXPIRED"}
        assert room.held(name) == {1: "pending"}
    return kept


def test_a_confirm_that_the_folder_withheld_until_after_the_deadline_still_completes_the_record(room):
    for path, data in withheld(room).items():
        path.write_bytes(data)
    assert room.step("anna", moment=LATE).phase == "active"
    room.finish(2, moment=LATE)
    room.agreed()


def test_the_old_record_completed_during_a_new_ceremony_ends_the_new_one(room):
    kept = withheld(room)
    room.propose("anna", moment=LATE, deadline=NEXT_WEEK)
    assert room.step("bert", moment=LATE).phase == "committed"
    for path, data in kept.items():
        path.write_bytes(data)
    progress = room.step("bert", moment=LATE)
    assert (progress.phase, reason_of(room, "bert")) == ("active", "head")
    room.finish(3, moment=LATE)
    room.agreed()
    assert [room.held(name) for name in NAMES] == [{1: "active"}] * 3


def test_the_old_record_completed_after_the_new_one_stays_superseded(room):
    old, kept = room.propose().mid, {}

    def confirms_of_the_old_one_are_lost():
        for path in [*room.sessions.glob(f"{old[:12]}/confirm-*"), *room.sessions.parent.glob("records/1-*")]:
            kept[path] = path.read_bytes()
            path.unlink()

    for moment in (worlds.NOW, worlds.NOW, LATE):
        for name in ("bert", "cleo", "anna"):
            room.step(name, moment=moment)
            confirms_of_the_old_one_are_lost()
    assert [room.held(name) for name in NAMES] == [{1: "pending"}] * 3
    room.propose("anna", moment=LATE, deadline=NEXT_WEEK)
    for _ in range(5):
        for name in NAMES:
            room.step(name, moment=LATE)
            confirms_of_the_old_one_are_lost()
    kcv = room.agreed()
    for path, data in kept.items():
        path.write_bytes(data)
    room.finish(2, moment=LATE)
    assert room.agreed() == kcv
    for name in NAMES:
        assert room.held(name) == {1: "superseded", 2: "active"}
        assert rooms.text_of(room.state(name)["secrets"]).count('"secret": ""') == 1


def test_cleo_who_completed_the_old_record_alone_does_not_take_part_in_another_first_epoch(room):
    kept = withheld(room)
    room.propose("anna", moment=LATE, deadline=NEXT_WEEK)
    room.step("bert", moment=LATE)
    for path, data in kept.items():
        path.write_bytes(data)
    assert room.step("cleo", moment=LATE).phase == "active"
    room.finish(3, moment=LATE)
    room.agreed()


def test_a_confirmed_ceremony_is_set_aside_at_once_when_a_member_left_who_has_not_confirmed(room):
    room.propose()
    room.steps("bert", "cleo", "anna", "bert")
    room.abort("anna")
    progress = room.step("bert")
    assert codes(progress) == {"E_EXPIRED"}
    assert (room.session("bert"), room.held("bert")) == (None, {1: "pending"})
    room.round()
    room.propose("anna")
    room.finish()
    room.agreed()


def test_who_has_only_not_come_to_confirm_yet_is_not_counted_when_another_left(room):
    room.propose()
    room.steps("bert", "cleo", "anna", "bert")
    room.abort("anna")
    room.step("bert")
    assert room.state("bert")["aborts"] == {room.fpr("anna"): 1}


def changed_roster(room, seq):
    """A roster record that all have signed, with one trainer more."""
    log = room.log()
    body = {"v": 1, "type": "roster", "fed": log.fed, "seq": seq, "prev": log.records[-1].mid}
    body |= {"members": [member.to_json() for member in log.roster.members], "operators": []}
    record = Envelope.of("roster", body | {"trainers": [worlds.identity("lab", "trainer").entry.to_json()]})
    for name in NAMES:
        record = record.signed(room.keys[name])
    room.box.put_record(record, room.fed, seq, room.fpr("anna"))


def test_a_confirmed_ceremony_that_the_log_passes_by_is_over_and_its_secret_is_erased(room):
    room.propose()
    room.steps("bert", "cleo", "anna", "bert")
    secrets = drawn(room, "bert")
    changed_roster(room, 2)
    room.step("bert")
    assert room.held("bert") == {1: "superseded"}
    assert room.session("bert") is None
    assert_erased(room, "bert", secrets)


def test_a_ceremony_that_the_log_passes_by_is_never_called_active(room):
    room.propose()
    room.steps("bert", "cleo", "anna", "bert", "cleo")
    assert room.session("bert").phase is Phase.CONFIRMED
    changed_roster(room, 2)
    progress = room.step("bert")
    assert (progress.phase, room.held("bert")) == ("idle", {1: "superseded"})


def test_an_unconfirmed_ceremony_that_the_log_passes_by_is_given_up(room):
    room.propose()
    room.step("bert")
    changed_roster(room, 2)
    progress = room.step("bert")
    assert (progress.phase, reason_of(room, "bert")) == ("idle", "head")


# Keystores from yesterday.


def set_back(room, name, acts, *, marker=True):
    """Let a site act, then put its keystore back as it was before, its marker too if so wished."""
    folder, old = room.root / name, room.root / f"{name}-old"
    shutil.copytree(folder, old)
    acts()
    for path in old.iterdir():
        if path.is_file() and (marker or not path.name.endswith(".gen")):
            shutil.copy2(path, folder / path.name)
    shutil.rmtree(old)


def test_a_keystore_restored_from_a_backup_is_refused_by_its_marker(room):
    set_back(room, "bert", lambda: (room.propose(), room.step("bert")), marker=False)
    with pytest.raises(KeystoreError) as caught:
        room.step("bert")
    assert caught.value.code == "E_ROLLBACK"


def test_a_keystore_that_does_not_know_the_commit_it_made_gives_the_ceremony_up(room):
    set_back(room, "bert", lambda: (room.propose(), room.step("bert")))
    before = list(room.pieces())
    progress = room.step("bert")
    assert (progress.phase, codes(progress)) == ("idle", {"E_ROLLBACK"})
    assert room.session("bert") is None
    rooms.assert_of_one_voice([*before, *room.pieces()], [key.entry for key in room.keys.values()])
    assert codes(room.step("anna")) == {"E_ABORT"}
    room.propose("bert")
    room.finish()
    room.agreed()


def test_a_keystore_that_does_not_know_the_proposal_it_made_gives_the_ceremony_up(room):
    set_back(room, "bert", lambda: room.propose("bert"))
    before = list(room.pieces())
    room.message("commit", "bert").unlink()
    assert codes(room.step("bert")) == {"E_ROLLBACK"}
    rooms.assert_of_one_voice([*before, *room.pieces()], [room.keys["bert"].entry])


@pytest.mark.parametrize(("shown", "code"), [(True, "E_SEQ"), (False, "E_ROLLBACK")])
def test_a_keystore_that_forgot_its_confirm_does_not_sign_a_second_record_of_that_sequence(room, shown, code):
    room.propose()
    set_back(room, "bert", lambda: room.steps("bert", "cleo", "anna", "bert"))
    before = list(room.pieces())
    if not shown:
        room.record(1, "bert").unlink()
    assert codes(room.step("bert")) == {code}
    room.round(moment=LATE)
    room.propose("bert", moment=LATE, deadline=NEXT_WEEK)
    room.finish(moment=LATE)
    rooms.assert_of_one_voice([*before, *room.pieces()], [key.entry for key in room.keys.values()])
    room.agreed()


def test_a_keystore_that_forgot_its_reveal_takes_it_from_the_folder_and_makes_no_other(room):
    room.propose()
    room.step("bert")
    set_back(room, "bert", lambda: room.steps("cleo", "bert"))
    before = list(room.pieces())
    room.finish()
    rooms.assert_of_one_voice([*before, *room.pieces()], [room.keys["bert"].entry])
    room.agreed()


def test_a_keystore_that_forgot_its_abort_says_nothing_else_now(room):
    room.propose()
    room.step("bert")
    set_back(room, "bert", lambda: room.abort("bert"))
    before = list(room.pieces())
    room.round()
    rooms.assert_of_one_voice([*before, *room.pieces()], [room.keys["bert"].entry])
    assert room.session("bert") is None


def test_a_secret_that_is_held_is_that_of_its_record_in_every_status(room):
    withheld(room)
    room.propose("anna", moment=LATE, deadline=NEXT_WEEK)
    room.finish(moment=LATE)
    with room.store("anna") as store:
        log = room.follow(store, "anna")
        _, secret = federation.epoch_secret(store, log, None)
        (held,) = (h for h in store.data["feds"][room.fed]["secrets"].values() if h["status"] == "active")
    assert from_b64(held["secret"]) == secret
    assert agreement.key_check_value(secret, room.fed, 1) == log.latest.kcv
