"""Sealing to a key: HPKE base mode, single shot, with X-Wing (ML-KEM-768 and X25519). FORMAT.md section A, "Suite".

HPKE in base mode does not authenticate the sender: every box travels inside a signed message and binds its context
through ``info``.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from blindsight.protocol.errors import SignatureError

SUITE = "BLINDSIGHT1-XWING-ED25519-SHA256"
PUBLIC_BYTES = 1216
OVERHEAD_BYTES = 1120 + 16
_MLKEM_PUBLIC_BYTES = 1184
_MLKEM_SEED_BYTES = 64


def _suite() -> Suite:
    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def _halves(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    """X-Wing key expansion (draft-connolly-cfrg-xwing-kem, section 5.2)."""
    material = hashlib.shake_256(seed).digest(_MLKEM_SEED_BYTES + 32)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(material[:_MLKEM_SEED_BYTES])
    return mlkem, X25519PrivateKey.from_private_bytes(material[_MLKEM_SEED_BYTES:])


def public_key(seed: bytes) -> bytes:
    """The X-Wing public key of a 32-byte seed: 1216 bytes, ML-KEM-768 key then X25519 key."""
    mlkem, x25519 = _halves(seed)
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def seal(public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Encrypt to a public key.

    Args:
        public: 1216 bytes.
        plaintext: what to seal.
        info: context that the opener must name identically.

    Returns:
        ``len(plaintext) + 1136`` bytes.

    Raises:
        SignatureError: E_KEM, the key is malformed or its X25519 half is of small order.
    """
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC_BYTES])
        x25519 = X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_BYTES:])
        return _suite().encrypt(plaintext, MLKEM768X25519PublicKey(mlkem, x25519), info)
    except ValueError as error:
        raise SignatureError("the key-agreement key is malformed: nothing can be sealed to it", code="E_KEM") from error


def unseal(seed: bytes, box: bytes, info: bytes, length: int) -> bytes:
    """Open a box made by ``seal``.

    Args:
        seed: 32 bytes.
        box: the sealed bytes.
        info: the context named when sealing.
        length: the exact plaintext length expected.

    Raises:
        SignatureError: E_BOX, of another length, for another key or context, or changed.
    """
    mlkem, x25519 = _halves(seed)
    if len(box) != length + OVERHEAD_BYTES:
        raise SignatureError(f"the box has {len(box)} bytes, expected {length + OVERHEAD_BYTES}", code="E_BOX")
    try:
        return _suite().decrypt(box, MLKEM768X25519PrivateKey(mlkem, x25519), info)
    except (InvalidTag, ValueError) as error:
        raise SignatureError("the box does not open with this key and context", code="E_BOX") from error
