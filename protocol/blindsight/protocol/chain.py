"""Which chain of records counts, who broke the promise, which warnings stand. FORMAT.md sections C.4 and C.5.

The rules are those that ``log`` lists; here is how they are decided among everything that lies about.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from blindsight.protocol.copies import Copies, assembled, missing_signers
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, MembershipError, ProtocolError
from blindsight.protocol.records import GENESIS, NOTICE, entries_of, read_record

if TYPE_CHECKING:
    from blindsight.protocol.log import Log


def by_predecessor(groups: Iterable[Copies]) -> dict[str, list[Copies]]:
    """Well-formed records by the record they follow, so that a long log is read once and not once for each step."""
    found: dict[str, list[Copies]] = {}
    for copies in groups:
        try:
            predecessor = read_record(copies[0]).get("prev")
        except ProtocolError:
            continue
        if predecessor:
            found.setdefault(predecessor, []).append(copies)
    return found


def _is_genesis(envelope: Envelope) -> bool:
    if envelope.type != GENESIS:
        return False
    try:
        read_record(envelope)
    except ProtocolError:
        return False
    return True


def one_genesis(copies: Mapping[str, Copies], fed: str | None) -> Envelope:
    """The complete genesis of a federation, among copies of whatever documents.

    Raises:
        MembershipError: E_FED, none or several; E_QUORUM, signatures are missing.
    """
    found = [group for mid, group in copies.items() if fed in (None, mid) and _is_genesis(group[0])]
    complete = [group for group in found if not missing_signers(group)]
    if len(complete) == 1:
        return assembled(complete[0], entries_of(read_record(complete[0][0]), "members"))
    if complete:
        raise MembershipError("several federations are present", hint="name one with --federation CODE")
    if not found:
        raise MembershipError(
            "there is no genesis of that federation that can be read", hint="blindsight holder federation create"
        )
    waiting = ", ".join(member.label for member in missing_signers(found[0]))
    raise MembershipError(
        f"the genesis still lacks a valid signature of: {waiting}",
        code="E_QUORUM",
        hint="each of them types: blindsight holder federation sign",
    )


def notices(groups: Iterable[Copies], log: Log) -> tuple[Envelope, ...]:
    """The warnings that count, of each member the first about an epoch: nobody floods the log with them."""
    found = [notice for group in groups if group[0].type == NOTICE and (notice := _warning(group, log))]
    first: dict[tuple[str, int], Envelope] = {}
    for notice in sorted(found, key=lambda notice: (notice.body()["created"], notice.mid)):
        body = notice.body()
        first.setdefault((body["from"], body["epoch"]), notice)
    return tuple(sorted(first.values(), key=lambda notice: notice.mid))


def _warning(copies: Copies, log: Log) -> Envelope | None:
    """A notice with its author's signature alone, if that is a present member and the epoch is on the chain."""
    try:
        body = read_record(copies[0])
        author = log.roster.member(body["from"])
    except ProtocolError:
        return None
    epoch = log.epochs.get(body["epoch"])
    if body["fed"] != log.fed or epoch is None or epoch.record != body["record"]:
        return None
    notice = assembled(copies, [author])
    return notice if notice.signatures else None


def greatest(candidates: Sequence[Log]) -> Log:
    """The chain whose tip has the greatest sequence; of several, the one that took the greater step where they part."""
    top = max(log.seq for log in candidates)
    tied = sorted((log for log in candidates if log.seq == top), key=_steps, reverse=True)
    best, others = tied[0], tied[1:]
    found = [pair for other in others if (pair := _double(best, other))]
    if found:
        found += doubles(tied)
        both = set.union(*(set(one.signatures) & set(two.signatures) for one, two in found))
        people = {member.fpr: member.label for log in candidates for member in log.roster.members}
        raise ConflictError(
            f"two chains end with sequence {top}; at fault is who signed two records of one sequence: "
            + ", ".join(sorted(people[fpr] for fpr in both)),
            code="E_FORK",
            evidence=tuple({record.mid: record.to_bytes() for pair in found for record in pair}.values()),
        )
    return best


def kept(candidates: Sequence[Log], keep: Collection[str]) -> tuple[Log, Envelope | None]:
    """The chain that counts for whoever keeps some records, and the tip of another that leaves some out and is no less.

    Raises:
        ConflictError: E_FORK, among chains that hold all of them.
    """
    faithful = [log for log in candidates if {record.mid for record in log.records}.issuperset(keep)] or candidates
    best = greatest(faithful)
    others = [log for log in candidates if log not in faithful and log.seq >= best.seq]
    return best, max(others, key=_steps).records[-1] if others else None


def _steps(log: Log) -> list[tuple[int, str]]:
    return [(head["seq"], head["id"]) for head in log.history]


def _double(one: Log, two: Log) -> tuple[Envelope, Envelope] | None:
    """Two records of one sequence, in chains with equal tips, that somebody signed both of.

    They are the last ones, or those with which the chains part: these have one roster, two quorums of which meet. If
    they differ in sequence and nobody signed both last ones, everybody may have kept the promise: no fault, no fork.
    """
    parting = sum(head in two.history for head in one.history)
    for place in (-1, parting):
        a, b = one.records[place], two.records[place]
        if one.history[place]["seq"] == two.history[place]["seq"] and set(a.signatures) & set(b.signatures):
            return a, b
    return None


def doubles(tips: Sequence[Log]) -> tuple[tuple[Envelope, Envelope], ...]:
    """Pairs of complete records of one sequence, at least one for everybody who signed two."""
    records = sorted(((tip.seq, tip.records[-1].mid, tip.records[-1]) for tip in tips), key=lambda one: one[:2])
    first: dict[tuple[int, str], Envelope] = {}
    convicted: set[tuple[int, str]] = set()
    pairs = []
    for seq, _, record in records:
        for fpr in sorted(record.signatures):
            other = first.setdefault((seq, fpr), record)
            if other is not record and (seq, fpr) not in convicted:
                pairs.append((other, record))
                convicted |= {(seq, both) for both in set(other.signatures) & set(record.signatures)}
    return tuple(pairs)
