"""Which chain counts, and who is convicted when two are shown. FORMAT.md section C.3."""

import contextlib
import random
from dataclasses import dataclass, field
from itertools import combinations, permutations

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from blindsight.holder import vault
from blindsight.protocol import changes
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, ProtocolError
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.log import Log
from tests.protocol import worlds

POLICIES = ("all", "majority")
KEYS = worlds.holders(5)
A, B, C, D, E = KEYS
START = worlds.constituted(KEYS, "majority")
WITH_EPOCH = worlds.grown(START, worlds.record(START, KEYS, seq=1, epoch=1))


def removal(log, *gone, signers, seq):
    """A roster record without some members."""
    rest = [member for member in log.roster.members if member not in [key.entry for key in gone]]
    return worlds.roster_record(log, rest, signers, seq=seq)


def hired(log, name, *, signers, seq):
    """A roster record with one more trainer."""
    trainers = [*log.roster.trainers, worlds.identity(name, "trainer").entry]
    return worlds.roster_record(log, log.roster.members, signers, trainers=trainers, seq=seq)


def in_every_order(*envelopes):
    """The one log that these envelopes make however they come."""
    logs = [Log.build([*START.records, *order]) for order in permutations(envelopes)]
    assert all(log == logs[0] for log in logs)
    return logs[0]


def conviction(*envelopes):
    """The error of a fork: that, and the records it shows."""
    with pytest.raises(ConflictError) as caught:
        Log.build([*START.records, *envelopes])
    assert caught.value.code == "E_FORK"
    return caught.value, [Envelope.from_bytes(text) for text in caught.value.evidence]


def named(error):
    """Which of the members an error names."""
    return [key for key in KEYS if key.entry.label in str(error)]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_removal_beats_a_late_epoch_of_smaller_sequence(policy):
    start = worlds.constituted(KEYS, policy)
    epoch = worlds.record(start, KEYS, seq=1, epoch=1)
    gone = removal(start, E, signers=KEYS[:4], seq=2)
    for order in ([epoch, gone], [gone, epoch]):
        log = Log.build([*start.records, *order])
        assert (log.records[-1].mid, log.epochs) == (gone.mid, {})


def test_a_late_epoch_of_greater_sequence_beats_a_removal():
    gone, epoch = removal(START, E, signers=KEYS[:4], seq=1), worlds.record(START, KEYS, seq=2, epoch=1)
    assert in_every_order(gone, epoch).roster == START.roster


def test_an_epoch_that_was_passed_by_cannot_come_back_on_the_other_chain():
    epoch = worlds.record(START, KEYS, seq=1, epoch=1)
    log = in_every_order(epoch, removal(START, E, signers=KEYS[:4], seq=2))
    again = worlds.record(log, KEYS[:4], seq=3, epoch=1)
    after = worlds.grown(log, epoch, again)
    assert {number: one.record for number, one in after.epochs.items()} == {1: again.mid}
    assert {"seq": 1, "id": epoch.mid} not in after.history


def test_a_retirement_on_a_chain_that_was_passed_by_no_longer_counts():
    retired = worlds.retire_record(WITH_EPOCH, [1], KEYS, seq=2)
    later = hired(WITH_EPOCH, "lab", signers=KEYS, seq=3)
    assert worlds.grown(WITH_EPOCH, retired).retired == {1: "spent"}
    assert worlds.grown(WITH_EPOCH, retired, later).retired == {}


def test_a_warning_of_an_epoch_that_was_passed_by_does_not_count():
    notice = worlds.notice_of(WITH_EPOCH, A)
    log = in_every_order(WITH_EPOCH.records[1], notice, removal(START, E, signers=KEYS[:4], seq=2))
    assert log.notices == ()


def test_two_tips_of_one_sequence_name_exactly_who_signed_both():
    error, evidence = conviction(
        removal(START, E, signers=[A, B, C], seq=1), hired(START, "lab", signers=[C, D, E], seq=1)
    )
    assert named(error) == [C]
    assert set.intersection(*(set(record.signatures) for record in evidence)) == {C.entry.fpr}


def test_of_three_tips_of_one_sequence_everybody_who_signed_two_is_named():
    pairs = ([A, B, C], [C, D, E], [E, A, B])
    error, evidence = conviction(*(hired(START, f"lab {n}", signers=who, seq=1) for n, who in enumerate(pairs)))
    assert len(evidence) >= 2
    assert named(error) == [A, B, C, E]


