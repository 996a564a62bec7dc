"""The membership log: what counts is signed by everybody, and whoever writes into the folder cannot stop it."""

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.protocol import changes, records
from blindsight.protocol import log as log_module
from blindsight.protocol.copies import assembled
from blindsight.protocol.encoding import canonical
from blindsight.protocol.envelope import Envelope, payload_type
from blindsight.protocol.errors import ConflictError, FormatError, MembershipError, ProtocolError, SignatureError
from blindsight.protocol.identity import Entry
from blindsight.protocol.log import Log
from blindsight.protocol.records import EPOCH, GENESIS
from tests.protocol import worlds

BRIEFLY = settings(deadline=None, max_examples=40)
KEYS = worlds.holders(3)
GENESIS_RECORD = worlds.genesis(KEYS)
LOG = worlds.founded(KEYS)
FIRST = worlds.record(LOG, KEYS, seq=1, epoch=1)
LONGER = Log.build([GENESIS_RECORD, FIRST])
SECOND = worlds.record(LONGER, KEYS, seq=2, epoch=2)
JUNK = Envelope(GENESIS, b"{}", {})


def alone(envelope, key):
    """A copy with one signature only."""
    return Envelope(envelope.type, envelope.payload, {key.entry.fpr: envelope.signatures[key.entry.fpr]})


def spoiled(envelope, key):
    """A copy with a false signature in somebody's name."""
    return Envelope(envelope.type, envelope.payload, {**envelope.signatures, key.entry.fpr: bytes(64)})


def test_the_federation_is_named_by_its_genesis():
    assert (LOG.fed, LOG.seq, LOG.name) == (GENESIS_RECORD.mid, 0, "ward")
    assert LOG.head == {"seq": 0, "id": GENESIS_RECORD.mid}


def test_members_stand_by_ascending_fingerprint():
    fprs = [member.fpr for member in LOG.roster.members]
    assert fprs == sorted(fprs)


@BRIEFLY
@given(st.data())
def test_records_in_any_order_spread_over_copies_give_one_log(data):
    copies = [alone(record, key) for record in (GENESIS_RECORD, FIRST, SECOND) for key in KEYS]
    log = Log.build(data.draw(st.permutations(copies * 2)))
    assert (log.seq, sorted(log.epochs)) == (2, [1, 2])
    assert log.records == Log.build([GENESIS_RECORD, FIRST, SECOND]).records


@pytest.mark.parametrize("missing", KEYS, ids=lambda key: key.entry.name)
def test_a_genesis_that_lacks_a_signature_is_refused_naming_who_has_not_signed(missing):
    partial = [alone(GENESIS_RECORD, key) for key in KEYS if key is not missing]
    with pytest.raises(MembershipError, match=missing.entry.name) as caught:
        Log.build(partial)
    assert caught.value.code == "E_QUORUM"


def test_a_genesis_with_one_false_signature_lacks_that_signature():
    with pytest.raises(MembershipError, match=KEYS[0].entry.name) as caught:
        Log.build([spoiled(GENESIS_RECORD, KEYS[0])])
    assert caught.value.code == "E_QUORUM"


@pytest.mark.parametrize("record", [GENESIS_RECORD, FIRST], ids=["genesis", "epoch record"])
def test_a_forged_copy_before_the_good_one_does_not_block(record):
    forged = Envelope(record.type, record.payload, {key.entry.fpr: bytes(64) for key in KEYS})
    others = [e for e in (GENESIS_RECORD, FIRST) if e is not record]
    assert Log.build([forged, *others, record, forged]).records == LONGER.records


def test_signatures_of_strangers_are_left_out_of_the_log():
    stranger = worlds.identity("mallory")
    assert Log.build([GENESIS_RECORD.signed(stranger)]).records == LOG.records


