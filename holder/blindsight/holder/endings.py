"""How a ceremony ends badly for a member: too late, given up, void, set aside; and whom that is counted against."""

from __future__ import annotations

from blindsight.holder import notices, vault
from blindsight.holder.member import Member
from blindsight.protocol import verdict
from blindsight.protocol.clock import is_past
from blindsight.protocol.errors import ConflictError, PolicyError, ProtocolError, SignatureError
from blindsight.protocol.session import Phase, Session

OPEN = (Phase.COMMITTED, Phase.REVEALED)


def is_late(me: Member, session: Session) -> bool:
    """Whether a member still cannot confirm at the deadline."""
    return session.phase in OPEN and is_past(session.proposal.body()["deadline"], me.moment)


def late(me: Member, session: Session) -> ProtocolError:
    """The deadline has passed: this is counted against those who were waited for."""
    kind, missing = session.waiting_for()
    vault.blame(me.state, [member.fpr for member in missing])
    names = ", ".join(member.label for member in missing)
    waited = f", waiting for the {kind} of {names}" if names else ""
    return PolicyError(
        f"the ceremony's deadline has passed{waited}; its secrets are erased",
        code="E_EXPIRED",
        hint="blindsight holder epoch propose",
    )


def _without_cause(me: Member, session: Session) -> list[str]:
    """Who gave up although nothing forced it: reasons are claims, and who has seen all reveals may be choosing.

    Whoever keeps its own reveal back has seen all the others' sooner than they: it is judged as if it had revealed.
    """
    proposal = session.proposal.body()
    reasons = {fpr: message.body()["reason"] for fpr, message in session.aborts.items()}
    causes = {
        "deadline": is_past(proposal["deadline"], me.moment),
        "abort": set(reasons.values()) != {"abort"} or bool(session.complaints),
        "head": proposal["prev"] != me.log.records[-1].mid,
    }
    return [
        fpr
        for fpr, reason in reasons.items()
        if fpr != session.me and (reason == "person" or (_could_see_all(session, fpr) and not causes.get(reason)))
    ]


def _could_see_all(session: Session, fpr: str) -> bool:
    """Whether a member had every other one's reveal, as far as is known here."""
    return all(member.fpr in session.reveals for member in session.members if member.fpr != fpr)


def fault_of(me: Member, session: Session) -> ProtocolError | None:
    """Why a session is over, for people, with what convinces others."""
    if session.phase is Phase.ABORTED:
        others_reasons = {message.body()["reason"] for fpr, message in session.aborts.items() if fpr != session.me}
        if others_reasons == {"deadline"} and is_past(session.proposal.body()["deadline"], me.moment):
            return late(me, session)
        vault.blame(me.state, _without_cause(me, session))
        others = ", ".join(session.entry(fpr).label for fpr in session.aborts if fpr != session.me)
        by = f" ({others})" if others else ""
        return PolicyError(f"the ceremony was given up: {session.fault}{by}", code="E_ABORT")
    code, _, sentence = session.fault.partition(": ")
    complaints = list(session.complaints.values())
    guilty = {verdict.at_fault(session, complaint) for complaint in complaints} - {None, session.me}
    vault.blame(me.state, sorted(fpr for fpr in guilty if fpr))
    involved = {fpr for complaint in complaints for fpr in (complaint.body()["from"], complaint.body()["about"])}
    reveals = [session.reveals[fpr] for fpr in sorted(involved) if fpr in session.reveals]
    said = [session.proposal, *session.commits.values(), *reveals]  # what ``verdict.judge`` needs
    evidence = tuple(document.to_bytes() for document in (*complaints, *said))
    kind = ConflictError if code == "E_COMPLAINT" else SignatureError
    return kind(sentence, code=code, evidence=evidence)


def may_set_aside(me: Member, session: Session) -> bool:
    """A confirmed session may be left when its deadline has passed, or when a member left who has not confirmed."""
    if session.phase is not Phase.CONFIRMED:
        return False
    return is_past(session.proposal.body()["deadline"], me.moment) or bool(set(session.aborts) - set(session.confirms))


def set_aside(me: Member, session: Session) -> ProtocolError | None:
    """Why a confirmed session is set aside, counted against those who are to blame; None when it is not."""
    if not may_set_aside(me, session):
        return None
    kind, missing = session.waiting_for()
    past = is_past(session.proposal.body()["deadline"], me.moment)
    vault.blame(me.state, [member.fpr for member in missing] if past else _without_cause(me, session))
    return PolicyError(
        f"the ceremony is set aside without the {kind} of {', '.join(member.label for member in missing)}; "
        "its secret stays here in case it is completed after all",
        code="E_EXPIRED",
        hint="blindsight holder epoch propose",
    )


def heed_late_complaints(me: Member) -> None:
    """A complaint in a ceremony that was set aside makes its secret readable, too."""
    aside = [sid for sid, ended in me.state["ended"].items() if ended["phase"] == Phase.CONFIRMED]
    waiting = {held["sid"] for held in me.state["secrets"].values() if held["status"] == "pending"}
    letters = me.letters().every if aside and waiting else ()
    exposed = [
        sid
        for sid in aside
        if sid in waiting and notices.is_exposed(sid, me.log, letters, vault.commits_of(me.state, sid))
    ]
    for sid in exposed:
        vault.void(me.state, sid)
    if exposed:
        me.store.save()
