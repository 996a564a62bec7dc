"""Complaints, aborts and who is at fault: the pure rules, judged by members and by outsiders alike."""

import pytest

from blindsight.protocol import agreement, kem, verdict
from blindsight.protocol.agreement import receive
from blindsight.protocol.encoding import canonical, from_b64, parse_canonical, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, FormatError, MembershipError, ProtocolError
from blindsight.protocol.messages import ABORT, COMPLAINT, REASONS
from blindsight.protocol.session import Phase, Session, commit_set, from_json, to_json
from tests.protocol import worlds

KEYS = worlds.holders(3)
LOG = worlds.founded(KEYS)
OFFER = worlds.proposal(KEYS[0], LOG)
ANNA, BERT, CLEO = (key.entry.fpr for key in KEYS)
LABELS = {key.entry.fpr: key.entry.label for key in KEYS}
KEY_OF = {key.entry.fpr: key for key in KEYS}


def stages():
    """The three sessions after 0 to 3 rounds of exchange."""
    sessions = worlds.sessions(KEYS, LOG, OFFER)
    yield dict(sessions)
    for _ in range(3):
        worlds.exchange(sessions, KEYS)
        yield dict(sessions)


COMMITTED, REVEALED, CONFIRMED, ACTIVE = stages()
CHEATS = {"E_BOX": bytes(32 + kem.OVERHEAD_BYTES), "E_COMMIT": None}


def said(kind, author, **fields):
    body = {"v": 1, "type": kind, "sid": OFFER.mid, "from": author}
    return Envelope.of(kind, body | fields).signed(KEY_OF[author])


def complaint(author, about, *, code="E_BOX", seed=None):
    return said("complaint", author, about=about, code=code, kem_seed=to_b64(seed or COMMITTED[author].kem_seed))


def abort(author, reason="person"):
    return said("abort", author, reason=reason)


def cheating_reveal(code):
    """Bert's reveal with a box for Anna that does not open, or opens to something else."""
    reveal = REVEALED[BERT].outbox[1]
    box = CHEATS[code]
    if box is None:
        public = from_b64(COMMITTED[ANNA].outbox[0].body()["kem"])
        context = verdict.box_context(REVEALED[ANNA], commit_set(REVEALED[ANNA]), BERT, ANNA)
        box = kem.seal(public, bytes(32), context)
    return worlds.resigned(reveal, [KEYS[1]], boxes=reveal.body()["boxes"] | {ANNA: to_b64(box)})


def all_in(session, reveal_of_bert):
    for message in (reveal_of_bert, REVEALED[CLEO].outbox[1], REVEALED[ANNA].outbox[1]):
        if message.body()["from"] != session.me:
            session = receive(session, message)
    return session


def cheated(code):
    """Anna's session once she has looked into Bert's box."""
    return agreement.advance(all_in(REVEALED[ANNA], cheating_reveal(code)), KEYS[0])


def outsider(*messages):
    """What somebody who is no member knows of the ceremony."""
    session = Session("", LOG.roster.members, OFFER, Phase.COMMITTED)
    for message in messages:
        session = receive(session, message)
    return session


def assert_erased(session):
    assert (session.kem_seed, session.contribution, session.secret) == (b"", b"", b"")


def stored_and_read(session):
    return from_json(parse_canonical(canonical(to_json(session)), "session"))


COMMITS = [COMMITTED[fpr].outbox[0] for fpr in (ANNA, BERT, CLEO)]


# True complaints.


@pytest.mark.parametrize("code", CHEATS)
def test_who_finds_a_bad_box_complains_and_shows_the_key_it_was_sealed_to(code):
    session = cheated(code)
    message = session.outbox[-1]
    body = message.body()
    assert message.type == COMPLAINT
    assert (body["from"], body["about"], body["code"]) == (ANNA, BERT, code)
    assert from_b64(body["kem_seed"]) == COMMITTED[ANNA].kem_seed
    assert session.phase is Phase.VOID
    assert_erased(session)


