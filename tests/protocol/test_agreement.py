"""The ceremony as a pure state machine: honest members agree however the post comes; whoever cheats is named."""

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.protocol import agreement, kem
from blindsight.protocol.agreement import MAX_SEQ_STEP, receive
from blindsight.protocol.encoding import canonical, from_b64, parse_canonical, tagged_hash, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, FormatError, MembershipError, ProtocolError, SignatureError
from blindsight.protocol.log import Log
from blindsight.protocol.messages import COMMIT, REVEAL
from blindsight.protocol.session import Phase, commit_set, from_json, to_json
from tests.protocol import worlds

BRIEFLY = settings(deadline=None, max_examples=8)
KEYS = worlds.holders(3)
LOG = worlds.founded(KEYS)
OFFER = worlds.proposal(KEYS[0], LOG)
ANNA, BERT, CLEO = (key.entry.fpr for key in KEYS)
MALLORY = worlds.identity("mallory")


def stored_and_read(session):
    """A session as the keystore brings it back."""
    return from_json(parse_canonical(canonical(to_json(session)), "session"))


def play(keys, log, seed, *, stored_every=1):
    """A whole ceremony over bad post: shuffled, doubled, delayed; sessions are stored and read between messages."""
    rng = random.Random(seed)
    sessions = {}
    offer = worlds.proposal(keys[0], log)
    post = []
    sent = {key.entry.fpr: 0 for key in keys}

    def dispatch(key):
        session = sessions[key.entry.fpr]
        for message in session.outbox[sent[key.entry.fpr] :]:
            post.extend((other, message) for other in keys for _ in range(rng.choice((1, 1, 2))))
        sent[key.entry.fpr] = len(session.outbox)

    late = list(keys)
    rng.shuffle(late)
    while late or post:
        if late and (not post or rng.random() < 0.1):
            key = late.pop()
            sessions[key.entry.fpr] = worlds.accepted(key, log, offer)
        else:
            place = rng.randrange(len(post))
            key, message = post.pop(place)
            if key.entry.fpr not in sessions:
                post.append((key, message))
                key = late.pop()
                sessions[key.entry.fpr] = worlds.accepted(key, log, offer)
            else:
                session = receive(sessions[key.entry.fpr], message)
                if rng.randrange(stored_every) == 0:
                    assert stored_and_read(session) == session
                    session = stored_and_read(session)
                sessions[key.entry.fpr] = agreement.advance(session, key)
        dispatch(key)
    return sessions


def assert_agreed(sessions, log):
    assert {session.phase for session in sessions.values()} == {Phase.ACTIVE}
    assert len({session.secret for session in sessions.values()}) == 1
    assert len({session.record.to_bytes() for session in sessions.values()}) == 1
    session = next(iter(sessions.values()))
    longer = Log.build([*log.records, session.record])
    assert longer.latest.kcv == agreement.key_check_value(session.secret, log.fed, longer.latest.number)


@pytest.mark.parametrize("count", [1, 3])
@BRIEFLY
@given(seed=st.integers(0, 2**32))
def test_members_agree_whatever_the_post_does(count, seed):
    keys = worlds.holders(count)
    log = worlds.founded(keys)
    assert_agreed(play(keys, log, seed), log)


@settings(deadline=None, max_examples=1)
@given(seed=st.integers(0, 2**32))
def test_ten_members_agree_whatever_the_post_does(seed):
    keys = worlds.holders(10)
    log = worlds.founded(keys)
    assert_agreed(play(keys, log, seed, stored_every=30), log)


def test_a_second_epoch_is_agreed_on_the_first_and_has_an_unrelated_secret():
    longer, first = worlds.agreed(KEYS, LOG)
    longest, second = worlds.agreed(KEYS, longer, worlds.proposal(KEYS[1], longer))
    assert sorted(longest.epochs) == [1, 2]
    assert first != second


def test_a_member_alone_cannot_keep_the_secret_the_same():
    secrets = set()
    for salt in ("a", "b"):
        sessions = {key.entry.fpr: worlds.accepted(key, LOG, OFFER) for key in KEYS}
        sessions[ANNA] = worlds.accepted(KEYS[0], LOG, OFFER, salt)
        for _ in range(3):
            worlds.exchange(sessions, KEYS)
        secrets.add(sessions[ANNA].secret)
    assert len(secrets) == 2


# Sessions at every stage, from one honest run.


