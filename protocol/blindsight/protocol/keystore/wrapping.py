"""How a slot holds the data key: what all types of slots share. FORMAT.md section G."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from blindsight.protocol.encoding import canonical, expand

Slot = dict[str, Any]
Maker = Callable[[bytes, str], Slot]
"""Takes the data key (32 bytes) and the keystore's id, gives a slot."""
Entropy = Callable[[int], bytes]
"""Gives that many random bytes; ``os.urandom`` outside tests."""

KEY_BYTES = 32
WRAP_BYTES = KEY_BYTES + 16


def context(keystore_id: str, bound: Mapping[str, Any]) -> bytes:
    """What a wrap is bound to: the keystore and what the slot says of itself."""
    return canonical({"ks": keystore_id, **bound})


def wrap(key: bytes, data_key: bytes, bound: bytes) -> bytes:
    """Seal the data key under a wrapping key that is used for nothing else: 48 bytes.

    Args:
        key: 32 bytes, fresh for this slot.
        data_key: 32 bytes.
        bound: the context.
    """
    # The nonce may be constant because the wrapping key is used once.
    return ChaCha20Poly1305(expand(key, "keystore-slot")).encrypt(bytes(12), data_key, bound)


def unwrap(key: bytes, wrapped: bytes, bound: bytes) -> bytes | None:
    """The data key, or None when this is another key or context."""
    with contextlib.suppress(InvalidTag):
        return ChaCha20Poly1305(expand(key, "keystore-slot")).decrypt(bytes(12), wrapped, bound)
    return None
