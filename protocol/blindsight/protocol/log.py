"""The membership log: a hash chain of records signed by the members, from which everything public follows.

Rules (FORMAT.md section C):

1. A *genesis* names policy, members, trainers and operators; every member signs it. Its id is the federation's id.
2. Every later record names the federation, its predecessor (``prev``) and a greater ``seq``.
3. An *epoch* record carries the signature of every member of the roster in force.
4. A *roster* or *retire* record carries the signatures that ``roster`` demands.
5. Of all valid chains the one whose tip has the greatest ``seq`` counts. Two tips of the same ``seq`` are a fork if
   somebody signed both, or both records with which the chains part; else the greater step where they part counts.
6. Whoever remembers a change (a roster or retire record) keeps it: a chain that leaves it out does not count here,
   however great its tip, until a person decides. So keys that mattered once cannot undo what others decided since.
7. A *notice* by any member warns of an epoch. It is no record: it counts as long as its author is a member.

Bytes in, a ``Log`` or an error out; no I/O. Records without all required signatures are not part of the chain yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from blindsight.protocol.chain import by_predecessor, doubles, kept, notices, one_genesis
from blindsight.protocol.clock import is_past
from blindsight.protocol.copies import Copies, assembled, by_id
from blindsight.protocol.encoding import canonical, people_code, plain_code
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, MembershipError, PolicyError, ProtocolError
from blindsight.protocol.identity import Entry
from blindsight.protocol.records import GENESIS, NOTICE, RETIRE, ROSTER, read_record
from blindsight.protocol.roster import Quorum, Roster
from blindsight.protocol.scheme import Descriptor


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

    @classmethod
    def of(cls, record: str, body: Mapping[str, Any]) -> Epoch:
        """The epoch that an epoch record of that id states."""
        return cls(body["epoch"], record, body["sid"], body["kcv"], tuple(body["schemes"]), body["not_after"])

    def allows(self, descriptor: Descriptor) -> bool:
        """Whether images may be encrypted with that scheme in this epoch."""
        brief = {"id": descriptor.id, "v": descriptor.v}
        # Compared as bytes: in Python true equals 1, in a descriptor it does not.
        fitting = {canonical(brief), canonical(descriptor.to_json())}
        return any(canonical(dict(allowed)) in fitting for allowed in self.schemes)


@dataclass(frozen=True, slots=True)
class Pending:
    """A record that would follow the tip and lacks signatures.

    Args:
        record: with the signatures at hand.
        body: its content, checked.
        missing: whose signature would still help.
    """

    record: Envelope
    body: Mapping[str, Any]
    missing: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """A verified chain of records from genesis to tip.

    Args:
        records: the chain, genesis first.
        name: the federation's name.
        policy: ``all`` or ``majority``.
        roster: the roster in force.
        epochs: number → agreed epoch.
        seq: sequence number of the tip.
        history: every head this log has had, oldest first: ``{"seq", "id"}``.
        retired: number of a retired epoch → why.
        notices: warnings that count, by their id; of each member at most one about an epoch.
        doubles: pairs of complete records of one sequence: each convicts whoever signed both.
        outbid: the tip of a chain that is no less than this one and leaves out records that were to be kept.
    """

    records: tuple[Envelope, ...]
    name: str
    policy: str
    roster: Roster
    epochs: Mapping[int, Epoch]
    seq: int
    history: tuple[Mapping[str, Any], ...]
    retired: Mapping[int, str] = field(default_factory=dict)
    notices: tuple[Envelope, ...] = ()
    doubles: tuple[tuple[Envelope, Envelope], ...] = ()
    outbid: Envelope | None = None

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
        return dict(self.history[-1])

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
    def changes(self) -> frozenset[str]:
        """The ids of the roster and retire records on the chain: what is kept by whoever remembers this log."""
        return frozenset(record.mid for record in self.records if record.type in (ROSTER, RETIRE))

    @property
    def latest(self) -> Epoch:
        """The newest agreed epoch.

        Raises:
            MembershipError: E_EPOCH, none is agreed yet.
        """
        return self.epoch(max(self.epochs, default=1))

    @property
    def next_epoch(self) -> int:
        """The number of the epoch that would be agreed next."""
        return max(self.epochs, default=0) + 1

    def warnings(self, number: int) -> list[dict[str, Any]]:
        """The notices about an epoch, as their authors wrote them."""
        return [body for notice in self.notices if (body := notice.body())["epoch"] == number]

    def objections(self, number: int, moment: datetime) -> list[PolicyError]:
        """Why an agreed epoch should not be used any more: retired, warned of, or at its end."""
        found = []
        if number in self.retired:
            found.append(PolicyError(f"epoch {number} is retired: {self.retired[number]}", code="E_RETIRED"))
        for body in () if found else self.warnings(number):  # retiring an epoch ends the matter
            author = self.roster.member(body["from"]).label
            found.append(PolicyError(f"{author} warns that epoch {number} is known: {body['text']}", code="E_NOTICE"))
        if is_past(self.epoch(number).not_after, moment):
            ended = self.epoch(number).not_after
            found.append(PolicyError(f"epoch {number} ended on {ended}", code="E_EXPIRED"))
        return found

    def demand_usable(self, number: int, moment: datetime, *, despite_notice: bool = False) -> None:
        """Refuse to use an epoch there is an objection to.

        Args:
            number: of an agreed epoch.
            moment: the present time.
            despite_notice: whether a person has decided to go on in spite of a notice.

        Raises:
            PolicyError: E_RETIRED, E_NOTICE, E_EXPIRED.
        """
        for objection in self.objections(number, moment):
            if not (despite_notice and objection.code == "E_NOTICE"):
                raise objection

    def demand_head(self, head: Mapping[str, Any], what: str) -> None:
        """Demand that a head which somebody states is one that this log has had.

        Raises:
            ConflictError: E_HEAD, a fork, or a record withheld from one of both.
        """
        if dict(head) not in [dict(mine) for mine in self.history]:
            ahead = head["seq"] > self.seq
            raise ConflictError(
                f"the log head of {what} (sequence {head['seq']}) is not on this log, which ends with {self.seq}: "
                + ("records are missing here, or it is a fork" if ahead else "a fork, or a record withheld from it"),
                code="E_HEAD",
                hint="fetch the newest records of the federation, then repeat; if it stays, ask the members",
            )

    def demand_code(self, code: str) -> None:
        """Compare with a code that a person typed.

        Raises:
            MembershipError: E_FED, it is the code of another federation.
        """
        if plain_code(code) != plain_code(self.code):
            raise MembershipError(
                "the code given is not the code of this federation",
                hint="compare both with the other members before you go on: one of you may look at a forged federation",
            )

    def pending(self, envelopes: Iterable[Envelope]) -> list[Pending]:
        """Roster and retire records that would follow the tip, of which at least one member has signed."""
        found = []
        for copies in by_id(envelopes).values():
            if copies[0].type not in (ROSTER, RETIRE):
                continue
            try:
                quorum, _ = self.following(copies[0])
            except ProtocolError:
                continue
            record = assembled(copies, quorum.entries)
            missing = quorum.missing(record.signatures)
            if missing and any(member.fpr in record.signatures for member in self.roster.members):
                found.append(Pending(record, record.body(), missing))
        return sorted(found, key=lambda one: one.record.mid)

    def following(self, record: Envelope) -> tuple[Quorum, Log]:
        """Whose signatures a record needs to follow the tip, and the log it would make.

        Raises:
            ProtocolError: it cannot follow: E_FORMAT, E_FED, E_PREV, E_SEQ, E_EPOCH, E_ROSTER, E_RETIRED.
        """
        body = read_record(record)
        if record.type in (GENESIS, NOTICE):
            raise MembershipError("this document does not follow another", code="E_PREV")
        self._demand_place(body)
        grown = self._grown(record, body["seq"])
        if record.type == ROSTER:
            roster = Roster.of(record.mid, body)
            return self.roster.change(roster, self.policy), replace(grown, roster=roster)
        if record.type == RETIRE:
            self._demand_retirable(body["epochs"])
            retired = {**self.retired, **dict.fromkeys(body["epochs"], body["reason"])}
            return self.roster.decision(self.policy), replace(grown, retired=retired)
        if body["roster"] != self.roster.id:
            raise MembershipError("the epoch record is of another roster", code="E_PREV")
        if body["epoch"] != self.next_epoch:
            raise MembershipError(f"epoch {body['epoch']} is not the next one", code="E_EPOCH")
        epoch = Epoch.of(record.mid, body)
        return Quorum(self.roster.members), replace(grown, epochs={**self.epochs, epoch.number: epoch})

    def _demand_place(self, body: Mapping[str, Any]) -> None:
        if body["fed"] != self.fed:
            raise MembershipError("the record is of another federation", code="E_FED")
        if body["prev"] != self.records[-1].mid:
            raise MembershipError("the record does not extend the head of my log", code="E_PREV")
        if body["seq"] <= self.seq:
            raise MembershipError(f"the record has sequence {body['seq']}, not above {self.seq}", code="E_SEQ")

    def _demand_retirable(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.epoch(number)
            if number in self.retired:
                raise PolicyError(f"epoch {number} is retired already", code="E_RETIRED")

    def _grown(self, record: Envelope, seq: int) -> Log:
        history = (*self.history, {"seq": seq, "id": record.mid})
        return replace(self, records=(*self.records, record), seq=seq, history=history)

    @classmethod
    def build(cls, envelopes: Iterable[Envelope], fed: str | None = None, keep: Collection[str] = ()) -> Log:
        """Verify records, in any order and with signatures spread over copies, and select the chain.

        Args:
            envelopes: genesis, later records and notices. What is incomplete, foreign or falsely signed is passed
                over, so that whoever can write into the folder can delay the federation but not stop it.
            fed: the federation's id in hex, when several may be present.
            keep: ids of records that a chain must hold to count: ``changes`` of the log as it was remembered.

        Raises:
            MembershipError: E_FED or E_QUORUM, there is no complete genesis.
            ConflictError: E_FORK.
        """
        copies = by_id(envelopes)
        tips = cls.chains(copies, fed)
        best, outbid = kept(tips, keep)
        return replace(best, notices=notices(copies.values(), best), doubles=doubles(tips), outbid=outbid)

    @classmethod
    def chains(cls, copies: Mapping[str, Copies], fed: str | None = None) -> list[Log]:
        """Every valid chain from the genesis on, the beginnings of longer ones included, without notices.

        Args:
            copies: message id → copies of one document.
            fed: the federation's id in hex, when several may be present.

        Raises:
            MembershipError: E_FED or E_QUORUM, there is no complete genesis.
        """
        followers = by_predecessor(copies.values())
        tips = open_ends = [cls._from_genesis(one_genesis(copies, fed))]
        while open_ends:
            steps = [(end, group) for end in open_ends for group in followers.get(end.records[-1].mid, ())]
            open_ends = [log for end, group in steps if (log := end._extended(group))]
            tips = tips + open_ends
        return tips

    @classmethod
    def _from_genesis(cls, envelope: Envelope) -> Log:
        body = read_record(envelope)
        roster = Roster.of(envelope.mid, body)
        start = ({"seq": 0, "id": envelope.mid},)
        return cls((envelope,), body["name"], body["policy"]["approve"], roster, {}, 0, start)

    def _extended(self, copies: Copies) -> Log | None:
        """The log with one more record, or None if it is not a complete record that follows the tip."""
        try:
            quorum, _ = self.following(copies[0])
        except ProtocolError:
            return None
        record = assembled(copies, quorum.entries)
        return None if quorum.missing(record.signatures) else self.following(record)[1]
