"""The slot that a code on paper opens. FORMAT.md section G.

The slot holds a public key only, so that a backup can be sealed to it without the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from blindsight.protocol import fields, kem
from blindsight.protocol.encoding import CROCKFORD, from_b64, people_code, plain_code, tagged_hash, to_b64
from blindsight.protocol.errors import KeystoreError, SignatureError
from blindsight.protocol.keystore import wrapping
from blindsight.protocol.keystore.wrapping import Maker, Slot

TYPE = "recovery"
SEED_BYTES = 32
CHECK_BYTES = 3
CODE_LETTERS = (SEED_BYTES + CHECK_BYTES) * 8 // 5
SHAPE = fields.mapping(
    {
        "type": fields.constant(TYPE),
        "public": fields.key(kem.PUBLIC_BYTES),
        "wrap": fields.key(wrapping.KEY_BYTES + kem.OVERHEAD_BYTES),
    }
)


def write_code(seed: bytes) -> str:
    """Spell a seed for paper: 14 groups of four Crockford base32 letters, the last 24 bits a checksum.

    Args:
        seed: 32 bytes.
    """
    number = int.from_bytes(seed + _check(seed), "big")
    text = "".join(CROCKFORD[(number >> shift) & 31] for shift in range(CODE_LETTERS * 5 - 5, -1, -5))
    return "-".join(text[start : start + 4] for start in range(0, CODE_LETTERS, 4))


def read_code(text: str) -> bytes:
    """Read what was typed from paper: case, blanks, dashes and the look-alikes O, I, L do not matter.

    Returns:
        The seed, 32 bytes.

    Raises:
        KeystoreError: E_FORMAT, it is mistyped; a well-typed code of another slot is told from that when it is tried.
    """
    letters = plain_code(text)
    if len(letters) != CODE_LETTERS or not set(letters) <= set(CROCKFORD):
        raise _mistyped(f"a recovery code has {CODE_LETTERS} letters and digits (no U), got {len(letters)}")
    number = 0
    for letter in letters:
        number = number << 5 | CROCKFORD.index(letter)
    raw = number.to_bytes(SEED_BYTES + CHECK_BYTES, "big")
    if raw[SEED_BYTES:] != _check(raw[:SEED_BYTES]):
        raise _mistyped("the recovery code is mistyped: its checksum does not fit")
    return raw[:SEED_BYTES]


def _check(seed: bytes) -> bytes:
    return tagged_hash("recovery-code", seed)[:CHECK_BYTES]


def _mistyped(sentence: str) -> KeystoreError:
    return KeystoreError(sentence, code="E_FORMAT", hint="compare it with the paper, group by group")


def label(slot: Mapping[str, Any]) -> str:
    """What tells one paper from another without being secret: two groups of letters."""
    return people_code(tagged_hash("recovery-slot", from_b64(slot["public"])))[:9]


def maker(public: bytes) -> Maker:
    """Get ready to make a slot that the owner of a key opens.

    Args:
        public: 1216 bytes, the X-Wing key of a seed (``kem.public_key``).
    """

    def make(data_key: bytes, keystore_id: str) -> Slot:
        box = kem.seal(public, data_key, _context(keystore_id))
        return {"type": TYPE, "public": to_b64(public), "wrap": to_b64(box)}

    return make


def open_slot(slot: Mapping[str, Any], keystore_id: str, *, seed: Callable[[], bytes]) -> bytes | None:
    """The data key, or None when the code is that of another slot.

    Raises:
        KeystoreError: E_TAMPERED, it is the code of this slot and does not open it; whatever ``seed`` raises.
    """
    secret = seed()
    if kem.public_key(secret) != from_b64(slot["public"]):
        return None
    try:
        return kem.unseal(secret, from_b64(slot["wrap"]), _context(keystore_id), wrapping.KEY_BYTES)
    except SignatureError as error:
        raise KeystoreError(
            "the recovery slot was changed by somebody: its own code does not open it",
            code="E_TAMPERED",
            hint="restore the file from a backup",
        ) from error


def _context(keystore_id: str) -> bytes:
    return wrapping.context(keystore_id, {"type": TYPE})