def stages():
    """The three sessions after 0 to 3 rounds of exchange."""
    sessions = worlds.sessions(KEYS, LOG, OFFER)
    yield dict(sessions)
    for _ in range(3):
        worlds.exchange(sessions, KEYS)
        yield dict(sessions)


COMMITTED, REVEALED, CONFIRMED, ACTIVE = stages()


def test_the_phases_follow_one_another():
    phases = [stage[ANNA].phase for stage in (COMMITTED, REVEALED, CONFIRMED, ACTIVE)]
    assert phases == [Phase.COMMITTED, Phase.REVEALED, Phase.CONFIRMED, Phase.ACTIVE]


def test_what_is_awaited_is_named():
    assert COMMITTED[ANNA].waiting_for() == ("commit", (KEYS[1].entry, KEYS[2].entry))
    assert ACTIVE[ANNA].waiting_for() == ("", ())


def test_seeds_and_contributions_are_erased_once_active():
    assert (ACTIVE[ANNA].kem_seed, ACTIVE[ANNA].contribution) == (b"", b"")
    assert len(ACTIVE[ANNA].secret) == 32


def test_there_is_no_record_before_confirming():
    with pytest.raises(ValueError, match="before"):
        _ = REVEALED[ANNA].record


@pytest.mark.parametrize("stage", [COMMITTED, REVEALED, CONFIRMED, ACTIVE], ids=["1", "2", "3", "4"])
def test_a_session_shows_no_secret(stage):
    session = stage[ANNA]
    for secret in (session.kem_seed, session.contribution, session.secret):
        for shown in (repr(session), str(session)):
            assert not secret or (repr(secret)[2:-1] not in shown and to_b64(secret) not in shown)


def test_messages_carry_no_secret():
    session = CONFIRMED[ANNA]
    sent = b"".join(message.payload for message in session.outbox)
    for secret in (session.kem_seed, session.contribution, session.secret):
        assert to_b64(secret).encode() not in sent
        assert secret.hex().encode() not in sent


def test_advancing_again_changes_nothing():
    for stage in (COMMITTED, REVEALED, CONFIRMED, ACTIVE):
        assert agreement.advance(stage[ANNA], KEYS[0]) == stage[ANNA]


# Changed messages.

MESSAGES = {"commit": (COMMITTED, 0), "reveal": (REVEALED, 1), "confirm": (CONFIRMED, 2)}


def message_of(kind, fpr=BERT):
    stage, place = MESSAGES[kind]
    return stage[fpr].outbox[place]


@pytest.mark.parametrize("kind", MESSAGES)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_changed_byte_in_any_message_is_refused(kind, data):
    message = bytearray(message_of(kind).to_bytes())
    message[data.draw(st.integers(0, len(message) - 1))] ^= data.draw(st.integers(1, 255))
    before = MESSAGES[kind][0][ANNA]
    try:
        after = receive(before, Envelope.from_bytes(bytes(message)))
    except ProtocolError:
        return
    # Only another spelling of the same envelope (white space in place of the final line end) passes.
    assert Envelope.from_bytes(bytes(message)) == message_of(kind)
    assert receive(before, message_of(kind)) == after


def flipped(text):
    return ("0" if text[0] != "0" else "1") + text[1:]


CHANGED_FIELDS = {
    "commit.com": ("commit", lambda body: {"com": flipped(body["com"])}),
    "commit.kem": ("commit", lambda body: {"kem": message_of("commit", CLEO).body()["kem"]}),
    "commit.sid": ("commit", lambda body: {"sid": flipped(body["sid"])}),
    "reveal.commits": ("reveal", lambda body: {"commits": flipped(body["commits"])}),
    "reveal.sid": ("reveal", lambda body: {"sid": flipped(body["sid"])}),
    "reveal.boxes": ("reveal", lambda body: {"boxes": dict.fromkeys(body["boxes"], body["boxes"][ANNA])}),
    "confirm.sid": ("confirm", lambda body: {"sid": flipped(body["sid"])}),
    "confirm.kcv": ("confirm", lambda body: {"kcv": flipped(body["kcv"])}),
    "confirm.transcript": ("confirm", lambda body: {"transcript": flipped(body["transcript"])}),
}


