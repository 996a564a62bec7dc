"""The messages of an epoch ceremony: what each must say. FORMAT.md section D.

    propose     one member, on its own head: which epoch, which schemes, until when
    commit      a fresh X-Wing key and a commitment to a fresh contribution
    reveal      the contribution, sealed to every other member, for exactly this set of commits
    complaint   a box that does not open, or opens to something else; shows the key with which everybody can judge
    abort       its author will not confirm

The sixth, *confirm*, is the epoch record itself with one signature (``records``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from blindsight.protocol import fields, kem
from blindsight.protocol.encoding import people_code
from blindsight.protocol.envelope import Envelope, payload_type
from blindsight.protocol.errors import MembershipError
from blindsight.protocol.identity import Entry
from blindsight.protocol.records import ALLOWED_SCHEMES

PROPOSE, COMMIT, REVEAL, COMPLAINT, ABORT = (
    payload_type(kind) for kind in ("propose", "commit", "reveal", "complaint", "abort")
)
CONTRIBUTION_BYTES = 32
SEED_BYTES = 32
BOX_BYTES = CONTRIBUTION_BYTES + kem.OVERHEAD_BYTES
REASONS = {
    "person": "a person gave up",
    "deadline": "the deadline has passed",
    "abort": "another member gave up",
    "head": "the membership log has moved on",
    "rival": "another proposal takes precedence",
}

_HEAD = {"v": fields.constant(1), "sid": fields.hex32, "from": fields.hex32}
SHAPES: Mapping[str, fields.Check] = {
    PROPOSE: fields.mapping(
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
    ),
    COMMIT: fields.mapping(
        {**_HEAD, "type": fields.constant("commit"), "kem": fields.key(kem.PUBLIC_BYTES), "com": fields.hex32}
    ),
    REVEAL: fields.mapping(
        {
            **_HEAD,
            "type": fields.constant("reveal"),
            "commits": fields.hex32,
            "boxes": fields.dictionary(fields.key(BOX_BYTES), most=256),
        }
    ),
    COMPLAINT: fields.mapping(
        {
            **_HEAD,
            "type": fields.constant("complaint"),
            "about": fields.hex32,
            "code": fields.one_of(["E_BOX", "E_COMMIT"]),
            "kem_seed": fields.key(SEED_BYTES),
        }
    ),
    ABORT: fields.mapping({**_HEAD, "type": fields.constant("abort"), "reason": fields.one_of(list(REASONS))}),
}
KINDS = {PROPOSE: "proposal", COMMIT: "commit", REVEAL: "reveal", COMPLAINT: "complaint", ABORT: "abort"}


def demand_author(members: Sequence[Entry], envelope: Envelope, fpr: str, what: str) -> Entry:
    """Demand that a message carries exactly the signature of the member in whose name it speaks: that member.

    Raises:
        MembershipError: E_ROSTER, no member; E_QUORUM, other signatures.
        SignatureError: E_SIG.
    """
    author = next((member for member in members if member.fpr == fpr), None)
    if author is None:
        raise MembershipError(
            f"the {what} is from {people_code(bytes.fromhex(fpr))[:9]}…, who is no member of this federation",
            code="E_ROSTER",
        )
    if set(envelope.signatures) != {fpr}:
        raise MembershipError(
            f"the {what} in the name of {author.label} must carry that one signature", code="E_QUORUM"
        )
    envelope.verify(author, f"the {what}")
    return author
