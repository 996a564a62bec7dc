"""Every error that a person may meet, in one tree.

    BlindsightError                 one sentence, a stable code, a hint, evidence
    ├── ProtocolError               a document, a signature or a ceremony message is refused
    │   ├── FormatError             unreadable, not canonical, unknown version, damaged
    │   ├── SignatureError          a cryptographic check failed
    │   ├── MembershipError         does not belong to this federation, or not (yet) valid in it
    │   ├── ConflictError           someone shows different things to different people
    │   ├── PolicyError             well-formed and genuine, but not allowed (any more)
    │   └── SchemeError             shards, stream and model do not fit together
    ├── KeystoreError               the keystore cannot be opened or written
    │   ├── WrongPassphraseError
    │   ├── KeyExistsError
    │   └── LockedKeyError          nobody can be asked for the passphrase
    ├── DataError                   images, labels or options that cannot be used
    ├── FederationError             training cannot start or go on
    ├── ServingError                inference is refused
    └── MissingExtraError           a part of the distribution is not installed

A caller's bug stays ``ValueError`` or ``TypeError`` with a traceback; the command turns only ``BlindsightError``
and ``OSError`` into a sentence. No message carries a key, a pixel or a passphrase.
"""

from __future__ import annotations

from typing import ClassVar


class BlindsightError(Exception):
    """A refusal or failure that a person can act on.

    Args:
        message: one sentence, lower case: what was expected and what came.
        code: stable code ``E_…`` (protocol/FORMAT.md, "Errors").
        hint: what to type or do next; empty when there is nothing to add.
        evidence: documents that would convince a third party, as they were received.
    """

    default_code: ClassVar[str] = "E_ERROR"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, code: str = "", hint: str = "", evidence: tuple[bytes, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint
        self.evidence = evidence
        self.kept: tuple[str, ...] = ()  # the files in which the evidence lies, once somebody has written them


class ProtocolError(BlindsightError):
    """A document, a signature or a ceremony message is refused."""


class FormatError(ProtocolError):
    """Unreadable, not canonical, of an unknown version, or damaged."""

    default_code = "E_FORMAT"


class SignatureError(ProtocolError):
    """A cryptographic check failed; the message names who is to blame."""

    default_code = "E_SIG"


class MembershipError(ProtocolError):
    """Genuine, but it does not belong here or is not (yet) valid."""

    default_code = "E_FED"


class ConflictError(ProtocolError):
    """Someone shows different things to different people; carries evidence."""

    default_code = "E_EQUIVOCATION"


class PolicyError(ProtocolError):
    """Well-formed and genuine, but not allowed."""

    default_code = "E_UNVERIFIED"


class SchemeError(ProtocolError):
    """Shards, stream and model do not fit together."""

    default_code = "E_SCHEME"


class KeystoreError(BlindsightError):
    """The keystore cannot be opened or written."""

    default_code = "E_CORRUPT"


class WrongPassphraseError(KeystoreError):
    """No slot opens with the passphrase given."""

    default_code = "E_PASSPHRASE"


class KeyExistsError(KeystoreError):
    """A keystore stands where a new one was to be made; key files are never overwritten."""

    default_code = "E_EXISTS"


class LockedKeyError(KeystoreError):
    """No passphrase was given and nobody can be asked for one."""

    default_code = "E_LOCKED_KEY"
    exit_status = 3


class DataError(BlindsightError):
    """Images, labels or options that cannot be used."""

    default_code = "E_DATA"


class FederationError(BlindsightError):
    """Training cannot start or cannot go on."""

    default_code = "E_FEDERATION"


class ServingError(BlindsightError):
    """Inference is refused."""

    default_code = "E_SERVING"


class MissingExtraError(BlindsightError):
    """A part of the distribution that this command needs is not installed."""

    default_code = "E_EXTRA"
    exit_status = 3