@pytest.mark.parametrize(("kind", "change"), CHANGED_FIELDS.values(), ids=CHANGED_FIELDS.keys())
def test_a_changed_field_is_refused_naming_the_author_in_whose_name_it_stands(kind, change):
    message = message_of(kind)
    changed = dataclasses.replace(message, payload=canonical({**message.body(), **change(message.body())}))
    with pytest.raises(SignatureError, match=KEYS[1].entry.name) as caught:
        receive(MESSAGES[kind][0][ANNA], changed)
    assert caught.value.code == "E_SIG"
    assert caught.value.evidence == (changed.to_bytes(),)


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_changed_signature_is_refused_naming_the_author(kind):
    message = message_of(kind)
    signature = bytearray(message.signatures[BERT])
    signature[3] ^= 4
    with pytest.raises(SignatureError, match=KEYS[1].entry.name) as caught:
        receive(MESSAGES[kind][0][ANNA], dataclasses.replace(message, signatures={BERT: bytes(signature)}))
    assert caught.value.code == "E_SIG"


@pytest.mark.parametrize("kind", ["commit", "reveal"])
def test_a_message_with_a_second_signature_is_refused(kind):
    with pytest.raises(MembershipError, match=KEYS[1].entry.name) as caught:
        receive(COMMITTED[ANNA], message_of(kind).signed(KEYS[2]))
    assert caught.value.code == "E_QUORUM"


@pytest.mark.parametrize("kind", ["commit", "reveal"])
def test_a_message_in_the_name_of_another_is_refused(kind):
    forged = worlds.resigned(message_of(kind), [KEYS[2]])
    with pytest.raises(MembershipError, match=KEYS[1].entry.name) as caught:
        receive(COMMITTED[ANNA], forged)
    assert caught.value.code == "E_QUORUM"


@pytest.mark.parametrize("kind", MESSAGES)
def test_an_unsigned_message_is_refused(kind):
    with pytest.raises(MembershipError) as caught:
        receive(MESSAGES[kind][0][ANNA], dataclasses.replace(message_of(kind), signatures={}))
    assert caught.value.code == "E_QUORUM"


def test_a_refused_message_leaves_the_session_as_it_was():
    session = COMMITTED[ANNA]
    before = stored_and_read(session)
    with pytest.raises(ProtocolError):
        receive(session, dataclasses.replace(message_of("commit"), payload=b"{}"))
    assert session == before


# Two faces.


@pytest.mark.parametrize("kind", ["commit", "reveal"])
def test_a_second_different_message_by_one_author_is_refused_with_both_as_evidence(kind):
    first = message_of(kind)
    change = {"com": "00" * 32} if kind == "commit" else {"commits": "00" * 32}
    second = worlds.resigned(first, [KEYS[1]], **change)
    session = receive(COMMITTED[ANNA], first)
    with pytest.raises(ConflictError, match=KEYS[1].entry.name) as caught:
        receive(session, second)
    assert caught.value.code == "E_EQUIVOCATION"
    assert caught.value.evidence == (first.to_bytes(), second.to_bytes())


def test_a_second_different_confirm_by_one_author_is_refused_with_both_as_evidence():
    first = message_of("confirm")
    second = worlds.resigned(first, [KEYS[1]], kcv="00" * 32)
    session = receive(REVEALED[ANNA], first)
    with pytest.raises(ConflictError, match=KEYS[1].entry.name) as caught:
        receive(session, second)
    assert caught.value.code == "E_EQUIVOCATION"
    assert caught.value.evidence == (first.to_bytes(), second.to_bytes())


@pytest.mark.parametrize("kind", MESSAGES)
def test_the_same_message_again_changes_nothing(kind):
    session = receive(MESSAGES[kind][0][ANNA], message_of(kind))
    assert receive(session, message_of(kind)) == session


def test_evidence_convinces_a_third_party():
    first = message_of("commit")
    second = worlds.resigned(first, [KEYS[1]], com="00" * 32)
    with pytest.raises(ConflictError) as caught:
        receive(receive(COMMITTED[ANNA], first), second)
    one, other = (Envelope.from_bytes(document) for document in caught.value.evidence)
    for envelope in (one, other):
        envelope.verify(LOG.roster.member(BERT), "the evidence")
    assert one.body()["sid"] == other.body()["sid"]
    assert one.mid != other.mid


# Messages that do not belong here.


def test_a_foreign_member_is_refused():
    log = worlds.founded([*KEYS, MALLORY])
    foreign = worlds.accepted(MALLORY, log, worlds.proposal(MALLORY, log)).outbox[0]
    forged = worlds.resigned(foreign, [MALLORY], sid=OFFER.mid)
    with pytest.raises(MembershipError, match="no member") as caught:
        receive(COMMITTED[ANNA], forged)
    assert caught.value.code == "E_ROSTER"


