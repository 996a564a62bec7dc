"""The membership log: a hash chain of records signed by the members, from which everything public follows.

Rules (FORMAT.md section C):

1. A *genesis* names policy, members, trainers and operators; every member signs it. Its id is the federation's id.
2. Every later record names the federation, its predecessor (``prev``) and a greater ``seq``.
3. An *epoch* record carries the signature of every member of the roster in force.
4. Of all valid chains the one whose tip has the greatest ``seq`` counts; two tips of the same ``seq`` are a fork.

Bytes in, a ``Log`` or an error out; no I/O. Records without all required signatures are not part of the chain yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blindsight.protocol import fields, identity
from blindsight.protocol.encoding import canonical, people_code, plain_code
from blindsight.protocol.envelope import Envelope, payload_type
from blindsight.protocol.errors import ConflictError, FormatError, MembershipError, ProtocolError
from blindsight.protocol.identity import Entry, SigningKey
from blindsight.protocol.kem import SUITE
from blindsight.protocol.scheme import SHAPE as DESCRIPTOR
from blindsight.protocol.scheme import Descriptor

MAX_MEMBERS = 256
GENESIS = payload_type("genesis")
EPOCH = payload_type("epoch")

_ENTRIES = fields.listing(identity.SHAPE, most=MAX_MEMBERS)
_GENESIS_SHAPE = fields.mapping(
    {
        "v": fields.constant(1),
        "type": fields.constant("genesis"),
        "name": fields.text(identity.MAX_NAME),
        "suite": fields.text(80),
        "nonce": fields.hex32,
        "created": fields.time,
        "policy": fields.mapping({"approve": fields.one_of(["all", "majority"])}),
        "members": fields.listing(identity.SHAPE, least=1, most=MAX_MEMBERS),
        "trainers": _ENTRIES,
        "operators": _ENTRIES,
    }
)
ALLOWED_SCHEMES = fields.listing(
    fields.either(fields.mapping({"id": fields.text(40), "v": fields.integer(1)}), DESCRIPTOR), least=1, most=64
)
_EPOCH_SHAPE = fields.mapping(
    {
        "v": fields.constant(1),
        "type": fields.constant("epoch"),
        "fed": fields.hex32,
        "seq": fields.integer(1),
        "prev": fields.hex32,
        "roster": fields.hex32,
        "epoch": fields.integer(1),
        "sid": fields.hex32,
        "transcript": fields.hex32,
        "kcv": fields.hex32,
        "suite": fields.text(80),
        "schemes": ALLOWED_SCHEMES,
        "not_after": fields.time,
    }
)


@dataclass(frozen=True, slots=True)
class Roster:
    """Who belongs to the federation.

    Args:
        id: id of the record that set it, hex.
        members: the holders, by ascending fingerprint.
        trainers: who may sign model bundles.
        operators: who runs models.
    """

    id: str
    members: tuple[Entry, ...]
    trainers: tuple[Entry, ...]
    operators: tuple[Entry, ...]

    def member(self, fpr: str) -> Entry:
        """The member of that fingerprint.

        Raises:
            MembershipError: E_ROSTER, no member has it.
        """
        return self._find(self.members, fpr, "a member")

    def trainer(self, fpr: str) -> Entry:
        """The trainer of that fingerprint.

        Raises:
            MembershipError: E_ROSTER, no trainer has it.
        """
        return self._find(self.trainers, fpr, "a trainer")

    @staticmethod
    def _find(entries: Sequence[Entry], fpr: str, what: str) -> Entry:
        for entry in entries:
            if entry.fpr == fpr:
                return entry
        raise MembershipError(
            f"{people_code(bytes.fromhex(fpr))[:9]}… is not {what} of this federation", code="E_ROSTER"
        )


@dataclass(frozen=True, slots=True)
class Epoch:
    """An agreed epoch as the log states it; the secret itself is in the members' keystores only.

    Args:
        number: from 1.
        record: id of the epoch record, hex.
        sid: id of the session in which it was agreed, hex.
        kcv: key check value, hex.
        schemes: the allowed schemes as proposed: ``{"id","v"}`` or whole descriptors.
        not_after: last moment of use, informative text ``YYYY-MM-DDThh:mm:ssZ``.
    """

    number: int
    record: str
    sid: str
    kcv: str
    schemes: tuple[Mapping[str, Any], ...]
    not_after: str

    def allows(self, descriptor: Descriptor) -> bool:
        """Whether images may be encrypted with that scheme in this epoch."""
        brief = {"id": descriptor.id, "v": descriptor.v}
        # Compared as bytes: in Python true equals 1, in a descriptor it does not.
        fitting = {canonical(brief), canonical(descriptor.to_json())}
        return any(canonical(dict(allowed)) in fitting for allowed in self.schemes)


@dataclass(frozen=True, slots=True)
class Log:
    """A verified chain of records from genesis to tip.

    Args:
        records: the chain, genesis first.
        name: the federation's name.
        roster: the roster in force.
        epochs: number → agreed epoch.
        seq: sequence number of the tip.
    """

    records: tuple[Envelope, ...]
    name: str
    roster: Roster
    epochs: Mapping[int, Epoch]
    seq: int

    @property
    def fed(self) -> str:
        """Federation id: the id of the genesis, hex."""
        return self.records[0].mid

    @property
    def code(self) -> str:
        """The federation code for reading aloud."""
        return people_code(self.records[0].id)

    @property
    def head(self) -> dict[str, Any]:
        """The tip, as it stands in manifests and bundles."""
        return {"seq": self.seq, "id": self.records[-1].mid}

    @property
    def history(self) -> tuple[dict[str, Any], ...]:
        """Every head this log has had, oldest first."""
        seqs = [0] + [read_epoch(record)["seq"] for record in self.records[1:]]
        return tuple({"seq": seq, "id": record.mid} for seq, record in zip(seqs, self.records, strict=True))

    def epoch(self, number: int) -> Epoch:
        """The agreed epoch of that number.

        Raises:
            MembershipError: E_EPOCH, no such epoch is on the chain.
        """
        if number not in self.epochs:
            known = ", ".join(str(n) for n in sorted(self.epochs)) or "none"
            raise MembershipError(f"epoch {number} is not agreed in {self.name}; agreed are: {known}", code="E_EPOCH")
        return self.epochs[number]

    @property
    def latest(self) -> Epoch:
        """The newest agreed epoch.

        Raises:
            MembershipError: E_EPOCH, none is agreed yet.
        """
        return self.epoch(max(self.epochs, default=1))

    def demand_code(self, code: str) -> None:
        """Compare with a code that a person typed.

        Raises:
            MembershipError: E_FED, it is the code of another federation.
        """
        if plain_code(code) != plain_code(self.code):
            raise MembershipError(
                f"the code given is not the code of this federation, which is {self.code}",
                hint="compare both with the other members before you go on: one of you may look at a forged federation",
            )

    @classmethod
    def build(cls, envelopes: Iterable[Envelope], fed: str | None = None) -> Log:
        """Verify records, in any order and with signatures spread over copies, and select the chain.

        Args:
            envelopes: genesis and later records. What is incomplete, foreign or falsely signed is passed over, so
                that whoever can write into the folder can delay the federation but not stop it.
            fed: the federation's id in hex, when several may be present.

        Raises:
            MembershipError: E_FED or E_QUORUM, there is no complete genesis.
            ConflictError: E_FORK.
        """
        copies: dict[str, list[Envelope]] = {}
        for envelope in envelopes:
            copies.setdefault(envelope.mid, []).append(envelope)
        tips = open_ends = [cls._from_genesis(_one_genesis(copies, fed))]
        while open_ends:
            open_ends = [log for end in open_ends for record in copies.values() if (log := end._extended(record))]
            tips = tips + open_ends
        return _greatest(tips)

    @classmethod
    def _from_genesis(cls, envelope: Envelope) -> Log:
        body = read_genesis(envelope)
        lists = [tuple(Entry.from_json(e) for e in body[place]) for place in ("members", "trainers", "operators")]
        return cls((envelope,), body["name"], Roster(envelope.mid, *lists), {}, 0)

    def _extended(self, copies: Sequence[Envelope]) -> Log | None:
        """The log with one more epoch record, or None if it is not a complete record that follows the tip."""
        if copies[0].type != EPOCH:
            return None
        try:
            body = read_epoch(copies[0])
        except ProtocolError:
            return None
        follows = (body["fed"], body["prev"], body["roster"]) == (self.fed, self.records[-1].mid, self.roster.id)
        if not follows or body["seq"] <= self.seq or body["epoch"] != max(self.epochs, default=0) + 1:
            return None
        record = assembled(copies, self.roster.members)
        if len(record.signatures) < len(self.roster.members):
            return None
        epoch = Epoch(body["epoch"], record.mid, body["sid"], body["kcv"], tuple(body["schemes"]), body["not_after"])
        epochs = {**self.epochs, epoch.number: epoch}
        return Log((*self.records, record), self.name, self.roster, epochs, body["seq"])


def make_genesis(
    name: str, members: Sequence[Entry], trainers: Sequence[Entry], *, policy: str, nonce: bytes, created: str
) -> Envelope:
    """Write an unsigned genesis.

    Args:
        name: the federation's name.
        members: the holders, in any order.
        trainers: who may sign model bundles.
        policy: ``all`` or ``majority``, for later roster changes.
        nonce: 32 random bytes.
        created: time of creation.

    Raises:
        FormatError: E_FORMAT.
        MembershipError: E_ROSTER, a key stands in two places.
    """
    body = {
        "v": 1,
        "type": "genesis",
        "name": name,
        "suite": SUITE,
        "nonce": nonce.hex(),
        "created": created,
        "policy": {"approve": policy},
        "members": [entry.to_json() for entry in sorted(members, key=lambda entry: entry.fpr)],
        "trainers": [entry.to_json() for entry in sorted(trainers, key=lambda entry: entry.fpr)],
        "operators": [],
    }
    envelope = Envelope.of("genesis", body)
    read_genesis(envelope)
    return envelope


def read_genesis(envelope: Envelope) -> dict[str, Any]:
    """Parse a genesis and check all that does not depend on signatures.

    Raises:
        FormatError: E_FORMAT, E_CANON, E_FPR.
        MembershipError: E_SUITE, E_ROSTER.
        SignatureError: E_KEY.
    """
    body: dict[str, Any] = envelope.body("genesis")
    fields.demand(_GENESIS_SHAPE, body, "genesis")
    demand_suite(body["suite"])
    roles = {"members": "holder", "trainers": "trainer", "operators": "operator"}
    entries = [Entry.from_json(entry) for place in roles for entry in body[place]]
    if any(entry["role"] != role for place, role in roles.items() for entry in body[place]):
        raise MembershipError("the genesis lists an identity in a place that is not its role", code="E_ROSTER")
    if len({entry.pub for entry in entries}) != len(entries):
        raise MembershipError("the genesis lists one key twice", code="E_ROSTER")
    fprs = [entry["fpr"] for entry in body["members"]]
    if fprs != sorted(fprs):
        raise FormatError("the members of a genesis must stand by ascending fingerprint")
    return body


def read_epoch(envelope: Envelope) -> dict[str, Any]:
    """Parse an epoch record and check its shape.

    Raises:
        FormatError: E_FORMAT, E_CANON.
        MembershipError: E_SUITE.
    """
    body: dict[str, Any] = envelope.body("epoch record")
    fields.demand(_EPOCH_SHAPE, body, "epoch record")
    demand_suite(body["suite"])
    return body


def demand_suite(suite: str) -> None:
    """Refuse another cryptographic suite: there is no negotiation.

    Raises:
        MembershipError: E_SUITE.
    """
    if suite != SUITE:
        raise MembershipError(f"suite {suite[:60]} is not {SUITE}", code="E_SUITE", hint="update blindsight")


def sign_genesis(envelope: Envelope, key: SigningKey) -> Envelope:
    """Add one member's signature to a genesis.

    Raises:
        MembershipError: E_ROSTER, the key is not among the members.
    """
    if key.entry.fpr not in {entry["fpr"] for entry in read_genesis(envelope)["members"]}:
        raise MembershipError(f"{key.entry.label} is not among the members of this genesis", code="E_ROSTER")
    return envelope.signed(key)


def assembled(copies: Sequence[Envelope], entries: Iterable[Entry]) -> Envelope:
    """Unite copies of one document: of every listed person the signature that fits, and nothing else.

    Args:
        copies: envelopes of the same payload, each with some signatures.
        entries: whose signatures count.
    """
    signatures: dict[str, bytes] = {}
    for entry in entries:
        for copy in copies:
            if copy.is_signed_by(entry):
                signatures[entry.fpr] = copy.signatures[entry.fpr]
                break
    return Envelope(copies[0].type, copies[0].payload, signatures)


def _is_genesis(envelope: Envelope) -> bool:
    if envelope.type != GENESIS:
        return False
    try:
        read_genesis(envelope)
    except ProtocolError:
        return False
    return True


def missing_signers(copies: Sequence[Envelope]) -> tuple[Entry, ...]:
    """The members named in a genesis whose signature none of its copies carries."""
    members = [Entry.from_json(entry) for entry in read_genesis(copies[0])["members"]]
    signed = assembled(copies, members).signatures
    return tuple(member for member in members if member.fpr not in signed)


def _one_genesis(copies: Mapping[str, Sequence[Envelope]], fed: str | None) -> Envelope:
    found = [group for mid, group in copies.items() if fed in (None, mid) and _is_genesis(group[0])]
    complete = [group for group in found if not missing_signers(group)]
    if len(complete) == 1:
        members = [Entry.from_json(entry) for entry in read_genesis(complete[0][0])["members"]]
        return assembled(complete[0], members)
    if complete:
        raise MembershipError("several federations are present", hint="name one with --federation CODE")
    if not found:
        raise MembershipError(
            "there is no genesis of that federation that can be read", hint="blindsight holder federation create"
        )
    waiting = ", ".join(member.label for member in missing_signers(found[0]))
    raise MembershipError(
        f"the genesis still lacks a valid signature of: {waiting}",
        code="E_QUORUM",
        hint="each of them types: blindsight holder federation sign",
    )


def _greatest(candidates: Sequence[Log]) -> Log:
    best = max(candidates, key=lambda log: log.seq)
    tied = [log for log in candidates if log.seq == best.seq]
    if len(tied) > 1:
        both = set.intersection(*(set(log.records[-1].signatures) for log in tied))
        names = ", ".join(member.label for member in best.roster.members if member.fpr in both)
        raise ConflictError(
            f"two chains end with sequence {best.seq}; at fault is who signed both last records: {names or 'nobody'}",
            code="E_FORK",
            evidence=tuple(log.records[-1].to_bytes() for log in tied),
        )
    return best