@pytest.mark.parametrize("code", CHEATS)
@pytest.mark.parametrize("seen", ["bert's reveal", "nothing of bert"])
def test_a_true_complaint_voids_the_session_of_the_others(code, seen):
    session = agreement.advance(REVEALED[CLEO], KEYS[2])
    if seen == "bert's reveal":
        session = receive(session, cheating_reveal(code))
    session = agreement.advance(receive(session, cheated(code).outbox[-1]), KEYS[2])
    assert session.phase is Phase.VOID
    assert_erased(session)
    assert session.fault.startswith(f"E_COMPLAINT: {LABELS[ANNA]} has complained about {LABELS[BERT]}")
    assert ("rightly" in session.fault) == (seen == "bert's reveal")


@pytest.mark.parametrize("code", CHEATS)
def test_an_outsider_judges_that_a_complaint_is_right(code):
    complaint_of_anna = cheated(code).outbox[-1]
    view = outsider(*COMMITS, cheating_reveal(code))
    found = verdict.judge(view, complaint_of_anna)
    assert f"rightly: {'the box from ' if code == 'E_BOX' else ''}{LABELS[BERT]}" in found
    assert "at fault is" not in found


def test_who_is_accused_rightly_is_told_so_itself():
    session = Session(BERT, LOG.roster.members, OFFER, Phase.REVEALED, COMMITTED[BERT].commits)
    for message in (*COMMITS, cheating_reveal("E_BOX"), cheated("E_BOX").outbox[-1]):
        session = receive(session, message)
    assert f"rightly: the box from {LABELS[BERT]}" in agreement.advance(session, KEYS[1]).fault


# False complaints.


@pytest.mark.parametrize("stage", [REVEALED, CONFIRMED], ids=["revealed", "confirmed"])
def test_a_false_complaint_voids_the_session_too_and_names_the_complainer(stage):
    session = stage[CLEO]
    if stage is REVEALED:
        session = receive(session, REVEALED[BERT].outbox[1])
    session = agreement.advance(receive(session, complaint(ANNA, BERT)), KEYS[2])
    assert session.phase is Phase.VOID
    assert_erased(session)
    assert session.fault.endswith(f"falsely: the box opens to what was committed; at fault is {LABELS[ANNA]}")


def test_an_outsider_judges_that_a_complaint_is_false():
    view = outsider(*COMMITS, REVEALED[BERT].outbox[1])
    assert f"at fault is {LABELS[ANNA]}" in verdict.judge(view, complaint(ANNA, BERT))


def test_a_complaint_after_all_have_confirmed_still_voids_what_is_not_active():
    session = receive(CONFIRMED[CLEO], ACTIVE[ANNA].record)
    session = agreement.advance(receive(session, complaint(ANNA, BERT)), KEYS[2])
    assert session.phase is Phase.VOID
    assert_erased(session)


def test_an_active_session_is_not_changed_by_a_complaint():
    session = agreement.advance(receive(ACTIVE[CLEO], complaint(ANNA, BERT)), KEYS[2])
    assert (session.phase, session.secret) == (Phase.ACTIVE, ACTIVE[CLEO].secret)


def test_a_void_session_stays_void_whatever_completes_later():
    session = agreement.advance(receive(CONFIRMED[CLEO], complaint(ANNA, BERT)), KEYS[2])
    completed = agreement.advance(receive(stored_and_read(session), ACTIVE[ANNA].record), KEYS[2])
    assert completed.phase is Phase.VOID
    assert_erased(completed)


# Complaints that prove nothing.


@pytest.mark.parametrize("stage", [COMMITTED, REVEALED, CONFIRMED], ids=["committed", "revealed", "confirmed"])
def test_a_complaint_that_shows_another_key_is_refused_with_evidence(stage):
    session = receive(stage[CLEO], COMMITS[0])
    wrong = complaint(ANNA, BERT, seed=bytes(32))
    with pytest.raises(ConflictError, match=LABELS[ANNA].split(" ")[0]) as caught:
        receive(session, wrong)
    assert caught.value.code == "E_COMPLAINT"
    assert caught.value.evidence == (wrong.to_bytes(), COMMITS[0].to_bytes())
    shown, committed = (Envelope.from_bytes(document) for document in caught.value.evidence)
    assert not verdict.shows_key(committed, shown.body())