def test_members_who_signed_one_of_two_tips_are_not_named():
    error, _ = conviction(hired(START, "x", signers=[A, B, C, D], seq=1), hired(START, "y", signers=[D, E, A], seq=1))
    assert named(error) == [A, D]


def test_a_fork_below_a_greater_tip_convicts_and_does_not_stop_the_log():
    first, second = hired(START, "x", signers=[A, B, C], seq=1), hired(START, "y", signers=[C, D, E], seq=1)
    further = hired(worlds.grown(START, first), "z", signers=[A, B, D], seq=2)
    log = in_every_order(first, second, further)
    ((one, two),) = log.doubles
    assert {one.mid, two.mid} == {first.mid, second.mid}
    assert set(one.signatures) & set(two.signatures) == {C.entry.fpr}


def test_doubles_convict_everybody_who_signed_two():
    groups = ([A, B, C], [C, D, E], [E, A, B])
    thrice = [hired(START, f"lab {n}", signers=who, seq=1) for n, who in enumerate(groups)]
    log = in_every_order(*thrice, hired(START, "last", signers=KEYS, seq=2))
    convicted = {fpr for one, two in log.doubles for fpr in set(one.signatures) & set(two.signatures)}
    assert convicted == {key.entry.fpr for key in (A, B, C, E)}


def test_doubles_of_several_sequences_come_in_one_order():
    twice = [hired(START, f"lab {seq} {n}", signers=KEYS, seq=seq) for seq in (3, 1, 2) for n in (0, 1)]
    log = Log.build([*START.records, *twice, hired(START, "last", signers=KEYS, seq=4)])
    assert log == Log.build([*START.records, *reversed(twice), hired(START, "last", signers=KEYS, seq=4)])
    assert [pair[0].body()["seq"] for pair in log.doubles] == [1, 2, 3]


def test_two_records_of_one_sequence_without_a_common_signer_convict_nobody():
    few = worlds.grown(START, removal(START, D, E, signers=[A, B, C], seq=1))
    one = hired(few, "x", signers=[A, B], seq=2)
    other = hired(START, "y", signers=[C, D, E], seq=2)
    log = in_every_order(few.records[1], one, other, hired(worlds.grown(START, other), "z", signers=[D, E, C], seq=3))
    assert log.doubles == ()


def test_an_incomplete_record_convicts_nobody():
    first, second = hired(START, "x", signers=[A, B, C], seq=1), hired(START, "y", signers=[C, D], seq=1)
    assert in_every_order(first, second).doubles == ()


def test_a_tie_for_which_nobody_is_at_fault_goes_to_the_greater_step_where_the_chains_part():
    # C signs a removal, sees nobody else sign it, and signs another change that D and E want. A and B complete the
    # removal and go on among the three. Everybody has kept the promise, and both chains end with sequence 2.
    gone = removal(START, D, E, signers=[A, B, C], seq=1)
    further = hired(worlds.grown(START, gone), "x", signers=[A, B], seq=2)
    other = hired(START, "y", signers=[C, D, E], seq=2)
    assert in_every_order(gone, further, other).records[-1].mid == other.mid


def test_a_tie_is_the_fault_of_who_signed_both_records_with_which_the_chains_part():
    ours, theirs = removal(START, D, E, signers=[A, B, C], seq=1), removal(START, A, B, signers=[C, D, E], seq=1)
    ours_on = removal(worlds.grown(START, ours), C, signers=[A, B], seq=2)
    theirs_on = removal(worlds.grown(START, theirs), C, signers=[D, E], seq=2)
    error, evidence = conviction(ours, ours_on, theirs, theirs_on)
    assert named(error) == [C]
    assert {record.mid for record in evidence} == {ours.mid, theirs.mid}


def test_more_than_half_of_an_old_roster_can_pass_the_present_chain_by():
    # The limit of the rule that the greatest sequence counts: former members who conspire outbid present ones.
    # Whoever follows the log remembers the head it knew and is told (federation.follow, logfile.import_log).
    present = worlds.grown(START, removal(START, D, E, signers=[A, B, C], seq=1))
    present = worlds.grown(present, hired(present, "x", signers=[A, B, C], seq=2))
    outbid = removal(START, A, B, signers=[C, D, E], seq=1_000)
    log = worlds.grown(present, outbid)
    assert log.records[-1].mid == outbid.mid
    assert present.head not in log.history


