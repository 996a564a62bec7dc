"""The drop-box: the place through which parties exchange documents. FORMAT.md section K.

Documents protect themselves; the place only moves bytes (``transport``). Names are hints, content decides: what
cannot be read as an envelope is reported and passed over.

    identities/<fpr12>.json                      identity cards, before there is a federation
    <code9>/records/<seq>-<mid12>-<fpr12>.json   records of the log, one file a signer
    <code9>/sessions/<sid12>/<kind>-<fpr12>.json ceremony messages
    <code9>/join|grant|delegate|notices/…        who asks for secrets, who gives them, what is known to be broken
    <code9>/recipients/<fpr12>-<mid12>.json      to which keys shards may be sealed
    <code9>/data/<fpr12>/<dataset>/…             manifests, and sealed shards where a holder puts them there
    <code9>/models/<bundle>/…                    model bundles
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blindsight.protocol import fields, identity, transport
from blindsight.protocol.encoding import people_code
from blindsight.protocol.envelope import Envelope, payload_type
from blindsight.protocol.errors import FormatError, ProtocolError
from blindsight.protocol.identity import Entry, SigningKey
from blindsight.protocol.log import Log
from blindsight.protocol.transport import Piece, Transport

CODE_CHARACTERS = 9
MAX_MESSAGE_BYTES = 2**20  # a reveal among 256 members takes 560 kB
CARD = payload_type("identity")
_CARD_SHAPE = fields.mapping(
    {"v": fields.constant(1), "type": fields.constant("identity"), "entry": identity.SHAPE, "created": fields.time}
)


@dataclass(frozen=True, slots=True)
class Found:
    """A document in the drop-box.

    Args:
        name: where it lies, below the box.
        envelope: its content, or None when it cannot be read.
        fault: why it cannot be read.
    """

    name: str
    envelope: Envelope | None
    fault: ProtocolError | None = None

    @property
    def folder(self) -> str:
        """The last part of the folder it lies in."""
        return self.name.split("/")[-2]

    @property
    def short(self) -> str:
        """Folder and file, for people."""
        return "/".join(self.name.split("/")[-2:])


class DropBox:
    """The documents at one place, found by kind.

    Args:
        place: a folder, a URL, or a transport.
    """

    def __init__(self, place: Path | str | Transport) -> None:
        self.transport = transport.at(place) if isinstance(place, (str, Path)) else place

    def federation(self, fed: str) -> str:
        """The folder of one federation."""
        return people_code(bytes.fromhex(fed))[:CODE_CHARACTERS]

    def data(self, fed: str, holder: str) -> str:
        """The folder in which a holder offers manifests."""
        return f"{self.federation(fed)}/data/{holder[:12]}"

    def models(self, fed: str) -> str:
        """The folder for model bundles."""
        return f"{self.federation(fed)}/models"

    def put_card(self, key: SigningKey, created: str) -> str:
        """Offer one's own identity card."""
        body = {"v": 1, "type": "identity", "entry": key.entry.to_json(), "created": created}
        card = Envelope.of("identity", body).signed(key)
        return self.put(f"identities/{key.entry.fpr[:12]}.json", card)

    def cards(self) -> list[Entry]:
        """All identity cards whose self-signature fits, by fingerprint; others are passed over."""
        entries: dict[str, Entry] = {}
        for envelope in self.envelopes("identities"):
            with contextlib.suppress(ProtocolError):
                entry = read_card(envelope)
                entries[entry.fpr] = entry
        return [entries[fpr] for fpr in sorted(entries)]

    def put_record(self, envelope: Envelope, fed: str, seq: int, signer: str) -> str:
        """Put a record with one member's signature."""
        name = f"{seq}-{envelope.mid[:12]}-{signer[:12]}.json"
        return self.put(f"{self.federation(fed)}/records/{name}", envelope)

    def put_message(self, envelope: Envelope, fed: str, sid: str, kind: str, signer: str) -> str:
        """Put a ceremony message."""
        return self.put(f"{self.federation(fed)}/sessions/{sid[:12]}/{kind}-{signer[:12]}.json", envelope)

    def put_signed(self, envelope: Envelope, fed: str, folder: str, signer: str) -> str:
        """Put a document of one author into one of a federation's folders: such as ``notices``."""
        return self.put(f"{self.federation(fed)}/{folder}/{signer[:12]}-{envelope.mid[:12]}.json", envelope)

    def put(self, name: str, envelope: Envelope) -> str:
        """Put a document under a name."""
        return self.transport.put(name, envelope.to_bytes())

    def records(self, fed: str | None = None) -> list[Envelope]:
        """The readable records of one federation, or of all in this box."""
        folders = [self.federation(fed)] if fed else self.transport.folders("")
        return [envelope for folder in folders for envelope in self.envelopes(f"{folder}/records")]

    def messages(self, fed: str) -> list[Found]:
        """All ceremony documents of a federation, unreadable ones included, in name order."""
        sessions = f"{self.federation(fed)}/sessions"
        names = self.transport.folders(sessions)
        pieces = (piece for name in names for piece in self.transport.documents(f"{sessions}/{name}"))
        return [_parsed(_bounded(piece)) for piece in pieces]

    def signed(self, fed: str, folder: str) -> list[Envelope]:
        """The readable documents in one of a federation's folders."""
        return self.envelopes(f"{self.federation(fed)}/{folder}")

    def found(self, folder: str) -> Iterator[Found]:
        """Every document in a folder, unreadable ones included."""
        return (_parsed(piece) for piece in self.transport.documents(folder))

    def envelopes(self, folder: str) -> list[Envelope]:
        """Every readable document in a folder."""
        return [found.envelope for found in self.found(folder) if found.envelope]

    def log(self, fed: str | None = None) -> Log:
        """The federation's log as far as this box holds it.

        Raises:
            ProtocolError: see ``Log.build``.
        """
        return Log.build(self.records(fed), fed)


def _bounded(piece: Piece) -> Piece:
    """A ceremony document no larger than any has to be: whoever writes into the box must not fill a reader's memory."""
    if len(piece.data) <= MAX_MESSAGE_BYTES:
        return piece
    size = len(piece.data)
    return Piece(piece.name, b"", FormatError(f"the message has {size} bytes, more than {MAX_MESSAGE_BYTES}"))


def _parsed(piece: Piece) -> Found:
    if piece.fault:
        return Found(piece.name, None, piece.fault)
    try:
        return Found(piece.name, Envelope.from_bytes(piece.data, piece.name.split("/")[-1]))
    except ProtocolError as error:
        # anew: the traceback of the one that was raised would keep the document in memory
        return Found(piece.name, None, type(error)(error.message, code=error.code, hint=error.hint))


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
