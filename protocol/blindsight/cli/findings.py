"""Signed documents for ``protocol inspect``: what each says in plain words, and whether it verifies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from blindsight.protocol import (
    bundle,
    delegate,
    dropbox,
    fields,
    grant,
    manifest,
    messages,
    provenance,
    recipient,
    records,
    sealing,
)
from blindsight.protocol.clock import now
from blindsight.protocol.encoding import people_code
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import MembershipError, ProtocolError
from blindsight.protocol.identity import Entry
from blindsight.protocol.log import Log

NEEDS_LOG = "who signed it: name the membership log with --log"
NEEDS_FILES = "the files it names: inspect their folder"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a sound file says.

    Args:
        facts: name → value.
        unchecked: what could not be checked, in words; empty when nothing is left.
    """

    facts: Mapping[str, Any]
    unchecked: str = ""


DocumentReader = Callable[[Envelope, Log | None], Finding]


def _card(envelope: Envelope, log: Log | None) -> Finding:
    entry = dropbox.read_card(envelope)
    facts: dict[str, Any] = {"role": entry.role, "name": entry.name, "fingerprint": entry.code}
    if log:
        facts["on_the_roster"] = "yes" if entry in log.roster.everybody else "no"
    return Finding(facts)


def _genesis(envelope: Envelope, log: Log | None) -> Finding:
    body = records.read_genesis(envelope)
    members = [Entry.from_json(entry) for entry in body["members"]]
    facts = {"name": body["name"], "federation_code": people_code(envelope.id), "created": body["created"]}
    facts |= {place: [e["name"] for e in body[place]] for place in ("members", "trainers", "operators")}
    facts |= _signers(envelope, members, "the genesis")
    if log:
        demand_federation(envelope.mid, log, "the genesis")
    return Finding(facts)


def _record(envelope: Envelope, log: Log | None) -> Finding:
    """A roster, epoch or retire record: on the log, or what it lacks to follow the log's head."""
    body = records.read_record(envelope)
    facts = {name: body[name] for name in _SAYS if name in body}
    for place in ("members", "trainers", "operators"):
        facts |= {place: [entry["name"] for entry in body[place]]} if place in body else {}
    if log is None:
        return Finding({**facts, "signatures": len(envelope.signatures)}, NEEDS_LOG)
    demand_federation(body["fed"], log, "the record")
    if envelope.mid in {record.mid for record in log.records}:
        return Finding({**facts, "on_the_log": "yes"})
    try:
        quorum, _ = log.following(envelope)
    except ProtocolError as error:
        return Finding({**facts, "on_the_log": f"no: {error.message}"})
    signed = {entry.fpr for entry in quorum.entries if envelope.is_signed_by(entry)}
    facts |= _signers(envelope, quorum.entries, "the record")
    return Finding({**facts, "on_the_log": "no", "missing": [entry.label for entry in quorum.missing(signed)]})


_SAYS = ("seq", "epoch", "kcv", "not_after", "schemes", "epochs", "reason")


def _notice(envelope: Envelope, log: Log | None) -> Finding:
    body = records.read_record(envelope)
    facts = {name: body[name] for name in ("epoch", "text", "created")} | {"says": body["kind"]}
    if log is None:
        return Finding({**facts, "from": people_code(bytes.fromhex(body["from"]))}, NEEDS_LOG)
    demand_federation(body["fed"], log, "the notice")
    author = log.roster.member(body["from"])
    facts |= _signers(envelope, [author], "the notice")
    counts = log.epoch(body["epoch"]).record == body["record"]
    return Finding({**facts, "from": author.label, "counts": "yes" if counts else "no: of another record"})


