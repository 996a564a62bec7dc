"""The slot whose key lies in the keyring of the operating system. FORMAT.md section G.

Needs the extra ``[keyring]``; nothing of it is imported before a slot of this type is used.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from blindsight.protocol import fields
from blindsight.protocol.encoding import from_b64, to_b64
from blindsight.protocol.errors import FormatError, LockedKeyError, MissingExtraError
from blindsight.protocol.keystore import wrapping
from blindsight.protocol.keystore.wrapping import Entropy, Maker, Slot

TYPE = "keyring"
SERVICE = "blindsight"
SHAPE = fields.mapping(
    {
        "type": fields.constant(TYPE),
        "entry": fields.hex16,
        "wrap": fields.key(wrapping.WRAP_BYTES),
    }
)


def maker(*, entropy: Entropy = os.urandom) -> Maker:
    """Get ready to make a slot; making it puts a fresh key into the keyring.

    Raises (when the slot is made):
        LockedKeyError: E_LOCKED_KEY, the keyring refuses, or does not give back what it was given.
        MissingExtraError: E_EXTRA.
    """

    def make(data_key: bytes, keystore_id: str) -> Slot:
        key, entry = entropy(wrapping.KEY_BYTES), entropy(16).hex()
        with _keyring() as ring:
            ring.set_password(SERVICE, entry, to_b64(key))
        if _fetch(entry) != key:
            raise LockedKeyError("the keyring does not give back what it was given", hint="choose another backend")
        wrapped = wrapping.wrap(key, data_key, _context(keystore_id, entry))
        return {"type": TYPE, "entry": entry, "wrap": to_b64(wrapped)}

    return make


def open_slot(slot: Mapping[str, Any], keystore_id: str) -> bytes:
    """The data key.

    Raises:
        LockedKeyError: E_LOCKED_KEY, the keyring cannot be asked, has no key for this slot, or another one.
        MissingExtraError: E_EXTRA.
    """
    bound = _context(keystore_id, slot["entry"])
    data_key = wrapping.unwrap(_fetch(slot["entry"]), from_b64(slot["wrap"]), bound)
    if data_key is None:
        raise LockedKeyError("the key in the keyring does not open the keystore's slot")
    return data_key


def forget(slot: Mapping[str, Any]) -> None:
    """Remove the key of a slot from the keyring.

    Raises:
        LockedKeyError: E_LOCKED_KEY, the keyring cannot be asked or has no such key.
        MissingExtraError: E_EXTRA.
    """
    with _keyring() as ring:
        ring.delete_password(SERVICE, slot["entry"])


def _fetch(entry: str) -> bytes:
    with _keyring() as ring:
        text = ring.get_password(SERVICE, entry)
    if text is None:
        raise LockedKeyError("the keyring of this machine and user has no key for the keystore")
    try:
        return from_b64(text, wrapping.KEY_BYTES)
    except FormatError as error:
        raise LockedKeyError("what the keyring holds for the keystore is no key") from error


@contextlib.contextmanager
def _keyring() -> Iterator[ModuleType]:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "a keyring slot needs the package keyring, which is not installed",
            hint='pip install "blindsight[keyring]"',
        ) from error
    try:
        yield keyring
    except KeyringError as error:
        raise LockedKeyError(f"the keyring cannot be used: {type(error).__name__}") from error


def _context(keystore_id: str, entry: str) -> bytes:
    return wrapping.context(keystore_id, {"type": TYPE, "entry": entry})
