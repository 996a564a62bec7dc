"""Recipient documents: the short-lived key to which a trainer or operator lets shards be sealed. FORMAT.md section H.

The identity signs, it never opens boxes; what opens them is a fresh X-Wing key that only this document vouches for.
When its seed is erased, what was sealed to it stays closed, whoever learns the identity's secret later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blindsight.protocol import fields, kem, offer
from blindsight.protocol.clock import is_past
from blindsight.protocol.encoding import from_b64, plain_code
from blindsight.protocol.envelope import Envelope, payload_type
from blindsight.protocol.errors import FormatError, MembershipError, PolicyError
from blindsight.protocol.identity import Entry, SigningKey
from blindsight.protocol.log import Log

RECIPIENT = payload_type("recipient")
FOLDER = "recipients"
LEAST_CODE_CHARACTERS = 8

_SHAPE = offer.shape("recipient")


@dataclass(frozen=True, slots=True)
class Recipient:
    """A verified recipient document.

    Args:
        envelope: as signed.
        entry: whose key it is, as the roster has it.
        kem: 1216 bytes, the X-Wing public key.
        created: time of creation.
        expires: nothing is sealed to the key afterwards.
    """

    envelope: Envelope
    entry: Entry
    kem: bytes
    created: str
    expires: str

    @property
    def mid(self) -> str:
        """Id of the document, hex."""
        return self.envelope.mid


def make_recipient(key: SigningKey, fed: str, *, kem_seed: bytes, nonce: bytes, created: str, expires: str) -> Envelope:
    """Sign a recipient document.

    Args:
        key: the trainer or operator.
        fed: federation id, hex.
        kem_seed: 32 fresh random bytes, used for nothing else; kept in the keystore before the document leaves.
        nonce: 32 random bytes.
        created: time of creation.
        expires: last moment at which anybody may seal to the key.

    Raises:
        FormatError: E_FORMAT.
    """
    return offer.make("recipient", key, fed, kem_seed=kem_seed, nonce=nonce, created=created, expires=expires)


def read_recipient(envelope: Envelope, log: Log, moment: datetime) -> Recipient:
    """Verify a recipient document, up to whether anything can be sealed to its key.

    Args:
        envelope: as received.
        log: the verified membership log.
        moment: the present time.

    Raises:
        FormatError: E_FORMAT, E_CANON, E_FPR.
        MembershipError: E_ROSTER, E_QUORUM, E_FED.
        SignatureError: E_SIG, E_KEY; E_KEM, nothing can be sealed to the key.
        PolicyError: E_EXPIRED.
    """
    body = parse_unsigned(envelope)
    entry = on_roster(log, Entry.from_json(body["identity"]).fpr)
    if set(envelope.signatures) != {entry.fpr}:
        raise MembershipError(f"the recipient document must carry {entry.label}'s signature alone", code="E_QUORUM")
    envelope.verify(entry, "the recipient document")
    if body["fed"] != log.fed:
        raise MembershipError(f"the recipient document of {entry.label} is for another federation", code="E_FED")
    if is_past(body["expires"], moment):
        raise PolicyError(
            f"the recipient key of {entry.label} expired on {body['expires']}",
            code="E_EXPIRED",
            hint=f"{entry.name} types: {offer_hint(entry)}",
        )
    public = from_b64(body["kem"], kem.PUBLIC_BYTES)
    kem.seal(public, b"", b"")
    return Recipient(envelope, entry, public, body["created"], body["expires"])


def parse_unsigned(envelope: Envelope) -> dict[str, Any]:
    """Check what a recipient document says for form, without a log: its body.

    Raises:
        FormatError: E_FORMAT, E_CANON.
    """
    body: dict[str, Any] = envelope.body("recipient document")
    if envelope.type != RECIPIENT:
        raise FormatError(f"expected a recipient document, got {envelope.type[:80]}")
    fields.demand(_SHAPE, body, "recipient document")
    return body


def on_roster(log: Log, fpr: str) -> Entry:
    """The trainer or operator of that fingerprint.

    Raises:
        MembershipError: E_ROSTER.
    """
    for entry in (*log.roster.trainers, *log.roster.operators):
        if entry.fpr == fpr:
            return entry
    raise MembershipError(f"{fpr[:12]}… is neither a trainer nor an operator of this federation", code="E_ROSTER")


def offer_hint(entry: Entry) -> str:
    """What a trainer or operator types to offer a key."""
    return f"blindsight {entry.role} recipient new --dropbox BOX"


def person(entries: Sequence[Entry], text: str) -> Entry:
    """The one of several people whom somebody means, by name or by at least two groups of the fingerprint code.

    Raises:
        MembershipError: E_ROSTER, nobody or several are meant.
    """
    typed = plain_code(text)
    by_code = len(typed) >= LEAST_CODE_CHARACTERS
    # Names are free: who calls itself like another's code must not be taken for it.
    fits = [e for e in entries if e.name == text or (by_code and plain_code(e.code).startswith(typed))]
    if len(fits) == 1:
        return fits[0]
    known = ", ".join(entry.label for entry in fits or entries) or "nobody"
    shown = "".join(character for character in text[:80] if character.isprintable())
    raise MembershipError(
        f"{'several are' if fits else 'nobody is'} called {shown!r}; there are: {known}",
        code="E_ROSTER",
        hint="name one by the fingerprint code, as shown in brackets",
    )
