"""The epoch ceremony: commit, reveal, confirm. FORMAT.md section D.

A ``Session`` is a value: messages and the member's key go in, a new session comes out, with the messages to send in
``outbox``. Nothing is read, written, drawn or timed here. The rules:

1. A proposal extends the member's own head by the next epoch; otherwise it is refused (``read_proposal``).
2. Accepting it commits to a fresh contribution under a fresh X-Wing key (``accept``).
3. With all commits, the contribution is sealed to every other member, bound to exactly this set of commits.
4. With all reveals, every box must open to the committed contribution. The secret is extracted from all of them.
5. Every member signs the same epoch record. With all signatures the epoch is active.
6. One author, one message of a kind: a second, different one is evidence against its author.

The caller persists a session *before* its messages leave: a second reveal must never be made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from blindsight.protocol import fields, kem
from blindsight.protocol.encoding import expand, extract, from_b64, tagged_hash, to_b64, u64be
from blindsight.protocol.envelope import Envelope, payload_type
from blindsight.protocol.errors import (
    ConflictError,
    FormatError,
    MembershipError,
    SignatureError,
)
from blindsight.protocol.identity import Entry, SigningKey
from blindsight.protocol.log import ALLOWED_SCHEMES, EPOCH, Log, assembled, demand_suite, read_epoch

PROPOSE, COMMIT, REVEAL = (payload_type(kind) for kind in ("propose", "commit", "reveal"))
CONTRIBUTION_BYTES = 32
_BOX_BYTES = CONTRIBUTION_BYTES + kem.OVERHEAD_BYTES

_PROPOSE_SHAPE = fields.mapping(
    {
        "v": fields.constant(1),
        "type": fields.constant("propose"),
        "fed": fields.hex32,
        "seq": fields.integer(1),
        "prev": fields.hex32,
        "roster": fields.hex32,
        "epoch": fields.integer(1),
        "from": fields.hex32,
        "schemes": ALLOWED_SCHEMES,
        "nonce": fields.hex32,
        "created": fields.time,
        "deadline": fields.time,
        "not_after": fields.time,
        "suite": fields.text(80),
    }
)
_HEAD = {"v": fields.constant(1), "sid": fields.hex32, "from": fields.hex32}
_COMMIT_SHAPE = fields.mapping(
    {**_HEAD, "type": fields.constant("commit"), "kem": fields.key(kem.PUBLIC_BYTES), "com": fields.hex32}
)
_REVEAL_SHAPE = fields.mapping(
    {
        **_HEAD,
        "type": fields.constant("reveal"),
        "commits": fields.hex32,
        "boxes": fields.dictionary(fields.key(_BOX_BYTES), most=256),
    }
)
SHAPES = {PROPOSE: _PROPOSE_SHAPE, COMMIT: _COMMIT_SHAPE, REVEAL: _REVEAL_SHAPE}


class Phase(StrEnum):
    """How far a member's session has come."""

    COMMITTED = "committed"
    REVEALED = "revealed"
    CONFIRMED = "confirmed"
    ACTIVE = "active"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Session:
    """One member's view of one ceremony. Shows no secret in its repr.

    Args:
        me: own fingerprint.
        members: the roster's members by ascending fingerprint.
        proposal: the verified proposal; its id is the session id.
        phase: see ``Phase``.
        commits: author → commit, verified.
        reveals: author → reveal, verified as far as that is possible without all commits.
        confirms: author → epoch record with the author's signature.
        kem_seed: 32 bytes; empty once erased.
        contribution: 32 bytes; empty once erased.
        secret: the epoch secret, 32 bytes, from CONFIRMED on.
        fault: why the session is void.
    """

    me: str
    members: tuple[Entry, ...]
    proposal: Envelope
    phase: Phase
    commits: Mapping[str, Envelope] = field(default_factory=dict)
    reveals: Mapping[str, Envelope] = field(default_factory=dict)
    confirms: Mapping[str, Envelope] = field(default_factory=dict)
    kem_seed: bytes = field(default=b"", repr=False)
    contribution: bytes = field(default=b"", repr=False)
    secret: bytes = field(default=b"", repr=False)
    fault: str = ""

    @property
    def sid(self) -> str:
        """The session id, hex."""
        return self.proposal.mid

    @property
    def outbox(self) -> tuple[Envelope, ...]:
        """The member's own messages so far; sending them again is harmless."""
        return tuple(box[self.me] for box in (self.commits, self.reveals, self.confirms) if self.me in box)

    def waiting_for(self) -> tuple[str, tuple[Entry, ...]]:
        """The kind of message still needed, and from whom; empty when nothing is."""
        for kind, box in (("commit", self.commits), ("reveal", self.reveals), ("confirm", self.confirms)):
            missing = tuple(member for member in self.members if member.fpr not in box)
            if missing:
                return kind, missing
        return "", ()

    def entry(self, fpr: str) -> Entry:
        """The member of that fingerprint.

        Raises:
            MembershipError: E_ROSTER.
        """
        for member in self.members:
            if member.fpr == fpr:
                return member
        raise MembershipError(f"{fpr[:12]}… is no member of this ceremony's roster", code="E_ROSTER")

    @property
    def record(self) -> Envelope:
        """The epoch record with the signatures at hand.

        Raises:
            ValueError: not confirmed yet.
        """
        if self.me not in self.confirms:
            raise ValueError("there is no record before the member has confirmed")
        return assembled(list(self.confirms.values()), self.members)


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
        "epoch": max(log.epochs, default=0) + 1,
        "from": key.entry.fpr,
        "schemes": [dict(scheme) for scheme in schemes],
        "nonce": nonce.hex(),
        "created": created,
        "deadline": deadline,
        "not_after": not_after,
        "suite": kem.SUITE,
    }
    return Envelope.of("propose", body).signed(key)


