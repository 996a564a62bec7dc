"""The membership log as parties hand it over: a drop-box, its records, or one exported file. FORMAT.md section C.4.

An exported log is text, one envelope a line: the records from genesis to tip, then notices. Whoever keeps such a file
and imports newer ones into it follows the log: what it knows is never forgotten, so nobody can show it an older chain
or another one without being seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from blindsight.protocol import transport
from blindsight.protocol.copies import by_id
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import people_code, plain_code
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, FormatError, MembershipError
from blindsight.protocol.files import read_bounded, write_whole
from blindsight.protocol.log import Log
from blindsight.protocol.records import GENESIS, SHAPES

MAX_BYTES = 256 * 2**20
MAX_LINES = 100_000
NOTICES = "notices"


def log_bytes(log: Log) -> bytes:
    """A log as one file, for ``log export``."""
    return b"".join(envelope.to_bytes() for envelope in (*log.records, *log.notices))


def read_log(place: Path | str, code: str | None = None) -> Log:
    """Read the log that somebody hands over: a drop-box, a federation's folder in it, its records, or an exported file.

    Args:
        place: a folder, a file, or a drop-box's URL.
        code: the federation code a person was told; demanded to fit when given.

    Raises:
        FormatError: nothing of that kind is there.
        ProtocolError: see ``Log.build`` and ``Log.demand_code``.
    """
    records = _records(place)
    log = Log.build(records, _fed_of(records, code))
    if code:
        log.demand_code(code)
    return log


def import_log(place: Path | str, known: Path, code: str | None = None, *, follow: str = "") -> tuple[Log, Log | None]:
    """Follow the log: unite what somebody hands over with what a file remembers, and remember the result.

    Args:
        place: see ``read_log``.
        known: the file that remembers; made if missing.
        code: the federation code a person was told; demanded for a new file by the caller.
        follow: the start of a last record's id, when a person has decided that the chain it ends is to count.

    Returns:
        The log as it is now, and as it was remembered.

    Raises:
        ConflictError: E_FORK; E_FED, it is the log of another federation than the remembered one.
        ProtocolError: see ``read_log``.
    """
    before = read_log(known) if known.exists() else None
    offered = _records(place)
    if before is not None and before.fed not in {record.mid for record in offered if record.type == GENESIS}:
        raise ConflictError(f"{place} holds the log of another federation than {known}", code="E_FED")
    remembered = (*before.records, *before.notices) if before else ()
    fed = before.fed if before else _fed_of(offered, code)
    everything = [*remembered, *offered]
    keep = chosen(everything, fed, follow).changes if follow else before.changes if before else ()
    now = Log.build(everything, fed, keep)
    if code:
        now.demand_code(code)
    write_whole(known, log_bytes(now))
    return now, before


def chosen(envelopes: Sequence[Envelope], fed: str | None, start: str) -> Log:
    """The one chain whose last record a person has named.

    Args:
        envelopes: records in any order.
        fed: the federation.
        start: the start of the record's id.

    Raises:
        MembershipError: E_PREV, none or several chains end so.
    """
    fits = [log for log in Log.chains(by_id(envelopes), fed) if log.records[-1].mid.startswith(start)]
    if len(fits) != 1 or not start:
        raise MembershipError(f"{len(fits)} chains end with a record {start[:64]!r}, expected one", code="E_PREV")
    return fits[0]


def _records(place: Path | str) -> list[Envelope]:
    records = _in_file(Path(place)) if Path(place).is_file() else _in_box(place)
    if not any(record.type == GENESIS for record in records):
        raise FormatError(
            f"{place} holds no membership log",
            hint="--log names the drop-box, a copy of its records, or an exported log",
        )
    return records


def _in_file(path: Path) -> list[Envelope]:
    """The envelopes of an exported log; a single record's file is one, too."""
    with path.open("rb") as file:
        data = read_bounded(file, MAX_BYTES)
    lines = data.removesuffix(b"\n").split(b"\n", MAX_LINES)
    if len(data) > MAX_BYTES or len(lines) > MAX_LINES:
        raise FormatError(f"{path} is larger than any log")
    return [Envelope.from_bytes(line, f"{path.name} line {place}") for place, line in enumerate(lines, 1)]


def _in_box(place: Path | str) -> list[Envelope]:
    way = transport.at(place)
    box = DropBox(way)
    folders = ["", *way.folders("")]
    found = [
        e
        for folder in folders
        for part in ("", "records", NOTICES)
        for e in box.envelopes(f"{folder}/{part}".strip("/"))
    ]
    return [envelope for envelope in found if envelope.type in SHAPES]


def _fed_of(records: Sequence[Envelope], code: str | None) -> str | None:
    """The federation a code means, when several lie in one box."""
    wanted = plain_code(code or "")
    genesis = {e.mid: plain_code(people_code(e.id)) for e in records if e.type == GENESIS}
    fits = [mid for mid, full in genesis.items() if code and full.startswith(wanted)]
    return fits[0] if len(fits) == 1 else None
