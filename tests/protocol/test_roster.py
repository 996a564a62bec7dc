"""Who belongs to a federation changes only by those whose signatures the policy demands. FORMAT.md section C."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.protocol.errors import MembershipError
from blindsight.protocol.roster import Quorum, Roster
from tests.protocol import worlds

BRIEFLY = settings(deadline=None, max_examples=40)
POLICIES = ("all", "majority")
NEW = worlds.identity("newcomer")
ACCOMPLICES = (worlds.identity("accomplice-1"), worlds.identity("accomplice-2"))
LAB, SECOND_LAB = worlds.identity("lab", "trainer"), worlds.identity("second lab", "trainer")
CLINIC = worlds.identity("clinic", "operator")


def entries(keys):
    """The public sides of keys."""
    return [key.entry for key in keys]


def changed(log, members, signers, **changes):
    """The log after a roster record with these signatures, which counts or does not."""
    return worlds.grown(log, worlds.roster_record(log, entries(members), signers, **changes))


def subsets(keys, least=0, most=None):
    """All subsets of at least and at most so many."""
    most = len(keys) if most is None else most
    return [group for size in range(least, most + 1) for group in itertools.combinations(keys, size)]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_newcomer_belongs_once_everybody_and_the_newcomer_have_signed(policy):
    keys = worlds.holders(3)
    log = changed(worlds.constituted(keys, policy), [*keys, NEW], [*keys, NEW])
    assert log.roster.member(NEW.entry.fpr) == NEW.entry
    assert (log.seq, log.roster.id) == (1, log.records[-1].mid)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_newcomer_who_has_not_signed_does_not_belong(policy):
    keys = worlds.holders(3)
    assert changed(worlds.constituted(keys, policy), [*keys, NEW], keys).seq == 0


@pytest.mark.parametrize("policy", POLICIES)
def test_of_two_newcomers_both_must_sign(policy):
    keys = worlds.holders(3)
    log = worlds.constituted(keys, policy)
    assert changed(log, [*keys, *ACCOMPLICES], [*keys, ACCOMPLICES[0]]).seq == 0
    assert len(changed(log, [*keys, *ACCOMPLICES], [*keys, *ACCOMPLICES]).roster.members) == 5


@pytest.mark.parametrize("silent", range(3))
def test_under_all_one_silent_member_keeps_a_newcomer_out(silent):
    keys = worlds.holders(3)
    signers = [NEW, *(key for place, key in enumerate(keys) if place != silent)]
    assert changed(worlds.constituted(keys, "all"), [*keys, NEW], signers).seq == 0


@pytest.mark.parametrize("silent", range(3))
def test_under_majority_two_of_three_members_let_a_newcomer_in(silent):
    keys = worlds.holders(3)
    signers = [NEW, *(key for place, key in enumerate(keys) if place != silent)]
    assert changed(worlds.constituted(keys, "majority"), [*keys, NEW], signers).seq == 1


def test_under_majority_one_of_two_members_is_not_more_than_half():
    keys = worlds.holders(2)
    log = worlds.constituted(keys, "majority")
    assert changed(log, [*keys, NEW], [keys[0], NEW]).seq == 0
    assert changed(log, [*keys, NEW], [*keys, NEW]).seq == 1


def test_newcomers_do_not_count_among_the_more_than_half():
    keys = worlds.holders(3)
    log = worlds.constituted(keys, "majority")
    assert changed(log, [*keys, *ACCOMPLICES], [keys[0], *ACCOMPLICES]).seq == 0


@pytest.mark.parametrize("policy", POLICIES)
def test_a_member_alone_admits_a_second_who_agrees(policy):
    (alone,) = worlds.holders(1)
    log = worlds.constituted([alone], policy)
    assert changed(log, [alone, NEW], [alone]).seq == 0
    assert len(changed(log, [alone, NEW], [alone, NEW]).roster.members) == 2


@pytest.mark.parametrize("policy", POLICIES)
def test_a_member_leaves_by_the_signatures_of_those_who_stay(policy):
    keys = worlds.holders(3)
    log = changed(worlds.constituted(keys, policy), keys[:2], keys[:2])
    assert log.roster.members == tuple(entries(keys[:2]))
    with pytest.raises(MembershipError):
        log.roster.member(keys[2].entry.fpr)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_one_who_is_removed_does_not_count_among_the_more_than_half(policy):
    keys = worlds.holders(4)
    assert changed(worlds.constituted(keys, policy), keys[:3], [*keys[:2], keys[3]]).seq == 0


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kept", [0, 1])
def test_of_two_members_none_can_be_removed(policy, kept):
    keys = worlds.holders(2)
    assert changed(worlds.constituted(keys, policy), [keys[kept]], keys).seq == 0


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", range(2, 7))
def test_a_roster_that_keeps_half_or_fewer_is_refused_though_all_have_signed(policy, count):
    keys = worlds.holders(count)
    log = worlds.constituted(keys, policy)
    for kept in range(count // 2 + 1):
        assert changed(log, [*keys[:kept], NEW], [*keys, NEW]).seq == 0
        with pytest.raises(MembershipError, match=f"keeps {kept} of {count} members") as caught:
            log.following(worlds.roster_record(log, [*entries(keys[:kept]), NEW.entry], []))
        assert caught.value.code == "E_ROSTER"


def test_a_roster_that_changes_nothing_is_refused_though_all_have_signed():
    keys = worlds.holders(3)
    log = worlds.constituted(keys)
    assert changed(log, keys, keys).seq == 0
    with pytest.raises(MembershipError, match="changes nothing") as caught:
        log.following(worlds.roster_record(log, entries(keys), keys))
    assert caught.value.code == "E_ROSTER"


@pytest.mark.parametrize("policy", POLICIES)
def test_a_change_does_not_rename_who_stays(policy):
    keys = worlds.holders(3)
    log = worlds.constituted(keys, policy, trainers=[LAB])
    renamed = replace(keys[0].entry, name=keys[1].entry.name)
    assert worlds.grown(log, worlds.roster_record(log, [renamed, *entries(keys[1:])], keys)).seq == 0
    assert changed(log, keys, keys, trainers=[replace(LAB.entry, name="another lab")]).seq == 0


@pytest.mark.parametrize("policy", POLICIES)
def test_trainers_and_operators_come_and_go_by_the_members_signatures(policy):
    keys = worlds.holders(3)
    log = worlds.constituted(keys, policy, trainers=[LAB])
    log = changed(log, keys, keys, trainers=[SECOND_LAB.entry], operators=[CLINIC.entry])
    assert log.roster.trainer(SECOND_LAB.entry.fpr) == SECOND_LAB.entry
    assert log.roster.operators == (CLINIC.entry,)
    with pytest.raises(MembershipError):
        log.roster.trainer(LAB.entry.fpr)


def test_a_trainer_does_not_sign_for_a_member():
    keys = worlds.holders(3)
    log = worlds.constituted(keys, "majority", trainers=[LAB])
    assert changed(log, keys, [keys[0], LAB, SECOND_LAB], trainers=[LAB.entry, SECOND_LAB.entry]).seq == 0
    assert changed(log, keys, keys[:2], trainers=[LAB.entry, SECOND_LAB.entry]).seq == 1


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", [3, 4, 5])
def test_no_subset_that_is_not_more_than_half_changes_the_roster(policy, count):
    keys = worlds.holders(count)
    log = worlds.constituted(keys, policy)
    for few in subsets(keys, most=count // 2):
        coups = [
            worlds.roster_record(log, entries([*kept, *ACCOMPLICES[:added]]), [*few, *ACCOMPLICES])
            for kept in subsets(keys)
            for added in (0, 2)
            if kept or added
        ]
        assert worlds.grown(log, *coups).records == log.records


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", [3, 4, 5])
def test_every_subset_that_is_more_than_half_can_go_on_without_the_rest(policy, count):
    keys = worlds.holders(count)
    log = worlds.constituted(keys, policy)
    for many in subsets(keys, least=count // 2 + 1, most=count - 1):
        assert changed(log, many, many).roster.members == tuple(entries(many))


@BRIEFLY
@given(st.data())
def test_no_few_of_many_members_change_the_roster(data):
    keys = worlds.holders(data.draw(st.integers(6, 12)))
    log = worlds.constituted(keys, data.draw(st.sampled_from(POLICIES)))
    few = data.draw(st.lists(st.sampled_from(keys), unique=True, max_size=len(keys) // 2))
    kept = data.draw(st.lists(st.sampled_from(keys), unique=True, min_size=1))
    added = ACCOMPLICES[: data.draw(st.integers(0, 2))]
    assert changed(log, [*kept, *added], [*few, *ACCOMPLICES]).seq == 0


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", [3, 4, 5])
def test_two_changes_of_one_roster_always_have_a_signer_in_common(policy, count):
    keys = worlds.holders(count)
    roster = worlds.constituted(keys, policy).roster
    enough = []
    for kept in subsets(keys, least=1, most=count - 1):
        try:
            quorum = roster.change(Roster("", tuple(entries(kept)), (), ()), policy)
        except MembershipError:
            continue
        enough += [set(entries(group)) for group in subsets(kept) if not quorum.missing({k.entry.fpr for k in group})]
    decision = roster.decision(policy)
    enough += [set(entries(group)) for group in subsets(keys) if not decision.missing({k.entry.fpr for k in group})]
    assert enough
    assert all(one & two for one, two in itertools.combinations(enough, 2))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_removed_member_signs_no_further_change(policy):
    keys = worlds.holders(4)
    log = changed(worlds.constituted(keys, policy), keys[:3], keys[:3])
    assert changed(log, [*keys[:3], NEW], [keys[0], keys[3], NEW]).seq == 1
    assert changed(log, [*keys[:3], NEW], [*keys[:3], NEW]).seq == 2


@pytest.mark.parametrize("policy", POLICIES)
def test_who_was_removed_comes_back_only_by_a_new_signature(policy):
    keys = worlds.holders(3)
    before = changed(worlds.constituted(keys, policy), keys[:2], keys[:2])
    assert changed(before, keys, keys[:2]).seq == 1
    assert changed(before, keys, keys).roster.members == tuple(entries(keys))


def test_an_old_admission_does_not_admit_again():
    keys = worlds.holders(3)
    start = worlds.constituted(keys)
    admission = worlds.roster_record(start, entries([*keys, NEW]), [*keys, NEW])
    gone = changed(worlds.grown(start, admission), keys, keys)
    assert worlds.grown(gone, admission).records == gone.records


def test_a_quorum_names_whose_signature_would_still_help():
    a, b, c = entries(worlds.holders(3))
    quorum = Quorum((a,), (b, c), 1)
    assert quorum.missing([]) == (a, b, c)
    assert quorum.missing([a.fpr]) == (b, c)
    assert quorum.missing([c.fpr]) == (a,)
    assert quorum.missing([a.fpr, c.fpr]) == ()


def test_whoever_must_sign_and_votes_too_is_named_once():
    a, b, _ = entries(worlds.holders(3))
    assert Quorum((a,), (a, b), 2).missing([]) == (a, b)
    assert Quorum((a,), (a, b), 2).entries == (a, b)


@pytest.mark.parametrize(("count", "votes"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (256, 129)])
def test_more_than_half_is_so_many(count, votes):
    members = tuple(entries(worlds.holders(count)))
    assert Roster("", members, (), ()).decision("majority").votes == votes
    assert Roster("", members, (), ()).decision("all") == Quorum(members)


def test_the_difference_names_who_comes_and_who_goes_in_every_role():
    keys = worlds.holders(2)
    old = Roster("", tuple(entries(keys)), (LAB.entry,), ())
    new = Roster("", (keys[0].entry, NEW.entry), (), (CLINIC.entry,))
    come, go = old.difference(new)
    assert (set(come), set(go)) == ({NEW.entry, CLINIC.entry}, {keys[1].entry, LAB.entry})


def test_a_person_is_found_only_in_a_role_it_has():
    roster = Roster("", tuple(entries(worlds.holders(2))), (LAB.entry,), (CLINIC.entry,))
    for person in roster.everybody:
        assert roster.anybody(person.fpr) == person
    with pytest.raises(MembershipError, match="is not a trainer") as caught:
        roster.trainer(CLINIC.entry.fpr)
    assert caught.value.code == "E_ROSTER"
    with pytest.raises(MembershipError, match="is not anybody"):
        roster.anybody(NEW.entry.fpr)
