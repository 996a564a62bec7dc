"""Making, opening and saving keystores, under a lock and whole. FORMAT.md section G."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from blindsight.protocol import fields
from blindsight.protocol.encoding import from_b64, to_b64
from blindsight.protocol.errors import KeystoreError
from blindsight.protocol.files import replacing
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.keystore import disk, marker, recovery
from blindsight.protocol.keystore.document import (
    FORMAT,
    IDENTITY,
    MAX_BYTES,
    VERSION,
    Document,
    examine,
    seal,
    to_bytes,
    unseal,
)
from blindsight.protocol.keystore.passphrase import Argon2Cost
from blindsight.protocol.keystore.passphrase import maker as passphrase_maker
from blindsight.protocol.keystore.slots import MAX_SLOTS, Unlock
from blindsight.protocol.keystore.wrapping import KEY_BYTES, Entropy, Maker, Slot


class Keystore:
    """An opened keystore: the data, and what is needed to seal it again. Shows nothing of itself.

    Args:
        path: the file.
        document: the file's content, checked.
        data_key: 32 bytes.
        data: the unsealed content; change it and call ``save``.
        number: which slot opened it, from 1, as they were then.
    """

    __slots__ = ("_data_key", "_document", "data", "number", "path")

    def __init__(self, path: Path, document: Document, data_key: bytes, data: dict[str, Any], number: int = 1) -> None:
        self.path = path
        self.data = data
        self.number = number
        self._document = document
        self._data_key = data_key

    def __repr__(self) -> str:
        return f"Keystore({str(self.path)!r})"

    @property
    def key(self) -> SigningKey:
        """The identity that signs."""
        who = self.data["identity"]
        return SigningKey(who["role"], who["name"], from_b64(who["seed"], 32))

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots in the order of their numbers, which begin at 1."""
        return tuple(dict(slot) for slot in self._document["slots"])

    def save(self) -> None:
        """Seal the data and replace the file; the old content is gone afterwards.

        Raises:
            KeystoreError: E_IO, the file cannot be written, or no reader would take it; the old one stands, or, as the
                message says, only the marker of the new one could not be written.
        """
        self._save(self._document["slots"])

    def add(self, make: Maker, proof: Unlock) -> int:
        """Add a slot, unless it would not open.

        Args:
            make: makes the slot.
            proof: what must open it.

        Returns:
            Its number. The file has been read back and opened by then.

        Raises:
            KeystoreError: E_FORMAT, there are 16 already; E_TAMPERED, the file read back is another one; E_IO.
            BlindsightError: what making or opening the slot raises; nothing was written then.
        """
        if len(self._document["slots"]) >= MAX_SLOTS:
            raise KeystoreError(f"a keystore has at most {MAX_SLOTS} slots", code="E_FORMAT", hint="key slot remove N")
        self._rewrite([*self._document["slots"], self._proven(make, proof)])
        return len(self._document["slots"])

    def replace(self, number: int, make: Maker, proof: Unlock) -> None:
        """Put a new slot in the place of another; raises as ``add`` and ``remove`` do."""
        self.demand_slot(number)
        slots = list(self._document["slots"])
        slots[number - 1] = self._proven(make, proof)
        self._rewrite(slots)

    def remove(self, number: int) -> Slot:
        """Remove a slot; data and data key stay.

        Returns:
            The removed slot.

        Raises:
            KeystoreError: E_MISSING, there is no such slot; E_FORMAT, it is the last one; E_IO.
        """
        self.demand_slot(number)
        slots = list(self._document["slots"])
        removed: Slot = slots.pop(number - 1)
        if not slots:
            raise KeystoreError(
                "the last slot stays: without any, nobody could open the keystore",
                code="E_FORMAT",
                hint="add another one first",
            )
        self._rewrite(slots)
        return removed

    def demand_slot(self, number: int) -> None:
        """Refuse numbers of slots that there are not.

        Raises:
            KeystoreError: E_MISSING.
        """
        if not 1 <= number <= len(self._document["slots"]):
            raise KeystoreError(
                f"there is no slot {number}; there are 1 to {len(self._document['slots'])}", code="E_MISSING"
            )

    def backup(self, out: Path, *, entropy: Entropy = os.urandom) -> None:
        """Write a copy that opens under the recovery codes only.

        Args:
            out: must not exist.
            entropy: source of the copy's own data key.

        Raises:
            KeystoreError: E_MISSING, there is no recovery slot; E_IO.
            KeyExistsError: E_EXISTS.
        """
        papers = [slot for slot in self._document["slots"] if slot["type"] == recovery.TYPE]
        if not papers:
            raise KeystoreError(
                "a backup opens under a recovery code only, and this keystore has none",
                code="E_MISSING",
                hint="make one with: blindsight holder key slot add recovery",
            )
        data_key, keystore_id = entropy(KEY_BYTES), self._document["id"]
        slots = [recovery.maker(from_b64(slot["public"]))(data_key, keystore_id) for slot in papers]
        disk.write_new(out, to_bytes(seal({**_head(self._document), "slots": slots}, data_key, self.data)))
        examine(out)

    def _proven(self, make: Maker, proof: Unlock) -> Slot:
        slot = make(self._data_key, self._document["id"])
        _, data_key = proof.data_key({"id": self._document["id"], "slots": [slot]})
        if data_key != self._data_key:
            raise KeystoreError("the new slot gives back another key than it was made for", code="E_TAMPERED")
        return slot

    def _rewrite(self, slots: Sequence[Slot]) -> None:
        self._save(slots)
        unseal(examine(self.path), self._data_key)

    def _save(self, slots: Sequence[Slot]) -> None:
        head = {**_head(self._document), "gen": self._document["gen"] + 1, "slots": list(slots)}
        document = seal(head, self._data_key, self.data)
        sealed = to_bytes(document)
        if len(sealed) > MAX_BYTES:
            raise KeystoreError(f"{self.path} would have {len(sealed)} bytes, more than any reader takes", code="E_IO")
        try:
            with replacing(self.path, mode=0o600) as file:
                file.write(sealed)
        except OSError as error:
            raise KeystoreError(f"{self.path} cannot be written: {error.strerror}", code="E_IO") from error
        self._document = document
        marker.keep(self.path, document)


