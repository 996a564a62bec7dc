"""The membership log: what counts is signed by everybody, and whoever writes into the folder cannot stop it."""

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.protocol import changes, records
from blindsight.protocol.encoding import canonical
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, FormatError, MembershipError, ProtocolError, SignatureError
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
