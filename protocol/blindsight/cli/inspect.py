"""``blindsight protocol inspect``: say what a file of ours is, and whether it verifies.

What a file says of itself is checked always; who may have signed it needs the membership log (``--log``). Nothing is
unsealed: of a keystore only the public parts are read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blindsight.cli.arguments import Verbs
from blindsight.cli.output import emit_facts
from blindsight.protocol import (
    bundle,
    dropbox,
    fields,
    keystore,
    logfile,
    manifest,
    messages,
    recipient,
    sealing,
    shard,
    tensorfile,
)
from blindsight.protocol.clock import now
from blindsight.protocol.encoding import MAX_DOCUMENT_BYTES, parse_json, people_code
from blindsight.protocol.envelope import IN_TOTO, Envelope
from blindsight.protocol.errors import BlindsightError, FormatError, MembershipError
from blindsight.protocol.identity import Entry
from blindsight.protocol.log import Log
from blindsight.protocol.records import EPOCH, GENESIS, read_epoch, read_genesis

EXAMPLE = "blindsight protocol inspect box/models/digits --log box"
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


def main(words: Sequence[str]) -> int:
    """Run a verb of the protocol.

    Args:
        words: the words after ``blindsight protocol``.

    Returns:
        0 it verifies as far as it can be checked, 1 it does not.
    """
    verbs = Verbs("protocol", "Look into the files that the parties exchange.", EXAMPLE)
    inspect = verbs.add("inspect", _inspect, "say what a file is and whether it verifies", EXAMPLE)
    inspect.add_argument("file", type=Path, metavar="FILE", help="a file or folder of ours")
    inspect.add_argument("--log", type=Path, metavar="DIR", help="the membership log: the drop-box, or its records")
    inspect.add_argument("--federation", metavar="CODE", help="the federation code as a member read it to you")
    return verbs.main(words)


def _inspect(options: argparse.Namespace) -> int:
    log = logfile.read_log(options.log, options.federation) if options.log else None
    kind, read = _kind(options.file)
    report: dict[str, Any] = {"file": str(options.file), "kind": kind}
    status = 0
    try:
        finding = read(options.file, log)
        report |= {**finding.facts, "verifies": "as far as checked" if finding.unchecked else "yes"}
        report |= {"unchecked": finding.unchecked} if finding.unchecked else {}
    except BlindsightError as error:
        report |= {"verifies": "no", "fault": error.message, "code": error.code}
        status = 1
    emit_facts(report, as_json=options.json)
    return status


Reader = Callable[[Path, Log | None], Finding]
DocumentReader = Callable[[Envelope, Log | None], Finding]


def _kind(path: Path) -> tuple[str, Reader]:
    """Tell by the content, never by the name of a file, what it is.

    Raises:
        FormatError: E_FORMAT, nothing of ours; E_IO, it cannot be read.
    """
    if path.is_dir():
        return next((kind, read) for name, kind, read in _FOLDERS if (path / name).exists())
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}", code="E_IO") from error
    if start[8:9] == b"{":
        return _tensor_kind(path)
    if start[:1] != b"{":
        raise _foreign(path)
    return _document_kind(path)


def _foreign(path: Path) -> FormatError:
    return FormatError(
        f"{path.name} is no file of blindsight's that can be inspected alone",
        hint="name a signed document, a shard, a keystore, or the folder of a bundle or data set",
    )


def _tensor_kind(path: Path) -> tuple[str, Reader]:
    """Shards and weights differ in what their metadata says; found even in a file that is cut short."""
    with path.open("rb") as file:
        head = file.read(tensorfile.MAX_HEADER_BYTES)
    is_shard = b'\\"dataset\\":' in head and b'\\"first_row\\":' in head
    return ("shard", _shard) if is_shard else ("tensor file", _tensors)


def _document_kind(path: Path) -> tuple[str, Reader]:
    document = parse_json(_bytes(path), path.name)
    if "format" in document:
        return "keystore", _keystore
    if "payloadType" not in document:
        raise _foreign(path)
    envelope = Envelope.from_bytes(_bytes(path), path.name)
    name = envelope.type
    if name == IN_TOTO:
        body = envelope.body(path.name)
        name = str(body.get("predicateType")) if isinstance(body, dict) else ""
    if name not in _DOCUMENTS:
        raise FormatError(f"{path.name} is a signed document of a kind unknown here: {name[:80]}")
    kind, read = _DOCUMENTS[name]
    return kind, lambda _, log: read(envelope, log)


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_DOCUMENT_BYTES + 1)


def _card(envelope: Envelope, log: Log | None) -> Finding:
    entry = dropbox.read_card(envelope)
    facts: dict[str, Any] = {"role": entry.role, "name": entry.name, "fingerprint": entry.code}
    if log:
        roster = (*log.roster.members, *log.roster.trainers, *log.roster.operators)
        facts["on_the_roster"] = "yes" if entry in roster else "no"
    return Finding(facts)


def _genesis(envelope: Envelope, log: Log | None) -> Finding:
    body = read_genesis(envelope)
    members = [Entry.from_json(entry) for entry in body["members"]]
    facts = {"name": body["name"], "federation_code": people_code(envelope.id), "created": body["created"]}
    facts |= {place: [e["name"] for e in body[place]] for place in ("members", "trainers", "operators")}
    facts |= _signers(envelope, members, "the genesis")
    if log:
        _demand_federation(envelope.mid, log, "the genesis")
    return Finding(facts)


def _epoch(envelope: Envelope, log: Log | None) -> Finding:
    body = read_epoch(envelope)
    facts = {name: body[name] for name in ("epoch", "seq", "kcv", "not_after")} | {"schemes": body["schemes"]}
    if log is None:
        return Finding({**facts, "signatures": len(envelope.signatures)}, NEEDS_LOG)
    _demand_federation(body["fed"], log, "the epoch record")
    facts |= _signers(envelope, log.roster.members, "the epoch record")
    return Finding({**facts, "on_the_log": "yes" if envelope.mid in {r.mid for r in log.records} else "no"})


def _message(envelope: Envelope, log: Log | None) -> Finding:
    is_proposal = envelope.type == messages.PROPOSE
    body = envelope.body("message")
    fields.demand(messages.SHAPES[envelope.type], body, "message")
    names = ("epoch", "seq", "created", "deadline", "not_after") if is_proposal else ("sid",)
    facts = {name: body[name] for name in names}
    if log is None:
        return Finding({**facts, "from": people_code(bytes.fromhex(body["from"]))}, NEEDS_LOG)
    if is_proposal:
        _demand_federation(body["fed"], log, "the proposal")
    author = log.roster.member(body["from"])
    envelope.verify(author, "the message")
    return Finding({**facts, "from": author.label, "signed": _signers(envelope, [author], "the message")["signed"]})


def _manifest(envelope: Envelope, log: Log | None) -> Finding:
    predicate = manifest.parse_unsigned(envelope)
    dataset = predicate["dataset"]
    facts = {"data_set": dataset["name"], "split": dataset["split"], "rows": predicate["rows"]} | _key(predicate)
    facts |= {"shards": len(predicate["shards"]), "created": predicate["created"]}
    if log is None:
        return Finding({**facts, "holder": people_code(bytes.fromhex(predicate["holder"]))}, NEEDS_LOG)
    return Finding({**facts, "holder": manifest.read(envelope, log).holder}, NEEDS_FILES)


def _data_set(folder: Path, log: Log | None) -> Finding:
    envelope = Envelope.from_bytes(_bytes(folder / manifest.FILE_NAME), manifest.FILE_NAME)
    finding = _manifest(envelope, log)
    if faults := manifest.shard_faults_of(manifest.parse_unsigned(envelope), folder):
        raise FormatError("; ".join(fault.message for fault in faults), code=faults[0].code)
    return Finding(finding.facts, "" if log else NEEDS_LOG)


def _statement(envelope: Envelope, log: Log | None) -> Finding:
    subjects, predicate = bundle.parse_unsigned(envelope)
    facts = {"model": predicate["model"]["name"], "network": predicate["arch"]["id"]} | _key(predicate)
    facts |= {"classes": predicate["task"]["classes"], "metrics": predicate["metrics"], "files": sorted(subjects)}
    trainer = people_code(bytes.fromhex(predicate["trainer"]))
    if log:
        trainer = bundle.demand_signed(envelope, predicate, log).label
        _demand_federation(predicate["fed"], log, "the bundle")
    return Finding({**facts, "trainer": trainer, "created": predicate["created"]}, NEEDS_FILES if log else NEEDS_LOG)


def _bundle(folder: Path, log: Log | None) -> Finding:
    if log:
        found = bundle.load(folder, log, now())
        return Finding({**_statement(found.envelope, log).facts, "tag": found.tag.digest})
    envelope = bundle.read_statement(folder)
    subjects, predicate = bundle.parse_unsigned(envelope)
    bundle.demand_contents(predicate, bundle.read_files(folder, subjects))
    return Finding(_statement(envelope, log).facts, NEEDS_LOG)


def _shard(path: Path, log: Log | None) -> Finding:
    head, plan = shard.read_head(path)
    facts = {"data_set": head.dataset, "epoch": head.epoch, "scheme_digest": head.scheme_digest[:16]}
    facts |= {"first_row": head.first_row, "rows": head.rows}
    facts["tensors"] = {name: f"{tensor.dtype} {list(tensor.shape)}" for name, tensor in plan.tensors.items()}
    if log:
        _demand_federation(head.fed, log, "the shard")
        log.epoch(head.epoch)
    return Finding(facts, "its content: inspect the folder of its manifest")


def _tensors(path: Path, _: Log | None) -> Finding:
    plan = tensorfile.read_layout(path)
    return Finding({"tensors": len(plan.tensors), "bytes": plan.size}, "its content: inspect the folder of its bundle")


def _keystore(path: Path, _: Log | None) -> Finding:
    document = keystore.examine(path)
    slots = [slot["type"] for slot in document["slots"]]
    return Finding({"id": document["id"], "generation": document["gen"], "slots": slots}, "its sealed content")


def _box(root: Path, _: Log | None) -> Finding:
    cards = dropbox.DropBox(root).cards()
    folders = [folder.parent for folder in (*sorted(root.glob("*/records")), *root.glob("records"))]
    if not cards and not folders:
        raise FormatError(f"{root} holds neither identities nor a membership log", hint="name a file or folder of ours")
    return Finding({"identities": [card.label for card in cards], "federations": [_federation(f) for f in folders]})


def _federation(folder: Path) -> str:
    try:
        log = logfile.read_log(folder)
    except MembershipError as error:
        return f"{folder.name}: {error.message}"
    found = dropbox.DropBox(folder.parent).messages(log.fed)
    if unreadable := [message.short for message in found if message.fault]:
        raise FormatError(f"unreadable messages in {folder.name}: {', '.join(unreadable)}")
    return f"{log.name} ({log.code}), {len(log.roster.members)} members, {len(log.epochs)} epochs"


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
    _demand_federation(body["fed"], log, "the sealing")
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


def _demand_federation(fed: str, log: Log, what: str) -> None:
    if fed != log.fed:
        raise MembershipError(f"{what} is of another federation than {log.name}", code="E_FED")


def _key(predicate: Mapping[str, Any]) -> dict[str, Any]:
    scheme = predicate["scheme"]
    shape = "x".join(str(side) for side in scheme["shape"])
    parameters = ", ".join(f"{name} {value}" for name, value in scheme["params"].items())
    return {"epoch": predicate["epoch"], "scheme": f"{scheme['id']} v{scheme['v']} ({parameters}) on {shape}"}


_FOLDERS: Sequence[tuple[str, str, Reader]] = (
    (bundle.STATEMENT, "model bundle", _bundle),
    (manifest.FILE_NAME, "data set", _data_set),
    (".", "drop-box", _box),
)
_DOCUMENTS: Mapping[str, tuple[str, DocumentReader]] = {
    dropbox.CARD: ("identity card", _card),
    GENESIS: ("genesis", _genesis),
    EPOCH: ("epoch record", _epoch),
    messages.PROPOSE: ("ceremony proposal", _message),
    messages.COMMIT: ("ceremony commit", _message),
    recipient.RECIPIENT: ("recipient key", _recipient),
    sealing.SEALING: ("sealing", _sealing),
    messages.REVEAL: ("ceremony reveal", _message),
    manifest.PREDICATE_TYPE: ("data set manifest", _manifest),
    bundle.PREDICATE_TYPE: ("model bundle statement", _statement),
}