def _message(envelope: Envelope, log: Log | None) -> Finding:
    is_proposal = envelope.type == messages.PROPOSE
    body = envelope.body("message")
    fields.demand(messages.SHAPES[envelope.type], body, "message")
    names = ("epoch", "seq", "created", "deadline", "not_after", "sid", "about", "code", "reason")
    facts = {name: body[name] for name in names if name in body}
    if log is None:
        return Finding({**facts, "from": people_code(bytes.fromhex(body["from"]))}, NEEDS_LOG)
    if is_proposal:
        demand_federation(body["fed"], log, "the proposal")
    author = log.roster.member(body["from"])
    envelope.verify(author, "the message")
    return Finding({**facts, "from": author.label, "signed": _signers(envelope, [author], "the message")["signed"]})


def _join(envelope: Envelope, log: Log | None) -> Finding:
    body = envelope.body("request")
    fields.demand(grant.SHAPES[grant.JOIN], body, "request")
    entry = Entry.from_json(body["identity"])
    facts = {"role": entry.role, "name": entry.name, "fingerprint": entry.code, "expires": body["expires"]}
    grant.read_join(envelope, body["fed"], now())
    if log:
        demand_federation(body["fed"], log, "the request")
        facts["on_the_roster"] = "yes" if entry.fpr in {known.fpr for known in log.roster.everybody} else "no"
    return Finding(facts)


def _gift(envelope: Envelope, log: Log | None) -> Finding:
    """A grant or a delegation: from whom to whom; what it gives is sealed."""
    body = envelope.body("document")
    fields.demand({**grant.SHAPES, delegate.DELEGATE: delegate.SHAPE}[envelope.type], body, "document")
    facts = {"to": people_code(bytes.fromhex(body["to"])), "answers": body["join"][:12]}
    facts |= _key(body) if "scheme" in body else {}
    if log is None:
        return Finding({**facts, "from": people_code(bytes.fromhex(body["from"]))}, NEEDS_LOG)
    demand_federation(body["fed"], log, "the document")
    author = log.roster.member(body["from"])
    facts |= _signers(envelope, [author], "the document")
    return Finding({**facts, "from": author.label}, "what it gives: it is sealed to one receiver")


def manifest_finding(envelope: Envelope, log: Log | None) -> Finding:
    """A manifest alone, without its shards.

    Raises:
        ProtocolError: it does not verify.
    """
    predicate = manifest.parse_unsigned(envelope)
    dataset = predicate["dataset"]
    facts = {"data_set": dataset["name"], "split": dataset["split"], "rows": predicate["rows"]} | _key(predicate)
    facts |= {"shards": len(predicate["shards"]), "created": predicate["created"]}
    if log is None:
        return Finding({**facts, "holder": people_code(bytes.fromhex(predicate["holder"]))}, NEEDS_LOG)
    return Finding({**facts, "holder": manifest.read(envelope, log).holder}, NEEDS_FILES)


def statement_finding(envelope: Envelope, log: Log | None) -> Finding:
    """A bundle's statement alone, without its files.

    Raises:
        ProtocolError: it does not verify.
    """
    subjects, predicate = bundle.parse_unsigned(envelope)
    facts = {"model": predicate["model"]["name"], "network": predicate["arch"]["id"]} | _key(predicate)
    metrics = {name: value for name, value in predicate["metrics"].items() if "/" not in name}  # not of each holder
    facts |= {"classes": predicate["task"]["classes"], "metrics": metrics, "files": sorted(subjects)}
    facts |= {"trainer": _trainer(predicate, log)} | _origin(predicate, log) | {"created": predicate["created"]}
    if log:
        bundle.demand_signed(envelope, predicate, log)
        demand_federation(predicate["fed"], log, "the bundle")
    return Finding(facts, NEEDS_FILES if log else NEEDS_LOG)


def _trainer(predicate: Mapping[str, Any], log: Log | None) -> str:
    fpr = predicate["trainer"]
    if fpr is None:
        return "nobody of this federation"
    return log.roster.trainer(fpr).label if log else people_code(bytes.fromhex(fpr))


def _origin(predicate: Mapping[str, Any], log: Log | None) -> dict[str, Any]:
    """Of a bundle that no trainer signed: who made it, and from what."""
    if (derived := predicate.get("derived")) is None:
        return {}
    by = log.roster.member(derived["by"]).label if log else people_code(bytes.fromhex(derived["by"]))
    if derived["how"] == provenance.IMPORTED:
        return {"imported_by": by}
    return {"re-keyed_by": by, "from_epochs": derived["epochs"], "first_statement": derived["origin"][:12]}


