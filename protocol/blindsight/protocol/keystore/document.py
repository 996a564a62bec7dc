"""The file of a keystore, before and after a slot has opened it. FORMAT.md section G.

What is wrong is told apart: damaged (``sum``), not understood (fields), tampered (the body does not open although a
slot did).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from blindsight.protocol import fields
from blindsight.protocol.encoding import canonical, from_b64, parse_canonical, parse_json, to_b64
from blindsight.protocol.errors import FormatError, KeystoreError
from blindsight.protocol.files import read_bounded
from blindsight.protocol.identity import MAX_NAME, ROLES
from blindsight.protocol.keystore import passphrase, slots

FORMAT = "blindsight-keystore"
VERSION = 1
MAX_BYTES = 256 * 2**20  # an open ceremony of 256 members takes 190 MB

Document = dict[str, Any]

_SHAPE = fields.mapping(
    {
        "format": fields.constant(FORMAT),
        "v": fields.constant(VERSION),
        "id": fields.hex16,
        "gen": fields.integer(1),
        "slots": fields.listing(slots.check, least=1, most=slots.MAX_SLOTS),
        "body": fields.key(None),
        "sum": fields.hex32,
    }
)
IDENTITY = fields.mapping(
    {
        "role": fields.one_of(ROLES),
        "name": fields.text(MAX_NAME),
        "seed": fields.key(32),
        "created": fields.time,
    }
)


def examine(path: Path) -> Document:
    """Read a keystore without opening it: checksum, format, version and fields hold.

    Raises:
        KeystoreError: E_PERMS, E_CORRUPT, E_FORMAT, E_VERSION, E_KDF.
    """
    raw = read_guarded(path, MAX_BYTES)
    try:
        document = parse_json(raw, "the keystore", limit=MAX_BYTES)
    except FormatError as error:
        raise _damaged(path) from error
    _demand_version(path, document)
    if document.get("sum") != _checksum(document) or raw != to_bytes(document):
        raise _damaged(path)
    _demand_fields(path, document)
    return dict(document)


def read_guarded(path: Path, limit: int) -> bytes:
    """Read a file that nobody else can touch: at most ``limit`` + 1 bytes.

    Raises:
        KeystoreError: E_PERMS, a link, no regular file, somebody else's, or open to others.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise KeystoreError(f"{path} is a link or cannot be read: {error.strerror}", code="E_PERMS") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise KeystoreError(
                f"{path} must be a regular file of yours that nobody else can read",
                code="E_PERMS",
                hint=f"chmod 600 {path}",
            )
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return read_bounded(file, limit)
    finally:
        os.close(descriptor)


def to_bytes(document: Mapping[str, Any]) -> bytes:
    """The file's content."""
    return canonical(document) + b"\n"


def seal(head: Mapping[str, Any], data_key: bytes, data: Mapping[str, Any]) -> Document:
    """Put the data into a document.

    Args:
        head: ``format``, ``v``, ``id``, ``gen`` and ``slots``; body and sum are made anew.
        data_key: 32 bytes.
        data: the content.
    """
    sealed = {**head, "body": "", "sum": ""}
    encryptor = Cobblestone256Encryptor(data_key, _context(sealed))
    sealed["body"] = to_b64(encryptor.update(canonical(data)) + encryptor.finalize())
    sealed["sum"] = _checksum(sealed)
    return sealed


def unseal(document: Mapping[str, Any], data_key: bytes) -> dict[str, Any]:
    """Get the data out of a document.

    Raises:
        KeystoreError: E_TAMPERED.
        FormatError: E_FORMAT or E_CANON, who sealed it wrote something else.
    """
    decryptor = Cobblestone256Decryptor(data_key, _context(document))
    try:
        plain = decryptor.update(from_b64(document["body"])) + decryptor.finalize()
    except (InvalidTag, ValueError) as error:
        raise KeystoreError(
            "the keystore was changed by somebody who cannot open it",
            code="E_TAMPERED",
            hint="restore the file from a backup",
        ) from error
    data: dict[str, Any] = parse_canonical(plain, "the keystore's content", limit=MAX_BYTES)
    fields.demand(IDENTITY, data.get("identity"), "the keystore's identity")
    return data


def _demand_version(path: Path, document: Any) -> None:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise KeystoreError(f"{path} is not a blindsight keystore", code="E_FORMAT")
    if document.get("v") != VERSION:
        raise KeystoreError(
            f"{path} is a keystore of version {ascii(document.get('v'))[:20]}, this software reads version {VERSION}",
            code="E_VERSION",
            hint="update blindsight",
        )


def _demand_fields(path: Path, document: Document) -> None:
    try:
        fields.demand(_SHAPE, document, f"the keystore {path}")
    except FormatError as error:
        raise KeystoreError(error.message, code="E_FORMAT", hint="update blindsight, or restore a backup") from error
    for slot in document["slots"]:
        if slot["type"] == passphrase.TYPE:
            passphrase.cost_of(slot)


def _damaged(path: Path) -> KeystoreError:
    return KeystoreError(
        f"the keystore {path} is damaged; your passphrase was not tried",
        code="E_CORRUPT",
        hint="restore the file from a backup",
    )


def _checksum(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical({k: v for k, v in document.items() if k != "sum"})).hexdigest()


def _context(document: Mapping[str, Any]) -> bytes:
    return canonical({k: v for k, v in document.items() if k not in ("body", "sum")})