@pytest.mark.parametrize("missing", KEYS, ids=lambda key: key.entry.name)
def test_an_epoch_record_that_lacks_a_signature_is_not_part_of_the_chain(missing):
    partial = [alone(FIRST, key) for key in KEYS if key is not missing]
    assert Log.build([GENESIS_RECORD, *partial]).seq == 0


def test_a_stranger_does_not_make_up_for_a_missing_member():
    partial = worlds.record(LOG, [*KEYS[:2], worlds.identity("mallory")], seq=1, epoch=1)
    assert Log.build([GENESIS_RECORD, partial]).seq == 0


OUT_OF_PLACE = {
    "of another federation": {"fed": "00" * 32},
    "on another predecessor": {"prev": "00" * 32},
    "under another roster": {"roster": "00" * 32},
    "of the next epoch but one": {"epoch": 2},
    "of another suite": {"suite": "BLINDSIGHT0"},
    "with an unknown field": {"extra": 1},
    "of another version": {"v": 2},
}


@pytest.mark.parametrize("change", OUT_OF_PLACE.values(), ids=OUT_OF_PLACE.keys())
def test_a_record_out_of_place_is_passed_over_though_all_signed_it(change):
    fields = {"seq": 1, "epoch": 1} | change
    stray = worlds.record(LOG, KEYS, **fields)
    assert Log.build([GENESIS_RECORD, stray]).seq == 0
    assert Log.build([GENESIS_RECORD, stray, FIRST]).records == LONGER.records


def test_a_record_of_no_greater_sequence_is_passed_over():
    late = worlds.record(LONGER, KEYS, seq=1, epoch=2)
    assert Log.build([GENESIS_RECORD, FIRST, late]).records == LONGER.records


def test_a_sequence_may_leave_gaps():
    assert Log.build([GENESIS_RECORD, worlds.record(LOG, KEYS, seq=7, epoch=1)]).seq == 7


def test_two_records_of_one_sequence_are_a_fork_with_both_as_evidence():
    other = worlds.record(LOG, KEYS, seq=1, epoch=1, kcv="44" * 32)
    with pytest.raises(ConflictError) as caught:
        Log.build([GENESIS_RECORD, FIRST, other])
    assert caught.value.code == "E_FORK"
    assert set(caught.value.evidence) == {FIRST.to_bytes(), other.to_bytes()}


def test_of_two_records_on_one_predecessor_the_greater_sequence_counts():
    greater = worlds.record(LOG, KEYS, seq=5, epoch=1)
    assert Log.build([GENESIS_RECORD, FIRST, greater]).records[-1].mid == greater.mid


def test_the_chain_with_the_greatest_tip_counts_even_if_its_first_step_is_the_smaller():
    greater_step = worlds.record(LOG, KEYS, seq=5, epoch=1)
    far = worlds.record(LONGER, KEYS, seq=9, epoch=2)
    assert Log.build([GENESIS_RECORD, greater_step, FIRST, far]).seq == 9


def test_two_chains_of_different_length_and_equal_tip_are_a_fork():
    same_tip = worlds.record(LOG, KEYS, seq=2, epoch=1)
    with pytest.raises(ConflictError) as caught:
        Log.build([GENESIS_RECORD, FIRST, SECOND, same_tip])
    assert caught.value.code == "E_FORK"


ENDLESS_JUNK = {
    "no JSON": Envelope(EPOCH, b"junk", {}),
    "an empty object": Envelope(EPOCH, b"{}", {}),
    "another document": Envelope.of("letter", {}),
    "no genesis": JUNK,
    "an array as genesis": Envelope(GENESIS, b"[]", {}),
    "a genesis that is no JSON": Envelope(GENESIS, b"\xff", {}),
    "a genesis of another version": worlds.resigned(GENESIS_RECORD, KEYS, v=2),
    "a genesis with a false fingerprint": worlds.resigned(
        GENESIS_RECORD, [], members=[KEYS[0].entry.to_json() | {"fpr": "00" * 32}]
    ),
}