def _recipient(envelope: Envelope, log: Log | None) -> Finding:
    body = recipient.parse_unsigned(envelope)
    entry = Entry.from_json(body["identity"])
    facts = {"role": entry.role, "name": entry.name, "fingerprint": entry.code}
    facts |= {"key": envelope.mid[:12], "created": body["created"], "expires": body["expires"]}
    if log is None:
        return Finding(facts, NEEDS_LOG)
    recipient.read_recipient(envelope, log, now())
    return Finding(facts)


def _sealing(envelope: Envelope, log: Log | None) -> Finding:
    body = sealing.parse_unsigned(envelope)
    facts: dict[str, Any] = {"manifest": body["manifest"][:12], "files": len(body["files"]), "created": body["created"]}
    facts["to"] = sorted({people_code(bytes.fromhex(to["fpr"]))[:9] for to in body["to"]})
    if log is None:
        return Finding({**facts, "from": people_code(bytes.fromhex(body["from"]))}, NEEDS_LOG)
    demand_federation(body["fed"], log, "the sealing")
    author = log.roster.member(body["from"])
    facts |= _signers(envelope, [author], "the sealing")
    return Finding({**facts, "from": author.label}, "its shards: unseal them")


def _signers(envelope: Envelope, entries: Iterable[Entry], what: str) -> dict[str, list[str]]:
    """Who signed and who did not; a signature that does not fit, or of a stranger, makes the document broken."""
    known = {entry.fpr: entry for entry in entries}
    if strangers := [people_code(bytes.fromhex(fpr))[:9] for fpr in envelope.signatures if fpr not in known]:
        raise MembershipError(f"{what} is signed by strangers: {', '.join(strangers)}", code="E_ROSTER")
    for fpr in envelope.signatures:
        envelope.verify(known[fpr], what)
    missing = [entry.label for fpr, entry in known.items() if fpr not in envelope.signatures]
    return {"signed": [known[fpr].label for fpr in envelope.signatures], "missing": missing}


def demand_federation(fed: str, log: Log, what: str) -> None:
    """Refuse a document of another federation than the log's.

    Raises:
        MembershipError: E_FED.
    """
    if fed != log.fed:
        raise MembershipError(f"{what} is of another federation than {log.name}", code="E_FED")


def _key(predicate: Mapping[str, Any]) -> dict[str, Any]:
    scheme = predicate["scheme"]
    shape = "x".join(str(side) for side in scheme["shape"])
    parameters = ", ".join(f"{name} {value}" for name, value in scheme["params"].items())
    return {"epoch": predicate["epoch"], "scheme": f"{scheme['id']} v{scheme['v']} ({parameters}) on {shape}"}


DOCUMENTS: Mapping[str, tuple[str, DocumentReader]] = {
    dropbox.CARD: ("identity card", _card),
    records.GENESIS: ("genesis", _genesis),
    records.ROSTER: ("roster record", _record),
    records.EPOCH: ("epoch record", _record),
    records.RETIRE: ("retire record", _record),
    records.NOTICE: ("notice", _notice),
    messages.PROPOSE: ("ceremony proposal", _message),
    messages.COMMIT: ("ceremony commit", _message),
    messages.REVEAL: ("ceremony reveal", _message),
    messages.COMPLAINT: ("ceremony complaint", _message),
    messages.ABORT: ("ceremony abort", _message),
    grant.JOIN: ("request", _join),
    grant.GRANT: ("grant", _gift),
    delegate.DELEGATE: ("delegation", _gift),
    recipient.RECIPIENT: ("recipient key", _recipient),
    sealing.SEALING: ("sealing", _sealing),
    manifest.PREDICATE_TYPE: ("data set manifest", manifest_finding),
    bundle.PREDICATE_TYPE: ("model bundle statement", statement_finding),
}
