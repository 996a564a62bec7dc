"""The epoch ceremony: commit, reveal, confirm. FORMAT.md section D.

A ``Session`` is a value: messages and the member's key go in, a new session comes out, with the messages to send in
``outbox``. Nothing is read, written, drawn or timed here. The rules:

1. A proposal extends the member's own head by the next epoch; otherwise it is refused (``read_proposal``).
2. Accepting it commits to a fresh contribution under a fresh X-Wing key (``accept``).
3. With all commits, the contribution is sealed to every other member, bound to exactly this set of commits.
4. With all reveals, every box must open to the committed contribution. The secret is extracted from all of them.
5. Every member signs the same epoch record. With all signatures the epoch is active.
6. One author, one message of a kind: a second, different one is evidence against its author.
7. A box that fails makes its receiver complain, showing the key the box was sealed to: everybody judges (``verdict``),
   and the session is void whatever completes later.
8. Before it confirms, a member may give up, and does when another has; a confirm cannot be taken back.

The caller persists a session *before* its messages leave: a second reveal must never be made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from blindsight.protocol import fields, kem, verdict
from blindsight.protocol.encoding import expand, extract, from_b64, tagged_hash, to_b64, u64be
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, FormatError, MembershipError, SignatureError
from blindsight.protocol.identity import Entry, SigningKey
from blindsight.protocol.log import Log
from blindsight.protocol.messages import ABORT, COMMIT, COMPLAINT, KINDS, REASONS, REVEAL, SHAPES, demand_author
from blindsight.protocol.messages import PROPOSE as PROPOSE
from blindsight.protocol.records import EPOCH, demand_suite, read_epoch
from blindsight.protocol.session import Phase, Session, commit_set

MAX_SEQ_STEP = 65_536
"""How far above all sequences it knows a member accepts one: a single proposal must not use the numbers up."""


def make_proposal(
    key: SigningKey,
    log: Log,
    *,
    schemes: Sequence[Mapping[str, Any]],
    nonce: bytes,
    created: str,
    deadline: str,
    not_after: str,
    promised: int = 0,
) -> Envelope:
    """Propose the next epoch on the log's head, signed.

    Args:
        key: the proposing member.
        log: the verified log.
        schemes: what may be used in the epoch: ``{"id","v"}`` or whole descriptors.
        nonce: 32 random bytes.
        created: time of creation.
        deadline: when members give up waiting.
        not_after: last moment of use of the epoch.
        promised: greatest sequence the member has promised a record of; gaps are allowed, falling back is not.
    """
    body = {
        "v": 1,
        "type": "propose",
        "fed": log.fed,
        "seq": max(log.seq, promised) + 1,
        "prev": log.records[-1].mid,
        "roster": log.roster.id,
        "epoch": log.next_epoch,
        "from": key.entry.fpr,
        "schemes": [dict(scheme) for scheme in schemes],
        "nonce": nonce.hex(),
        "created": created,
        "deadline": deadline,
        "not_after": not_after,
        "suite": kem.SUITE,
    }
    return Envelope.of("propose", body).signed(key)


def read_proposal(log: Log, envelope: Envelope, *, promised: int = 0, known: int = 0) -> dict[str, Any]:
    """Verify a proposal against one's own log.

    Args:
        log: the verified log.
        envelope: as received.
        promised: greatest sequence the member has promised a record of.
        known: greatest sequence of any proposal it has accepted.

    Raises:
        ProtocolError: E_FORMAT, E_ROSTER, E_SIG, E_FED, E_PREV, E_SEQ, E_EPOCH or E_SUITE; the proposer is named.
    """
    if envelope.type != PROPOSE:
        raise FormatError(f"expected a proposal, got {envelope.type[:80]}")
    body: dict[str, Any] = envelope.body("proposal")
    fields.demand(SHAPES[PROPOSE], body, "proposal")
    proposer = demand_author(log.roster.members, envelope, body["from"], "proposal")
    name = f"the proposal of {proposer.label}"
    demand_suite(body["suite"])
    if body["fed"] != log.fed:
        raise MembershipError(f"{name} is for another federation", code="E_FED")
    if body["epoch"] in log.epochs:
        raise MembershipError(f"{name} is for epoch {body['epoch']}, which is agreed already", code="E_EPOCH")
    if body["prev"] != log.records[-1].mid or body["roster"] != log.roster.id:
        raise MembershipError(f"{name} does not extend the head of my log", code="E_PREV")
    _demand_seq(body["seq"], max(log.seq, promised), max(log.seq, promised, known) + MAX_SEQ_STEP, name)
    if body["epoch"] != log.next_epoch:
        raise MembershipError(f"{name} is for epoch {body['epoch']}, not for the next one", code="E_EPOCH")
    return body


def _demand_seq(seq: int, floor: int, ceiling: int, name: str) -> None:
    if seq <= floor:
        raise MembershipError(f"{name} has sequence {seq}, not above {floor}, known or promised here", code="E_SEQ")
    if seq > ceiling:
        raise MembershipError(f"{name} jumps to sequence {seq}, expected at most {ceiling}", code="E_SEQ")


def accept(
    key: SigningKey,
    log: Log,
    proposal: Envelope,
    *,
    kem_seed: bytes,
    contribution: bytes,
    promised: int = 0,
    known: int = 0,
) -> Session:
    """Agree to a proposal and commit.

    Args:
        key: the accepting member.
        log: the verified log.
        proposal: as received.
        kem_seed: 32 fresh random bytes.
        contribution: 32 fresh random bytes, this member's part of the secret.
        promised: greatest sequence the member has promised a record of.
        known: greatest sequence of any proposal it has accepted.

    Raises:
        ProtocolError: see ``read_proposal``.
    """
    read_proposal(log, proposal, promised=promised, known=known)
    log.roster.member(key.entry.fpr)
    public = kem.public_key(kem_seed)
    commitment = verdict.commitment(proposal.mid, key.entry.fpr, public, contribution)
    body = {"v": 1, "type": "commit", "sid": proposal.mid, "from": key.entry.fpr}
    body |= {"kem": to_b64(public), "com": commitment.hex()}
    commit = Envelope.of("commit", body).signed(key)
    commits = {key.entry.fpr: commit}
    members = log.roster.members
    start = Session(key.entry.fpr, members, proposal, Phase.COMMITTED, commits)
    return replace(start, kem_seed=kem_seed, contribution=contribution)


def receive(session: Session, envelope: Envelope) -> Session:
    """Take in one message of another member, in any order, any number of times.

    Raises:
        FormatError: E_FORMAT or E_CANON.
        MembershipError: E_ROSTER, E_QUORUM, E_SID: not a message of this session's members.
        SignatureError: E_SIG, E_KEM.
        ConflictError: E_EQUIVOCATION with both messages, E_TRANSCRIPT, E_COMPLAINT.
    """
    if envelope.type == EPOCH:
        return _receive_confirm(session, envelope)
    if envelope.type not in _BOX_OF:
        raise FormatError(f"{envelope.type[:80]} is no message of a ceremony")
    kind, box = KINDS[envelope.type], _BOX_OF[envelope.type]
    body = envelope.body(kind)
    fields.demand(SHAPES[envelope.type], body, kind)
    author = demand_author(session.members, envelope, body["from"], kind)
    if body["sid"] != session.sid:
        raise MembershipError(f"the {kind} of {author.label} belongs to another session", code="E_SID")
    known: Mapping[str, Envelope] = getattr(session, box)
    if not _is_news(known, author, envelope, kind):
        return session
    _demand_content(session, author, envelope, body)
    changed: dict[str, Any] = {box: {**known, author.fpr: envelope}}
    return replace(session, **changed)


_BOX_OF = {COMMIT: "commits", REVEAL: "reveals", COMPLAINT: "complaints", ABORT: "aborts"}


def _demand_content(session: Session, author: Entry, envelope: Envelope, body: Mapping[str, Any]) -> None:
    if envelope.type == COMMIT:
        _demand_fresh_kem(session, author, envelope, from_b64(body["kem"]))
    elif envelope.type == REVEAL:
        _demand_recipients(session, author, body)
    elif envelope.type == COMPLAINT:
        verdict.demand_complaint(session, author, envelope, body)


def advance(session: Session, key: SigningKey) -> Session:
    """Do whatever is possible now: heed complaints and aborts, reveal, confirm, activate.

    Raises:
        ConflictError: E_COMMITSET, a member reveals for other commits than mine; E_TRANSCRIPT.
    """
    session = revealed(session, key)
    complete = {member.fpr for member in session.members}
    if session.phase is Phase.REVEALED and complete <= set(session.reveals):
        session = _confirm(session, key)
    if session.phase is Phase.CONFIRMED and complete <= set(session.confirms):
        session = replace(session, phase=Phase.ACTIVE, kem_seed=b"", contribution=b"")
    return session


def revealed(session: Session, key: SigningKey) -> Session:
    """As far as a member comes before it looks into the others' reveals: what it says by then is said in any case."""
    session = _heed_aborts(_heed_complaints(session), key)
    if session.phase is Phase.COMMITTED and {member.fpr for member in session.members} <= set(session.commits):
        session = _reveal(session, key)
    return session


