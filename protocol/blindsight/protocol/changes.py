"""Writing the records that change a federation: who belongs to it, which epochs have ended. FORMAT.md section C."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import MembershipError
from blindsight.protocol.identity import Entry, SigningKey
from blindsight.protocol.log import Log
from blindsight.protocol.records import people, read_record


def make_roster(
    log: Log, members: Sequence[Entry], trainers: Sequence[Entry], operators: Sequence[Entry], *, promised: int = 0
) -> Envelope:
    """Write an unsigned roster record on the log's head.

    Args:
        log: the verified log.
        members: all holders from now on.
        trainers: all trainers from now on.
        operators: all operators from now on.
        promised: greatest sequence the author has promised a record of.

    Raises:
        MembershipError: E_ROSTER, it would keep too few members, or change nothing.
    """
    record = Envelope.of("roster", _place(log, "roster", promised) | people(members, trainers, operators))
    log.following(record)
    return record


def make_retire(log: Log, epochs: Iterable[int], reason: str, *, promised: int = 0) -> Envelope:
    """Write an unsigned retire record on the log's head.

    Args:
        log: the verified log.
        epochs: numbers of agreed epochs.
        reason: for people, at most 400 characters.
        promised: greatest sequence the author has promised a record of.

    Raises:
        MembershipError: E_EPOCH, one is not agreed.
        PolicyError: E_RETIRED, one is retired already.
    """
    body = _place(log, "retire", promised) | {"epochs": sorted(set(epochs)), "reason": reason}
    record = Envelope.of("retire", body)
    log.following(record)
    return record


def sign_genesis(envelope: Envelope, key: SigningKey) -> Envelope:
    """Add one member's signature to a genesis.

    Raises:
        MembershipError: E_ROSTER, the key is not among the members.
    """
    if key.entry.fpr not in {entry["fpr"] for entry in read_record(envelope)["members"]}:
        raise MembershipError(f"{key.entry.label} is not among the members of this genesis", code="E_ROSTER")
    return envelope.signed(key)


def _place(log: Log, kind: str, promised: int) -> dict[str, Any]:
    return {"v": 1, "type": kind, "fed": log.fed, "seq": max(log.seq, promised) + 1, "prev": log.records[-1].mid}
