"""The slot that a key service opens: a security module or a vault. FORMAT.md section G.

The scheme of the slot's URI names an entry point of the group ``blindsight.kms``. It is a callable that takes the URI
and a function that asks for a PIN, and gives a ``KeyService``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from blindsight.protocol import fields
from blindsight.protocol.encoding import from_b64, to_b64
from blindsight.protocol.errors import BlindsightError, KeystoreError, LockedKeyError, MissingExtraError
from blindsight.protocol.keystore import wrapping
from blindsight.protocol.keystore.wrapping import Maker, Slot

TYPE = "kms"
GROUP = "blindsight.kms"
SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,39}")  # RFC 3986 section 3.1, in lower case
MAX_URI = 500
MAX_WRAPPED_BYTES = 8192
AskPin = Callable[[str], bytes]
"""Takes the words in which a person knows the token, gives the PIN."""


class KeyService(Protocol):
    """What keeps a key that never leaves it."""

    def wrap(self, dek: bytes, context: bytes) -> bytes:
        """Encrypt 32 bytes, bound to the context: at most 8192 bytes."""

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Give back what was wrapped; refuse under another context."""


def _wrapped(value: Any, at: str) -> Iterator[str]:
    yield from fields.key(None)(value, at)
    if isinstance(value, str) and len(value) > MAX_WRAPPED_BYTES * 4 // 3 + 1:
        yield f"{at} must have at most {MAX_WRAPPED_BYTES} bytes"


SHAPE = fields.mapping({"type": fields.constant(TYPE), "uri": fields.text(MAX_URI), "wrapped": _wrapped})


def maker(uri: str, pin: AskPin) -> Maker:
    """Get ready to make a slot.

    Args:
        uri: names the key; its scheme names the plug-in. It is stored, so it holds no secret.
        pin: asks for the token's PIN.

    Raises (when the slot is made):
        KeystoreError: E_FORMAT, the URI is malformed or holds a secret; what the service raises.
        MissingExtraError: E_EXTRA, no plug-in for the scheme.
    """

    def make(data_key: bytes, keystore_id: str) -> Slot:
        wrapped = _asked(uri, pin, lambda service: service.wrap(data_key, _context(keystore_id, uri)))
        slot = {"type": TYPE, "uri": uri, "wrapped": to_b64(wrapped)}
        fields.demand(SHAPE, slot, "the slot")
        return slot

    return make


def open_slot(slot: Mapping[str, Any], keystore_id: str, *, pin: AskPin) -> bytes:
    """The data key.

    Raises:
        WrongPassphraseError: E_PASSPHRASE, the PIN is wrong. Not tried again: tokens lock themselves.
        LockedKeyError: E_LOCKED_KEY, the service is out of reach or does not open the slot.
        MissingExtraError: E_EXTRA, no plug-in for the scheme.
        KeystoreError: E_FORMAT, the URI is malformed.
    """
    bound = _context(keystore_id, slot["uri"])
    data_key = _asked(slot["uri"], pin, lambda service: service.unwrap(from_b64(slot["wrapped"]), bound))
    if len(data_key) != wrapping.KEY_BYTES:
        raise LockedKeyError("the key service gave back something that is no data key")
    return data_key


def _asked(uri: str, pin: AskPin, act: Callable[[KeyService], bytes]) -> bytes:
    scheme = uri.partition(":")[0]
    try:
        return act(_plugin(scheme).load()(uri, pin))
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"a key service of scheme {scheme} needs the package {error.name}, which is not installed",
            hint=_hint(scheme),
        ) from error
    except BlindsightError:
        raise
    except Exception as error:  # a stranger's code: whatever it raises becomes a sentence, and its words stay inside
        raise LockedKeyError(f"the key service of scheme {scheme} failed: {type(error).__name__}") from None


def _plugin(scheme: str) -> EntryPoint:
    if not SCHEME.fullmatch(scheme):
        raise KeystoreError("the URI of a key service begins with a scheme like pkcs11:", code="E_FORMAT")
    found = list(entry_points(group=GROUP, name=scheme))
    if not found:
        raise MissingExtraError(f"no plug-in for key services of scheme {scheme} is installed", hint=_hint(scheme))
    return found[0]


def _hint(scheme: str) -> str:
    if scheme == "pkcs11":
        return 'pip install "blindsight[pkcs11]"'
    return f"install the package that offers {scheme} in the entry-point group {GROUP}"


def _context(keystore_id: str, uri: str) -> bytes:
    return wrapping.context(keystore_id, {"type": TYPE, "uri": uri})