def test_a_foreign_confirm_is_refused():
    with pytest.raises(MembershipError, match="no member") as caught:
        receive(CONFIRMED[ANNA], worlds.resigned(message_of("confirm"), [MALLORY]))
    assert caught.value.code == "E_ROSTER"


@pytest.mark.parametrize("place", [0, 1, 2], ids=["commit", "reveal", "confirm"])
def test_a_message_of_another_session_is_refused(place):
    other = worlds.sessions(KEYS, LOG, worlds.proposal(KEYS[1], LOG, nonce=2))
    for _ in range(2):
        worlds.exchange(other, KEYS)
    with pytest.raises(MembershipError, match="another session") as caught:
        receive(REVEALED[ANNA], other[BERT].outbox[place])
    assert caught.value.code == "E_SID"


@pytest.mark.parametrize("kind", ["genesis", "letter"])
def test_a_document_that_is_no_message_is_refused(kind):
    with pytest.raises(FormatError, match="no message of a ceremony"):
        receive(COMMITTED[ANNA], Envelope.of(kind, {}).signed(KEYS[1]))


MALFORMED = {
    "no object": (COMMIT, b"[]"),
    "an unknown field": (COMMIT, canonical(message_of("commit").body() | {"note": "x"})),
    "a cut key": (COMMIT, canonical(message_of("commit").body() | {"kem": "AA"})),
    "a cut box": (REVEAL, canonical(message_of("reveal").body() | {"boxes": {ANNA: "AA", CLEO: "AA"}})),
    "a box to nobody": (REVEAL, canonical(message_of("reveal").body() | {"boxes": {"x": "AA"}})),
    "not canonical": (COMMIT, message_of("commit").payload + b" "),
    "a float": (COMMIT, message_of("commit").payload.replace(b'"v":1', b'"v":1.0')),
    "a duplicate key": (COMMIT, message_of("commit").payload[:-1] + b',"v":1}'),
}


