"""Lending one scheme's key to a device: a camera, an encryption worker. FORMAT.md section E.

A device asks with a *join* as a newcomer does, and is on no roster. The answer holds the key of one scheme, one shape
and one epoch. From it nothing leads to the epoch secret, to another scheme or to another shape. What the device
encrypts it can decrypt, and so can whoever takes the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blindsight.protocol import fields, kem
from blindsight.protocol.encoding import from_b64, tagged_hash, to_b64
from blindsight.protocol.envelope import Envelope, payload_type
from blindsight.protocol.errors import FormatError, MembershipError, SchemeError
from blindsight.protocol.grant import Join, demand_answer
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.log import Log
from blindsight.protocol.scheme import SHAPE as DESCRIPTOR
from blindsight.protocol.scheme import Descriptor
from blindsight.protocol.tag import FIELDS, Tag

DELEGATE = payload_type("delegate")
KEY_BYTES = 32
SHAPE = fields.mapping(
    {
        "v": fields.constant(1),
        "type": fields.constant("delegate"),
        **FIELDS,
        "roster": fields.hex32,
        "scheme": DESCRIPTOR,
        "not_after": fields.time,
        "join": fields.hex32,
        "from": fields.hex32,
        "to": fields.hex32,
        "box": fields.key(KEY_BYTES + kem.OVERHEAD_BYTES),
    }
)


@dataclass(frozen=True, slots=True)
class Delegated:
    """A lent key and what it is for. Shows nothing of the key.

    Args:
        tag: federation, epoch and scheme.
        descriptor: the scheme.
        key: the scheme's key, 32 bytes.
        sponsor: label of the member who lent it.
        not_after: last moment of use of the epoch.
    """

    tag: Tag
    descriptor: Descriptor
    key: bytes
    sponsor: str
    not_after: str

    def __repr__(self) -> str:
        return f"Delegated({self.descriptor.id}, epoch {self.tag.epoch})"


def make_delegate(key: SigningKey, log: Log, join: Join, descriptor: Descriptor, tag: Tag, secret: bytes) -> Envelope:
    """Lend a scheme's key.

    Args:
        key: the member who lends.
        log: the verified log.
        join: the device's request.
        descriptor: the scheme with its shape.
        tag: of images encrypted under it.
        secret: the scheme's key, 32 bytes.

    Raises:
        MembershipError: E_ROSTER, the lender is no member, or the asker no device; E_EPOCH.
        SchemeError: E_SCHEME, the epoch does not allow the scheme.
        FormatError: E_FORMAT, the descriptor is none.
    """
    sponsor, epoch = log.roster.member(key.entry.fpr), log.epoch(tag.epoch)
    if join.entry.role != "device":
        raise MembershipError(f"{join.entry.label} is a {join.entry.role}, keys are lent to devices", code="E_ROSTER")
    if not epoch.allows(descriptor):
        raise SchemeError(f"scheme {descriptor.id} v{descriptor.v} is not allowed in epoch {epoch.number}")
    body = {"v": 1, "type": "delegate", **{name: getattr(tag, name) for name in FIELDS}, "roster": log.roster.id}
    body |= {"scheme": descriptor.to_json(), "not_after": epoch.not_after}
    body |= {"join": join.envelope.mid, "from": sponsor.fpr, "to": join.entry.fpr}
    body["box"] = to_b64(kem.seal(join.kem, secret, _context(body)))
    fields.demand(SHAPE, body, "delegation")
    return Envelope.of("delegate", body).signed(key)


def open_delegate(envelope: Envelope, log: Log, *, me: str, join: str, kem_seed: bytes) -> Delegated:
    """Open what was lent to this device. That the key gives the stated check value is for who has the cipher.

    Args:
        envelope: as received.
        log: the verified log.
        me: own fingerprint.
        join: id of the own request.
        kem_seed: its seed, 32 bytes.

    Raises:
        FormatError: E_FORMAT, E_CANON.
        MembershipError: E_ROSTER, E_QUORUM, E_FED, E_EPOCH; E_GRANT, it answers another request or roster.
        SignatureError: E_SIG, E_BOX.
        SchemeError: E_SCHEME, digest and descriptor differ, or the epoch does not allow the scheme.
    """
    body: dict[str, Any] = envelope.body("delegation")
    if envelope.type != DELEGATE:
        raise FormatError(f"expected a delegation, got {envelope.type[:80]}")
    fields.demand(SHAPE, body, "delegation")
    sponsor = demand_answer(envelope, body, log, "delegation", me=me, join=join)
    descriptor = _demand_agreed(body, log)
    key = kem.unseal(kem_seed, from_b64(body["box"]), _context(body), KEY_BYTES)
    return Delegated(Tag.of(body), descriptor, key, sponsor.label, body["not_after"])


def _demand_agreed(body: Mapping[str, Any], log: Log) -> Descriptor:
    """What a delegation says of epoch and scheme must be what the log says."""
    epoch, descriptor = log.epoch(body["epoch"]), Descriptor.from_json(body["scheme"])
    if (body["record"], body["kcv"], body["not_after"]) != (epoch.record, epoch.kcv, epoch.not_after):
        raise MembershipError(f"the delegation is of another epoch {epoch.number} than the log's", code="E_EPOCH")
    descriptor.check()
    if descriptor.digest != body["scheme_digest"] or not epoch.allows(descriptor):
        raise SchemeError(f"scheme {descriptor.id} is not the delegation's, or not allowed in epoch {epoch.number}")
    return descriptor


def _context(body: Mapping[str, Any]) -> bytes:
    parts = [body[name] for name in ("fed", "record", "scheme_digest", "scv", "join", "from", "to")]
    return tagged_hash("delegate", *(bytes.fromhex(part) for part in parts))