@pytest.mark.parametrize("junk", ENDLESS_JUNK.values(), ids=ENDLESS_JUNK.keys())
@pytest.mark.parametrize("fed", [None, LOG.fed], ids=["unnamed", "named"])
def test_junk_beside_a_good_log_does_not_block_it(junk, fed):
    assert Log.build([junk, GENESIS_RECORD, FIRST], fed).records == LONGER.records


@pytest.mark.parametrize("junk", ENDLESS_JUNK.values(), ids=ENDLESS_JUNK.keys())
def test_junk_alone_is_refused(junk):
    with pytest.raises(ProtocolError):
        Log.build([junk])


def test_nothing_is_refused_as_nothing():
    with pytest.raises(MembershipError, match="no genesis") as caught:
        Log.build([])
    assert caught.value.code == "E_FED"


def test_several_federations_must_be_told_apart_by_name():
    other = worlds.genesis(KEYS, name="another ward")
    with pytest.raises(MembershipError, match="several federations"):
        Log.build([GENESIS_RECORD, other])
    assert Log.build([GENESIS_RECORD, other], other.mid).name == "another ward"


def test_an_incomplete_foreign_genesis_does_not_hide_the_complete_one():
    other = worlds.draft(KEYS, name="another ward")
    assert Log.build([other, GENESIS_RECORD]).name == "ward"


BAD_GENESIS = {
    "a small-order key": ({"members": [KEYS[0].entry.to_json() | {"pub": "AQ" + "A" * 41}]}, "E_KEY"),
    "a false fingerprint": ({"members": [KEYS[0].entry.to_json() | {"fpr": "00" * 32}]}, "E_FPR"),
    "no members": ({"members": []}, "E_FORMAT"),
    "members out of order": ({"members": [key.entry.to_json() for key in reversed(KEYS)]}, "E_FORMAT"),
    "one member twice": ({"members": [KEYS[0].entry.to_json()] * 2}, "E_ROSTER"),
    "a trainer among the members": ({"members": [worlds.identity("lab", "trainer").entry.to_json()]}, "E_ROSTER"),
    "a member among the trainers": ({"trainers": [worlds.identity("new").entry.to_json()]}, "E_ROSTER"),
    "one key in two roles": (
        {"trainers": [worlds.identity("x").__class__("trainer", "x", b"\1" * 32).entry.to_json()],
         "operators": [worlds.identity("x").__class__("operator", "x", b"\1" * 32).entry.to_json()]},
        "E_ROSTER",
    ),
    "another suite": ({"suite": "NONE"}, "E_SUITE"),
    "another policy": ({"policy": {"approve": "none"}}, "E_FORMAT"),
    "a short nonce": ({"nonce": "00"}, "E_FORMAT"),
    "an unknown field": ({"admin": 1}, "E_FORMAT"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "code"), BAD_GENESIS.values(), ids=BAD_GENESIS.keys())
def test_a_bad_genesis_is_refused(change, code):
    with pytest.raises(ProtocolError) as caught:
        records.read_genesis(worlds.resigned(GENESIS_RECORD, [], **change))
    assert caught.value.code == code


def test_only_a_member_signs_a_genesis():
    with pytest.raises(MembershipError, match="mallory") as caught:
        changes.sign_genesis(GENESIS_RECORD, worlds.identity("mallory"))
    assert caught.value.code == "E_ROSTER"


def test_more_than_256_members_are_refused():
    entries = [worlds.identity(f"n{n}").entry for n in range(257)]
    with pytest.raises(FormatError, match="members must be an array of 1 to 256"):
        records.make_genesis("x", entries, [], policy="all", nonce=bytes(32), created=worlds.CREATED)


def test_a_genesis_that_lists_a_key_twice_cannot_be_made():
    with pytest.raises(MembershipError):
        worlds.draft([KEYS[0], KEYS[0]])


def test_an_unknown_member_or_trainer_is_refused():
    for find in (LOG.roster.member, LOG.roster.trainer):
        with pytest.raises(MembershipError) as caught:
            find("00" * 32)
        assert caught.value.code == "E_ROSTER"


