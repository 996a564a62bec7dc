"""The tag of a stream: under which key and scheme its images are encrypted. FORMAT.md section J.

A model answers images under another key with confident nonsense, so tags are compared before inference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blindsight.protocol import fields
from blindsight.protocol.encoding import MAX_INTEGER, canonical, tagged_hash
from blindsight.protocol.errors import SchemeError
from blindsight.protocol.fields import HEX32

FIELDS: Mapping[str, fields.Check] = {
    "fed": fields.hex32,
    "epoch": fields.integer(1),
    "record": fields.hex32,
    "kcv": fields.hex32,
    "scheme_digest": fields.hex32,
    "scv": fields.hex32,
}
"""What manifests and bundles state of it."""


@dataclass(frozen=True, slots=True)
class Tag:
    """Key and scheme, publicly named.

    Args:
        fed: federation id, hex.
        epoch: number of the epoch.
        record: id of the epoch record, hex.
        kcv: key check value, hex.
        scheme_digest: digest of the descriptor, hex.
        scv: scheme check value, hex.
    """

    fed: str
    epoch: int
    record: str
    kcv: str
    scheme_digest: str
    scv: str

    @classmethod
    def of(cls, predicate: Mapping[str, Any]) -> Tag:
        """The tag that a manifest's or bundle's predicate states."""
        return cls(**{name: predicate[name] for name in cls.__slots__})

    @property
    def digest(self) -> str:
        """What a stream carries: hex of 32 bytes."""
        return tagged_hash("tag", canonical({name: getattr(self, name) for name in self.__slots__})).hex()

    def demand(self, what: str, **claims: Any) -> None:
        """Compare what a stream states of itself with this tag.

        Args:
            what: the stream's name in the error sentence.
            claims: field → value, as many as the stream states.

        Raises:
            SchemeError: E_SCHEME, with expected and got.
        """
        for name, got in claims.items():
            expected = getattr(self, name)
            if got != expected:
                raise SchemeError(
                    f"{what} is of another {_WORDS[name]}: expected {_short(expected)}, got {_short(got)}; "
                    "the model would answer it with confident nonsense",
                    hint="encrypt it under the model's epoch and scheme, or use the model of its epoch",
                )


def stream_tag(tag: Tag, head: Mapping[str, Any]) -> str:
    """What a stream states of itself: ``<digest>.<sequence>.<record id>``, the sender's log head included.

    The receiver compares the head with its own log: a withheld record or a fork shows wherever a stream runs.
    """
    return f"{tag.digest}.{head['seq']}.{head['id']}"


def read_stream_tag(text: str) -> tuple[str, dict[str, Any] | None]:
    """The tag digest that a stream states, and the log head if it states one.

    Raises:
        SchemeError: E_SCHEME, it is no tag.
    """
    parts = text.split(".")
    head = {"seq": int(parts[1]), "id": parts[2]} if len(parts) == 3 and _NUMBER.fullmatch(parts[1]) else None
    sound = head is not None and HEX32.fullmatch(parts[2]) and int(parts[1]) <= MAX_INTEGER
    wrong = not HEX32.fullmatch(parts[0]) or (len(parts) > 1 and not sound)
    if wrong:
        raise SchemeError(
            f"expected a tag of 64 hex characters, got {text[:80]!r}", hint="operator check --json prints it"
        )
    return parts[0], head


_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")
_WORDS = {
    "fed": "federation",
    "epoch": "epoch",
    "record": "epoch record",
    "kcv": "epoch key",
    "scheme_digest": "encryption scheme, version or shape",
    "scv": "scheme key",
    "digest": "key or scheme",
}


def _short(value: Any) -> str:
    return str(value)[:16]
