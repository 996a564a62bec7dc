"""One vector: one property, one file."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blindsight.protocol.encoding import canonical
from blindsight.protocol.envelope import Envelope, payload_type
from blindsight.protocol.identity import SigningKey
from tests.protocol.worlds import as_json

COMMAND = "python -m tests.vectors.make"
SEALED = f"{COMMAND}, with what was sealed once, at random: boxes.json"
MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class Vector:
    """What a reader is given and what it must answer.

    Args:
        kind: which reader, see README.md.
        sentence: its property, the one thing that this vector is about; the file's name follows from it.
        given: bytes as they stand in a file, or a JSON value (a string is text, an envelope an object).
        expected: the code of the refusal, or the facts that an accepting reader finds.
        made_by: how it was made.
    """

    kind: str
    sentence: str
    given: Any
    expected: str | Mapping[str, Any]
    made_by: str = COMMAND

    @property
    def path(self) -> str:
        """Its place below this folder."""
        slug = re.sub(r"[^a-z0-9]+", "-", f"{self.kind} {self.sentence}".lower()).strip("-")
        return f"{'refused' if isinstance(self.expected, str) else 'accepted'}/{slug}.json"

    def to_bytes(self) -> bytes:
        """The file: ASCII, so that no vector can rewrite a terminal line."""
        binary = isinstance(self.given, bytes)
        given = {"given_b64": b64encode(self.given).decode()} if binary else {"given": self.given}
        head = {"property": self.sentence, "kind": self.kind}
        document = {**head, **given, "expected": self.expected, "made_by": self.made_by}
        return json.dumps(document, indent=1, default=as_json).encode() + b"\n"


def refusals(kind: str, code: str, cases: Mapping[str, Any]) -> list[Vector]:
    """Vectors refused with one code: property → given."""
    return [Vector(kind, sentence, given, code) for sentence, given in cases.items()]


def table(
    kind: str, codes: Mapping[str, Mapping[str, Any]], given: Callable[[Any], Any], made_by: str = COMMAND
) -> list[Vector]:
    """Vectors refused with several codes: code → property → what ``given`` wraps as the reader needs it."""
    return [
        Vector(kind, sentence, given(found), code, made_by)
        for code, cases in codes.items()
        for sentence, found in cases.items()
    ]


def changed(body: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A document with other fields; ``MISSING`` takes one away."""
    return {name: value for name, value in {**body, **changes}.items() if value is not MISSING}


def signed(kind: str, body: Mapping[str, Any] | bytes, keys: Sequence[SigningKey]) -> Envelope:
    """A document, or a payload as it stands, under these signatures."""
    payload = body if isinstance(body, bytes) else canonical(body)
    envelope = Envelope(kind if "/" in kind else payload_type(kind), payload, {})
    for key in keys:
        envelope = envelope.signed(key)
    return envelope


def misspelt(envelope: Envelope, keys: Sequence[SigningKey]) -> Envelope:
    """The same payload with blanks in it, signed as it stands."""
    return signed(envelope.type, json.dumps(envelope.body(), sort_keys=True).encode(), keys)


def forged(envelope: Envelope, victim: SigningKey, forger: SigningKey) -> Envelope:
    """The same document with the forger's signature in the victim's place."""
    false = Envelope(envelope.type, envelope.payload, {}).signed(forger).signatures[forger.entry.fpr]
    return Envelope(envelope.type, envelope.payload, {**envelope.signatures, victim.entry.fpr: false})
