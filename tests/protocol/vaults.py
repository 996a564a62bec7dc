"""Real places for keys in tests: a keyring in memory, and a key service installed the way a stranger's package is.

Use as ``from tests.protocol import vaults``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from blindsight.protocol import kem
from blindsight.protocol.keystore import Unlock, kms, os_keyring, recovery
from blindsight.protocol.keystore.store import Keystore
from tests.protocol import worlds

PIN = b"1234"
SEED = hashlib.sha256(b"paper").digest()
PLUGIN = '''
import os
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

class Vault:
    """A key in a file: vault:/path/to/key. Its PIN is 1234."""
    def __init__(self, uri, pin):
        with open(uri.removeprefix("vault:"), "rb") as file:
            self.cipher = AESGCM(file.read())
        if pin("the vault") != b"1234":
            raise RuntimeError("the PIN is not 1234")
    def wrap(self, dek, context):
        nonce = os.urandom(12)
        return nonce + self.cipher.encrypt(nonce, dek, context)
    def unwrap(self, wrapped, context):
        return self.cipher.decrypt(wrapped[:12], wrapped[12:], context)

class Broken(Vault):
    """Forgets what it wraps."""
    def unwrap(self, wrapped, context):
        return bytes(32)

class Short(Vault):
    """Gives back too little."""
    def unwrap(self, wrapped, context):
        return bytes(16)
'''


def install_keyring(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    """Make a keyring in memory the machine's, through keyring's own interface; returns what it holds."""
    keyring = pytest.importorskip("keyring", reason="the extra [keyring] is not installed")
    held: dict[tuple[str, str], str] = {}

    class InMemory(keyring.backend.KeyringBackend):
        priority = 1

        def set_password(self, service, username, password):
            held[service, username] = password

        def get_password(self, service, username):
            return held.get((service, username))

        def delete_password(self, service, username):
            if held.pop((service, username), None) is None:
                raise keyring.errors.PasswordDeleteError("there is none")

    monkeypatch.setattr(keyring.core, "_keyring_backend", None)  # put back when the test ends
    keyring.set_keyring(InMemory())
    return held


def install_vault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install a key service with its entry points and a fresh key; returns the key's URI."""
    metadata = folder / "vault-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "a_vault.py").write_text(PLUGIN)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vault\nVersion: 1.0\n")
    names = {"vault": "Vault", "broken": "Broken", "short": "Short", "absent": "Absent"}
    lines = [f"{scheme} = a_vault:{name}\n" for scheme, name in names.items()]
    lines.append("needy = a_module_that_nobody_has:Service\n")
    (metadata / "entry_points.txt").write_text("[blindsight.kms]\n" + "".join(lines))
    monkeypatch.syspath_prepend(str(folder))
    (folder / "key").write_bytes(hashlib.sha256(b"vault").digest())
    return f"vault:{folder / 'key'}"


def asked(_: str) -> bytes:
    """Somebody who knows the PIN."""
    return PIN


PAPER = Unlock(recovery=lambda: SEED)
RING = Unlock(keyring=True)
SERVICE = Unlock(pin=asked)


def fill(store: Keystore, uri: str) -> None:
    """Add a slot of every other type to a keystore that a passphrase opens."""
    store.add(recovery.maker(kem.public_key(SEED)), PAPER)
    store.add(os_keyring.maker(), RING)
    store.add(kms.maker(uri, asked), SERVICE)


def filled(folder: Path, uri: str) -> Path:
    """A keystore with a slot of every type."""
    store = worlds.keystore_of(folder, "anna")
    fill(store, uri)
    return store.path