def give_up(session: Session, key: SigningKey, reason: str) -> Session:
    """Leave a session before confirming: all secrets are erased, an abort is in the outbox.

    Args:
        session: committed or revealed.
        key: the member.
        reason: one of ``REASONS``.

    Raises:
        ValueError: the member has confirmed already, or the session is over.
    """
    if session.phase not in (Phase.COMMITTED, Phase.REVEALED):
        raise ValueError(f"a session that is {session.phase} cannot be given up")
    body = {"v": 1, "type": "abort", "sid": session.sid, "from": session.me, "reason": reason}
    aborts = {session.me: Envelope.of("abort", body).signed(key), **session.aborts}  # one said before stands
    return replace(_erased(session, Phase.ABORTED, REASONS[reason]), aborts=aborts)


def _erased(session: Session, phase: Phase, fault: str) -> Session:
    return replace(session, phase=phase, fault=fault, kem_seed=b"", contribution=b"", secret=b"")


def _heed_complaints(session: Session) -> Session:
    """A complaint that shows its author's key makes the session void: the contributions are readable now."""
    if session.over or session.phase is Phase.ACTIVE:
        return session
    for complaint in session.complaints.values():
        found = verdict.judge(session, complaint)
        if found is not None:
            return _erased(session, Phase.VOID, found)
    return session