def read_proposal(log: Log, envelope: Envelope) -> dict[str, Any]:
    """Verify a proposal against one's own log.

    Raises:
        ProtocolError: E_FORMAT, E_ROSTER, E_SIG, E_FED, E_PREV, E_SEQ, E_EPOCH or E_SUITE; the proposer is named.
    """
    body: dict[str, Any] = envelope.body("proposal")
    fields.demand(_PROPOSE_SHAPE, body, "proposal")
    proposer = _demand_author(log.roster.members, envelope, body["from"], "proposal")
    name = f"the proposal of {proposer.label}"
    demand_suite(body["suite"])
    if body["fed"] != log.fed:
        raise MembershipError(f"{name} is for another federation", code="E_FED")
    if body["epoch"] in log.epochs:
        raise MembershipError(f"{name} is for epoch {body['epoch']}, which is agreed already", code="E_EPOCH")
    if body["prev"] != log.records[-1].mid or body["roster"] != log.roster.id:
        raise MembershipError(f"{name} does not extend the head of my log", code="E_PREV")
    if body["seq"] <= log.seq:
        raise MembershipError(f"{name} has sequence {body['seq']}, not above my {log.seq}", code="E_SEQ")
    if body["epoch"] != max(log.epochs, default=0) + 1:
        raise MembershipError(f"{name} is for epoch {body['epoch']}, not for the next one", code="E_EPOCH")
    return body


