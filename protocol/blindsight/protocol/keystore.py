"""The sealed file that holds an identity and the epoch secrets. FORMAT.md section G.

A random data key seals the body; each slot wraps the data key under one way of opening (here: a passphrase). What is
wrong with a file is told apart: damaged (``sum``), wrong passphrase (no slot opens), tampered (the body does not
open although a slot did).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from blindsight.protocol import fields
from blindsight.protocol.encoding import canonical, expand, from_b64, parse_canonical, parse_json, to_b64
from blindsight.protocol.errors import FormatError, KeyExistsError, KeystoreError, WrongPassphraseError
from blindsight.protocol.files import replacing, sync_folder
from blindsight.protocol.identity import MAX_NAME, ROLES, SigningKey

FORMAT = "blindsight-keystore"
VERSION = 1
MAX_BYTES = 256 * 2**20  # an open ceremony of 256 members takes 190 MB
KEY_BYTES = 32
_WRAP_BYTES = KEY_BYTES + 16


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
        """The slot's wrapping key: 32 bytes."""
        kdf = Argon2id(salt=salt, length=32, iterations=self.t, lanes=self.p, memory_cost=self.m)
        return expand(kdf.derive(passphrase), "keystore-slot")


_SLOT = fields.mapping(
    {
        "type": fields.constant("passphrase"),
        "kdf": fields.mapping(
            {
                "alg": fields.constant("argon2id"),
                "m": fields.integer(),
                "t": fields.integer(),
                "p": fields.integer(),
                "salt": fields.key(16),
            }
        ),
        "wrap": fields.key(_WRAP_BYTES),
    }
)
_SHAPE = fields.mapping(
    {
        "format": fields.constant(FORMAT),
        "v": fields.constant(VERSION),
        "id": fields.hex16,
        "gen": fields.integer(1),
        "slots": fields.listing(_SLOT, least=1, most=16),
        "body": fields.key(None),
        "sum": fields.hex32,
    }
)
_IDENTITY = fields.mapping(
    {
        "role": fields.one_of(ROLES),
        "name": fields.text(MAX_NAME),
        "seed": fields.key(32),
        "created": fields.time,
    }
)


class Keystore:
    """An opened keystore: the data, and what is needed to seal it again. Shows nothing of itself.

    Args:
        path: the file.
        document: the file's content, checked.
        data_key: 32 bytes.
        data: the unsealed content; change it and call ``save``.
    """

    __slots__ = ("_data_key", "_document", "data", "path")

    def __init__(self, path: Path, document: dict[str, Any], data_key: bytes, data: dict[str, Any]) -> None:
        self.path = path
        self.data = data
        self._document = document
        self._data_key = data_key

    def __repr__(self) -> str:
        return f"Keystore({str(self.path)!r})"

    @property
    def key(self) -> SigningKey:
        """The identity that signs."""
        who = self.data["identity"]
        return SigningKey(who["role"], who["name"], from_b64(who["seed"], 32))

    def save(self) -> None:
        """Seal the data and replace the file; the old content is gone afterwards.

        Raises:
            KeystoreError: E_IO, the file cannot be written, or no reader would take it; the old one stands.
        """
        document = _seal(self._document, self._data_key, self.data)
        sealed = canonical(document) + b"\n"
        if len(sealed) > MAX_BYTES:
            raise KeystoreError(f"{self.path} would have {len(sealed)} bytes, more than any reader takes", code="E_IO")
        try:
            with replacing(self.path, mode=0o600) as file:
                file.write(sealed)
        except OSError as error:
            raise KeystoreError(f"{self.path} cannot be written: {error.strerror}", code="E_IO") from error
        self._document = document


def create(
    path: Path,
    *,
    role: str,
    name: str,
    passphrase: bytes,
    created: str,
    cost: Argon2Cost | None = None,
    seed: bytes | None = None,
) -> Keystore:
    """Make a new identity and write its keystore.

    Args:
        path: where; must not exist. Its folder is made with mode 0700 if missing.
        role: ``holder``, ``trainer`` or ``operator``.
        name: shown to people, at most 80 characters.
        passphrase: bytes of any length above zero.
        created: time of creation.
        cost: Argon2id parameters, RFC 9106's by default.
        seed: 32 bytes, the secret of the identity; fresh random bytes by default.

    Raises:
        KeyExistsError: E_EXISTS, something stands there already.
        KeystoreError: E_IO, it cannot be written.
        FormatError: E_FORMAT, the name is too long or not printable.
    """
    identity = {"role": role, "name": name, "seed": to_b64(seed or os.urandom(32)), "created": created}
    fields.demand(_IDENTITY, identity, "identity")
    if not passphrase:
        raise KeystoreError("the passphrase is empty", code="E_PASSPHRASE")
    document = {"format": FORMAT, "v": VERSION, "id": os.urandom(16).hex(), "gen": 0}
    data_key = os.urandom(KEY_BYTES)
    document["slots"] = [_passphrase_slot(passphrase, data_key, str(document["id"]), cost or Argon2Cost())]
    data = {"v": 1, "identity": identity, "feds": {}}
    document = _seal(document, data_key, data)
    _write_new(path, canonical(document) + b"\n")
    return Keystore(path, document, data_key, data)


