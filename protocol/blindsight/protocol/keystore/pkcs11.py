"""A key service behind PKCS#11: security modules, smart cards, SoftHSM. FORMAT.md section G.

``pkcs11:token=LABEL;object=LABEL?module-path=/path/to/module.so`` (RFC 7512) names one AES key. The data key is
wrapped by AES-GCM inside the token, with the context as additional data: nonce (12 bytes) ‖ ciphertext (32) ‖ tag (16).
A PIN in the URI is refused, because the URI is stored and stands in argv. Needs the extra ``[pkcs11]``.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from blindsight.protocol.errors import KeystoreError, LockedKeyError, WrongPassphraseError
from blindsight.protocol.keystore.kms import AskPin
from blindsight.protocol.keystore.wrapping import Entropy

SCHEME = "pkcs11"
NONCE_BYTES = 12
TAG_BITS = 128
_PATH_FIELDS = ("token", "object")
_QUERY_FIELDS = ("module-path",)


@dataclass(frozen=True, slots=True)
class KeyUri:
    """Which key of which token is meant.

    Args:
        token: the token's label.
        object: the key's label.
        module: the shared library that speaks to the token.

    Source: RFC 7512; every attribute not named here is refused.
    """

    token: str
    object: str
    module: Path

    @classmethod
    def parse(cls, uri: str) -> KeyUri:
        """Read a URI.

        Raises:
            KeystoreError: E_FORMAT, malformed, or it names a PIN.
        """
        scheme, _, rest = uri.partition(":")
        path, _, query = rest.partition("?")
        found = _attributes(path, ";", _PATH_FIELDS) | _attributes(query, "&", _QUERY_FIELDS)
        if scheme != SCHEME or set(found) != {*_PATH_FIELDS, *_QUERY_FIELDS}:
            raise _malformed("the URI must name token, object and module-path")
        return cls(found["token"], found["object"], Path(found["module-path"]))


def _attributes(text: str, separator: str, known: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(separator) if text else []:
        name, _, value = part.partition("=")
        if name in ("pin-value", "pin-source"):
            raise _malformed(f"a PIN does not belong into the URI: {name} is refused")
        if name not in known or name in found or not value:
            raise _malformed(f"the attribute {name[:40]!a} is unknown here, repeated or empty")
        found[name] = unquote(value, errors="replace")
    return found


def _malformed(sentence: str) -> KeystoreError:
    hint = "pkcs11:token=LABEL;object=LABEL?module-path=/usr/lib/softhsm/libsofthsm2.so; the PIN: --pin-file FILE"
    return KeystoreError(sentence, code="E_FORMAT", hint=hint)


class TokenKey:
    """An AES key inside a token, as a key service (``kms.KeyService``).

    Args:
        uri: names the key.
        pin: asks for the PIN of the token.
        entropy: source of nonces.

    Raises:
        KeystoreError: E_FORMAT, the URI; E_PERMS, others could have put the module there.
    """

    def __init__(self, uri: str, pin: AskPin, *, entropy: Entropy = os.urandom) -> None:
        self._uri = KeyUri.parse(uri)
        self._pin = pin
        self._entropy = entropy
        _demand_trusted(self._uri.module)

    def wrap(self, dek: bytes, context: bytes) -> bytes:
        """Encrypt the data key inside the token: 60 bytes.

        Raises:
            WrongPassphraseError: E_PASSPHRASE, the PIN.
            LockedKeyError: E_LOCKED_KEY, the token, the key or the mechanism is not there.
        """
        nonce = self._entropy(NONCE_BYTES)
        with self._key() as key:
            sealed: bytes = key.encrypt(dek, **_mechanism(nonce, context))
        return nonce + sealed

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt the data key inside the token.

        Raises:
            WrongPassphraseError: E_PASSPHRASE, the PIN.
            LockedKeyError: E_LOCKED_KEY, as for ``wrap``; or another key or context, or changed.
        """
        nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        with self._key() as key:
            opened: bytes = key.decrypt(sealed, **_mechanism(nonce, context))
        return opened

    @contextlib.contextmanager
    def _key(self) -> Iterator[Any]:  # the package's stubs give a key no operations
        import pkcs11

        name = ascii(self._uri.token)
        try:
            token = pkcs11.lib(str(self._uri.module)).get_token(token_label=self._uri.token)
            words = self._pin(f"token {name}").decode(errors="replace")
            with token.open(user_pin=words) as session:
                yield session.get_key(pkcs11.ObjectClass.SECRET_KEY, pkcs11.KeyType.AES, self._uri.object)
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange) as error:
            raise WrongPassphraseError(
                f"the PIN of token {name} is wrong", hint="tokens lock themselves after a few wrong ones"
            ) from error
        except pkcs11.PKCS11Error as error:
            raise LockedKeyError(
                f"token {name} does not work with key {self._uri.object!a}: {type(error).__name__}"
            ) from error


def _mechanism(nonce: bytes, context: bytes) -> dict[str, Any]:
    from pkcs11 import GCMParams, Mechanism

    return {"mechanism": Mechanism.AES_GCM, "mechanism_param": GCMParams(nonce, context, TAG_BITS)}


def _demand_trusted(module: Path) -> None:
    """Loading a library runs it, and the file that names it may have come from anywhere."""
    try:
        status = module.stat()
    except OSError as error:
        raise LockedKeyError(f"the module {module} cannot be read: {error.strerror}") from error
    owners = (0, os.geteuid())
    if not module.is_absolute() or not stat.S_ISREG(status.st_mode) or status.st_uid not in owners:
        raise KeystoreError(f"{module} must be a full path to a library of root's or yours", code="E_PERMS")
    if status.st_mode & 0o022:
        raise KeystoreError(
            f"the module {module} can be changed by others", code="E_PERMS", hint=f"chmod go-w {module}"
        )
