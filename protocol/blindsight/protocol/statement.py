"""In-toto statements: what manifests and bundles have in common. FORMAT.md sections H and J."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blindsight.protocol import fields
from blindsight.protocol.envelope import IN_TOTO, Envelope
from blindsight.protocol.errors import FormatError, SignatureError

TYPE = "https://in-toto.io/Statement/v1"
CHUNK = 2**20
PATH = fields.pattern(
    re.compile(r"(?!/)(?!.*(^|/)\.\.?(/|$))(?!.*//)[A-Za-z0-9._/-]{0,254}[A-Za-z0-9._-]"), "a relative path in ASCII"
)
_SUBJECT = fields.mapping({"name": PATH, "digest": fields.mapping({"sha256": fields.hex32})})
HEAD = fields.mapping({"seq": fields.integer(), "id": fields.hex32})


def shape(predicate_type: str, predicate: fields.Check) -> fields.Check:
    """The shape of a statement with a predicate of one type."""
    return fields.mapping(
        {
            "_type": fields.constant(TYPE),
            "predicateType": fields.constant(predicate_type),
            "subject": fields.listing(_SUBJECT, least=1),
            "predicate": predicate,
        }
    )


def make(predicate_type: str, subjects: Mapping[str, str], predicate: Mapping[str, Any]) -> Envelope:
    """Write an unsigned statement about files.

    Args:
        predicate_type: its URI.
        subjects: file name → SHA-256 in hex.
        predicate: what is stated.
    """
    listed = [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects.items()]
    body = {"_type": TYPE, "predicateType": predicate_type, "subject": listed, "predicate": dict(predicate)}
    return Envelope.of(IN_TOTO, body)


def parse(envelope: Envelope, check: fields.Check, what: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Read a statement: its subjects (name → SHA-256) and its predicate.

    Raises:
        FormatError: E_FORMAT, E_CANON.
    """
    body = envelope.body(what)
    if envelope.type != IN_TOTO:
        raise FormatError(f"{what} must be an in-toto statement, got {envelope.type[:80]}")
    fields.demand(check, body, what)
    subjects = {entry["name"]: entry["digest"]["sha256"] for entry in body["subject"]}
    if len(subjects) != len(body["subject"]):
        raise FormatError(f"{what} names one file twice")
    return subjects, body["predicate"]


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hex, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def demand_file(folder: Path, name: str, sha256: str, size: int | None = None) -> None:
    """Demand that a named file is the one that was signed.

    Raises:
        FormatError: E_IO, it is not there; E_SHARD, another size.
        SignatureError: E_SHA, another content.
    """
    path = folder / name
    try:
        if not path.is_file() or path.is_symlink():
            raise FormatError(f"{name} is missing beside its manifest", code="E_IO")
        if size is not None and path.stat().st_size != size:
            raise FormatError(f"{name} has {path.stat().st_size} bytes, the manifest states {size}", code="E_SHARD")
        digest = file_digest(path)
    except OSError as error:
        raise FormatError(f"{name} cannot be read: {error.strerror}", code="E_IO") from error
    if digest != sha256:
        raise SignatureError(f"{name} is not the file that was signed: its SHA-256 differs", code="E_SHA")
