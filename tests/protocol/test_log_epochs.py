"""What ends an epoch: a retirement, a notice, the calendar. And whose word counts for that."""

from datetime import datetime, timedelta
from itertools import combinations

import pytest

from blindsight.protocol.errors import MembershipError, PolicyError
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.log import Log
from tests.protocol import worlds

POLICIES = ("all", "majority")
KEYS = worlds.holders(4)
STRANGER = worlds.identity("mallory")
LAB = worlds.identity("lab", "trainer")
LATER = worlds.NOW + timedelta(days=400)


def with_epochs(policy="majority", keys=KEYS, count=2):
    """A federation with so many agreed epochs."""
    log = worlds.constituted(keys, policy, trainers=[LAB])
    for number in range(1, count + 1):
        log = worlds.grown(log, worlds.record(log, keys, seq=number, epoch=number))
    return log


LOG = with_epochs()


def without(log, member):
    """The log after that member has left."""
    rest = [key for key in KEYS if key is not member]
    return worlds.grown(log, worlds.roster_record(log, [key.entry for key in rest], rest))


def codes(log, number=1, moment=worlds.NOW):
    """The codes of what stands against an epoch, in order."""
    return [objection.code for objection in log.objections(number, moment)]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_an_epoch_is_retired_by_exactly_those_whom_the_policy_demands(policy, count):
    keys = worlds.holders(count)
    log = with_epochs(policy, keys)
    for signers in [group for size in range(count + 1) for group in combinations(keys, size)]:
        enough = len(signers) == count if policy == "all" else 2 * len(signers) > count
        assert (1 in worlds.grown(log, worlds.retire_record(log, [1], signers)).retired) == enough


def test_strangers_trainers_and_former_members_retire_nothing():
    log = without(LOG, KEYS[3])
    outsiders = [KEYS[3], STRANGER, LAB]
    assert worlds.grown(log, worlds.retire_record(log, [1], [KEYS[0], *outsiders])).retired == {}
    assert worlds.grown(log, worlds.retire_record(log, [1], KEYS[:2])).retired == {1: "spent"}


def test_several_epochs_are_retired_at_once_and_others_stay():
    log = with_epochs(count=3)
    log = worlds.grown(log, worlds.retire_record(log, [1, 3], KEYS))
    assert log.retired == {1: "spent", 3: "spent"}
    assert [codes(log, number) for number in (1, 2, 3)] == [["E_RETIRED"], [], ["E_RETIRED"]]


@pytest.mark.parametrize(
    ("epochs", "code"), [([3], "E_EPOCH"), ([1, 3], "E_EPOCH"), ([2**53 - 1], "E_EPOCH")], ids=["none", "one", "far"]
)
def test_an_unknown_epoch_is_not_retired_though_all_have_signed(epochs, code):
    record = worlds.retire_record(LOG, epochs, KEYS)
    assert worlds.grown(LOG, record).records == LOG.records
    with pytest.raises(MembershipError) as caught:
        LOG.following(record)
    assert caught.value.code == code


def test_an_epoch_is_not_retired_twice():
    log = worlds.grown(LOG, worlds.retire_record(LOG, [1], KEYS))
    again = worlds.retire_record(log, [1, 2], KEYS, reason="again")
    assert worlds.grown(log, again).retired == {1: "spent"}
    with pytest.raises(PolicyError) as caught:
        log.following(again)
    assert caught.value.code == "E_RETIRED"


@pytest.mark.parametrize("epochs", [[2, 1], [1, 1]], ids=["unsorted", "twice"])
def test_a_retirement_that_lists_epochs_unsorted_does_not_count(epochs):
    assert worlds.grown(LOG, worlds.retire_record(LOG, epochs, KEYS)).records == LOG.records


def test_after_a_retirement_the_next_epoch_has_the_next_number():
    log = worlds.grown(LOG, worlds.retire_record(LOG, [1, 2], KEYS))
    assert log.next_epoch == 3
    assert worlds.grown(log, worlds.record(log, KEYS, seq=9, epoch=3)).latest.number == 3


