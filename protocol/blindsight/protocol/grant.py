"""Asking for epoch secrets and being given them. FORMAT.md section E.

A *join* is a request: an identity, a fresh X-Wing key, an end. A newcomer makes one, and a member whose secrets were
lost. A *grant* is the answer of one member, the sponsor. The asker believes it only as far as every member's signature
reaches: each secret must give the key check value that stands in the epoch record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blindsight.protocol import fields, kem, offer
from blindsight.protocol.agreement import key_check_value
from blindsight.protocol.clock import is_past
from blindsight.protocol.encoding import canonical, from_b64, parse_canonical, tagged_hash, to_b64
from blindsight.protocol.envelope import Envelope, payload_type
from blindsight.protocol.errors import FormatError, MembershipError, PolicyError, SignatureError
from blindsight.protocol.identity import Entry, SigningKey
from blindsight.protocol.log import Epoch, Log
from blindsight.protocol.messages import demand_author

JOIN, GRANT = payload_type("join"), payload_type("grant")
SECRET_BYTES = 32
MAX_GRANT_BYTES = 2**20
MAX_DIGITS = 15
SHAPES: Mapping[str, fields.Check] = {
    JOIN: offer.shape("join"),
    GRANT: fields.mapping(
        {
            "v": fields.constant(1),
            "type": fields.constant("grant"),
            "fed": fields.hex32,
            "roster": fields.hex32,
            "join": fields.hex32,
            "from": fields.hex32,
            "to": fields.hex32,
            "len": fields.integer(2, MAX_GRANT_BYTES),
            "box": fields.key(None),
        }
    ),
}
_SECRETS = fields.dictionary(fields.key(SECRET_BYTES), most=10_000)


@dataclass(frozen=True, slots=True)
class Join:
    """A verified request for secrets.

    Args:
        envelope: as signed.
        entry: who asks.
        kem: 1216 bytes, the X-Wing public key to seal to.
        expires: nothing is sealed to the key afterwards.
    """

    envelope: Envelope
    entry: Entry
    kem: bytes
    expires: str


def make_join(key: SigningKey, fed: str, *, kem_seed: bytes, nonce: bytes, created: str, expires: str) -> Envelope:
    """Ask for secrets.

    Args:
        key: who asks.
        fed: federation id, hex.
        kem_seed: 32 fresh random bytes, kept sealed before the request leaves and erased when it is answered.
        nonce: 32 random bytes.
        created: time of creation.
        expires: until when it may be answered.
    """
    return offer.make("join", key, fed, kem_seed=kem_seed, nonce=nonce, created=created, expires=expires)


def read_join(envelope: Envelope, fed: str, moment: datetime) -> Join:
    """Verify a request: it is its author's, for this federation, in time, and something can be sealed to its key.

    That the author is who a person thinks is for people: they compare the fingerprint code.

    Raises:
        FormatError: E_FORMAT, E_CANON, E_FPR.
        MembershipError: E_QUORUM, E_FED.
        SignatureError: E_SIG, E_KEY, E_KEM.
        PolicyError: E_EXPIRED.
    """
    body = _body(JOIN, envelope, "request")
    entry = Entry.from_json(body["identity"])
    if set(envelope.signatures) != {entry.fpr}:
        raise MembershipError(f"the request of {entry.label} must carry its signature alone", code="E_QUORUM")
    envelope.verify(entry, "the request")
    if body["fed"] != fed:
        raise MembershipError(f"the request of {entry.label} is for another federation", code="E_FED")
    if is_past(body["expires"], moment):
        raise PolicyError(f"the request of {entry.label} expired on {body['expires']}", code="E_EXPIRED")
    public = from_b64(body["kem"], kem.PUBLIC_BYTES)
    kem.seal(public, b"", b"trial")
    return Join(envelope, entry, public, body["expires"])


def make_grant(key: SigningKey, log: Log, join: Join, secrets: Mapping[int, bytes]) -> Envelope:
    """Give a member secrets of epochs.

    Args:
        key: the sponsor.
        log: the verified log.
        join: the request; its author must be a member by now.
        secrets: number of an epoch → 32 bytes.

    Raises:
        MembershipError: E_ROSTER, one of both is no member; E_EPOCH.
        SignatureError: E_KCV, a secret is not the epoch's.
    """
    sponsor, to = log.roster.member(key.entry.fpr), log.roster.member(join.entry.fpr)
    for number, secret in secrets.items():
        _demand_fitting(log, log.epoch(number), secret, sponsor)
    plain = canonical({str(number): to_b64(secret) for number, secret in secrets.items()})
    body = {"v": 1, "type": "grant", "fed": log.fed, "roster": log.roster.id, "join": join.envelope.mid}
    body |= {"from": sponsor.fpr, "to": to.fpr, "len": len(plain)}
    box = kem.seal(join.kem, plain, _context(body))
    return Envelope.of("grant", body | {"box": to_b64(box)}).signed(key)


def open_grant(envelope: Envelope, log: Log, *, me: str, join: str, kem_seed: bytes) -> dict[int, bytes]:
    """Open a grant addressed to this member: number of an epoch → secret of 32 bytes.

    Args:
        envelope: as received.
        log: the verified log.
        me: own fingerprint.
        join: id of the own request.
        kem_seed: its seed, 32 bytes.

    Raises:
        FormatError: E_FORMAT, E_CANON.
        MembershipError: E_ROSTER, sponsor or asker is no member; E_QUORUM, E_FED, E_EPOCH; E_GRANT, it answers another
            request or roster.
        SignatureError: E_SIG, E_BOX; E_KCV, a secret is not the one all members signed for: the sponsor is named.
    """
    body = _body(GRANT, envelope, "grant")
    sponsor = demand_answer(envelope, body, log, "grant", me=me, join=join)
    log.roster.member(me)
    plain = kem.unseal(kem_seed, from_b64(body["box"]), _context(body), body["len"])
    return _secrets_in(plain, log, sponsor)


def demand_answer(envelope: Envelope, body: Mapping[str, Any], log: Log, what: str, *, me: str, join: str) -> Entry:
    """Demand that a grant or delegation answers one's own request, signed by a member alone: the sponsor.

    Args:
        envelope: as received.
        body: its content, of the right shape.
        log: the verified log.
        what: the document's name in the error sentence.
        me: own fingerprint.
        join: id of the own request.

    Raises:
        MembershipError: E_ROSTER, E_QUORUM, E_FED; E_GRANT, it answers another request or roster.
        SignatureError: E_SIG.
    """
    sponsor = demand_author(log.roster.members, envelope, body["from"], what)
    if body["fed"] != log.fed:
        raise MembershipError(f"the {what} of {sponsor.label} is for another federation", code="E_FED")
    if (body["to"], body["join"]) != (me, join) or body["roster"] not in {head["id"] for head in log.history}:
        raise MembershipError(f"the {what} of {sponsor.label} answers another request", code="E_GRANT")
    return sponsor


def granted_to(envelope: Envelope) -> tuple[str, str]:
    """Whom a grant is for, and which request it answers: not verified.

    Raises:
        FormatError: E_FORMAT, E_CANON.
    """
    body = _body(GRANT, envelope, "grant")
    return body["to"], body["join"]


def _secrets_in(plain: bytes, log: Log, sponsor: Entry) -> dict[int, bytes]:
    document = parse_canonical(plain, "the content of the grant")
    fields.demand(_SECRETS, document, "the content of the grant")
    secrets = {}
    for text, secret in document.items():
        if not text.isdecimal() or len(text) > MAX_DIGITS or str(int(text)) != text:
            raise FormatError(f"the grant of {sponsor.label} names epoch {text[:20]!r}")
        secrets[int(text)] = from_b64(secret, SECRET_BYTES)
        _demand_fitting(log, log.epoch(int(text)), secrets[int(text)], sponsor)
    return secrets


def _demand_fitting(log: Log, epoch: Epoch, secret: bytes, sponsor: Entry) -> None:
    if key_check_value(secret, log.fed, epoch.number) != epoch.kcv:
        raise SignatureError(
            f"the secret that {sponsor.label} gives for epoch {epoch.number} is not the one all members signed for",
            code="E_KCV",
        )


def _context(body: Mapping[str, Any]) -> bytes:
    parts: Sequence[str] = [body[name] for name in ("fed", "roster", "join", "from", "to")]
    return tagged_hash("grant", *(bytes.fromhex(part) for part in parts))


def _body(kind: str, envelope: Envelope, what: str) -> dict[str, Any]:
    if envelope.type != kind:
        raise FormatError(f"expected a {what}, got {envelope.type[:80]}")
    body: dict[str, Any] = envelope.body(what)
    fields.demand(SHAPES[kind], body, what)
    return body
