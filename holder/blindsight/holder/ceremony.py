"""A member's side of the epoch ceremony: the pure session, the sealed keystore and the drop-box put together.

Order of every step: take in messages, advance, save the keystore, only then let messages leave. Killed between any
two of these, the next step goes on where this one was; what it sends again is byte-identical.

A step does everything that is possible now: it accepts an open proposal, ends a session that cannot go on (deadline,
another member's abort, a complaint, a log that has moved on) and takes up the next one. Of several open proposals the
one with the smallest id takes precedence, so members who proposed at the same time come together. A confirmed session
whose deadline has passed, or that a member left who has not confirmed, is set aside: its secret stays pending.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from blindsight.holder import joining, notices
from blindsight.holder.endings import (
    OPEN,
    fault_of,
    heed_late_complaints,
    is_late,
    late,
    may_set_aside,
    set_aside,
)
from blindsight.holder.evidence import write_evidence
from blindsight.holder.letterbox import Letters, Refusal, demand_mine
from blindsight.holder.member import Entropy, Member, finish, keep, offer_again, remember, send
from blindsight.protocol import agreement
from blindsight.protocol.clock import to_text
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, PolicyError, ProtocolError
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.log import Log
from blindsight.protocol.messages import PROPOSE
from blindsight.protocol.records import EPOCH
from blindsight.protocol.session import Phase, Session

MOST_SESSIONS_A_STEP = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step has done.

    Args:
        phase: the session's phase, or ``idle``.
        epoch: number of the epoch at stake, 0 when none is.
        schemes: names of the schemes it allows or is to allow.
        kcv: key check value once the secret exists.
        waiting_kind: kind of message still needed.
        waiting_for: whose, by label.
        refused: messages that were not taken in, and sessions that have ended badly in this step.
        evidence: evidence files written.
    """

    phase: str
    epoch: int = 0
    schemes: tuple[str, ...] = ()
    kcv: str = ""
    waiting_kind: str = ""
    waiting_for: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    evidence: tuple[Path, ...] = ()


def propose(
    store: Keystore,
    box: DropBox,
    log: Log,
    *,
    schemes: Sequence[Mapping[str, Any]],
    moment: datetime,
    deadline: datetime,
    not_after: datetime,
    entropy: Entropy = os.urandom,
) -> Envelope:
    """Propose the next epoch and commit to it.

    Args:
        store: the member's opened keystore.
        box: the drop-box.
        log: the membership log.
        schemes: what may be used in the epoch.
        moment: the present time.
        deadline: when members give up waiting.
        not_after: last moment of use of the epoch.
        entropy: gives so many random bytes.

    Raises:
        PolicyError: E_EXISTS, a ceremony or somebody's proposal is open already.
        MembershipError: E_ROSTER, this identity is no member (any more).
    """
    me = Member(store, box, log, moment, entropy)
    log.roster.member(store.key.entry.fpr)
    open_ones, _ = me.letters().proposals(log, me.terms, moment)
    if me.session is not None or open_ones:
        raise PolicyError("a ceremony is open already", code="E_EXISTS", hint="blindsight holder epoch step")
    proposal = agreement.make_proposal(
        store.key,
        log,
        schemes=schemes,
        nonce=entropy(32),
        created=to_text(moment),
        deadline=to_text(deadline),
        not_after=to_text(not_after),
        promised=max(me.terms.values()),
    )
    session = _accept(me, proposal)
    keep(me, session)
    send(me, session)
    return proposal


def abort(store: Keystore, box: DropBox, log: Log, moment: datetime) -> str:
    """Give up the open ceremony: its session id.

    Raises:
        PolicyError: E_ABORT, none is open, or this member has confirmed: that cannot be taken back.
    """
    me = Member(store, box, log, moment)
    session = me.session
    if session is None:
        raise PolicyError("no ceremony is open here", code="E_ABORT")
    if session.phase not in OPEN:
        raise PolicyError(
            "this member has confirmed, which cannot be taken back: the others may have completed the record",
            code="E_ABORT",
            hint="after the deadline, blindsight holder epoch step sets the ceremony aside",
        )
    finish(me, agreement.give_up(session, store.key, "person"))
    return session.sid


def step(store: Keystore, box: DropBox, log: Log, moment: datetime, *, entropy: Entropy = os.urandom) -> Progress:
    """Do everything that is possible now.

    Args:
        store: the member's opened keystore.
        box: the drop-box.
        log: the membership log.
        moment: the present time.
        entropy: gives so many random bytes.

    Returns:
        How far the ceremony is. What was refused, and a session that has ended badly, stands in ``refused``.
    """
    me = Member(store, box, log, moment, entropy)
    offer_again(me)
    _, refused = joining.take(store, box, log)
    notices.heed_complaints(store, box, log, me.letters().every, moment)
    heed_late_complaints(me)
    for _ in range(MOST_SESSIONS_A_STEP):
        session, over, found = _one_session(me)
        refused += [refusal for refusal in found if str(refusal) not in map(str, refused)]
        if not over:
            break
    progress = _progress(session, log) if session and not over else _at_rest(log)
    return replace(progress, refused=tuple(refused), evidence=write_evidence(store, [r.error for r in refused]))