def test_after_a_change_of_members_the_epochs_remain():
    log = without(LOG, KEYS[3])
    assert log.epochs == LOG.epochs
    assert codes(log) == []


@pytest.mark.parametrize("author", KEYS, ids=lambda key: key.entry.name)
def test_one_member_is_enough_to_warn_of_an_epoch(author):
    log = worlds.grown(LOG, worlds.notice_of(LOG, author))
    assert [body["from"] for body in log.warnings(1)] == [author.entry.fpr]
    assert (codes(log, 1), codes(log, 2)) == (["E_NOTICE"], [])


def test_a_notice_changes_neither_head_nor_records():
    log = worlds.grown(LOG, worlds.notice_of(LOG, KEYS[0]))
    assert (log.head, log.records) == (LOG.head, LOG.records)


NOTICES_THAT_DO_NOT_COUNT = {
    "by a stranger": worlds.notice_of(LOG, STRANGER),
    "by a trainer": worlds.notice_of(LOG, LAB),
    "by a member in another's name": worlds.notice_of(LOG, KEYS[0], **{"from": KEYS[1].entry.fpr}),
    "unsigned": worlds.signed_by(worlds.notice_of(LOG, KEYS[0]), []),
    "with a signature of zeros": worlds.spoilt(worlds.notice_of(LOG, KEYS[0])),
    "about another record": worlds.notice_of(LOG, KEYS[0], record=LOG.epoch(2).record),
    "about a record nobody knows": worlds.notice_of(LOG, KEYS[0], record="00" * 32),
    "about an epoch nobody knows": worlds.resigned(worlds.notice_of(LOG, KEYS[0]), [KEYS[0]], epoch=3),
    "of another federation": worlds.notice_of(LOG, KEYS[0], fed="00" * 32),
    "of another kind": worlds.notice_of(LOG, KEYS[0], kind="rumoured"),
    "of another version": worlds.notice_of(LOG, KEYS[0], v=2),
    "with an unknown field": worlds.notice_of(LOG, KEYS[0], admin=1),
}


@pytest.mark.parametrize("notice", NOTICES_THAT_DO_NOT_COUNT.values(), ids=NOTICES_THAT_DO_NOT_COUNT.keys())
def test_a_notice_that_is_not_a_members_word_about_this_epoch_does_not_count(notice):
    log = worlds.grown(LOG, notice)
    assert log == LOG
    assert worlds.grown(LOG, notice, worlds.notice_of(LOG, KEYS[1])).warnings(1) == [
        worlds.notice_of(LOG, KEYS[1]).body()
    ]


def test_a_forged_copy_of_a_notice_does_not_hide_the_good_one():
    notice = worlds.notice_of(LOG, KEYS[0])
    for order in ([worlds.spoilt(notice), notice], [notice, worlds.spoilt(notice)]):
        assert worlds.grown(LOG, *order).notices == (notice,)


def test_signatures_of_others_under_a_notice_are_left_out():
    notice = worlds.notice_of(LOG, KEYS[0])
    crowded = notice.signed(STRANGER).signed(KEYS[1])
    for order in ([crowded, notice], [notice, crowded], [crowded]):
        assert worlds.grown(LOG, *order).notices == (notice,)


def test_the_notice_of_a_former_member_no_longer_counts():
    notice = worlds.notice_of(LOG, KEYS[3])
    assert codes(worlds.grown(LOG, notice)) == ["E_NOTICE"]
    assert codes(worlds.grown(without(LOG, KEYS[3]), notice)) == []


def test_the_notice_of_a_newcomer_counts_from_the_day_it_belongs():
    notice = worlds.notice_of(LOG, STRANGER)
    members = [*KEYS, STRANGER]
    joined = worlds.grown(LOG, worlds.roster_record(LOG, [key.entry for key in members], members))
    assert codes(worlds.grown(joined, notice)) == ["E_NOTICE"]