@contextlib.contextmanager
def opened(path: Path, passphrase: bytes) -> Iterator[Keystore]:
    """Open a keystore under an exclusive lock that is held until the block ends.

    Args:
        path: the file.
        passphrase: what one of its slots was made with.

    Raises:
        KeystoreError: E_MISSING, E_PERMS, E_CORRUPT, E_FORMAT, E_VERSION, E_KDF, E_TAMPERED.
        WrongPassphraseError: E_PASSPHRASE.
    """
    if not path.exists() and not path.is_symlink():
        raise KeystoreError(
            f"there is no keystore at {path}", code="E_MISSING", hint="make one with: blindsight holder key init"
        )
    with _locked(path):
        document = examine(path)
        data_key = _unwrap(document, passphrase)
        yield Keystore(path, document, data_key, _unseal(document, data_key))


def demand_absent(path: Path) -> None:
    """Refuse to make a keystore where one stands, before anybody chooses a passphrase.

    Raises:
        KeyExistsError: E_EXISTS.
    """
    if path.exists() or path.is_symlink():
        raise KeyExistsError(
            f"a keystore stands at {path} already; it is never overwritten", hint="name another file with --keystore"
        )


def _write_new(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}.part")
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
        sync_folder(path.parent)
    except FileExistsError:
        demand_absent(path)
        raise
    except OSError as error:
        raise KeystoreError(f"the keystore cannot be written to {path}: {error.strerror}", code="E_IO") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise KeystoreError(f"{lock} cannot be locked: {error.strerror}", code="E_IO") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise KeystoreError(
                f"another process uses the keystore {path}", code="E_LOCKED", hint="wait for it to end, then repeat"
            ) from error
        yield
    finally:
        os.close(descriptor)


def examine(path: Path) -> dict[str, Any]:
    """Read a keystore without opening it: format, version and checksum hold.

    Raises:
        KeystoreError: E_PERMS, E_CORRUPT, E_FORMAT, E_VERSION.
    """
    raw = _read_guarded(path)
    try:
        document = parse_json(raw, "the keystore", limit=MAX_BYTES)
    except FormatError as error:
        raise _damaged(path) from error
    _demand_version(path, document)
    try:
        fields.demand(_SHAPE, document, "the keystore")
    except FormatError as error:
        raise _damaged(path) from error
    if document["sum"] != _checksum(document) or raw != canonical(document) + b"\n":
        raise _damaged(path)
    return dict(document)


def _read_guarded(path: Path) -> bytes:
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
            return file.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)


def _demand_version(path: Path, document: Any) -> None:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise KeystoreError(f"{path} is not a blindsight keystore", code="E_FORMAT")
    if document.get("v") != VERSION:
        raise KeystoreError(
            f"{path} is a keystore of version {str(document.get('v'))[:20]}, this software reads version {VERSION}",
            code="E_VERSION",
            hint="update blindsight",
        )


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


def _slot_context(keystore_id: str, kdf: Mapping[str, Any]) -> bytes:
    return canonical({"ks": keystore_id, "kdf": dict(kdf)})


def _passphrase_slot(passphrase: bytes, data_key: bytes, keystore_id: str, cost: Argon2Cost) -> dict[str, Any]:
    salt = os.urandom(16)
    kdf = {"alg": "argon2id", "m": cost.m, "t": cost.t, "p": cost.p, "salt": to_b64(salt)}
    cipher = ChaCha20Poly1305(cost.key(passphrase, salt))
    # The nonce may be constant: the wrapping key is used once, because the salt is fresh.
    wrap = cipher.encrypt(bytes(12), data_key, _slot_context(keystore_id, kdf))
    return {"type": "passphrase", "kdf": kdf, "wrap": to_b64(wrap)}


def _unwrap(document: Mapping[str, Any], passphrase: bytes) -> bytes:
    for slot in document["slots"]:
        kdf = slot["kdf"]
        wrapping = Argon2Cost(kdf["m"], kdf["t"], kdf["p"]).key(passphrase, from_b64(kdf["salt"], 16))
        with contextlib.suppress(InvalidTag):
            cipher = ChaCha20Poly1305(wrapping)
            return cipher.decrypt(bytes(12), from_b64(slot["wrap"]), _slot_context(document["id"], kdf))
    raise WrongPassphraseError("the passphrase does not open this keystore")


def _seal(document: Mapping[str, Any], data_key: bytes, data: Mapping[str, Any]) -> dict[str, Any]:
    sealed = {**document, "gen": document["gen"] + 1}
    encryptor = Cobblestone256Encryptor(data_key, _context(sealed))
    sealed["body"] = to_b64(encryptor.update(canonical(data)) + encryptor.finalize())
    sealed["sum"] = _checksum(sealed)
    return sealed


def _unseal(document: Mapping[str, Any], data_key: bytes) -> dict[str, Any]:
    decryptor = Cobblestone256Decryptor(data_key, _context(document))
    try:
        plain = decryptor.update(from_b64(document["body"])) + decryptor.finalize()
    except (InvalidTag, ValueError) as error:
        raise KeystoreError(
            "the keystore was changed by somebody who does not know its passphrase",
            code="E_TAMPERED",
            hint="restore the file from a backup",
        ) from error
    data: dict[str, Any] = parse_canonical(plain, "the keystore's content", limit=MAX_BYTES)
    fields.demand(_IDENTITY, data.get("identity"), "the keystore's identity")
    return data