def _heed_aborts(session: Session, key: SigningKey) -> Session:
    """Who gave up will not confirm, so nothing is gained by going on."""
    if session.aborts and session.phase in (Phase.COMMITTED, Phase.REVEALED):
        return give_up(session, key, "abort")
    return session


def epoch_secret(session_id: bytes, commits: bytes, contributions: Sequence[bytes]) -> bytes:
    """The secret from all contributions in roster order: 32 bytes."""
    return extract(tagged_hash("epoch-salt", session_id, commits), b"".join(contributions))


def key_check_value(secret: bytes, fed: str, epoch: int) -> str:
    """What shows that two members have the same secret, and does not help to find it: hex of 32 bytes."""
    return expand(secret, "kcv", bytes.fromhex(fed), u64be(epoch)).hex()


def _is_news(known: Mapping[str, Envelope], author: Entry, envelope: Envelope, kind: str) -> bool:
    if author.fpr not in known:
        return True
    if known[author.fpr].id != envelope.id:
        evidence = (known[author.fpr].to_bytes(), envelope.to_bytes())
        raise ConflictError(
            f"{author.label} has signed two different {kind} messages for one session", evidence=evidence
        )
    return False


def _demand_fresh_kem(session: Session, author: Entry, envelope: Envelope, public: bytes) -> None:
    for fpr, commit in session.commits.items():
        if from_b64(commit.body()["kem"]) == public:
            raise SignatureError(
                f"{author.label} and {session.entry(fpr).label} committed the same key-agreement key: "
                "one of them has copied the other's",
                code="E_KEM",
                evidence=(envelope.to_bytes(), commit.to_bytes()),
            )
    try:
        kem.seal(public, b"", b"trial")
    except SignatureError as error:
        raise SignatureError(
            f"{author.label} committed a key-agreement key nobody can seal to", code="E_KEM"
        ) from error


def _demand_recipients(session: Session, author: Entry, body: Mapping[str, Any]) -> None:
    expected = {member.fpr for member in session.members} - {author.fpr}
    if set(body["boxes"]) != expected:
        raise MembershipError(f"the reveal of {author.label} is not addressed to exactly all others", code="E_ROSTER")


