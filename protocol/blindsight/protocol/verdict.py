"""Boxes of a ceremony, and who is at fault when one is said not to open. FORMAT.md section D, "complaint".

A complaint shows the complainer's key-agreement seed. Whoever has the commits and the reveal then opens the box in
question and sees what the complainer saw. A complaint whose seed is not the committed key's proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blindsight.protocol import kem
from blindsight.protocol.encoding import from_b64, tagged_hash
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, MembershipError, SignatureError
from blindsight.protocol.identity import Entry
from blindsight.protocol.messages import CONTRIBUTION_BYTES
from blindsight.protocol.session import Session, commit_set


def box_context(session: Session, commits: bytes, sender: str, to: str) -> bytes:
    """What a box is bound to: session, set of commits, sender and receiver; 32 bytes."""
    return tagged_hash("box", session.proposal.id, commits, bytes.fromhex(sender), bytes.fromhex(to))


def commitment(sid: str, author: str, public: bytes, contribution: bytes) -> bytes:
    """What a commit commits to: 32 bytes."""
    return tagged_hash("commit", bytes.fromhex(sid), bytes.fromhex(author), public, contribution)


def opened(session: Session, sender: Entry, to: str, seed: bytes, commits: bytes) -> bytes:
    """The contribution in a box, checked against its sender's commitment: 32 bytes.

    Args:
        session: with the sender's commit and reveal.
        sender: who made the box.
        to: fingerprint of the receiver.
        seed: the receiver's key-agreement seed, 32 bytes.
        commits: digest of all commits.

    Raises:
        SignatureError: E_BOX, E_COMMIT; the sender is named.
    """
    box = from_b64(session.reveals[sender.fpr].body()["boxes"][to])
    try:
        contribution = kem.unseal(seed, box, box_context(session, commits, sender.fpr, to), CONTRIBUTION_BYTES)
    except SignatureError as error:
        raise SignatureError(f"the box from {sender.label} does not open", code="E_BOX") from error
    commit = session.commits[sender.fpr].body()
    if commitment(session.sid, sender.fpr, from_b64(commit["kem"]), contribution).hex() != commit["com"]:
        raise SignatureError(f"{sender.label} revealed another value than it committed to", code="E_COMMIT")
    return contribution


def demand_complaint(session: Session, author: Entry, envelope: Envelope, body: Mapping[str, Any]) -> None:
    """Refuse a complaint that proves nothing.

    Raises:
        MembershipError: E_ROSTER, it is about nobody else in this ceremony.
        ConflictError: E_COMPLAINT, it does not show the key its author committed.
    """
    if body["about"] == author.fpr or body["about"] not in {member.fpr for member in session.members}:
        raise MembershipError(f"the complaint of {author.label} is about nobody else here", code="E_ROSTER")
    commit = session.commits.get(author.fpr)
    if commit is not None and not shows_key(commit, body):
        raise ConflictError(
            f"the complaint of {author.label} does not show the key it committed: it proves nothing and is passed over",
            code="E_COMPLAINT",
            evidence=(envelope.to_bytes(), commit.to_bytes()),
        )


def shows_key(commit: Envelope, complaint: Mapping[str, Any]) -> bool:
    """Whether a complaint shows the seed of the key in its author's commit."""
    return kem.public_key(from_b64(complaint["kem_seed"])) == from_b64(commit.body()["kem"])


def judge(session: Session, complaint: Envelope) -> str | None:
    """What a complaint means: a sentence that names who is at fault, or None when it proves nothing here (yet)."""
    found = _weighed(session, complaint)
    return found and found[0]


def at_fault(session: Session, complaint: Envelope) -> str | None:
    """The fingerprint of who is at fault in a complaint; None when that cannot be told here."""
    found = _weighed(session, complaint)
    return found and found[1]


def _weighed(session: Session, complaint: Envelope) -> tuple[str, str | None] | None:
    body = complaint.body("complaint")
    author, about = session.entry(body["from"]), session.entry(body["about"])
    commit = session.commits.get(author.fpr)
    if commit is None or not shows_key(commit, body):
        return None
    beginning = f"E_COMPLAINT: {author.label} has complained about {about.label}"
    complete = all(member.fpr in session.commits for member in session.members)
    if not complete or about.fpr not in session.reveals:
        return f"{beginning}; who is at fault cannot be told without all commits and the reveal", None
    commits = commit_set(session)
    if session.reveals[about.fpr].body()["commits"] != commits.hex():
        return f"{beginning}, who reveals for other commits than mine: compare the sets of commits", None
    try:
        opened(session, about, author.fpr, from_b64(body["kem_seed"]), commits)
    except SignatureError as error:
        return f"{beginning} rightly: {error.message}", about.fpr
    return f"{beginning} falsely: the box opens to what was committed; at fault is {author.label}", author.fpr