def test_a_member_is_not_a_trainer():
    with pytest.raises(MembershipError):
        LOG.roster.trainer(KEYS[0].entry.fpr)


def test_an_epoch_that_is_not_agreed_is_refused_naming_those_that_are():
    with pytest.raises(MembershipError, match="epoch 3 is not agreed in ward; agreed are: 1") as caught:
        LONGER.epoch(3)
    assert caught.value.code == "E_EPOCH"


def test_without_any_epoch_there_is_no_latest():
    with pytest.raises(MembershipError, match="agreed are: none"):
        _ = LOG.latest


def test_the_latest_epoch_is_the_one_of_the_greatest_number():
    assert Log.build([GENESIS_RECORD, FIRST, SECOND]).latest.number == 2


def test_the_history_names_every_head_the_log_has_had():
    log = Log.build([GENESIS_RECORD, FIRST, SECOND])
    assert log.history == (LOG.head, LONGER.head, log.head)


def test_the_federation_code_is_accepted_however_a_person_types_it():
    LOG.demand_code(LOG.code)
    LOG.demand_code(LOG.code.lower().replace("-", " "))


@pytest.mark.parametrize("code", ["", "0000", "the code"])
def test_another_code_is_refused(code):
    with pytest.raises(MembershipError, match="not the code of this federation") as caught:
        LOG.demand_code(code)
    assert caught.value.code == "E_FED"


def test_only_part_of_the_code_is_not_a_comparison():
    with pytest.raises(MembershipError):
        LOG.demand_code(LOG.code[:-1])


def test_no_single_changed_byte_of_a_signed_genesis_gives_a_federation():
    for place in range(0, len(GENESIS_RECORD.payload), 7):
        payload = bytearray(GENESIS_RECORD.payload)
        payload[place] ^= 1
        with pytest.raises(ProtocolError):
            Log.build([dataclasses.replace(GENESIS_RECORD, payload=bytes(payload))])


def test_signatures_are_united_from_copies_in_every_order():
    parts = [spoiled(alone(FIRST, KEYS[0]), KEYS[1]), alone(FIRST, KEYS[1]), spoiled(alone(FIRST, KEYS[2]), KEYS[0])]
    for order in itertools.permutations(parts):
        assert assembled(order, LOG.roster.members) == FIRST


def test_a_record_names_its_suite_exactly():
    with pytest.raises(MembershipError) as caught:
        records.read_epoch(worlds.record(LOG, KEYS, seq=1, epoch=1, suite="BLINDSIGHT1-XWING-ED25519-SHA25"))
    assert caught.value.code == "E_SUITE"


def test_a_genesis_signed_under_a_small_order_key_founds_nothing():
    one = "AQ" + "A" * 41
    entry = KEYS[0].entry.to_json() | {"pub": one}
    payload = canonical({**GENESIS_RECORD.body(), "members": [entry]})
    forged = Envelope(GENESIS, payload, {KEYS[0].entry.fpr: b"\1" + bytes(63)})
    with pytest.raises(SignatureError) as caught:
        records.read_genesis(forged)
    assert caught.value.code == "E_KEY"


FOUR = worlds.holders(4)
NEW = worlds.identity("newcomer")
LAB = worlds.identity("lab", "trainer")
START = worlds.grown(worlds.constituted(FOUR), worlds.record(worlds.constituted(FOUR), FOUR, seq=1, epoch=1))
REST = worlds.grown(START, worlds.roster_record(START, [key.entry for key in FOUR[:3]], FOUR[:3]))