def _reveal(session: Session, key: SigningKey) -> Session:
    if session.me in session.reveals:  # sent before, by a keystore that was restored since: never a second one
        return replace(session, phase=Phase.REVEALED)
    commits = commit_set(session)
    boxes = {}
    for member in session.members:
        if member.fpr != session.me:
            public = from_b64(session.commits[member.fpr].body()["kem"])
            context = verdict.box_context(session, commits, session.me, member.fpr)
            boxes[member.fpr] = to_b64(kem.seal(public, session.contribution, context))
    body = {"v": 1, "type": "reveal", "sid": session.sid, "from": session.me}
    reveal = Envelope.of("reveal", body | {"commits": commits.hex(), "boxes": boxes}).signed(key)
    return replace(session, phase=Phase.REVEALED, reveals={**session.reveals, session.me: reveal})


def _confirm(session: Session, key: SigningKey) -> Session:
    commits = commit_set(session)
    for member in session.members:
        if session.reveals[member.fpr].body()["commits"] != commits.hex():
            raise ConflictError(
                f"{member.label} reveals for another set of commits than mine: somebody shows different commits to "
                "different members, or the folder does",
                code="E_COMMITSET",
                evidence=(session.reveals[member.fpr].to_bytes(), *(e.to_bytes() for e in session.commits.values())),
            )
    contributions = []
    for member in session.members:
        try:
            contributions.append(_open(session, member, commits))
        except SignatureError as error:
            return _complain(session, key, member, error)
    secret = epoch_secret(session.proposal.id, commits, contributions)
    record = Envelope.of("epoch", _record_body(session, commits, secret)).signed(key)
    confirmed = replace(session, phase=Phase.CONFIRMED, secret=secret)
    for author, theirs in session.confirms.items():
        _demand_same_record(record, session.entry(author), theirs)
    return replace(confirmed, confirms={**session.confirms, session.me: record})


def _open(session: Session, member: Entry, commits: bytes) -> bytes:
    """A member's contribution, checked against its commitment."""
    if member.fpr == session.me:
        return session.contribution
    return verdict.opened(session, member, session.me, session.kem_seed, commits)


def _complain(session: Session, key: SigningKey, about: Entry, error: SignatureError) -> Session:
    body = {"v": 1, "type": "complaint", "sid": session.sid, "from": session.me, "about": about.fpr}
    body |= {"code": error.code, "kem_seed": to_b64(session.kem_seed)}
    complaints = {**session.complaints, session.me: Envelope.of("complaint", body).signed(key)}
    return replace(_erased(session, Phase.VOID, f"{error.code}: {error.message}"), complaints=complaints)


def _record_body(session: Session, commits: bytes, secret: bytes) -> dict[str, Any]:
    proposal = session.proposal.body()
    reveals = [session.reveals[member.fpr].id for member in session.members]
    body = {name: proposal[name] for name in ("fed", "seq", "prev", "roster", "epoch", "suite", "schemes", "not_after")}
    return body | {
        "v": 1,
        "type": "epoch",
        "sid": session.sid,
        "transcript": tagged_hash("transcript", session.proposal.id, commits, *reveals).hex(),
        "kcv": key_check_value(secret, proposal["fed"], proposal["epoch"]),
    }


def _receive_confirm(session: Session, envelope: Envelope) -> Session:
    body = read_epoch(envelope)
    if not envelope.signatures:
        raise MembershipError("the confirm carries no signature", code="E_QUORUM")
    authors = [session.entry(fpr) for fpr in sorted(envelope.signatures)]
    for author in authors:
        envelope.verify(author, "the confirm")
    if body["sid"] != session.sid:
        raise MembershipError(f"the confirm of {authors[0].label} belongs to another session", code="E_SID")
    confirms = dict(session.confirms)
    for author in authors:
        if _is_news(confirms, author, envelope, "confirm"):
            if session.me in confirms:
                _demand_same_record(confirms[session.me], author, envelope)
            confirms[author.fpr] = envelope
    return replace(session, confirms=confirms)


def _demand_same_record(mine: Envelope, author: Entry, theirs: Envelope) -> None:
    if mine.id != theirs.id:
        raise ConflictError(
            f"{author.label} confirms another outcome than mine: they saw other reveals",
            code="E_TRANSCRIPT",
            evidence=(mine.to_bytes(), theirs.to_bytes()),
        )
