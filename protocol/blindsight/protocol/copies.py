"""Copies of one document that carry signatures of different people, and how they unite. FORMAT.md section A.5.

Signatures are no part of a document's id, so members sign copies and whoever reads gathers. A signature that does not
fit is passed over: a forged copy in a shared folder delays nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from blindsight.protocol.envelope import Envelope
from blindsight.protocol.identity import Entry
from blindsight.protocol.records import entries_of, read_record
from blindsight.protocol.roster import Quorum

Copies = Sequence[Envelope]


def by_id(envelopes: Iterable[Envelope]) -> dict[str, list[Envelope]]:
    """Copies of one document together: message id → envelopes."""
    copies: dict[str, list[Envelope]] = {}
    for envelope in envelopes:
        copies.setdefault(envelope.mid, []).append(envelope)
    return copies


def assembled(copies: Copies, entries: Iterable[Entry]) -> Envelope:
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


def missing_signers(copies: Copies) -> tuple[Entry, ...]:
    """The members named in a genesis whose signature none of its copies carries."""
    members = entries_of(read_record(copies[0]), "members")
    return Quorum(members).missing(assembled(copies, members).signatures)