def rich_history():
    """Every kind of record with all its signatures, a chain that was passed by, notices: envelopes and their log."""
    log = worlds.constituted(FOUR, "majority", trainers=[LAB])
    late = [worlds.record(log, FOUR, seq=2, epoch=1, kcv="44" * 32), worlds.retire_record(log, [1], FOUR, seq=1)]
    steps = [lambda log: worlds.record(log, FOUR, seq=3, epoch=1)]
    steps += [lambda log: worlds.roster_record(log, [k.entry for k in (*FOUR, NEW)], [*FOUR, NEW], seq=4)]
    steps += [lambda log: worlds.record(log, sorted([*FOUR, NEW], key=lambda k: k.entry.fpr), seq=7, epoch=2)]
    steps += [lambda log: worlds.retire_record(log, [1], FOUR)]
    steps += [lambda log: worlds.roster_record(log, [k.entry for k in FOUR], FOUR)]
    for step in steps:
        log = worlds.grown(log, step(log))
    passed_by = Log.build([log.records[0], late[0]])
    late += [worlds.retire_record(passed_by, [1], FOUR, seq=seq) for seq in (3, 4, 7)]
    notices = [worlds.notice_of(log, key, epoch) for key in FOUR[:2] for epoch in (1, 2)]
    return [*log.records, *late, *notices]


RICH = rich_history()
DOUBLED = {record.mid for pair in Log.build(RICH).doubles for record in pair} - {e.mid for e in Log.build(RICH).records}
PIECES = [piece for envelope in RICH for piece in worlds.single(envelope)]
HONEST = [piece for piece in PIECES if piece.mid not in DOUBLED]
CLUTTER = [
    JUNK,
    Envelope.of("letter", {}),
    *(worlds.spoilt(envelope) for envelope in RICH),
    *(worlds.signed_by(envelope, [worlds.identity("mallory")]) for envelope in RICH),
    *(dataclasses.replace(envelope, payload=envelope.payload[:-1]) for envelope in RICH),
]


@BRIEFLY
@given(st.data())
def test_whatever_the_order_of_delivery_the_log_is_the_same(data):
    more = data.draw(st.lists(st.sampled_from(PIECES + RICH + CLUTTER), max_size=20))
    log = Log.build(data.draw(st.permutations([*PIECES, *more])))
    assert log == Log.build(RICH)
    assert (log.seq, sorted(log.epochs), log.retired, len(log.notices)) == (9, [1, 2], {1: "spent"}, 4)


@BRIEFLY
@given(st.data())
def test_more_documents_never_lead_to_a_smaller_tip(data):
    order = data.draw(st.permutations(HONEST))
    cut = data.draw(st.integers(0, len(order)))
    before = Log.build([RICH[0], *order[:cut]])
    after = Log.build([*before.records, *before.notices, *order])
    assert after.seq >= before.seq


@pytest.mark.parametrize("seq", [1, 2])
@pytest.mark.parametrize("kind", ["roster", "epoch", "retire"])
def test_a_record_whose_sequence_is_not_above_the_head_does_not_follow(kind, seq):
    record = {
        "roster": worlds.roster_record(REST, [*REST.roster.members, NEW.entry], [*FOUR[:3], NEW], seq=seq),
        "epoch": worlds.record(REST, FOUR[:3], seq=seq, epoch=2),
        "retire": worlds.retire_record(REST, [1], FOUR[:3], seq=seq),
    }[kind]
    assert worlds.grown(REST, record).records == REST.records
    with pytest.raises(MembershipError, match="not above 2") as caught:
        REST.following(record)
    assert caught.value.code == "E_SEQ"
    assert worlds.grown(REST, worlds.resigned(record, [*FOUR[:3], NEW], seq=1_000)).seq == 1_000


def test_an_epoch_record_of_the_old_roster_does_not_follow_a_change_of_members():
    late = worlds.record(START, FOUR, seq=2, epoch=2)
    on_the_head = worlds.record(REST, FOUR, seq=3, epoch=2, roster=START.roster.id)
    assert worlds.grown(REST, on_the_head).records == REST.records
    for record in (late, on_the_head):
        with pytest.raises(MembershipError) as caught:
            REST.following(record)
        assert caught.value.code == "E_PREV"