@pytest.mark.parametrize("about", [ANNA, worlds.identity("mallory").entry.fpr], ids=["oneself", "a stranger"])
def test_a_complaint_about_nobody_else_here_is_refused(about):
    with pytest.raises(MembershipError) as caught:
        receive(REVEALED[CLEO], complaint(ANNA, about))
    assert caught.value.code == "E_ROSTER"


@pytest.mark.parametrize("code", ["E_COMMITSET", "", None])
def test_a_complaint_of_another_kind_is_malformed(code):
    with pytest.raises(FormatError):
        receive(REVEALED[CLEO], complaint(ANNA, BERT, code=code))


def test_a_second_different_complaint_is_evidence_against_its_author():
    first, second = complaint(ANNA, BERT), complaint(ANNA, CLEO)
    with pytest.raises(ConflictError) as caught:
        receive(receive(REVEALED[CLEO], first), second)
    assert caught.value.code == "E_EQUIVOCATION"
    assert caught.value.evidence == (first.to_bytes(), second.to_bytes())


# Order.


def test_a_complaint_that_comes_before_its_authors_commit_waits_for_it():
    session = agreement.advance(receive(COMMITTED[CLEO], complaint(ANNA, BERT)), KEYS[2])
    assert session.phase is Phase.COMMITTED
    session = agreement.advance(receive(stored_and_read(session), COMMITS[0]), KEYS[2])
    assert session.phase is Phase.VOID
    assert_erased(session)


def test_a_complaint_with_another_key_that_comes_before_its_authors_commit_stops_nobody():
    session = receive(COMMITTED[CLEO], complaint(ANNA, BERT, seed=bytes(32)))
    for commit in COMMITS[:2]:
        session = receive(session, commit)
    assert agreement.advance(session, KEYS[2]).phase is Phase.REVEALED


@pytest.mark.parametrize("known", [COMMITS[:1], COMMITS[:2], COMMITS])
def test_without_all_commits_and_the_reveal_nobody_is_said_to_be_at_fault(known):
    found = verdict.judge(outsider(*known), complaint(ANNA, BERT))
    assert found.endswith("who is at fault cannot be told without all commits and the reveal")


def test_a_reveal_for_another_set_of_commits_is_said_to_be_that():
    other = worlds.accepted(KEYS[2], LOG, OFFER, "other").outbox[0]
    found = verdict.judge(outsider(*COMMITS[:2], other, REVEALED[BERT].outbox[1]), complaint(ANNA, BERT))
    assert "compare the sets of commits" in found


# Giving up.


@pytest.mark.parametrize("stage", [COMMITTED, REVEALED], ids=["committed", "revealed"])
@pytest.mark.parametrize("reason", REASONS)
def test_who_gives_up_erases_everything_and_says_so(stage, reason):
    session = agreement.give_up(stage[ANNA], KEYS[0], reason)
    assert (session.phase, session.fault) == (Phase.ABORTED, REASONS[reason])
    assert_erased(session)
    message = session.outbox[-1]
    assert (message.type, message.body()["reason"], message.body()["from"]) == (ABORT, reason, ANNA)
    message.verify(KEYS[0].entry, "the abort")


@pytest.mark.parametrize("stage", [COMMITTED, REVEALED], ids=["committed", "revealed"])
def test_who_has_not_confirmed_gives_up_when_another_does(stage):
    session = agreement.advance(receive(stage[CLEO], abort(ANNA)), KEYS[2])
    assert session.phase is Phase.ABORTED
    assert_erased(session)
    assert session.outbox[-1].body()["reason"] == "abort"


def test_who_has_confirmed_is_not_moved_by_an_abort():
    session = agreement.advance(receive(CONFIRMED[CLEO], abort(ANNA)), KEYS[2])
    assert (session.phase, session.secret) == (Phase.CONFIRMED, CONFIRMED[CLEO].secret)


