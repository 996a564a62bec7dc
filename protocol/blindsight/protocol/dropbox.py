"""The drop-box: a shared folder through which parties exchange documents. FORMAT.md section K.

Documents protect themselves; the folder only moves bytes. Names are hints, content decides: what cannot be read as
an envelope is reported and passed over.

    <box>/identities/<fpr12>.json                      identity cards, before there is a federation
    <box>/<code9>/records/<seq>-<mid12>-<fpr12>.json   genesis and epoch records, one file a signer
    <box>/<code9>/sessions/<sid12>/<kind>-<fpr12>.json ceremony messages
    <box>/<code9>/data/<fpr12>/<dataset>/…             manifests, and shards where a holder puts them there
    <box>/<code9>/models/<bundle>/…                    model bundles
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blindsight.protocol import fields, identity
from blindsight.protocol.encoding import MAX_DOCUMENT_BYTES, people_code, plain_code
from blindsight.protocol.envelope import Envelope, payload_type
from blindsight.protocol.errors import FormatError, ProtocolError
from blindsight.protocol.files import write_whole
from blindsight.protocol.identity import Entry, SigningKey
from blindsight.protocol.log import EPOCH, GENESIS, Log

CODE_CHARACTERS = 9
CARD = payload_type("identity")
_CARD_SHAPE = fields.mapping(
    {"v": fields.constant(1), "type": fields.constant("identity"), "entry": identity.SHAPE, "created": fields.time}
)


@dataclass(frozen=True, slots=True)
class Found:
    """A document in the drop-box.

    Args:
        path: where it lies.
        envelope: its content, or None when it cannot be read.
        fault: why it cannot be read.
    """

    path: Path
    envelope: Envelope | None
    fault: ProtocolError | None = None


@dataclass(frozen=True, slots=True)
class DropBox:
    """A shared folder.

    Args:
        root: the folder; it is made when something is put into it.
    """

    root: Path

    def federation(self, fed: str) -> Path:
        """The folder of one federation."""
        return self.root / people_code(bytes.fromhex(fed))[:CODE_CHARACTERS]

    def data(self, fed: str, holder: str) -> Path:
        """The folder in which a holder offers manifests."""
        return self.federation(fed) / "data" / holder[:12]

    def models(self, fed: str) -> Path:
        """The folder for model bundles."""
        return self.federation(fed) / "models"

    def put_card(self, key: SigningKey, created: str) -> Path:
        """Offer one's own identity card."""
        body = {"v": 1, "type": "identity", "entry": key.entry.to_json(), "created": created}
        card = Envelope.of("identity", body).signed(key)
        return self._put(self.root / "identities" / f"{key.entry.fpr[:12]}.json", card)

    def cards(self) -> list[Entry]:
        """All identity cards whose self-signature fits, by fingerprint; others are passed over."""
        entries = []
        for found in _documents(self.root / "identities"):
            with contextlib.suppress(ProtocolError):
                entries += [read_card(found.envelope)] if found.envelope else []
        return sorted(entries, key=lambda entry: entry.fpr)

    def put_record(self, envelope: Envelope, fed: str, seq: int, signer: str) -> Path:
        """Put a record with one member's signature."""
        name = f"{seq}-{envelope.mid[:12]}-{signer[:12]}.json"
        return self._put(self.federation(fed) / "records" / name, envelope)

    def put_message(self, envelope: Envelope, fed: str, sid: str, kind: str, signer: str) -> Path:
        """Put a ceremony message."""
        return self._put(self.federation(fed) / "sessions" / sid[:12] / f"{kind}-{signer[:12]}.json", envelope)

    def records(self, fed: str | None = None) -> list[Envelope]:
        """The readable records of one federation, or of all in this box."""
        folders = [self.federation(fed)] if fed else sorted(self.root.glob("*"))
        return [f.envelope for folder in folders for f in _documents(folder / "records") if f.envelope]

    def messages(self, fed: str) -> list[Found]:
        """All ceremony documents of a federation, unreadable ones included, in name order."""
        sessions = sorted((self.federation(fed) / "sessions").glob("*"))
        return [found for folder in sessions for found in _documents(folder)]

    def log(self, fed: str | None = None) -> Log:
        """The federation's log as far as this box holds it.

        Raises:
            ProtocolError: see ``Log.build``.
        """
        return Log.build(self.records(fed), fed)

    def _put(self, path: Path, envelope: Envelope) -> Path:
        data = envelope.to_bytes()
        try:
            if not path.exists() or path.read_bytes() != data:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, data)
        except OSError as error:
            raise FormatError(f"the drop-box cannot take {path}: {error.strerror}", code="E_IO") from error
        return path


def read_card(envelope: Envelope) -> Entry:
    """The identity on a card, its self-signature verified.

    Raises:
        ProtocolError: it is no card, or not signed by the key it shows.
    """
    body = envelope.body("identity card")
    if envelope.type != CARD:
        raise FormatError("this is no identity card")
    fields.demand(_CARD_SHAPE, body, "identity card")
    entry = Entry.from_json(body["entry"])
    envelope.verify(entry, "the identity card")
    return entry


def read_log(path: Path, code: str | None = None) -> Log:
    """Read the log that somebody hands over: a drop-box, a federation's folder in it, or its records.

    Args:
        path: a folder.
        code: the federation code a person was told; demanded to fit when given.

    Raises:
        FormatError: nothing of that kind is there.
        ProtocolError: see ``Log.build`` and ``Log.demand_code``.
    """
    folders = [path, path / "records", *sorted(path.glob("*/records"))]
    envelopes = [found.envelope for folder in folders for found in _documents(folder) if found.envelope]
    records = [envelope for envelope in envelopes if envelope.type in (GENESIS, EPOCH)]
    if not records:
        raise FormatError(f"{path} holds no membership log", hint="--log names the drop-box, or a copy of its records")
    log = Log.build(records, _fed_of(records, code))
    if code:
        log.demand_code(code)
    return log


def _fed_of(records: list[Envelope], code: str | None) -> str | None:
    """The federation a code means, when several lie in one box."""
    wanted = plain_code(code or "")
    genesis = {e.mid: plain_code(people_code(e.id)) for e in records if e.type == GENESIS}
    fits = [mid for mid, full in genesis.items() if code and full.startswith(wanted)]
    return fits[0] if len(fits) == 1 else None


def _documents(folder: Path) -> Iterator[Found]:
    for path in sorted(folder.glob("[!.]*.json")):
        yield _read(path)


def _read(path: Path) -> Found:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
        return Found(path, Envelope.from_bytes(data, path.name))
    except ProtocolError as error:
        return Found(path, None, error)
    except OSError as error:
        return Found(path, None, FormatError(f"{path.name} cannot be read: {error.strerror}", code="E_IO"))