def test_a_former_member_neither_keeps_up_nor_completes_an_epoch():
    assert worlds.grown(REST, worlds.record(REST, FOUR[:3], seq=3, epoch=2)).latest.number == 2
    assert worlds.grown(REST, worlds.record(REST, [FOUR[0], FOUR[1], FOUR[3]], seq=3, epoch=2)).seq == 2


def test_a_newcomer_must_sign_the_next_epoch():
    members = sorted([*FOUR, NEW], key=lambda key: key.entry.fpr)
    log = worlds.grown(START, worlds.roster_record(START, [key.entry for key in members], members))
    assert worlds.grown(log, worlds.record(log, FOUR, seq=3, epoch=2)).seq == 2
    assert worlds.grown(log, worlds.record(log, members, seq=3, epoch=2)).seq == 3


@pytest.mark.parametrize("kind", ["genesis", "notice"])
def test_what_is_no_later_record_follows_nothing(kind):
    document = {"genesis": START.records[0], "notice": worlds.notice_of(START, FOUR[0])}[kind]
    with pytest.raises(MembershipError, match="does not follow another"):
        START.following(document)


def waiting(log, *envelopes):
    """Ids of the pending records, and who is missing from each."""
    return {one.record.mid: [entry.fpr for entry in one.missing] for one in log.pending(envelopes)}


def test_a_change_that_lacks_signatures_is_pending_and_names_who_may_still_sign():
    record = worlds.roster_record(START, [key.entry for key in (*FOUR, NEW)], FOUR[:2])
    missing = sorted(entry.fpr for entry in (FOUR[2].entry, FOUR[3].entry, NEW.entry))
    assert {mid: sorted(fprs) for mid, fprs in waiting(START, record).items()} == {record.mid: missing}


def test_under_majority_all_whose_vote_would_help_are_named_until_it_is_enough():
    log = worlds.constituted(FOUR, "majority")
    record = worlds.roster_record(log, [key.entry for key in FOUR], FOUR[:2], trainers=[LAB.entry])
    assert waiting(log, record) == {record.mid: [key.entry.fpr for key in FOUR[2:]]}
    assert waiting(log, record, worlds.signed_by(record, [FOUR[2]])) == {}


def test_signatures_of_a_pending_change_are_gathered_from_its_copies():
    record = worlds.retire_record(START, [1], FOUR[:3])
    (one,) = START.pending([*worlds.single(record), worlds.spoilt(record)])
    assert (one.record, one.missing, one.body) == (record, (FOUR[3].entry,), record.body())


NOT_PENDING = {
    "signed by nobody": worlds.retire_record(START, [1], []),
    "signed by a stranger": worlds.retire_record(START, [1], [worlds.identity("mallory")]),
    "signed by the newcomer only": worlds.roster_record(START, [key.entry for key in (*FOUR, NEW)], [NEW]),
    "with a signature of zeros": worlds.spoilt(worlds.retire_record(START, [1], FOUR[:1])),
    "complete": worlds.retire_record(START, [1], FOUR),
    "an epoch record": worlds.record(START, FOUR[:1], seq=2, epoch=2),
    "on another predecessor": worlds.retire_record(START, [1], FOUR[:1], prev="00" * 32),
    "of another federation": worlds.retire_record(START, [1], FOUR[:1], fed="00" * 32),
    "of a sequence that is not above": worlds.retire_record(START, [1], FOUR[:1], seq=1),
    "of an epoch nobody knows": worlds.retire_record(START, [2], FOUR[:1]),
    "keeping too few": worlds.roster_record(START, [key.entry for key in FOUR[:2]], FOUR[:1]),
    "changing nothing": worlds.roster_record(START, [key.entry for key in FOUR], FOUR[:1]),
    "malformed": worlds.retire_record(START, [1, 1], FOUR[:1]),
    "a notice": worlds.notice_of(START, FOUR[0]),
    "a genesis": START.records[0],
    "no JSON": Envelope(payload_type("roster"), b"junk", {}),
    "another document": Envelope.of("letter", {}),
}


