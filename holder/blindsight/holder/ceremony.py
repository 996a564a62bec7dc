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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from blindsight.holder import joining, notices, vault
from blindsight.holder.evidence import write_evidence
from blindsight.holder.letterbox import Letters, Refusal, demand_mine
from blindsight.protocol import agreement
from blindsight.protocol.clock import is_past, to_text
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, PolicyError, ProtocolError, SignatureError
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.log import Log
from blindsight.protocol.messages import ABORT, COMMIT, COMPLAINT, PROPOSE, REVEAL
from blindsight.protocol.records import EPOCH
from blindsight.protocol.session import Phase, Session, from_json, to_json

Entropy = Callable[[int], bytes]
KINDS = {COMMIT: "commit", REVEAL: "reveal", EPOCH: "confirm", COMPLAINT: "complaint", ABORT: "abort"}
OPEN = (Phase.COMMITTED, Phase.REVEALED)
MOST_SESSIONS_A_STEP = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step has done.

    Args:
        phase: the session's phase, or ``idle``.
        epoch: number of the epoch at stake, 0 when none is.
        kcv: key check value once the secret exists.
        waiting_kind: kind of message still needed.
        waiting_for: whose, by label.
        refused: messages that were not taken in, and sessions that have ended badly in this step.
        evidence: evidence files written.
    """

    phase: str
    epoch: int = 0
    kcv: str = ""
    waiting_kind: str = ""
    waiting_for: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    evidence: tuple[Path, ...] = ()


@dataclass(slots=True)
class Member:
    """One member at work on one federation.

    Args:
        store: the opened keystore.
        box: the drop-box.
        log: the membership log.
        moment: the present time.
        entropy: gives so many random bytes.
    """

    store: Keystore
    box: DropBox
    log: Log
    moment: datetime
    entropy: Entropy = os.urandom

    @property
    def state(self) -> vault.State:
        """What the keystore remembers of the federation."""
        state: vault.State = self.store.data["feds"][self.log.fed]
        return state

    @property
    def session(self) -> Session | None:
        """The open session."""
        document = self.state["session"]
        return None if document is None else from_json(document)

    @property
    def terms(self) -> Mapping[str, int]:
        """The sequences that bound what may be proposed."""
        return {"promised": self.state["promised_seq"], "known": self.state["known_seq"]}

    def letters(self) -> Letters:
        """What lies in the box and is not history."""
        agreed = {epoch.sid for epoch in self.log.epochs.values()}
        return Letters.of(self.box, self.log.fed, agreed | set(self.state["ended"]))


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
        promised=me.state["promised_seq"],
    )
    session = _accept(me, proposal)
    _keep(me, session)
    _send(me, session)
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
    _finish(me, agreement.give_up(session, store.key, "person"))
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
    _offer_again(me)
    _, refused = joining.take(store, box, log)
    notices.heed_complaints(store, box, log, me.letters().every, moment)
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
    fault = fault or _set_aside(me, session)
    refused += bad + ([Refusal(f"session {session.sid[:12]}", fault)] if fault else [])
    _keep(me, session)
    over = session.over or _may_set_aside(me, session)
    if over:
        _finish(me, session)
    else:
        _send(me, session)
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
        _finish(me, _abandoned(me, proposal))
        return None, [Refusal(f"session {proposal.mid[:12]}", rolled_back)]
    return None, []


def _has_spoken(me: Member, letters: Letters, sid: str) -> bool:
    mine = me.store.key.entry
    own = [letter for letter in letters.of_session(sid) if letter.sid == sid and letter.envelope.type != PROPOSE]
    return any(letter.envelope.is_signed_by(mine) for letter in own)


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
    try:
        advanced = agreement.advance(_if_still_wanted(me, session), me.store.key)
    except ConflictError as error:
        return _in_time(me, session)[0], error
    if advanced.phase is Phase.COMMITTED and _rival(me, session, letters):
        return agreement.give_up(advanced, me.store.key, "rival"), None
    if advanced.over:
        _blame_aborts(me, advanced)
        return advanced, _fault_of(advanced)
    return _in_time(me, advanced)


def _if_still_wanted(me: Member, session: Session) -> Session:
    """A member confirms only on its own head and above every promise; otherwise it gives up."""
    body = session.proposal.body()
    stale = body["prev"] != me.log.records[-1].mid or body["seq"] <= me.state["promised_seq"]
    return agreement.give_up(session, me.store.key, "head") if stale and session.phase in OPEN else session


def _rival(me: Member, session: Session, letters: Letters) -> bool:
    proposals, _ = letters.proposals(me.log, me.terms, me.moment)
    return any(other.mid < session.sid and not _has_spoken(me, letters, other.mid) for other in proposals)


def _in_time(me: Member, session: Session) -> tuple[Session, ProtocolError | None]:
    """A member that still cannot confirm at the deadline gives up."""
    if session.phase not in OPEN or not is_past(session.proposal.body()["deadline"], me.moment):
        return session, None
    kind, missing = session.waiting_for()
    vault.blame(me.state, [member.fpr for member in missing])
    names = ", ".join(member.label for member in missing)
    waited = f", waiting for the {kind} of {names}" if names else ""
    error = PolicyError(
        f"the ceremony's deadline has passed{waited}; its secrets are erased",
        code="E_EXPIRED",
        hint="blindsight holder epoch propose",
    )
    return agreement.give_up(session, me.store.key, "deadline"), error


def _blame_aborts(me: Member, session: Session) -> None:
    people = [fpr for fpr, message in session.aborts.items() if message.body()["reason"] == "person"]
    vault.blame(me.state, people)


def _fault_of(session: Session) -> ProtocolError | None:
    """Why a session is over, for people, with what convinces others."""
    if session.phase is Phase.ABORTED:
        others = ", ".join(session.entry(fpr).label for fpr in session.aborts if fpr != session.me)
        by = f" ({others})" if others else ""
        return PolicyError(f"the ceremony was given up: {session.fault}{by}", code="E_ABORT")
    code, _, sentence = session.fault.partition(": ")
    complaints = list(session.complaints.values())
    involved = {fpr for complaint in complaints for fpr in (complaint.body()["from"], complaint.body()["about"])}
    said = [box[fpr] for box in (session.commits, session.reveals) for fpr in sorted(involved) if fpr in box]
    evidence = tuple(document.to_bytes() for document in (*complaints, *said))
    kind = ConflictError if code == "E_COMPLAINT" else SignatureError
    return kind(sentence, code=code, evidence=evidence)


def _may_set_aside(me: Member, session: Session) -> bool:
    """A confirmed session may be left when its deadline has passed, or when a member left who has not confirmed."""
    if session.phase is not Phase.CONFIRMED:
        return False
    return is_past(session.proposal.body()["deadline"], me.moment) or bool(set(session.aborts) - set(session.confirms))


def _set_aside(me: Member, session: Session) -> ProtocolError | None:
    if not _may_set_aside(me, session):
        return None
    kind, missing = session.waiting_for()
    vault.blame(me.state, [member.fpr for member in missing])
    return PolicyError(
        f"the ceremony is set aside without the {kind} of {', '.join(member.label for member in missing)}; "
        "its secret stays here in case it is completed after all",
        code="E_EXPIRED",
        hint="blindsight holder epoch propose",
    )


def _keep(me: Member, session: Session) -> None:
    """Persist the session, its secret and the promise, before anything leaves."""
    me.state["session"] = to_json(session)
    if session.phase in (Phase.CONFIRMED, Phase.ACTIVE):
        vault.hold(me.state, session)
    if session.phase is Phase.ACTIVE:
        record = session.record.to_bytes().decode()
        me.state["records"] += [record] if record not in me.state["records"] else []
        me.state["session"], me.state["aborts"] = None, {}
    me.store.save()


def _finish(me: Member, session: Session) -> None:
    """Close the session for good, then say so."""
    vault.end(me.state, session, session.phase.value)
    me.store.save()
    _send(me, session)


def _send(me: Member, session: Session) -> None:
    mine = me.store.key.entry.fpr
    me.box.put_message(session.proposal, me.log.fed, session.sid, "propose", session.proposal.body()["from"])
    _send_messages(me, session.sid, session.outbox)
    if session.phase is Phase.ACTIVE:
        record = session.record
        me.box.put_record(record, me.log.fed, record.body()["seq"], mine)


def _send_messages(me: Member, sid: str, messages: Sequence[Envelope]) -> None:
    """Confirms go among the records, too: whoever has all of them has the record."""
    mine = me.store.key.entry.fpr
    for message in messages:
        me.box.put_message(message, me.log.fed, sid, KINDS[message.type], mine)
        if message.type == EPOCH:
            me.box.put_record(message, me.log.fed, message.body()["seq"], mine)


def _offer_again(me: Member) -> None:
    """Send again what others may lack: the chain, signatures under open records, messages of ended sessions."""
    mine = me.store.key.entry.fpr
    for record in (*me.log.records[1:], *vault.signed(me.state)):
        me.box.put_record(record, me.log.fed, record.body()["seq"], mine)
    for sid, ended in me.state["ended"].items():
        _send_messages(me, sid, [Envelope.from_bytes(text.encode()) for text in ended["outbox"]])


def _progress(session: Session, log: Log) -> Progress:
    kind, waiting = session.waiting_for()
    confirmed = session.phase in (Phase.CONFIRMED, Phase.ACTIVE)
    return Progress(
        phase=session.phase.value,
        epoch=session.proposal.body()["epoch"],
        kcv=session.record.body()["kcv"] if confirmed else "",
        waiting_kind=kind,
        waiting_for=tuple(member.label for member in waiting),
    )


def _at_rest(log: Log) -> Progress:
    if not log.epochs:
        return Progress("idle")
    return Progress(Phase.ACTIVE.value, log.latest.number, log.latest.kcv)