def accept(key: SigningKey, log: Log, proposal: Envelope, *, kem_seed: bytes, contribution: bytes) -> Session:
    """Agree to a proposal and commit.

    Args:
        key: the accepting member.
        log: the verified log.
        proposal: as received.
        kem_seed: 32 fresh random bytes.
        contribution: 32 fresh random bytes, this member's part of the secret.

    Raises:
        ProtocolError: see ``read_proposal``.
    """
    read_proposal(log, proposal)
    log.roster.member(key.entry.fpr)
    public = kem.public_key(kem_seed)
    commitment = _commitment(proposal.mid, key.entry.fpr, public, contribution)
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
        ConflictError: E_EQUIVOCATION with both messages, E_TRANSCRIPT.
    """
    if envelope.type == EPOCH:
        return _receive_confirm(session, envelope)
    if envelope.type not in (COMMIT, REVEAL):
        raise FormatError(f"{envelope.type[:80]} is no message of a ceremony")
    kind = "commit" if envelope.type == COMMIT else "reveal"
    body = envelope.body(kind)
    fields.demand(SHAPES[envelope.type], body, kind)
    author = _demand_author(session.members, envelope, body["from"], kind)
    if body["sid"] != session.sid:
        raise MembershipError(f"the {kind} of {author.label} belongs to another session", code="E_SID")
    known = session.commits if kind == "commit" else session.reveals
    if not _is_news(known, author, envelope, kind):
        return session
    if kind == "commit":
        _demand_fresh_kem(session, author, from_b64(body["kem"]))
        return replace(session, commits={**known, author.fpr: envelope})
    _demand_recipients(session, author, body)
    return replace(session, reveals={**known, author.fpr: envelope})


def advance(session: Session, key: SigningKey) -> Session:
    """Do whatever is possible now: reveal, confirm, activate.

    Raises:
        ConflictError: E_COMMITSET, a member reveals for other commits than mine; E_TRANSCRIPT.
    """
    complete = {member.fpr for member in session.members}
    if session.phase is Phase.COMMITTED and complete <= set(session.commits):
        session = _reveal(session, key)
    if session.phase is Phase.REVEALED and complete <= set(session.reveals):
        session = _confirm(session, key)
    if session.phase is Phase.CONFIRMED and complete <= set(session.confirms):
        session = replace(session, phase=Phase.ACTIVE, kem_seed=b"", contribution=b"")
    return session


def commit_set(session: Session) -> bytes:
    """The digest of all commits in roster order: 32 bytes."""
    ids = [session.commits[member.fpr].id for member in session.members]
    return tagged_hash("commits", session.proposal.id, *ids)


def epoch_secret(session_id: bytes, commits: bytes, contributions: Sequence[bytes]) -> bytes:
    """The secret from all contributions in roster order: 32 bytes."""
    return extract(tagged_hash("epoch-salt", session_id, commits), b"".join(contributions))


def key_check_value(secret: bytes, fed: str, epoch: int) -> str:
    """What shows that two members have the same secret, and does not help to find it: hex of 32 bytes."""
    return expand(secret, "kcv", bytes.fromhex(fed), u64be(epoch)).hex()


def _commitment(sid: str, author: str, public: bytes, contribution: bytes) -> bytes:
    return tagged_hash("commit", bytes.fromhex(sid), bytes.fromhex(author), public, contribution)


def _demand_author(members: Sequence[Entry], envelope: Envelope, fpr: str, what: str) -> Entry:
    author = next((member for member in members if member.fpr == fpr), None)
    if author is None:
        raise MembershipError(f"the {what} is from {fpr[:12]}…, who is no member of this federation", code="E_ROSTER")
    if set(envelope.signatures) != {fpr}:
        raise MembershipError(
            f"the {what} in the name of {author.label} must carry that one signature", code="E_QUORUM"
        )
    envelope.verify(author, f"the {what}")
    return author


def _is_news(known: Mapping[str, Envelope], author: Entry, envelope: Envelope, kind: str) -> bool:
    if author.fpr not in known:
        return True
    if known[author.fpr].id != envelope.id:
        evidence = (known[author.fpr].to_bytes(), envelope.to_bytes())
        raise ConflictError(
            f"{author.label} has signed two different {kind} messages for one session", evidence=evidence
        )
    return False


def _demand_fresh_kem(session: Session, author: Entry, public: bytes) -> None:
    for fpr, commit in session.commits.items():
        if from_b64(commit.body()["kem"]) == public:
            raise SignatureError(
                f"{author.label} committed the key-agreement key of {session.entry(fpr).label}", code="E_KEM"
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


def _box_context(session: Session, commits: bytes, sender: str, to: str) -> bytes:
    return tagged_hash("box", session.proposal.id, commits, bytes.fromhex(sender), bytes.fromhex(to))


def _reveal(session: Session, key: SigningKey) -> Session:
    commits = commit_set(session)
    boxes = {}
    for member in session.members:
        if member.fpr != session.me:
            public = from_b64(session.commits[member.fpr].body()["kem"])
            context = _box_context(session, commits, session.me, member.fpr)
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
    try:
        contributions = [_open(session, member, commits) for member in session.members]
    except SignatureError as error:
        return replace(session, phase=Phase.VOID, fault=error.message, kem_seed=b"", contribution=b"")
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
    box = from_b64(session.reveals[member.fpr].body()["boxes"][session.me])
    context = _box_context(session, commits, member.fpr, session.me)
    try:
        contribution = kem.unseal(session.kem_seed, box, context, CONTRIBUTION_BYTES)
    except SignatureError as error:
        raise SignatureError(f"E_BOX: the box from {member.label} does not open", code="E_BOX") from error
    commit = session.commits[member.fpr].body()
    if _commitment(session.sid, member.fpr, from_b64(commit["kem"]), contribution).hex() != commit["com"]:
        raise SignatureError(f"E_COMMIT: {member.label} revealed another value than it committed to", code="E_COMMIT")
    return contribution


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


def to_json(session: Session) -> dict[str, Any]:
    """A session for the keystore; contains secrets."""
    boxes = {name: getattr(session, name) for name in ("commits", "reveals", "confirms")}
    secrets = {name: to_b64(getattr(session, name)) for name in ("kem_seed", "contribution", "secret")}
    return {
        "me": session.me,
        "members": [member.to_json() for member in session.members],
        "proposal": session.proposal.to_bytes().decode(),
        "phase": session.phase.value,
        "fault": session.fault,
        **secrets,
        **{name: {fpr: e.to_bytes().decode() for fpr, e in box.items()} for name, box in boxes.items()},
    }


def from_json(document: Mapping[str, Any]) -> Session:
    """Read a session back from the keystore.

    Raises:
        ProtocolError: the document is malformed.
    """
    commits, reveals, confirms = (
        {fpr: Envelope.from_bytes(text.encode()) for fpr, text in document[name].items()}
        for name in ("commits", "reveals", "confirms")
    )
    return Session(
        me=document["me"],
        members=tuple(Entry.from_json(entry) for entry in document["members"]),
        proposal=Envelope.from_bytes(document["proposal"].encode()),
        phase=Phase(document["phase"]),
        commits=commits,
        reveals=reveals,
        confirms=confirms,
        kem_seed=from_b64(document["kem_seed"]),
        contribution=from_b64(document["contribution"]),
        secret=from_b64(document["secret"]),
        fault=document["fault"],
    )