@dataclass
class Person:
    """Somebody in a simulated federation: honest ones do what the product does, others sign anything."""

    key: SigningKey
    honest: bool
    log: Log = START
    state: vault.State = field(default_factory=lambda: vault.new_state([]))

    def see(self, sent):
        """Follow the log; who sees a fork stays with what it knew."""
        with contextlib.suppress(ConflictError):
            self.log = Log.build([*self.log.records, *sent])

    def may_sign(self, record):
        """Whether this person signs: an honest one what follows its head and breaks no promise."""
        if not self.honest:
            return True
        try:
            quorum, _ = self.log.following(record)
            vault.promise(self.state, record)
        except ProtocolError:
            return False
        self.state["signed"] += [record.to_bytes().decode()]
        return self.key.entry in quorum.entries


def wish(rng, person):
    """A record on the head that a person sees, or None: two go, or a trainer comes, or an epoch."""
    log, promised = person.log, person.state["promised_seq"] if person.honest else rng.randrange(3)
    members, kind = list(log.roster.members), rng.choice(["out", "hire", "epoch"])
    if kind == "epoch":
        return worlds.record(log, [], seq=max(log.seq, promised) + 1, epoch=log.next_epoch)
    gone = rng.sample(members, min(2, len(members))) if kind == "out" else []
    hired = [worlds.identity(f"lab {rng.randrange(3)}", "trainer").entry] if kind == "hire" else []
    rest, trainers = [member for member in members if member not in gone], {*log.roster.trainers, *hired}
    with contextlib.suppress(ProtocolError):
        return changes.make_roster(log, rest, list(trainers), [], promised=promised)
    return None


def played(rng, people):
    """Everything ever sent in a federation where messages are late, come in any order, and to some not at all."""
    sent, wishes = [], []
    for _ in range(rng.randrange(4, 12)):
        author = rng.choice(people)
        wishes += [record] if (record := wish(rng, author)) else []
        if not wishes:
            continue
        record = rng.choice(wishes[-3:])
        sent += [worlds.signed_by(record, [one.key]) for one in people if rng.random() < 0.8 and one.may_sign(record)]
        for person in people:
            if rng.random() < 0.5:
                person.see(rng.sample(sent, rng.randrange(len(sent) + 1)))
    return sent


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), liars=st.sets(st.sampled_from(KEYS), max_size=3))
def test_a_fork_always_convicts_somebody_and_never_somebody_honest(seed, liars):
    sent = played(random.Random(seed), [Person(key, key not in liars) for key in KEYS])
    try:
        doubles, stopped = Log.build([*START.records, *sent]).doubles, None
    except ConflictError as error:
        records = [Envelope.from_bytes(text) for text in error.evidence]
        doubles, stopped = combinations(records, 2), set(named(error))
    convicted = {fpr for pair in doubles if len({one.body()["seq"] for one in pair}) == 1 for fpr in both_signed(*pair)}
    assert convicted <= {key.entry.fpr for key in liars}
    assert stopped is None or (convicted and stopped and stopped <= liars)
    event("a fork" if stopped else "somebody is convicted" if convicted else "nobody is convicted")


def both_signed(one, two):
    """Who signed both of two records."""
    return set(one.signatures) & set(two.signatures)


def test_a_remembered_change_is_kept_although_an_old_majority_outbids_it():
    keys = worlds.holders(5)
    log = worlds.founded(keys)
    removal = worlds.roster_record(log, [key.entry for key in keys[:3]], signers=keys[:3], seq=1)
    remembered = worlds.grown(log, removal)
    outbidding = worlds.roster_record(log, [key.entry for key in keys[2:]], signers=keys[2:], seq=9)
    everything = [*remembered.records, outbidding]
    assert Log.build(everything).head["id"] == outbidding.mid
    kept = Log.build(everything, log.fed, remembered.changes)
    assert (kept.head, kept.outbid) == (remembered.head, outbidding)


def test_without_a_remembered_change_nothing_is_outbid():
    keys = worlds.holders(3)
    log = worlds.grown(worlds.founded(keys), worlds.record(worlds.founded(keys), keys, seq=1, epoch=1))
    assert Log.build(log.records, log.fed, log.changes).outbid is None