def test_a_record_completed_in_spite_of_an_abort_counts():
    session = receive(receive(CONFIRMED[CLEO], abort(ANNA)), ACTIVE[ANNA].record)
    assert agreement.advance(session, KEYS[2]).phase is Phase.ACTIVE


@pytest.mark.parametrize("stage", [CONFIRMED, ACTIVE], ids=["confirmed", "active"])
def test_a_confirm_cannot_be_taken_back(stage):
    with pytest.raises(ValueError, match="cannot be given up"):
        agreement.give_up(stage[ANNA], KEYS[0], "person")


def test_a_session_given_up_stays_so_whatever_comes_later():
    session = agreement.give_up(REVEALED[CLEO], KEYS[2], "person")
    session = all_in(session, REVEALED[BERT].outbox[1])
    assert agreement.advance(stored_and_read(session), KEYS[2]) == session


def test_an_abort_for_an_unknown_reason_is_malformed():
    with pytest.raises(FormatError):
        receive(REVEALED[CLEO], abort(ANNA, "boredom"))


def test_a_second_different_abort_is_evidence_against_its_author():
    first, second = abort(ANNA), abort(ANNA, "deadline")
    with pytest.raises(ConflictError) as caught:
        receive(receive(CONFIRMED[CLEO], first), second)
    assert caught.value.code == "E_EQUIVOCATION"


def test_who_finds_an_abort_of_its_own_in_the_folder_says_no_other():
    session = receive(COMMITTED[ANNA], abort(ANNA))
    session = agreement.advance(session, KEYS[0])
    assert session.phase is Phase.ABORTED
    assert session.outbox[-1] == abort(ANNA)


@pytest.mark.parametrize("make", [lambda: complaint(ANNA, BERT), lambda: abort(ANNA)], ids=["complaint", "abort"])
def test_what_is_said_in_the_name_of_another_is_refused(make):
    for keys, code in (([KEYS[1]], "E_QUORUM"), ([], "E_QUORUM"), ([KEYS[0], KEYS[1]], "E_QUORUM")):
        with pytest.raises(ProtocolError) as caught:
            receive(REVEALED[CLEO], worlds.resigned(make(), keys))
        assert caught.value.code == code


@pytest.mark.parametrize("make", [lambda: complaint(ANNA, BERT), lambda: abort(ANNA)], ids=["complaint", "abort"])
def test_what_is_said_in_another_session_is_refused(make):
    with pytest.raises(MembershipError) as caught:
        receive(REVEALED[CLEO], worlds.resigned(make(), [KEYS[0]], sid="00" * 32))
    assert caught.value.code == "E_SID"


# Storage.

ENDED = {
    "void by my complaint": lambda: cheated("E_BOX"),
    "void by another's": lambda: agreement.advance(receive(CONFIRMED[CLEO], complaint(ANNA, BERT)), KEYS[2]),
    "given up": lambda: agreement.give_up(REVEALED[ANNA], KEYS[0], "person"),
    "with a complaint that waits": lambda: receive(COMMITTED[CLEO], complaint(ANNA, BERT)),
    "confirmed with an abort": lambda: receive(CONFIRMED[CLEO], abort(ANNA)),
}


@pytest.mark.parametrize("make", ENDED.values(), ids=ENDED.keys())
def test_a_session_comes_back_from_the_keystore_as_it_was(make):
    assert stored_and_read(make()) == make()


@pytest.mark.parametrize("make", ENDED.values(), ids=ENDED.keys())
def test_an_ended_session_shows_no_secret(make):
    for fpr in (ANNA, CLEO):
        for secret in (COMMITTED[fpr].kem_seed, COMMITTED[fpr].contribution, CONFIRMED[fpr].secret):
            assert repr(secret)[2:-1] not in repr(make())


@pytest.mark.parametrize("name", ["void by my complaint", "void by another's", "given up"])
def test_an_ended_session_is_stored_without_secrets(name):
    document = to_json(ENDED[name]())
    assert [document[what] for what in ("kem_seed", "contribution", "secret")] == ["", "", ""]
