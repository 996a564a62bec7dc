"""What opens a keystore, and where keystores lie. FORMAT.md section G.

First hit wins: ``--recovery-file``, ``--passphrase-fd``, ``--passphrase-file``, ``$BLINDSIGHT_PASSPHRASE_FILE``,
``$CREDENTIALS_DIRECTORY/blindsight-passphrase``, the keystore's keyring slot, ``$BLINDSIGHT_PASSPHRASE`` (warns), its
key-service slot, a prompt on the terminal. PINs of key services: ``--pin-fd``, ``--pin-file``,
``$CREDENTIALS_DIRECTORY/blindsight-pin``, a prompt.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from blindsight.cli.output import say
from blindsight.protocol import keystore
from blindsight.protocol.errors import KeystoreError, LockedKeyError
from blindsight.protocol.keystore import recovery
from blindsight.protocol.keystore.slots import Unlock

MAX_BYTES = 4096


def keystore_path(options: argparse.Namespace) -> Path:
    """The keystore file that the options, the environment or the default name."""
    named = options.keystore or os.environ.get("BLINDSIGHT_KEYSTORE")
    return Path(named) if named else Path.home() / ".config" / "blindsight" / "keystore.json"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that open a keystore without a passphrase, or in spite of a rollback."""
    parser.add_argument(
        "--recovery-file", type=Path, metavar="FILE", help="read a recovery code from a file, mode 0600"
    )
    parser.add_argument("--pin-file", type=Path, metavar="FILE", help="read a token's PIN from a file, mode 0600")
    parser.add_argument("--pin-fd", type=int, metavar="N", help="read a token's PIN from a file descriptor")
    parser.add_argument(
        "--accept-rollback",
        action="store_true",
        help="go on with a keystore older than the last save; tell the other members first",
    )


@contextlib.contextmanager
def opened(options: argparse.Namespace) -> Iterator[keystore.Keystore]:
    """Open the named keystore with the first source that has something.

    Raises:
        KeystoreError: see ``keystore.opened``; E_LOCKED_KEY without any source.
    """
    forbid_core_dumps()
    accept = bool(getattr(options, "accept_rollback", False))
    with keystore.opened(keystore_path(options), unlock(options), accept_rollback=accept) as store:
        yield store