def create(
    path: Path,
    *,
    role: str,
    name: str,
    passphrase: bytes,
    created: str,
    cost: Argon2Cost | None = None,
    seed: bytes | None = None,
    entropy: Entropy = os.urandom,
) -> Keystore:
    """Make a new identity and write its keystore.

    Args:
        path: where; must not exist. Its folder is made with mode 0700 if missing.
        role: one of ``identity.ROLES``.
        name: shown to people, at most 80 characters.
        passphrase: bytes of any length above zero.
        created: time of creation.
        cost: Argon2id parameters, RFC 9106's by default.
        seed: 32 bytes, the secret of the identity; from ``entropy`` by default.
        entropy: source of every random byte except those of the body's own salt.

    Raises:
        KeyExistsError: E_EXISTS, something stands there already.
        KeystoreError: E_IO, it cannot be written; E_PASSPHRASE, it is empty.
        FormatError: E_FORMAT, the name is too long or not printable.
    """
    identity = {"role": role, "name": name, "seed": to_b64(seed or entropy(32)), "created": created}
    fields.demand(IDENTITY, identity, "identity")
    make = passphrase_maker(passphrase, cost, entropy=entropy)
    keystore_id, data_key = entropy(16).hex(), entropy(KEY_BYTES)
    slots = [make(data_key, keystore_id)]
    data = {"v": 1, "identity": identity, "feds": {}}
    head = {"format": FORMAT, "v": VERSION, "id": keystore_id, "gen": 1, "slots": slots}
    document = seal(head, data_key, data)
    disk.write_new(path, to_bytes(document))
    marker.keep(path, document)
    return Keystore(path, document, data_key, data)


@contextlib.contextmanager
def opened(path: Path, unlock: bytes | Unlock, *, accept_rollback: bool = False) -> Iterator[Keystore]:
    """Open a keystore under an exclusive lock that is held until the block ends.

    Args:
        path: the file.
        unlock: what opens it; bytes are a passphrase.
        accept_rollback: go on with a file older than the last save, and take it for the newest from now on.

    Raises:
        KeystoreError: E_MISSING, E_PERMS, E_CORRUPT, E_FORMAT, E_VERSION, E_KDF, E_TAMPERED, E_ROLLBACK,
            E_LOCKED, E_IO.
        WrongPassphraseError: E_PASSPHRASE.
        LockedKeyError: E_LOCKED_KEY, what could open it is out of reach.
        MissingExtraError: E_EXTRA, what could open it is not installed.
    """
    disk.demand_present(path)
    attempt = Unlock.of(unlock) if isinstance(unlock, bytes) else unlock
    with disk.locked(path):
        document = examine(path)
        number, data_key = attempt.data_key(document)
        data = unseal(document, data_key)
        if not accept_rollback:
            marker.demand_current(path, document)
        marker.keep(path, document)
        disk.sweep(path)
        yield Keystore(path, document, data_key, data, number)


def _head(document: Mapping[str, Any]) -> Document:
    return {name: value for name, value in document.items() if name not in ("body", "sum")}
