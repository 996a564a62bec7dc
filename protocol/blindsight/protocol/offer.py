"""A fresh key-agreement key that an identity vouches for until a moment: requests (E.1) and recipients (H.3).

The identity signs and never opens boxes; what opens them is a seed that can be erased.
"""

from __future__ import annotations

from blindsight.protocol import fields, identity, kem
from blindsight.protocol.encoding import to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.fields import Check
from blindsight.protocol.identity import SigningKey


def shape(kind: str) -> Check:
    """What such a document must say.

    Args:
        kind: ``join`` or ``recipient``.
    """
    return fields.mapping(
        {
            "v": fields.constant(1),
            "type": fields.constant(kind),
            "fed": fields.hex32,
            "identity": identity.SHAPE,
            "kem": fields.key(kem.PUBLIC_BYTES),
            "nonce": fields.hex32,
            "created": fields.time,
            "expires": fields.time,
        }
    )


def make(
    kind: str, key: SigningKey, fed: str, *, kem_seed: bytes, nonce: bytes, created: str, expires: str
) -> Envelope:
    """Sign such a document.

    Args:
        kind: ``join`` or ``recipient``.
        key: who vouches.
        fed: federation id, hex.
        kem_seed: 32 fresh random bytes, used for nothing else; kept in the keystore before the document leaves.
        nonce: 32 random bytes.
        created: time of creation.
        expires: last moment at which anybody may seal to the key.

    Raises:
        FormatError: E_FORMAT.
    """
    body = {
        "v": 1,
        "type": kind,
        "fed": fed,
        "identity": key.entry.to_json(),
        "kem": to_b64(kem.public_key(kem_seed)),
        "nonce": nonce.hex(),
        "created": created,
        "expires": expires,
    }
    fields.demand(shape(kind), body, "offer of a key")
    return Envelope.of(kind, body).signed(key)
