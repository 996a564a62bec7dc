"""The types of slots, and trying them. FORMAT.md section G."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from blindsight.protocol import fields
from blindsight.protocol.errors import BlindsightError, LockedKeyError, MissingExtraError, WrongPassphraseError
from blindsight.protocol.keystore import kms, os_keyring, passphrase, recovery
from blindsight.protocol.keystore.kms import AskPin

SHAPES: Mapping[str, fields.Check] = {
    passphrase.TYPE: passphrase.SHAPE,
    recovery.TYPE: recovery.SHAPE,
    os_keyring.TYPE: os_keyring.SHAPE,
    kms.TYPE: kms.SHAPE,
}
TYPES = tuple(SHAPES)
MAX_SLOTS = 16
Secret = Callable[[], bytes]
_Opener = Callable[[Mapping[str, Any], str], bytes | None]
_WRONG = {
    passphrase.TYPE: "the passphrase does not open this keystore",
    recovery.TYPE: "the recovery code is well typed, but it is not that of this keystore",
}


def _nothing(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True, repr=False)
class Unlock:
    """What somebody has to open a keystore with.

    Slots are tried in the order keyring, kms, passphrase; then recovery, if no passphrase slot was tried.

    Args:
        passphrase: gives the passphrase; called only when a passphrase slot is tried, so it may ask a person.
        recovery: gives the 32-byte seed of a recovery code; called only when needed.
        keyring: whether to ask the keyring of the operating system.
        pin: asks for the PIN of a key service; None leaves kms slots alone.
        notice: told, in a sentence, of each slot that was out of reach before another one opened.
    """

    passphrase: Secret | None = None
    recovery: Secret | None = None
    keyring: bool = False
    pin: AskPin | None = None
    notice: Callable[[str], None] = _nothing

    @classmethod
    def of(cls, secret: bytes) -> Unlock:
        """With a passphrase alone."""
        return cls(passphrase=lambda: secret)

    def _openers(self) -> Iterator[tuple[str, _Opener]]:
        if self.keyring:
            yield os_keyring.TYPE, os_keyring.open_slot
        if self.pin:
            yield kms.TYPE, partial(kms.open_slot, pin=cache(self.pin))
        if self.passphrase:
            yield passphrase.TYPE, partial(passphrase.open_slot, secret=cache(self.passphrase))
        if self.recovery:
            yield recovery.TYPE, partial(recovery.open_slot, seed=cache(self.recovery))

    def data_key(self, document: Mapping[str, Any]) -> tuple[int, bytes]:
        """Try every slot that this can open.

        Args:
            document: a keystore's ``id`` and ``slots``, their shape checked.

        Returns:
            The number of the slot that opened, from 1, and the data key.

        Raises:
            WrongPassphraseError: E_PASSPHRASE, a passphrase, recovery code or PIN is wrong, or no slot takes one.
            LockedKeyError: E_LOCKED_KEY, what could open it is out of reach.
            MissingExtraError: E_EXTRA.
            KeystoreError: E_KDF, E_TAMPERED, E_FORMAT.
        """
        missed: list[BlindsightError] = []
        for kind, open_slot in self._openers():
            for number, slot in enumerate(document["slots"], start=1):
                if slot["type"] == kind and (data_key := _tried(slot, document["id"], open_slot, missed)):
                    self._tell(missed)
                    return number, data_key
            if kind == passphrase.TYPE and _has(document, kind):
                break  # asking for a recovery code as well would hide what was wrong with the passphrase
        self._tell(missed[:-1])
        raise missed[-1] if missed else _without(document)

    def _tell(self, missed: Sequence[BlindsightError]) -> None:
        for error in missed:
            self.notice(error.message)


def _tried(
    slot: Mapping[str, Any], keystore_id: str, open_slot: _Opener, missed: list[BlindsightError]
) -> bytes | None:
    """The data key; or None, and why is added to what was missed."""
    try:
        data_key = open_slot(slot, keystore_id)
    except (LockedKeyError, MissingExtraError) as error:
        missed.append(error)
        return None
    if data_key is None:
        missed.append(WrongPassphraseError(_WRONG[slot["type"]]))
    return data_key


def _has(document: Mapping[str, Any], kind: str) -> bool:
    return any(slot["type"] == kind for slot in document["slots"])


def _without(document: Mapping[str, Any]) -> WrongPassphraseError:
    kinds = ", ".join(sorted({slot["type"] for slot in document["slots"]}))
    hint = "a recovery code: --recovery-file FILE" if _has(document, recovery.TYPE) else ""
    return WrongPassphraseError(f"no slot of this keystore opens with what was given; it has: {kinds}", hint=hint)


def check(value: Any, at: str) -> Iterator[str]:
    """A slot of a known type (a ``fields.Check``)."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in SHAPES:
        yield f"{at}.type must be {' or '.join(TYPES)}"
        return
    yield from SHAPES[kind](value, at)


def describe(slot: Mapping[str, Any]) -> str:
    """What tells a slot from others of its type; nothing secret."""
    if slot["type"] == passphrase.TYPE:
        kdf = slot["kdf"]
        return f"argon2id m={kdf['m']} t={kdf['t']} p={kdf['p']}"
    if slot["type"] == recovery.TYPE:
        return f"paper {recovery.label(slot)}"
    return str(slot["uri"] if slot["type"] == kms.TYPE else f"entry {slot['entry']}")