def _one_session(me: Member) -> tuple[Session | None, bool, list[Refusal]]:
    """Bring one session as far as it goes: how it is now, if there is one; whether it is over; what was refused."""
    letters, session = me.letters(), me.session
    refused = list(letters.refused)
    if session is None:
        proposals, bad = letters.proposals(me.log, me.terms, me.moment)
        refused += bad
        session, bad = _join_first(me, letters, proposals)
        refused += bad
        if session is None:
            return None, bool(bad), refused
    session, bad = _take_in(me, session, letters)
    session, fault = _advance(me, session, letters)
    fault = fault or set_aside(me, session)
    refused += bad + ([Refusal(f"session {session.sid[:12]}", fault)] if fault else [])
    over = session.over or may_set_aside(me, session)
    if over:
        remember(me, session)
        finish(me, session)
    else:
        keep(me, session)
        send(me, session)
    return session, over, refused


def _join_first(me: Member, letters: Letters, proposals: Sequence[Envelope]) -> tuple[Session | None, list[Refusal]]:
    """Accept the proposal that takes precedence; never one in which this identity has spoken before."""
    for proposal in proposals:
        if not _has_spoken(me, letters, proposal.mid):
            return _accept(me, proposal), []
        rolled_back = ConflictError(
            "this identity has spoken in a ceremony that its keystore does not know: the keystore is out of date",
            code="E_ROLLBACK",
            hint="was it restored from a backup, or is it used in two places? This ceremony is given up",
        )
        seq = proposal.body()["seq"]  # whether it has confirmed, it cannot know any more
        me.state["promised_seq"] = max(me.state["promised_seq"], seq)
        finish(me, _abandoned(me, proposal))
        return None, [Refusal(f"session {proposal.mid[:12]}", rolled_back)]
    return None, []


def _has_spoken(me: Member, letters: Letters, sid: str) -> bool:
    mine = me.store.key.entry
    return any(letter.sid == sid and letter.envelope.is_signed_by(mine) for letter in letters.of_session(sid))


def _abandoned(me: Member, proposal: Envelope) -> Session:
    """A session of which nothing is known here but that it must end."""
    empty = Session(me.store.key.entry.fpr, me.log.roster.members, proposal, Phase.COMMITTED)
    return agreement.give_up(empty, me.store.key, "person")


def _accept(me: Member, proposal: Envelope) -> Session:
    seed, contribution = me.entropy(32), me.entropy(32)
    session = agreement.accept(me.store.key, me.log, proposal, kem_seed=seed, contribution=contribution, **me.terms)
    me.state["known_seq"] = max(me.state["known_seq"], proposal.body()["seq"])
    return session


def _take_in(me: Member, session: Session, letters: Letters) -> tuple[Session, list[Refusal]]:
    refused = []
    for letter in letters.of_session(session.sid):
        try:
            demand_mine(letter, session.sid)
            if letter.envelope.type != PROPOSE:
                session = agreement.receive(session, letter.envelope)
        except ProtocolError as error:
            refused.append(Refusal(letter.file, error))
    for record in me.log.records:  # the complete record, if the others have it already, carries their confirms
        if record.type == EPOCH and record.body()["sid"] == session.sid:
            session = agreement.receive(session, record)
    return session, refused


def _advance(me: Member, session: Session, letters: Letters) -> tuple[Session, ProtocolError | None]:
    """As far as it goes, and what went wrong."""
    wanted = _if_still_wanted(me, session)
    try:
        advanced = agreement.advance(wanted, me.store.key)
    except ConflictError as error:
        wanted = agreement.revealed(wanted, me.store.key)
        return agreement.give_up(wanted, me.store.key, "deadline") if is_late(me, wanted) else wanted, error
    if advanced.phase is Phase.COMMITTED and _rival(me, session, letters):
        return agreement.give_up(advanced, me.store.key, "rival"), None
    if advanced.over:
        return advanced, fault_of(me, advanced)
    if is_late(me, advanced):
        return agreement.give_up(advanced, me.store.key, "deadline"), late(me, advanced)
    return advanced, None


def _if_still_wanted(me: Member, session: Session) -> Session:
    """A member confirms only on its own head and above every promise; otherwise it gives up."""
    body = session.proposal.body()
    stale = body["prev"] != me.log.records[-1].mid or body["seq"] <= me.state["promised_seq"]
    return agreement.give_up(session, me.store.key, "head") if stale and session.phase in OPEN else session


def _rival(me: Member, session: Session, letters: Letters) -> bool:
    proposals, _ = letters.proposals(me.log, me.terms, me.moment)
    return any(other.mid < session.sid and not _has_spoken(me, letters, other.mid) for other in proposals)


def _progress(session: Session, log: Log) -> Progress:
    kind, waiting = session.waiting_for()
    confirmed = session.phase in (Phase.CONFIRMED, Phase.ACTIVE)
    return Progress(
        phase=session.phase.value,
        epoch=session.proposal.body()["epoch"],
        schemes=names_of(session.proposal.body()["schemes"]),
        kcv=session.record.body()["kcv"] if confirmed else "",
        waiting_kind=kind,
        waiting_for=tuple(member.label for member in waiting),
    )


def _at_rest(log: Log) -> Progress:
    if not log.epochs:
        return Progress("idle")
    return Progress(Phase.ACTIVE.value, log.latest.number, names_of(log.latest.schemes), log.latest.kcv)


def names_of(schemes: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Names of allowed schemes as a proposal or a record lists them."""
    return tuple(str(scheme["id"]) for scheme in schemes)


def proposals(store: Keystore, box: DropBox, log: Log, moment: datetime) -> list[Envelope]:
    """Proposals that stand open for this member: what it takes part in with its next step, unless it does not.

    Args:
        store: the member's opened keystore.
        box: the drop-box.
        log: the membership log.
        moment: the present time.
    """
    me = Member(store, box, log, moment, os.urandom)
    return me.letters().proposals(log, me.terms, moment)[0]