@pytest.mark.parametrize("envelope", NOT_PENDING.values(), ids=NOT_PENDING.keys())
def test_only_what_a_member_has_signed_and_what_could_follow_is_pending(envelope):
    assert waiting(START, envelope) == {}


def test_what_a_removed_member_alone_has_signed_is_not_pending():
    assert waiting(REST, worlds.retire_record(REST, [1], [FOUR[3]])) == {}
    own_removal = worlds.roster_record(START, [key.entry for key in FOUR[:3]], [FOUR[3]])
    assert waiting(START, own_removal) == {}


def test_pending_changes_come_in_one_order():
    changes_of_two = [worlds.retire_record(START, [1], FOUR[:1], reason=f"reason {number}") for number in range(5)]
    assert START.pending(changes_of_two) == START.pending(changes_of_two[::-1])


def count_work(monkeypatch, verifications, readings):
    """Fail as soon as more signatures are verified or more records are read than that."""
    done = {"verified": 0, "read": 0}
    verifies, read_record = Entry.verifies, log_module.read_record

    def counted_verifies(self, signature, message):
        done["verified"] += 1
        assert done["verified"] <= verifications, "too many signature checks"
        return verifies(self, signature, message)

    def counted_read(envelope):
        done["read"] += 1
        assert done["read"] <= readings, "too many records read"
        return read_record(envelope)

    monkeypatch.setattr(Entry, "verifies", counted_verifies)
    monkeypatch.setattr(log_module, "read_record", counted_read)


def long_chain(length):
    """A log of so many epochs."""
    log = LOG
    for number in range(1, length + 1):
        log = log.following(worlds.record(log, KEYS, seq=number, epoch=number))[1]
    return log


def test_much_junk_costs_no_more_than_one_look_at_each_piece(monkeypatch):
    chain = long_chain(200)
    heads = [dataclasses.replace(chain, records=chain.records[: 1 + place]) for place in range(0, 200, 2)]
    junk = [worlds.record(head, KEYS[:2], seq=999, epoch=1 + 2 * place) for place, head in enumerate(heads)]
    junk += [worlds.record(LOG, [], seq=seq, epoch=1) for seq in range(1, 101)]
    junk += [worlds.spoilt(worlds.record(LOG, KEYS, seq=seq, epoch=1)) for seq in range(300, 400)]
    junk += [worlds.record(LOG, KEYS, seq=seq, epoch=1, fed="00" * 32) for seq in range(1, 101)]
    junk += [Envelope(EPOCH, b"%d" % number, {}) for number in range(100)]
    pieces = [*reversed(chain.records), *junk]
    signatures = sum(len(piece.signatures) for piece in pieces)
    count_work(monkeypatch, signatures + 2 * len(KEYS), 4 * len(pieces))
    assert Log.build(pieces).records == chain.records


def test_many_false_copies_of_one_record_cost_one_check_for_each_signature(monkeypatch):
    copies = [worlds.spoilt(FIRST)] * 300 + worlds.single(FIRST)
    count_work(monkeypatch, 303 * len(KEYS), 4 * len(copies))
    assert Log.build([GENESIS_RECORD, *copies]).records == LONGER.records


def test_many_complete_side_chains_cost_one_check_for_each_signature(monkeypatch):
    sides = [worlds.record(LOG, KEYS, seq=seq, epoch=1) for seq in range(2, 102)]
    tops = [
        worlds.record(Log.build([GENESIS_RECORD, side]), KEYS, seq=500 - n, epoch=2) for n, side in enumerate(sides)
    ]
    count_work(monkeypatch, 3 * (len(sides) + len(tops) + 2), 4 * (len(sides) + len(tops) + 1))
    assert Log.build([GENESIS_RECORD, *sides, *tops]).seq == 500