def forbid_core_dumps() -> None:
    """Keep the secrets of this process off the disk when it crashes; before the first secret is read."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def unlock(options: argparse.Namespace) -> Unlock:
    """What the options, the environment and whoever sits at the terminal open a keystore with.

    Args:
        options: those of ``arguments.add_keystore``; those of ``add_options`` may be absent.

    Raises:
        KeystoreError: as ``read``; E_FORMAT, the recovery code is mistyped.
    """
    if paper := getattr(options, "recovery_file", None):
        return Unlock(recovery=lambda: _code(_from_file(paper, "recovery file")))
    if _is_named(options):
        return Unlock(passphrase=lambda: read(options))
    if os.environ.get("BLINDSIGHT_PASSPHRASE"):
        return Unlock(passphrase=lambda: read(options), keyring=True, notice=say)
    return Unlock(
        passphrase=lambda: read(options),
        recovery=lambda: _code(_ask("recovery code: ", again=False)),
        keyring=True,
        pin=lambda token: pin(options, token),
        notice=say,
    )


def read(options: argparse.Namespace, *, new: bool = False) -> bytes:
    """Get the passphrase.

    Args:
        options: with ``passphrase_fd`` and ``passphrase_file``.
        new: whether it is being chosen; a terminal is then asked twice.

    Raises:
        LockedKeyError: E_LOCKED_KEY, no source has one.
        KeystoreError: E_PERMS, the file is readable by others; E_IO, it cannot be read; E_PASSPHRASE, it is empty,
            too long, or two entries differ.
    """
    forbid_core_dumps()
    raw = _given(options)
    return _checked(_ask("passphrase: ", again=new) if raw is None else raw, "passphrase")


def read_new(options: argparse.Namespace) -> bytes:
    """Get the passphrase that replaces another, or stands beside it.

    Args:
        options: with ``new_passphrase_fd`` and ``new_passphrase_file``; else the terminal is asked twice.

    Raises:
        LockedKeyError, KeystoreError: as ``read``.
    """
    forbid_core_dumps()
    if options.new_passphrase_fd is not None:
        raw = _from_descriptor(options.new_passphrase_fd)
    elif options.new_passphrase_file:
        raw = _from_file(options.new_passphrase_file)
    else:
        hint = "--new-passphrase-file FILE or --new-passphrase-fd N"
        raw = _ask("new passphrase: ", again=True, hint=hint)
    return _checked(raw, "new passphrase")


def pin(options: argparse.Namespace, token: str) -> bytes:
    """Get the PIN of a key service.

    Args:
        options: with ``pin_fd`` and ``pin_file``, if at all.
        token: what the person knows it as.

    Raises:
        LockedKeyError, KeystoreError: as ``read``.
    """
    forbid_core_dumps()
    if (number := getattr(options, "pin_fd", None)) is not None:
        raw = _from_descriptor(number)
    elif named := getattr(options, "pin_file", None):
        raw = _from_file(named, "PIN file")
    elif credential := _credential("blindsight-pin"):
        raw = _from_file(credential, "PIN file", by_systemd=True)
    else:
        hint = "--pin-file FILE, --pin-fd N, or a systemd credential blindsight-pin"
        raw = _ask(f"PIN of {token}: ", again=False, hint=hint)
    return _checked(raw, "PIN")


def _is_named(options: argparse.Namespace) -> bool:
    """Whether somebody named a passphrase; those below the keyring in order do not count."""
    by_option = options.passphrase_fd is not None or options.passphrase_file
    by_environment = os.environ.get("BLINDSIGHT_PASSPHRASE_FILE") or _credential("blindsight-passphrase")
    return bool(by_option or by_environment)


def _given(options: argparse.Namespace) -> bytes | None:
    if options.passphrase_fd is not None:
        return _from_descriptor(options.passphrase_fd)
    named = options.passphrase_file or os.environ.get("BLINDSIGHT_PASSPHRASE_FILE")
    if named:
        return _from_file(Path(named))
    if credential := _credential("blindsight-passphrase"):
        return _from_file(credential, by_systemd=True)
    if text := os.environ.get("BLINDSIGHT_PASSPHRASE"):
        say("warning: $BLINDSIGHT_PASSPHRASE is inherited by every child process; a passphrase file is better")
        return text.encode()
    return None


def _credential(name: str) -> Path | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return path if folder and (path := Path(folder) / name).exists() else None


def _checked(raw: bytes, what: str) -> bytes:
    if len(raw) > MAX_BYTES:
        raise KeystoreError(f"the {what} is longer than {MAX_BYTES} bytes", code="E_PASSPHRASE")
    secret = raw.removesuffix(b"\r\n" if raw.endswith(b"\r\n") else b"\n")
    if not secret:
        raise KeystoreError(f"the {what} is empty", code="E_PASSPHRASE")
    return secret


def _code(raw: bytes) -> bytes:
    return recovery.read_code(_checked(raw, "recovery code").decode(errors="replace"))


def _from_descriptor(number: int) -> bytes:
    """One line: whoever writes may keep its end open, and what follows may be another secret."""
    raw = bytearray()
    try:
        while len(raw) <= MAX_BYTES and not raw.endswith(b"\n") and (byte := os.read(number, 1)):
            raw += byte
    except (OSError, OverflowError) as error:
        raise KeystoreError(f"file descriptor {number} cannot be read", code="E_IO") from error
    return bytes(raw)


def _from_file(path: Path, what: str = "passphrase file", *, by_systemd: bool = False) -> bytes:
    try:
        # systemd guards its credentials by an access list, which shows as bits of the group.
        if not by_systemd and path.stat().st_mode & 0o077:
            raise KeystoreError(f"the {what} {path} can be read by others", code="E_PERMS", hint=f"chmod 600 {path}")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise KeystoreError(f"the {what} {path} cannot be read: {error.strerror}", code="E_IO") from error


_SOURCES = (
    "--passphrase-file FILE, --passphrase-fd N, $BLINDSIGHT_PASSPHRASE_FILE, "
    "a systemd credential blindsight-passphrase, or $BLINDSIGHT_PASSPHRASE"
)


def _ask(prompt: str, *, again: bool, hint: str = _SOURCES) -> bytes:
    what = prompt.removesuffix(": ")
    if not sys.stdin.isatty():
        raise LockedKeyError(f"a {what} is needed and there is no terminal to ask", hint=hint)
    try:
        first = getpass.getpass(prompt)
        second = getpass.getpass("again: ") if again else first
    except EOFError as error:
        raise LockedKeyError(f"the terminal was closed before a {what} came") from error
    if second != first:
        raise KeystoreError("the two passphrases differ; nothing was written", code="E_PASSPHRASE")
    return first.encode()
