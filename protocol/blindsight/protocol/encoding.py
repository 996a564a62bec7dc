"""Bytes and text: canonical JSON, base64url, tagged hashes, key derivation, codes for people.

FORMAT.md section A. Every function is pure; whatever a peer may have written raises ``FormatError``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from typing import Any, NoReturn

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from blindsight.protocol.errors import FormatError

MAX_DOCUMENT_BYTES = 16 * 2**20
MAX_DEPTH = 16
MAX_VALUES = 500_000  # a reader needs about 20 times the bytes of a document that is nothing but brackets
MAX_INTEGER = 2**53 - 1
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_BYTES = 25
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
SURROGATE = re.compile("[\ud800-\udfff]")


def canonical(value: object) -> bytes:
    """Write a JSON value in the one form that is signed and hashed.

    Args:
        value: objects with ASCII keys, arrays, strings, booleans, null and integers below 2^53; no floats.

    Raises:
        FormatError: E_CANON, the value has no canonical form.

    Source: RFC 8785, restricted (no floats; depth at most 16).
    """
    _demand_canonical(value, 0)
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (ValueError, TypeError) as error:
        raise FormatError("the value has no canonical JSON form", code="E_CANON") from error


def _demand_canonical(value: object, depth: int) -> None:
    if depth >= MAX_DEPTH and isinstance(value, (dict, list, tuple)):
        raise FormatError(f"JSON is nested deeper than {MAX_DEPTH} levels", code="E_CANON")
    if isinstance(value, dict):
        if not all(isinstance(key, str) and key.isascii() for key in value):
            raise FormatError("JSON object keys must be ASCII strings", code="E_CANON")
        children = list(value.values())
    elif isinstance(value, (list, tuple)):
        children = list(value)
    else:
        _demand_scalar(value)
        children = []
    for child in children:
        _demand_canonical(child, depth + 1)


def _demand_scalar(value: object) -> None:
    if isinstance(value, float) or (isinstance(value, int) and abs(value) > MAX_INTEGER):
        raise FormatError("JSON numbers must be integers below 2^53; decimals are strings", code="E_CANON")
    if isinstance(value, str) and not value.isascii() and SURROGATE.search(value):
        raise FormatError("JSON strings must be Unicode: a lone surrogate has no UTF-8 form", code="E_CANON")
    if not isinstance(value, (str, int, type(None))):
        raise FormatError(f"{type(value).__name__} has no canonical JSON form", code="E_CANON")


def parse_json(data: bytes, what: str, *, limit: int = MAX_DOCUMENT_BYTES) -> Any:
    """Parse strict JSON: UTF-8, no duplicate keys, no floats, bounded size and depth.

    Args:
        data: the document.
        what: its name in the error sentence.
        limit: largest accepted size in bytes.

    Raises:
        FormatError: E_FORMAT when it is no JSON or too large, E_CANON for duplicates, floats and NaN.
    """
    if len(data) > limit:
        raise FormatError(f"{what} has {len(data)} bytes, more than the {limit} accepted")
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        raise FormatError(f"{what} has more than the {MAX_VALUES} values accepted")
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_unique,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
            parse_int=_bounded_integer,
        )
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what} is not readable as JSON") from error
    _demand_canonical(value, 0)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise FormatError("a JSON object names the same key twice", code="E_CANON")
    return result


def _refuse_number(text: str) -> NoReturn:
    raise FormatError(f"JSON number {text[:20]} is not an integer; decimals are strings", code="E_CANON")


def _bounded_integer(text: str) -> int:
    if len(text) > 17:
        raise FormatError("JSON integers must be below 2^53", code="E_CANON")
    return int(text)


def parse_canonical(data: bytes, what: str, *, limit: int = MAX_DOCUMENT_BYTES) -> Any:
    """Parse JSON and demand that it stands in canonical form, so that one value has one hash.

    Args:
        data: the document.
        what: its name in the error sentence.
        limit: largest accepted size in bytes.

    Raises:
        FormatError: E_FORMAT or E_CANON.
    """
    value = parse_json(data, what, limit=limit)
    if canonical(value) != data:
        raise FormatError(f"{what} is not in canonical form", code="E_CANON")
    return value


def to_b64(data: bytes) -> str:
    """Write bytes as base64url without padding (RFC 4648 section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64(text: str, length: int | None = None) -> bytes:
    """Read base64url without padding; only the one canonical spelling is accepted.

    Args:
        text: the encoded bytes.
        length: exact number of bytes expected, if known.

    Raises:
        FormatError: E_CANON for another spelling, E_FORMAT for another length.
    """
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error) as error:
        raise FormatError("base64url text is malformed", code="E_CANON") from error
    if to_b64(data) != text:
        raise FormatError("base64url text is not in its one canonical spelling", code="E_CANON")
    if length is not None and len(data) != length:
        raise FormatError(f"expected {length} bytes of base64url, got {len(data)}")
    return data


def tagged_hash(tag: str, *parts: bytes) -> bytes:
    """Hash parts unambiguously under a purpose: 32 bytes.

    Source: FORMAT.md A, ``H(tag, p1..pk)``.
    """
    digest = hashlib.sha256(b"blindsight1:" + tag.encode() + b"\0")
    for part in parts:
        digest.update(u64be(len(part)) + part)
    return digest.digest()


def extract(salt: bytes, material: bytes) -> bytes:
    """HKDF-Extract with SHA-256 (RFC 5869 section 2.2): 32 bytes."""
    mac = hmac.HMAC(salt, hashes.SHA256())
    mac.update(material)
    return mac.finalize()


def expand(key: bytes, label: str, *parts: bytes) -> bytes:
    """HKDF-Expand with SHA-256 (RFC 5869 section 2.3) under a label and context: 32 bytes."""
    info = tagged_hash("info:" + label, *parts)
    return HKDFExpand(algorithm=hashes.SHA256(), length=32, info=info).derive(key)


def u64be(value: int) -> bytes:
    """Write an unsigned integer as eight bytes, most significant first."""
    return value.to_bytes(8, "big")


def people_code(digest: bytes) -> str:
    """Spell the first 25 bytes of a digest for reading aloud: ten groups of four Crockford base32 characters.

    Args:
        digest: at least 25 bytes.
    """
    number = int.from_bytes(digest[:CODE_BYTES], "big")
    text = "".join(CROCKFORD[(number >> shift) & 31] for shift in range(CODE_BYTES * 8 - 5, -1, -5))
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def plain_code(text: str) -> str:
    """Normalise a code that a person typed: case, spaces, dashes and the look-alikes O, I, L do not matter."""
    text = re.sub(r"[\s-]", "", text.upper())
    return text.replace("O", "0").replace("I", "1").replace("L", "1")
