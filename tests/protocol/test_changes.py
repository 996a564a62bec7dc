"""Writing changes: what cannot follow the head is not even written. FORMAT.md section C."""

import pytest

from blindsight.protocol import changes
from blindsight.protocol.errors import FormatError, MembershipError, PolicyError, ProtocolError
from tests.protocol import worlds

KEYS = worlds.holders(3)
ENTRIES = [key.entry for key in KEYS]
NEW = worlds.identity("newcomer")
LAB = worlds.identity("lab", "trainer")
START = worlds.constituted(KEYS, trainers=[LAB])
LOG = worlds.grown(START, worlds.record(START, KEYS, seq=4, epoch=1))


def test_a_roster_record_is_written_on_the_head_without_signatures():
    record = changes.make_roster(LOG, [*ENTRIES, NEW.entry], [LAB.entry], [])
    assert (record.body()["seq"], record.body()["prev"], record.signatures) == (5, LOG.head["id"], {})


@pytest.mark.parametrize(("promised", "seq"), [(0, 5), (3, 5), (4, 5), (5, 6), (90, 91)])
def test_a_change_stands_above_the_head_and_above_all_its_author_has_promised(promised, seq):
    assert changes.make_roster(LOG, ENTRIES, [], [], promised=promised).body()["seq"] == seq
    assert changes.make_retire(LOG, [1], "spent", promised=promised).body()["seq"] == seq


def test_a_written_roster_counts_once_all_have_signed():
    record = changes.make_roster(LOG, [NEW.entry, *reversed(ENTRIES)], [], [])
    log = worlds.grown(LOG, worlds.signed_by(record, [*KEYS, NEW]))
    assert log.roster.members == tuple(sorted([*ENTRIES, NEW.entry], key=lambda entry: entry.fpr))


def test_the_same_roster_is_written_byte_for_byte_alike_by_everybody():
    one = changes.make_roster(LOG, ENTRIES, [LAB.entry], [worlds.identity("clinic", "operator").entry])
    other = changes.make_roster(LOG, ENTRIES[::-1], [LAB.entry], [worlds.identity("clinic", "operator").entry])
    assert one == other


CANNOT = {
    "keeps too few": ([ENTRIES[0]], [LAB.entry]),
    "changes nothing": (ENTRIES, [LAB.entry]),
    "a trainer as a member": ([*ENTRIES, LAB.entry], []),
    "a member twice": ([*ENTRIES, ENTRIES[0]], []),
}


@pytest.mark.parametrize(("members", "trainers"), CANNOT.values(), ids=CANNOT.keys())
def test_a_roster_that_could_never_count_is_not_written(members, trainers):
    with pytest.raises(MembershipError) as caught:
        changes.make_roster(LOG, members, trainers, [])
    assert caught.value.code == "E_ROSTER"


def test_a_roster_without_members_is_not_written():
    with pytest.raises(FormatError, match="members must be an array of 1 to 256"):
        changes.make_roster(LOG, [], [], [])


def test_too_small_a_roster_comes_with_the_advice_to_found_a_new_federation():
    with pytest.raises(MembershipError) as caught:
        changes.make_roster(LOG, ENTRIES[:1], [], [])
    assert caught.value.hint == "found a new federation: blindsight holder federation create"


def test_a_written_retirement_counts_once_all_have_signed():
    record = changes.make_retire(LOG, [1], "a laptop was stolen")
    assert worlds.grown(LOG, worlds.signed_by(record, KEYS)).retired == {1: "a laptop was stolen"}


def test_epochs_to_retire_may_be_given_in_any_order_and_twice():
    log = worlds.grown(LOG, worlds.record(LOG, KEYS, seq=5, epoch=2))
    assert changes.make_retire(log, [2, 1, 2], "spent").body()["epochs"] == [1, 2]


def test_an_epoch_that_is_not_agreed_cannot_be_retired():
    with pytest.raises(MembershipError, match="epoch 2 is not agreed") as caught:
        changes.make_retire(LOG, [1, 2], "spent")
    assert caught.value.code == "E_EPOCH"


def test_an_epoch_cannot_be_retired_twice():
    log = worlds.grown(LOG, worlds.retire_record(LOG, [1], KEYS))
    with pytest.raises(PolicyError, match="epoch 1 is retired already") as caught:
        changes.make_retire(log, [1], "again")
    assert caught.value.code == "E_RETIRED"


@pytest.mark.parametrize("reason", ["x" * 401, "two\nlines"], ids=["too long", "two lines"])
def test_a_reason_that_cannot_be_shown_is_not_written(reason):
    with pytest.raises(FormatError, match="reason"):
        changes.make_retire(LOG, [1], reason)


def test_nothing_to_retire_is_not_written():
    with pytest.raises(FormatError, match="epochs must be an array of 1"):
        changes.make_retire(LOG, [], "spent")


def test_when_the_numbers_are_used_up_it_is_said_in_a_sentence():
    with pytest.raises(ProtocolError, match="below 2"):
        changes.make_retire(LOG, [1], "spent", promised=2**53 - 1)


def test_a_member_adds_its_signature_to_those_a_genesis_has():
    document = worlds.draft(KEYS)
    for key in KEYS:
        document = changes.sign_genesis(document, key)
    assert set(document.signatures) == {key.entry.fpr for key in KEYS}


def test_a_trainer_does_not_sign_a_genesis_that_lists_it():
    with pytest.raises(MembershipError, match="is not among the members of this genesis") as caught:
        changes.sign_genesis(worlds.draft(KEYS, [LAB.entry]), LAB)
    assert caught.value.code == "E_ROSTER"
