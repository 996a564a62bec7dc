"""Who signs: Ed25519 identities, one per federation and role. FORMAT.md section B.

Holders, trainers and operators stand on a roster. A device (a camera, an encryption worker) stands on none; a holder
may delegate one scheme's key to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from blindsight.protocol import fields
from blindsight.protocol.encoding import from_b64, people_code, tagged_hash, to_b64
from blindsight.protocol.errors import FormatError, SignatureError

ROLES = ("holder", "trainer", "operator", "device")
MAX_NAME = 80
ALGORITHM = "ed25519"
_P = 2**255 - 19
# y coordinates of the points of order 8 (and 8 composed with 2), as little-endian encodings.
_SMALL_ORDER_HEX = (
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
)
_SMALL_ORDER_Y = frozenset(
    {0, 1, _P - 1} | {int.from_bytes(bytes.fromhex(text), "little") % 2**255 for text in _SMALL_ORDER_HEX}
)

SHAPE = fields.mapping(
    {
        "alg": fields.constant(ALGORITHM),
        "fpr": fields.hex32,
        "name": fields.text(MAX_NAME),
        "pub": fields.key(32),
        "role": fields.one_of(ROLES),
    }
)


@lru_cache(maxsize=4096)
def fingerprint(role: str, pub: bytes) -> str:
    """The name under which a key is known: hex of 32 bytes over role, algorithm and key."""
    return tagged_hash("identity", role.encode(), ALGORITHM.encode(), pub).hex()


def demand_usable(pub: bytes) -> None:
    """Refuse public keys under which one signature fits every message.

    Args:
        pub: 32 bytes, an Ed25519 public key.

    Raises:
        SignatureError: E_KEY, the encoding is not reduced or the point has small order.

    Source: RFC 8032 section 5.1.7 leaves this to the application.
    """
    y = int.from_bytes(pub, "little") % 2**255
    if y >= _P or y in _SMALL_ORDER_Y:
        raise SignatureError("the public key is of small order: any signature would fit it", code="E_KEY")


@dataclass(frozen=True, slots=True)
class Entry:
    """A public identity as it stands in a roster.

    Args:
        role: ``holder``, ``trainer``, ``operator`` or ``device``.
        name: at most 80 characters, informative only.
        pub: 32 bytes, Ed25519 public key.

    Raises:
        SignatureError: E_KEY, see ``demand_usable``.
        ValueError: another role.
    """

    role: str
    name: str
    pub: bytes

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"there is no role {self.role[:20]!r}")
        demand_usable(self.pub)

    @property
    def fpr(self) -> str:
        """Fingerprint in hex."""
        return fingerprint(self.role, self.pub)

    @property
    def code(self) -> str:
        """Fingerprint for reading aloud."""
        return people_code(bytes.fromhex(self.fpr))

    @property
    def label(self) -> str:
        """Name and the start of the fingerprint code, for sentences."""
        return f"{self.name} ({self.code[:9]})"

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether this identity signed the message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.pub).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def to_json(self) -> dict[str, Any]:
        """The entry as it stands in documents."""
        return {"alg": ALGORITHM, "fpr": self.fpr, "name": self.name, "pub": to_b64(self.pub), "role": self.role}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Entry:
        """Read an entry.

        Raises:
            FormatError: E_FORMAT for its shape, E_FPR when the fingerprint is not that of the key.
            SignatureError: E_KEY.
        """
        fields.demand(SHAPE, document, "identity entry")
        entry = cls(document["role"], document["name"], from_b64(document["pub"], 32))
        if entry.fpr != document["fpr"]:
            raise FormatError(f"the fingerprint of {entry.name} is not that of its key and role", code="E_FPR")
        return entry


class SigningKey:
    """A secret identity. Shows nothing of itself.

    Args:
        role: ``holder``, ``trainer``, ``operator`` or ``device``.
        name: at most 80 characters.
        seed: 32 bytes.
    """

    __slots__ = ("_key", "entry")

    def __init__(self, role: str, name: str, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.entry = Entry(role, name, self._key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"SigningKey({self.entry.role}, {self.entry.name!r})"

    def sign(self, message: bytes) -> bytes:
        """Ed25519 signature, 64 bytes (RFC 8032)."""
        return self._key.sign(message)
