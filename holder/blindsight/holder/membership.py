"""A member's side of changes: who joins and who leaves, which epochs have ended. FORMAT.md section C.

Whoever makes a change signs it first; the others find it in the drop-box and sign it or do not. The promise that goes
with a signature is saved before the signature leaves.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from blindsight.holder import vault
from blindsight.protocol import changes
from blindsight.protocol.agreement import MAX_SEQ_STEP
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import plain_code
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import MembershipError, ProtocolError
from blindsight.protocol.grant import Join, read_join
from blindsight.protocol.identity import Entry
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.log import Log, Pending
from blindsight.protocol.roster import Roster

JOIN_FOLDER = "join"
NEWCOMERS_SEQ_STEP = 2**40


def requests(box: DropBox, log: Log, moment: datetime) -> list[Join]:
    """The valid requests for secrets in the box, the newest of each identity, by fingerprint."""
    newest: dict[str, Join] = {}
    for envelope in box.signed(log.fed, JOIN_FOLDER):
        try:
            join = read_join(envelope, log.fed, moment)
        except ProtocolError:
            continue  # whoever can write into the box must not keep others from joining
        if join.entry.fpr not in newest or newest[join.entry.fpr].expires <= join.expires:
            newest[join.entry.fpr] = join
    return [newest[fpr] for fpr in sorted(newest)]


def strangers(box: DropBox, log: Log, moment: datetime) -> list[Entry]:
    """Who could be admitted: holders with a request, trainers and operators with a card, none on the roster yet."""
    asked = [join.entry for join in requests(box, log, moment) if join.entry.role == "holder"]
    carded = [entry for entry in box.cards() if entry.role in ("trainer", "operator")]
    known = {entry.fpr for entry in log.roster.everybody}
    return [entry for entry in (*asked, *carded) if entry.fpr not in known]


def admit(store: Keystore, box: DropBox, log: Log, code: str, moment: datetime) -> Envelope:
    """Make and sign a roster record with one more member, trainer or operator.

    Args:
        store: the member's opened keystore.
        box: the drop-box.
        log: the membership log.
        code: the whole fingerprint code, as the newcomer read it to this member.
        moment: the present time.

    Raises:
        MembershipError: E_ROSTER, nobody with that code asks, or this identity is no member.
    """
    log.roster.member(store.key.entry.fpr)
    asking = strangers(box, log, moment)
    new = next((entry for entry in asking if plain_code(entry.code) == plain_code(code)), None)
    if new is None:
        known = ", ".join(f"{entry.role} {entry.label}" for entry in asking) or "nobody"
        raise MembershipError(
            f"nobody with that fingerprint code asks to join; asking are: {known}",
            code="E_ROSTER",
            hint="the newcomer reads out all ten groups of its fingerprint code (blindsight holder key show)",
        )
    roster = log.roster
    lists = (roster.members, roster.trainers, roster.operators)
    roles = ("holder", "trainer", "operator")
    grown = [(*entries, new) if role == new.role else entries for role, entries in zip(roles, lists, strict=True)]
    return _sign(store, box, log, changes.make_roster(log, *grown, promised=_promised(store, log)))


def remove(store: Keystore, box: DropBox, log: Log, who: Entry) -> Envelope:
    """Make and sign a roster record without one member, trainer or operator.

    Raises:
        MembershipError: E_ROSTER, too few members would stay, or this identity is no member; a member does not remove
            itself, because the signature of who leaves counts for nothing.
    """
    if log.roster.member(store.key.entry.fpr) == who:
        raise MembershipError(
            "the signature of who leaves does not count",
            code="E_ROSTER",
            hint=f"another member types: blindsight holder federation remove {who.code[:9]}",
        )
    lists = (log.roster.members, log.roster.trainers, log.roster.operators)
    rest = [tuple(entry for entry in entries if entry.fpr != who.fpr) for entries in lists]
    return _sign(store, box, log, changes.make_roster(log, *rest, promised=_promised(store, log)))


def retire(store: Keystore, box: DropBox, log: Log, epochs: Iterable[int], reason: str) -> Envelope:
    """Make and sign a record that ends epochs.

    Raises:
        ProtocolError: see ``changes.make_retire``; E_ROSTER, this identity is no member.
    """
    log.roster.member(store.key.entry.fpr)
    return _sign(store, box, log, changes.make_retire(log, epochs, reason, promised=_promised(store, log)))


def pending(store: Keystore, box: DropBox, log: Log) -> list[Pending]:
    """The changes that wait for signatures."""
    return log.pending([*box.records(log.fed), *vault.signed(store.data["feds"][log.fed])])


def approve(store: Keystore, box: DropBox, log: Log, start: str) -> Envelope:
    """Sign a change that another member has made.

    Args:
        store: the member's opened keystore.
        box: the drop-box.
        log: the membership log.
        start: the start of the record's id, as ``federation changes`` shows it.

    Raises:
        MembershipError: E_ROSTER, there is no such change, or this identity has no say in it; E_SEQ.
        ConflictError: E_SEQ, another record of that sequence is promised.
    """
    found = [one for one in pending(store, box, log) if one.record.mid.startswith(start)]
    if len(found) != 1 or not start:
        known = ", ".join(one.record.mid[:12] for one in pending(store, box, log)) or "none"
        raise MembershipError(
            f"{len(found)} open changes begin with {start[:64]!r}; open are: {known}",
            code="E_ROSTER",
            hint="blindsight holder federation changes",
        )
    record = found[0].record
    quorum, _ = log.following(record)
    if store.key.entry.fpr not in {entry.fpr for entry in quorum.entries}:
        raise MembershipError(f"{store.key.entry.label} has no say in this change", code="E_ROSTER")
    return _sign(store, box, log, Envelope(record.type, record.payload, {}))


def described(log: Log, one: Pending) -> dict[str, object]:
    """What a change would do, for people."""
    facts: dict[str, object] = {"change": one.record.mid[:12]}
    if "epochs" in one.body:
        facts |= {"retires": one.body["epochs"], "reason": one.body["reason"]}
    else:
        come, go = log.roster.difference(Roster.of(one.record.mid, one.body))
        facts |= {"joins": [f"{entry.role} {entry.name} ({entry.code})" for entry in come]}
        facts |= {"leaves": [f"{entry.role} {entry.label}" for entry in go]}
    people = {entry.fpr: entry.label for entry in log.following(one.record)[0].entries}
    facts["signed"] = [label for fpr, label in people.items() if fpr in one.record.signatures]
    return facts | {"may still sign": [entry.label for entry in one.missing]}


def _promised(store: Keystore, log: Log) -> int:
    promised: int = store.data["feds"][log.fed]["promised_seq"]
    return promised


def _sign(store: Keystore, box: DropBox, log: Log, record: Envelope) -> Envelope:
    state, seq = store.data["feds"][log.fed], record.body()["seq"]
    # Who is no member yet has not seen the proposals that raised the others' promises.
    step = MAX_SEQ_STEP if store.key.entry in log.roster.members else NEWCOMERS_SEQ_STEP
    ceiling = max(log.seq, state["promised_seq"], state["known_seq"]) + step
    if seq > ceiling:
        raise MembershipError(f"the change jumps to sequence {seq}, expected at most {ceiling}", code="E_SEQ")
    signed = record.signed(store.key)
    vault.promise(state, record)
    text = signed.to_bytes().decode()
    state["signed"] += [text] if text not in state["signed"] else []
    store.save()
    box.put_record(signed, log.fed, seq, store.key.entry.fpr)
    return signed
