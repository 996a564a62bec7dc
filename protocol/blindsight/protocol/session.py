"""One member's view of one ceremony: a value, kept sealed in the keystore between steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from blindsight.protocol.copies import assembled
from blindsight.protocol.encoding import from_b64, tagged_hash, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import MembershipError
from blindsight.protocol.identity import Entry

_BOXES = ("commits", "reveals", "confirms", "complaints", "aborts")
_SECRETS = ("kem_seed", "contribution", "secret")


class Phase(StrEnum):
    """How far a member's session has come."""

    COMMITTED = "committed"
    REVEALED = "revealed"
    CONFIRMED = "confirmed"
    ACTIVE = "active"
    VOID = "void"
    ABORTED = "aborted"


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
        complaints: author → complaint whose signature is verified.
        aborts: author → abort, verified.
        kem_seed: 32 bytes; empty once erased.
        contribution: 32 bytes; empty once erased.
        secret: the epoch secret, 32 bytes, from CONFIRMED on.
        fault: why the session is void or aborted.
    """

    me: str
    members: tuple[Entry, ...]
    proposal: Envelope
    phase: Phase
    commits: Mapping[str, Envelope] = field(default_factory=dict)
    reveals: Mapping[str, Envelope] = field(default_factory=dict)
    confirms: Mapping[str, Envelope] = field(default_factory=dict)
    complaints: Mapping[str, Envelope] = field(default_factory=dict)
    aborts: Mapping[str, Envelope] = field(default_factory=dict)
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
        boxes: list[Mapping[str, Envelope]] = [getattr(self, name) for name in _BOXES]
        return tuple(box[self.me] for box in boxes if self.me in box)

    @property
    def over(self) -> bool:
        """Whether nothing can bring this session to an end but a record that the others complete."""
        return self.phase in (Phase.VOID, Phase.ABORTED)

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


def commit_set(session: Session) -> bytes:
    """The digest of all commits in roster order: 32 bytes."""
    ids = [session.commits[member.fpr].id for member in session.members]
    return tagged_hash("commits", session.proposal.id, *ids)


def to_json(session: Session) -> dict[str, Any]:
    """A session for the keystore; contains secrets."""
    return {
        "me": session.me,
        "members": [member.to_json() for member in session.members],
        "proposal": session.proposal.to_bytes().decode(),
        "phase": session.phase.value,
        "fault": session.fault,
        **{name: to_b64(getattr(session, name)) for name in _SECRETS},
        **{name: {fpr: e.to_bytes().decode() for fpr, e in getattr(session, name).items()} for name in _BOXES},
    }


def from_json(document: Mapping[str, Any]) -> Session:
    """Read a session back from the keystore.

    Raises:
        ProtocolError: the document is malformed.
    """
    boxes: dict[str, Any] = {
        name: {fpr: Envelope.from_bytes(text.encode()) for fpr, text in document.get(name, {}).items()}
        for name in _BOXES
    }
    secrets: dict[str, Any] = {name: from_b64(document[name]) for name in _SECRETS}
    return Session(
        me=document["me"],
        members=tuple(Entry.from_json(entry) for entry in document["members"]),
        proposal=Envelope.from_bytes(document["proposal"].encode()),
        phase=Phase(document["phase"]),
        fault=document["fault"],
        **boxes,
        **secrets,
    )
