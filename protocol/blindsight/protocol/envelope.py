"""Signed documents: DSSE 1.0.2 envelopes with Ed25519 signatures.

The payload bytes that were verified are the bytes that are parsed; signatures are not part of a document's id, so
envelopes with signatures of several people over the same payload merge. FORMAT.md section A.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blindsight.protocol import fields
from blindsight.protocol.encoding import canonical, parse_canonical, parse_json, tagged_hash
from blindsight.protocol.errors import FormatError, MembershipError, SignatureError
from blindsight.protocol.identity import Entry, SigningKey

MAX_SIGNATURES = 256
IN_TOTO = "application/vnd.in-toto+json"

_SHAPE = fields.mapping(
    {
        "payload": fields.text(24 * 2**20),
        "payloadType": fields.text(120),
        "signatures": fields.listing(
            fields.mapping({"keyid": fields.hex32, "sig": fields.text(100)}), most=MAX_SIGNATURES
        ),
    }
)


def payload_type(kind: str) -> str:
    """The payload type of one of our own documents, for example ``genesis``."""
    return f"application/vnd.blindsight.{kind}.v1+json"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and who signed it.

    Args:
        type: the DSSE payload type.
        payload: canonical JSON.
        signatures: fingerprint of the signer → Ed25519 signature of 64 bytes, in the signer's order.
    """

    type: str
    payload: bytes
    signatures: Mapping[str, bytes]

    @property
    def id(self) -> bytes:
        """The message id: 32 bytes over type and payload, not over signatures."""
        return tagged_hash("mid", self.type.encode(), self.payload)

    @property
    def mid(self) -> str:
        """The message id in hex."""
        return self.id.hex()

    def body(self, what: str = "payload") -> Any:
        """Parse the payload as canonical JSON.

        Raises:
            FormatError: E_FORMAT or E_CANON.
        """
        return parse_canonical(self.payload, what)

    def signed(self, key: SigningKey) -> Envelope:
        """The same payload with one more signature."""
        signature = key.sign(_pae(self.type, self.payload))
        return Envelope(self.type, self.payload, {**self.signatures, key.entry.fpr: signature})

    def verify(self, entry: Entry, what: str) -> None:
        """Demand a valid signature by one identity.

        Raises:
            MembershipError: E_QUORUM, that identity has not signed.
            SignatureError: E_SIG, it has signed something else.
        """
        if entry.fpr not in self.signatures:
            raise MembershipError(f"{what} is not signed by {entry.label}", code="E_QUORUM")
        if not self.is_signed_by(entry):
            raise SignatureError(
                f"{what}: the signature of {entry.label} does not fit; it was changed after {entry.label} signed it, "
                "or somebody else made it",
                evidence=(self.to_bytes(),),
            )

    def is_signed_by(self, entry: Entry) -> bool:
        """Whether the envelope carries a signature of that identity that fits."""
        signature = self.signatures.get(entry.fpr)
        return signature is not None and entry.verifies(signature, _pae(self.type, self.payload))

    def to_bytes(self) -> bytes:
        """Write the envelope as one canonical JSON line."""
        signatures = [{"keyid": fpr, "sig": _b64(sig)} for fpr, sig in sorted(self.signatures.items())]
        document = {"payload": _b64(self.payload), "payloadType": self.type, "signatures": signatures}
        return canonical(document) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, what: str = "envelope") -> Envelope:
        """Read an envelope strictly; signatures are not verified here.

        Raises:
            FormatError: E_FORMAT or E_CANON.
        """
        document = parse_json(data, what)
        fields.demand(_SHAPE, document, what)
        signatures = {s["keyid"]: _from_b64(s["sig"], what) for s in document["signatures"]}
        if len(signatures) != len(document["signatures"]):
            raise FormatError(f"{what} carries two signatures by one signer", code="E_CANON")
        return cls(document["payloadType"], _from_b64(document["payload"], what), signatures)

    @classmethod
    def of(cls, kind: str, body: Mapping[str, Any]) -> Envelope:
        """Make an unsigned envelope of one of our own documents, or of an in-toto statement."""
        return cls(kind if "/" in kind else payload_type(kind), canonical(body), {})


def _pae(kind: str, payload: bytes) -> bytes:
    """DSSE 1.0.2 pre-authentication encoding."""
    head = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(head), head, len(payload), payload)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _from_b64(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise FormatError(f"{what}: base64 text is malformed") from error
    if _b64(data) != text:
        raise FormatError(f"{what}: base64 text is not in its one canonical spelling", code="E_CANON")
    return data
