"""The slot that a passphrase opens. FORMAT.md section G."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from blindsight.protocol import fields
from blindsight.protocol.encoding import from_b64, to_b64
from blindsight.protocol.errors import KeystoreError
from blindsight.protocol.keystore import wrapping
from blindsight.protocol.keystore.wrapping import Entropy, Maker, Slot

TYPE = "passphrase"
SALT_BYTES = 16
SHAPE = fields.mapping(
    {
        "type": fields.constant(TYPE),
        "kdf": fields.mapping(
            {
                "alg": fields.constant("argon2id"),
                "m": fields.integer(),
                "t": fields.integer(),
                "p": fields.integer(),
                "salt": fields.key(SALT_BYTES),
            }
        ),
        "wrap": fields.key(wrapping.WRAP_BYTES),
    }
)


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What one guess of the passphrase costs.

    Args:
        m: memory in KiB, 8,192 to 4,194,304.
        t: passes, 1 to 16.
        p: lanes, 1 to 16.

    Raises:
        KeystoreError: E_KDF, outside these limits; a file must not make its reader run out of memory.

    Source: RFC 9106 section 4, second recommended option (64 MiB, t = 3, p = 4).
    """

    m: int = 65_536
    t: int = 3
    p: int = 4

    def __post_init__(self) -> None:
        if not (8_192 <= self.m <= 4 * 2**20 and 1 <= self.t <= 16 and 1 <= self.p <= 16):
            raise KeystoreError(
                f"the keystore asks for Argon2id with m={self.m} KiB, t={self.t}, p={self.p}, outside the limits",
                code="E_KDF",
            )

    def key(self, passphrase: bytes, salt: bytes) -> bytes:
        """The key that a passphrase makes: 32 bytes.

        Raises:
            KeystoreError: E_KDF, this machine does not have the memory.
        """
        kdf = Argon2id(salt=salt, length=32, iterations=self.t, lanes=self.p, memory_cost=self.m)
        try:
            return kdf.derive(passphrase)
        except MemoryError as error:
            raise KeystoreError(
                f"trying the passphrase takes {self.m // 1024} MiB of memory, more than there is",
                code="E_KDF",
                hint="open it on a larger machine",
            ) from error


def cost_of(slot: Mapping[str, Any]) -> Argon2Cost:
    """What a guess at this slot costs.

    Raises:
        KeystoreError: E_KDF, more than the limits.
    """
    return Argon2Cost(slot["kdf"]["m"], slot["kdf"]["t"], slot["kdf"]["p"])


def maker(passphrase: bytes, cost: Argon2Cost | None = None, *, entropy: Entropy = os.urandom) -> Maker:
    """Get ready to make a slot.

    Args:
        passphrase: bytes of any length above zero.
        cost: RFC 9106's second recommendation by default.
        entropy: source of the salt.

    Raises:
        KeystoreError: E_PASSPHRASE, it is empty.
    """
    if not passphrase:
        raise KeystoreError("the passphrase is empty", code="E_PASSPHRASE")
    cost = cost or Argon2Cost()

    def make(data_key: bytes, keystore_id: str) -> Slot:
        salt = entropy(SALT_BYTES)
        kdf = {"alg": "argon2id", "m": cost.m, "t": cost.t, "p": cost.p, "salt": to_b64(salt)}
        bound = wrapping.context(keystore_id, {"kdf": kdf})
        return {"type": TYPE, "kdf": kdf, "wrap": to_b64(wrapping.wrap(cost.key(passphrase, salt), data_key, bound))}

    return make


def open_slot(slot: Mapping[str, Any], keystore_id: str, *, secret: Callable[[], bytes]) -> bytes | None:
    """The data key, or None when the passphrase is another one.

    Raises:
        KeystoreError: E_KDF; whatever ``secret`` raises.
    """
    key = cost_of(slot).key(secret(), from_b64(slot["kdf"]["salt"], SALT_BYTES))
    # The context of version 1's first slot type names the derivation, not the type: only this type has one.
    bound = wrapping.context(keystore_id, {"kdf": dict(slot["kdf"])})
    return wrapping.unwrap(key, from_b64(slot["wrap"]), bound)
