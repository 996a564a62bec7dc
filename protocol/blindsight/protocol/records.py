"""The records of the membership log, and notices beside it: what each must say. FORMAT.md section C.

Bytes in, a checked body or an error out; whose signatures a record needs, and whether it follows, is for ``log``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blindsight.protocol import fields, identity
from blindsight.protocol.envelope import Envelope, payload_type
from blindsight.protocol.errors import FormatError, MembershipError
from blindsight.protocol.identity import Entry
from blindsight.protocol.kem import SUITE
from blindsight.protocol.scheme import SHAPE as DESCRIPTOR

MAX_MEMBERS = 256
GENESIS, ROSTER, EPOCH, RETIRE, NOTICE = (
    payload_type(kind) for kind in ("genesis", "roster", "epoch", "retire", "notice")
)
POLICIES = ("all", "majority")
ROLE_OF_PLACE = {"members": "holder", "trainers": "trainer", "operators": "operator"}

_ENTRIES = fields.listing(identity.SHAPE, most=MAX_MEMBERS)
_PEOPLE = {
    "members": fields.listing(identity.SHAPE, least=1, most=MAX_MEMBERS),
    "trainers": _ENTRIES,
    "operators": _ENTRIES,
}
_PLACE = {"v": fields.constant(1), "fed": fields.hex32, "seq": fields.integer(1), "prev": fields.hex32}
ALLOWED_SCHEMES = fields.listing(
    fields.either(fields.mapping({"id": fields.text(40), "v": fields.integer(1)}), DESCRIPTOR), least=1, most=64
)
SHAPES: Mapping[str, fields.Check] = {
    GENESIS: fields.mapping(
        {
            "v": fields.constant(1),
            "type": fields.constant("genesis"),
            "name": fields.text(identity.MAX_NAME),
            "suite": fields.text(80),
            "nonce": fields.hex32,
            "created": fields.time,
            "policy": fields.mapping({"approve": fields.one_of(POLICIES)}),
            **_PEOPLE,
        }
    ),
    ROSTER: fields.mapping({**_PLACE, "type": fields.constant("roster"), **_PEOPLE}),
    EPOCH: fields.mapping(
        {
            **_PLACE,
            "type": fields.constant("epoch"),
            "roster": fields.hex32,
            "epoch": fields.integer(1),
            "sid": fields.hex32,
            "transcript": fields.hex32,
            "kcv": fields.hex32,
            "suite": fields.text(80),
            "schemes": ALLOWED_SCHEMES,
            "not_after": fields.time,
        }
    ),
    RETIRE: fields.mapping(
        {
            **_PLACE,
            "type": fields.constant("retire"),
            "epochs": fields.listing(fields.integer(1), least=1, most=10_000),
            "reason": fields.text(400),
        }
    ),
    NOTICE: fields.mapping(
        {
            "v": fields.constant(1),
            "type": fields.constant("notice"),
            "fed": fields.hex32,
            "epoch": fields.integer(1),
            "record": fields.hex32,
            "kind": fields.constant("compromised"),
            "from": fields.hex32,
            "text": fields.text(400),
            "created": fields.time,
        }
    ),
}
_WORDS = {
    GENESIS: "genesis",
    ROSTER: "roster record",
    EPOCH: "epoch record",
    RETIRE: "retire record",
    NOTICE: "notice",
}


def read_record(envelope: Envelope) -> dict[str, Any]:
    """Parse a record or a notice and check all that depends on nothing else.

    Raises:
        FormatError: E_FORMAT, E_CANON, E_FPR.
        MembershipError: E_SUITE, E_ROSTER.
        SignatureError: E_KEY.
    """
    if envelope.type not in SHAPES:
        raise FormatError(f"{envelope.type[:80]} is no record of a membership log")
    what = _WORDS[envelope.type]
    body: dict[str, Any] = envelope.body(what)
    fields.demand(SHAPES[envelope.type], body, what)
    if "suite" in body:
        demand_suite(body["suite"])
    if "members" in body:
        _demand_people(body, what)
    if "epochs" in body and body["epochs"] != sorted(set(body["epochs"])):
        raise FormatError(f"the epochs of a {what} must ascend")
    return body


def read_epoch(envelope: Envelope) -> dict[str, Any]:
    """Parse an epoch record.

    Raises:
        ProtocolError: see ``read_record``; E_FORMAT, it is another document.
    """
    return _read(EPOCH, envelope)


def read_genesis(envelope: Envelope) -> dict[str, Any]:
    """Parse a genesis.

    Raises:
        ProtocolError: see ``read_record``; E_FORMAT, it is another document.
    """
    return _read(GENESIS, envelope)


def entries_of(body: Mapping[str, Any], place: str) -> tuple[Entry, ...]:
    """The identities that a genesis or roster record lists in one place, in its order."""
    return tuple(Entry.from_json(entry) for entry in body[place])


def make_genesis(
    name: str,
    members: Sequence[Entry],
    trainers: Sequence[Entry],
    operators: Sequence[Entry] = (),
    *,
    policy: str,
    nonce: bytes,
    created: str,
) -> Envelope:
    """Write an unsigned genesis.

    Args:
        name: the federation's name.
        members: the holders, in any order.
        trainers: who may sign model bundles.
        operators: who run models.
        policy: ``all`` or ``majority``, for later changes.
        nonce: 32 random bytes.
        created: time of creation.

    Raises:
        FormatError: E_FORMAT.
        MembershipError: E_ROSTER, a key stands in two places.
    """
    body = {"v": 1, "type": "genesis", "name": name, "suite": SUITE, "nonce": nonce.hex(), "created": created}
    return _checked("genesis", body | {"policy": {"approve": policy}} | people(members, trainers, operators))


def people(members: Sequence[Entry], trainers: Sequence[Entry], operators: Sequence[Entry]) -> dict[str, Any]:
    """The three lists as they stand in a genesis or roster record: by ascending fingerprint."""
    lists = {"members": members, "trainers": trainers, "operators": operators}
    return {
        place: [entry.to_json() for entry in sorted(entries, key=lambda entry: entry.fpr)]
        for place, entries in lists.items()
    }


def make_notice(fed: str, epoch: int, record: str, *, author: str, text: str, created: str) -> Envelope:
    """Write an unsigned notice that an epoch's secret is known to others.

    Args:
        fed: the federation.
        epoch: number of the epoch.
        record: id of its record.
        author: fingerprint of the member who says so.
        text: what happened, at most 400 characters.
        created: time of creation.
    """
    body = {"v": 1, "type": "notice", "fed": fed, "epoch": epoch, "record": record, "kind": "compromised"}
    return _checked("notice", body | {"from": author, "text": text, "created": created})


def demand_suite(suite: str) -> None:
    """Refuse another cryptographic suite: there is no negotiation.

    Raises:
        MembershipError: E_SUITE.
    """
    if suite != SUITE:
        raise MembershipError(f"suite {suite[:60]} is not {SUITE}", code="E_SUITE", hint="update blindsight")


def _read(kind: str, envelope: Envelope) -> dict[str, Any]:
    if envelope.type != kind:
        raise FormatError(f"expected a {_WORDS[kind]}, got {envelope.type[:80]}")
    return read_record(envelope)


def _checked(kind: str, body: Mapping[str, Any]) -> Envelope:
    envelope = Envelope.of(kind, body)
    read_record(envelope)
    return envelope


def _demand_people(body: Mapping[str, Any], what: str) -> None:
    entries = [entry for place in ROLE_OF_PLACE for entry in entries_of(body, place)]
    if any(entry["role"] != role for place, role in ROLE_OF_PLACE.items() for entry in body[place]):
        raise MembershipError(f"the {what} lists an identity in a place that is not its role", code="E_ROSTER")
    if len({entry.pub for entry in entries}) != len(entries):
        raise MembershipError(f"the {what} lists one key twice", code="E_ROSTER")
    for place in ROLE_OF_PLACE:
        fprs = [entry["fpr"] for entry in body[place]]
        if fprs != sorted(fprs):
            raise FormatError(f"the {place} of a {what} must stand by ascending fingerprint")
