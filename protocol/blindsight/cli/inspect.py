"""``blindsight protocol inspect``: say what a file of ours is, and whether it verifies.

What a file says of itself is checked always; who may have signed it needs the membership log (``--log``). Nothing is
unsealed: of a keystore only the public parts are read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from blindsight.cli.arguments import Verbs
from blindsight.cli.findings import (
    DOCUMENTS,
    NEEDS_LOG,
    Finding,
    demand_federation,
    manifest_finding,
    statement_finding,
)
from blindsight.cli.log_verbs import facts_of
from blindsight.cli.output import emit_facts
from blindsight.protocol import bundle, dropbox, keystore, logfile, manifest, shard, tensorfile
from blindsight.protocol.clock import now
from blindsight.protocol.encoding import MAX_DOCUMENT_BYTES, parse_json
from blindsight.protocol.envelope import IN_TOTO, Envelope
from blindsight.protocol.errors import BlindsightError, FormatError, MembershipError
from blindsight.protocol.files import read_bounded
from blindsight.protocol.log import Log

EXAMPLE = "blindsight protocol inspect box/models/digits --log box"


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
    inspect.add_argument("--log", metavar="PLACE", help="the membership log: drop-box, records or exported log")
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
    lines = _bytes(path).splitlines()
    if len(lines) > 1 and all(line.startswith(b"{") and line.endswith(b"}") for line in lines):
        return "exported log", _log
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
    if name not in DOCUMENTS:
        raise FormatError(f"{path.name} is a signed document of a kind unknown here: {name[:80]}")
    kind, read = DOCUMENTS[name]
    return kind, lambda _, log: read(envelope, log)


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return read_bounded(file, MAX_DOCUMENT_BYTES)


def _data_set(folder: Path, log: Log | None) -> Finding:
    envelope = Envelope.from_bytes(_bytes(folder / manifest.FILE_NAME), manifest.FILE_NAME)
    finding = manifest_finding(envelope, log)
    if faults := manifest.shard_faults_of(manifest.parse_unsigned(envelope), folder):
        raise FormatError("; ".join(fault.message for fault in faults), code=faults[0].code)
    return Finding(finding.facts, "" if log else NEEDS_LOG)


def _bundle(folder: Path, log: Log | None) -> Finding:
    if log:
        found = bundle.load(folder, log, now())
        return Finding({**statement_finding(found.envelope, log).facts, "tag": found.tag.digest})
    envelope = bundle.read_statement(folder)
    subjects, predicate = bundle.parse_unsigned(envelope)
    bundle.demand_contents(predicate, bundle.read_files(folder, subjects))
    return Finding(statement_finding(envelope, log).facts, NEEDS_LOG)


def _shard(path: Path, log: Log | None) -> Finding:
    head, plan = shard.read_head(path)
    facts = {"data_set": head.dataset, "epoch": head.epoch, "scheme_digest": head.scheme_digest[:16]}
    facts |= {"first_row": head.first_row, "rows": head.rows}
    facts["tensors"] = {name: f"{tensor.dtype} {list(tensor.shape)}" for name, tensor in plan.tensors.items()}
    if log:
        demand_federation(head.fed, log, "the shard")
        log.epoch(head.epoch)
    return Finding(facts, "its content: inspect the folder of its manifest")


def _tensors(path: Path, _: Log | None) -> Finding:
    plan = tensorfile.read_layout(path)
    return Finding({"tensors": len(plan.tensors), "bytes": plan.size}, "its content: inspect the folder of its bundle")


def _keystore(path: Path, _: Log | None) -> Finding:
    document = keystore.examine(path)
    slots = [slot["type"] for slot in document["slots"]]
    return Finding({"id": document["id"], "generation": document["gen"], "slots": slots}, "its sealed content")


def _log(path: Path, _: Log | None) -> Finding:
    return Finding(facts_of(logfile.read_log(path)))


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


_FOLDERS: Sequence[tuple[str, str, Reader]] = (
    (bundle.STATEMENT, "model bundle", _bundle),
    (manifest.FILE_NAME, "data set", _data_set),
    (".", "drop-box", _box),
)