@pytest.mark.parametrize(("kind", "payload"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_message_is_refused(kind, payload):
    with pytest.raises(FormatError):
        receive(COMMITTED[ANNA], Envelope(kind, payload, {}).signed(KEYS[1]))


def test_a_reveal_must_be_addressed_to_exactly_all_others():
    boxes = message_of("reveal").body()["boxes"]
    for wrong in ({ANNA: boxes[ANNA]}, {**boxes, BERT: boxes[ANNA]}, {**boxes, MALLORY.entry.fpr: boxes[ANNA]}):
        with pytest.raises(MembershipError, match=KEYS[1].entry.name) as caught:
            receive(COMMITTED[ANNA], worlds.resigned(message_of("reveal"), [KEYS[1]], boxes=wrong))
        assert caught.value.code == "E_ROSTER"


# Proposals.


def refused_offer(log=LOG, keys=(KEYS[0],), **changes):
    with pytest.raises(ProtocolError) as caught:
        agreement.read_proposal(log, worlds.resigned(OFFER, keys, **changes))
    return caught.value


OTHER_OFFERS = {
    "another federation": ({"fed": "00" * 32}, "E_FED"),
    "another predecessor": ({"prev": "00" * 32}, "E_PREV"),
    "another roster": ({"roster": "00" * 32}, "E_PREV"),
    "an epoch too far": ({"epoch": 2}, "E_EPOCH"),
    "another suite": ({"suite": "ROT13"}, "E_SUITE"),
    "no schemes": ({"schemes": []}, "E_FORMAT"),
    "a malformed scheme": ({"schemes": [{"id": "le"}]}, "E_FORMAT"),
    "no deadline": ({"deadline": "soon"}, "E_FORMAT"),
    "a deadline that no calendar has": ({"deadline": "2026-02-31T00:00:00Z"}, "E_FORMAT"),
    "an unknown field": ({"urgent": True}, "E_FORMAT"),
}


@pytest.mark.parametrize(("changes", "code"), OTHER_OFFERS.values(), ids=OTHER_OFFERS.keys())
def test_a_proposal_that_does_not_fit_is_refused(changes, code):
    assert refused_offer(**changes).code == code


@pytest.mark.parametrize("changes", [{"fed": "00" * 32}, {"prev": "00" * 32}, {"epoch": 2}])
def test_a_refused_proposal_names_its_proposer(changes):
    assert KEYS[0].entry.label in refused_offer(**changes).message


def test_an_old_proposal_is_refused_once_its_epoch_is_agreed():
    longer, _ = worlds.agreed(KEYS, LOG, OFFER)
    error = refused_offer(longer)
    assert error.code == "E_EPOCH"
    assert KEYS[0].entry.label in error.message


def test_an_old_proposal_under_a_new_number_is_refused():
    longer, _ = worlds.agreed(KEYS, LOG, OFFER)
    assert refused_offer(longer, epoch=2).code == "E_PREV"


def test_a_proposal_of_no_greater_sequence_is_refused():
    longer, _ = worlds.agreed(KEYS, LOG, OFFER)
    changes = {"epoch": 2, "prev": longer.records[-1].mid, "seq": longer.seq}
    assert refused_offer(longer, **changes).code == "E_SEQ"


@pytest.mark.parametrize(
    ("seq", "promised", "known", "code"),
    [
        (1, 0, 0, None),
        (1, 1, 0, "E_SEQ"),
        (2, 1, 0, None),
        (5, 9, 0, "E_SEQ"),
        (1, 0, 7, None),
        (MAX_SEQ_STEP, 0, 0, None),
        (MAX_SEQ_STEP + 1, 0, 0, "E_SEQ"),
        (MAX_SEQ_STEP + 1, 1, 0, None),
        (MAX_SEQ_STEP + 3, 0, 3, None),
        (MAX_SEQ_STEP + 4, 0, 3, "E_SEQ"),
        (MAX_SEQ_STEP + 4, 3, 4, None),
        (2**53 - 1, 0, 0, "E_SEQ"),
    ],
)
def test_a_proposals_sequence_is_above_all_promises_and_not_far_above_all_that_is_known(seq, promised, known, code):
    offer = worlds.resigned(OFFER, [KEYS[0]], seq=seq)
    if code is None:
        assert agreement.read_proposal(LOG, offer, promised=promised, known=known)["seq"] == seq
    else:
        with pytest.raises(MembershipError) as caught:
            agreement.read_proposal(LOG, offer, promised=promised, known=known)
        assert caught.value.code == code


def test_who_accepts_is_bound_by_the_same_sequences():
    options = {"kem_seed": bytes(32), "contribution": bytes(32)}
    with pytest.raises(MembershipError) as caught:
        agreement.accept(KEYS[1], LOG, OFFER, promised=1, **options)
    assert caught.value.code == "E_SEQ"


@pytest.mark.parametrize("promised", [0, 4])
def test_who_proposes_keeps_above_its_promises(promised):
    times = {"created": worlds.CREATED, "deadline": worlds.DEADLINE, "not_after": worlds.NOT_AFTER}
    options = {"schemes": worlds.SCHEMES, "nonce": bytes(32), "promised": promised}
    assert agreement.make_proposal(KEYS[0], LOG, **options, **times).body()["seq"] == promised + 1


def test_another_document_is_no_proposal():
    with pytest.raises(FormatError):
        agreement.read_proposal(LOG, Envelope(COMMIT, OFFER.payload, {}).signed(KEYS[0]))


def test_what_is_said_before_looking_into_the_reveals_is_said_in_any_case():
    sessions = two_faced(KEYS[1])
    session = receive(two_faced_committed(), sessions[BERT].outbox[1])
    session = receive(session, sessions[CLEO].outbox[1])
    assert session.phase is Phase.COMMITTED
    with pytest.raises(ConflictError):
        agreement.advance(session, KEYS[0])
    assert agreement.revealed(session, KEYS[0]).phase is Phase.REVEALED


def test_a_proposal_of_a_stranger_is_refused():
    assert refused_offer(keys=[MALLORY], **{"from": MALLORY.entry.fpr}).code == "E_ROSTER"


def test_a_proposal_in_the_name_of_another_is_refused():
    assert refused_offer(keys=[KEYS[1]]).code == "E_QUORUM"


def test_a_stranger_cannot_accept():
    with pytest.raises(MembershipError) as caught:
        worlds.accepted(MALLORY, LOG, OFFER)
    assert caught.value.code == "E_ROSTER"


# Members who cheat.


def test_a_key_agreement_key_that_another_has_committed_is_refused():
    kem_of_bert = message_of("commit").body()["kem"]
    copied = worlds.resigned(message_of("commit", CLEO), [KEYS[2]], kem=kem_of_bert)
    with pytest.raises(SignatureError, match=f"{KEYS[2].entry.name}.*{KEYS[1].entry.name}") as caught:
        receive(receive(COMMITTED[ANNA], message_of("commit")), copied)
    assert caught.value.code == "E_KEM"


def test_a_key_agreement_key_with_a_zero_half_is_refused_on_receipt():
    public = from_b64(message_of("commit").body()["kem"])
    zeroed = worlds.resigned(message_of("commit"), [KEYS[1]], kem=to_b64(public[:1184] + bytes(32)))
    with pytest.raises(SignatureError, match=KEYS[1].entry.name) as caught:
        receive(COMMITTED[ANNA], zeroed)
    assert caught.value.code == "E_KEM"


def committed_by_all():
    """Anna's session when all commits are in, and the digest of the set."""
    session = COMMITTED[ANNA]
    for fpr in (BERT, CLEO):
        session = receive(session, message_of("commit", fpr))
    return session, commit_set(session)


def cheating_reveal(box_for_anna):
    """Bert's reveal with another box for Anna."""
    body = message_of("reveal").body()
    return worlds.resigned(message_of("reveal"), [KEYS[1]], boxes={**body["boxes"], ANNA: to_b64(box_for_anna)})


def after_reveals(reveal_of_bert):
    session, _ = committed_by_all()
    session = agreement.advance(session, KEYS[0])
    for message in (reveal_of_bert, message_of("reveal", CLEO)):
        session = receive(session, message)
    return agreement.advance(session, KEYS[0])


def context_for_anna():
    _, commits = committed_by_all()
    return tagged_hash("box", OFFER.id, commits, bytes.fromhex(BERT), bytes.fromhex(ANNA))


def kem_of_anna():
    return from_b64(COMMITTED[ANNA].outbox[0].body()["kem"])


BAD_BOXES = {
    "noise": lambda: (bytes(1168), "E_BOX"),
    "for another context": lambda: (kem.seal(kem_of_anna(), COMMITTED[BERT].contribution, b"other"), "E_BOX"),
    "for another member": lambda: (from_b64(message_of("reveal").body()["boxes"][CLEO]), "E_BOX"),
    "with another value": lambda: (kem.seal(kem_of_anna(), bytes(32), context_for_anna()), "E_COMMIT"),
}


@pytest.mark.parametrize("make", BAD_BOXES.values(), ids=BAD_BOXES.keys())
def test_a_wrong_box_voids_the_session_and_names_who_sealed_it(make):
    box, code = make()
    session = after_reveals(cheating_reveal(box))
    assert session.phase is Phase.VOID
    assert code in session.fault
    assert KEYS[1].entry.label in session.fault
    assert KEYS[2].entry.label not in session.fault


def test_a_void_session_has_erased_its_secrets_and_stays_void():
    session = after_reveals(cheating_reveal(bytes(1168)))
    assert (session.kem_seed, session.contribution, session.secret) == (b"", b"", b"")
    assert agreement.advance(stored_and_read(session), KEYS[0]) == session


def test_the_honest_box_does_not_void_the_session():
    assert after_reveals(message_of("reveal")).phase is Phase.CONFIRMED


def two_faced(other_commit_to):
    """A run in which Cleo shows one member another commit than the rest; every session before it looks at reveals."""
    sessions = worlds.sessions(KEYS, LOG, OFFER)
    other_face = worlds.accepted(KEYS[2], LOG, OFFER, "other").outbox[0]
    messages = [session.outbox[0] for session in sessions.values()]
    for key in KEYS[:2]:
        for message in messages:
            shown = other_face if key is other_commit_to and message == sessions[CLEO].outbox[0] else message
            sessions[key.entry.fpr] = receive(sessions[key.entry.fpr], shown)
    for message in messages:
        sessions[CLEO] = receive(sessions[CLEO], message)
    return {key.entry.fpr: agreement.advance(sessions[key.entry.fpr], key) for key in KEYS}


def two_faced_committed():
    """Anna's session of that run when she has all commits and has not revealed yet."""
    sessions = worlds.sessions(KEYS, LOG, OFFER)
    for fpr in (BERT, CLEO):
        sessions[ANNA] = receive(sessions[ANNA], sessions[fpr].outbox[0])
    return sessions[ANNA]


def test_different_commit_sets_are_refused_with_evidence_by_both_sides():
    sessions = two_faced(KEYS[1])
    for key, other in ((KEYS[0], KEYS[1]), (KEYS[1], KEYS[0])):
        session = sessions[key.entry.fpr]
        for sender in KEYS:
            session = receive(session, sessions[sender.entry.fpr].outbox[1])
        with pytest.raises(ConflictError, match=other.entry.name) as caught:
            agreement.advance(session, key)
        assert caught.value.code == "E_COMMITSET"
        assert sessions[other.entry.fpr].outbox[1].to_bytes() in caught.value.evidence


def test_the_commits_in_both_sides_evidence_prove_who_showed_two_faces():
    sessions = two_faced(KEYS[1])
    shown = []
    for key in KEYS[:2]:
        session = sessions[key.entry.fpr]
        for sender in KEYS:
            session = receive(session, sessions[sender.entry.fpr].outbox[1])
        with pytest.raises(ConflictError) as caught:
            agreement.advance(session, key)
        evidence = [Envelope.from_bytes(document) for document in caught.value.evidence]
        shown.append({e.body()["from"]: e.mid for e in evidence if e.type == COMMIT})
    assert [fpr for fpr in (ANNA, BERT, CLEO) if shown[0][fpr] != shown[1][fpr]] == [CLEO]


def test_another_outcome_after_confirming_is_refused_with_both_records():
    other = worlds.resigned(message_of("confirm"), [KEYS[1]], kcv="00" * 32)
    with pytest.raises(ConflictError, match=KEYS[1].entry.name) as caught:
        receive(CONFIRMED[ANNA], other)
    assert caught.value.code == "E_TRANSCRIPT"
    assert caught.value.evidence == (CONFIRMED[ANNA].outbox[2].to_bytes(), other.to_bytes())


def test_another_outcome_before_confirming_is_refused_when_confirming():
    other = worlds.resigned(message_of("confirm"), [KEYS[1]], transcript="00" * 32)
    session = receive(REVEALED[ANNA], other)
    for fpr in (BERT, CLEO):
        session = receive(session, message_of("reveal", fpr))
    with pytest.raises(ConflictError, match=KEYS[1].entry.name) as caught:
        agreement.advance(session, KEYS[0])
    assert caught.value.code == "E_TRANSCRIPT"


@BRIEFLY
@given(seed=st.integers(0, 2**32))
def test_nobody_becomes_active_when_a_member_shows_two_faces(seed):
    rng = random.Random(seed)
    sessions = two_faced(rng.choice(KEYS[:2]))
    for _ in range(4):
        messages = [message for session in sessions.values() for message in session.outbox]
        rng.shuffle(messages)
        for key in KEYS[:2]:
            for message in messages:
                try:
                    sessions[key.entry.fpr] = receive(sessions[key.entry.fpr], message)
                    sessions[key.entry.fpr] = agreement.advance(sessions[key.entry.fpr], key)
                except ConflictError:
                    continue
    assert Phase.ACTIVE not in {sessions[key.entry.fpr].phase for key in KEYS[:2]}


def test_a_complete_record_stands_for_the_confirms_of_all_who_signed_it():
    record = ACTIVE[BERT].record
    session = agreement.advance(receive(CONFIRMED[ANNA], record), KEYS[0])
    assert session.phase is Phase.ACTIVE
    assert session.record.to_bytes() == record.to_bytes()


def test_a_fault_in_one_of_several_signatures_refuses_the_whole_confirm():
    record = ACTIVE[BERT].record
    spoiled = dataclasses.replace(record, signatures={**record.signatures, CLEO: bytes(64)})
    with pytest.raises(SignatureError, match=KEYS[2].entry.name):
        receive(CONFIRMED[ANNA], spoiled)


def test_the_box_context_names_both_ends_so_that_a_box_cannot_be_turned_around():
    _, commits = committed_by_all()
    back = tagged_hash("box", OFFER.id, commits, bytes.fromhex(ANNA), bytes.fromhex(BERT))
    box = kem.seal(kem_of_anna(), COMMITTED[BERT].contribution, back)
    assert after_reveals(cheating_reveal(box)).phase is Phase.VOID


def test_a_stored_session_is_refused_when_it_is_malformed():
    document = to_json(COMMITTED[ANNA])
    with pytest.raises(ProtocolError):
        from_json(document | {"proposal": "junk"})
