"""The sealed file that holds an identity and the epoch secrets. FORMAT.md section G.

A random data key seals the body; each slot wraps the data key under one way of opening: a passphrase, a code on paper,
the keyring of the operating system, a key service. What is wrong with a file is told apart: damaged (``sum``), wrong
secret (no slot opens), tampered (the body does not open although a slot did), older than the last save (the marker).
"""

from __future__ import annotations

from blindsight.protocol.errors import KeyExistsError, KeystoreError, LockedKeyError, WrongPassphraseError
from blindsight.protocol.keystore.disk import demand_absent, demand_present
from blindsight.protocol.keystore.document import FORMAT, MAX_BYTES, VERSION, examine
from blindsight.protocol.keystore.passphrase import Argon2Cost
from blindsight.protocol.keystore.slots import TYPES, Unlock, describe
from blindsight.protocol.keystore.store import Keystore, create, opened

__all__ = [
    "FORMAT",
    "MAX_BYTES",
    "TYPES",
    "VERSION",
    "Argon2Cost",
    "KeyExistsError",
    "Keystore",
    "KeystoreError",
    "LockedKeyError",
    "Unlock",
    "WrongPassphraseError",
    "create",
    "demand_absent",
    "demand_present",
    "describe",
    "examine",
    "opened",
]