def test_a_member_warns_of_an_epoch_once_however_often_it_says_so():
    notices = [worlds.notice_of(LOG, KEYS[0], text=f"reason {number}") for number in range(50)]
    log = worlds.grown(LOG, *notices)
    assert len(log.notices) == 1
    assert worlds.grown(LOG, *reversed(notices)) == log
    assert worlds.grown(log, *log.notices, *notices) == log
    assert len(worlds.grown(LOG, *notices, worlds.notice_of(LOG, KEYS[1])).notices) == 2


def test_of_several_warnings_of_one_member_the_first_is_kept():
    early = worlds.notice_of(LOG, KEYS[0], created="2026-11-20T13:00:00Z", text="first")
    late = worlds.notice_of(LOG, KEYS[0], created="2026-11-21T13:00:00Z", text="second")
    assert worlds.grown(LOG, late, early).notices == (early,)


def test_what_stands_against_an_epoch_is_named_in_order_warned_ended():
    log = worlds.grown(LOG, *(worlds.notice_of(LOG, key) for key in KEYS[:2]))
    assert codes(log, moment=LATER) == ["E_NOTICE", "E_NOTICE", "E_EXPIRED"]


def test_retiring_an_epoch_ends_what_was_warned_of():
    log = worlds.grown(LOG, worlds.notice_of(LOG, KEYS[0]), worlds.retire_record(LOG, [1], KEYS))
    assert codes(log, moment=LATER) == ["E_RETIRED", "E_EXPIRED"]


def test_a_warning_names_who_warns_and_why():
    (objection,) = worlds.grown(LOG, worlds.notice_of(LOG, KEYS[0])).objections(1, worlds.NOW)
    assert str(objection).startswith(f"{KEYS[0].entry.label} warns that epoch 1 is known: laptop stolen")


def test_an_epoch_nothing_stands_against_may_be_used():
    LOG.demand_usable(1, worlds.NOW)


@pytest.mark.parametrize("despite_notice", [False, True])
@pytest.mark.parametrize("moment", [worlds.NOW, LATER], ids=["in time", "too late"])
@pytest.mark.parametrize("retired", [False, True])
@pytest.mark.parametrize("warned", [False, True])
def test_a_person_may_overrule_a_notice_and_nothing_else(despite_notice, moment, retired, warned):
    more = [worlds.notice_of(LOG, KEYS[0])] * warned + [worlds.retire_record(LOG, [1], KEYS)] * retired
    log = worlds.grown(LOG, *more)
    expected = ["E_RETIRED"] * retired
    expected += ["E_NOTICE"] * (warned and not despite_notice)
    expected += ["E_EXPIRED"] * (moment is LATER)
    assert refusal(log, moment, despite_notice) == (expected[0] if expected else None)


def refusal(log: Log, moment: datetime, despite_notice: bool) -> str | None:
    """The code with which the first epoch is refused."""
    try:
        log.demand_usable(1, moment, despite_notice=despite_notice)
    except PolicyError as error:
        return error.code
    return None


def test_an_epoch_may_be_used_until_ten_minutes_after_its_end():
    end = worlds.NOW + timedelta(days=365)
    LOG.demand_usable(1, end + timedelta(minutes=10))
    with pytest.raises(PolicyError) as caught:
        LOG.demand_usable(1, end + timedelta(minutes=10, seconds=1))
    assert caught.value.code == "E_EXPIRED"


def test_an_epoch_that_is_not_agreed_is_not_usable():
    with pytest.raises(MembershipError) as caught:
        LOG.demand_usable(3, worlds.NOW)
    assert caught.value.code == "E_EPOCH"


def test_a_name_with_braces_and_percent_signs_is_shown_as_it_is():
    odd = SigningKey("holder", "%s {0} \\n", b"\7" * 32)
    log = with_epochs(keys=[odd])
    (objection,) = worlds.grown(log, worlds.notice_of(log, odd, text="{1} %d")).objections(1, worlds.NOW)
    assert "%s {0} \\n" in str(objection)
    assert "{1} %d" in str(objection)
