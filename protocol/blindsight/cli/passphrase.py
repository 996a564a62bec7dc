"""Where passphrases come from, and where keystores lie. FORMAT.md section G.

First hit wins: ``--passphrase-fd``, ``--passphrase-file``, ``$BLINDSIGHT_PASSPHRASE_FILE``,
``$CREDENTIALS_DIRECTORY/blindsight-passphrase``, ``$BLINDSIGHT_PASSPHRASE`` (warns), a prompt on the terminal.
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

MAX_BYTES = 4096


def keystore_path(options: argparse.Namespace) -> Path:
    """The keystore file that the options, the environment or the default name."""
    named = options.keystore or os.environ.get("BLINDSIGHT_KEYSTORE")
    return Path(named) if named else Path.home() / ".config" / "blindsight" / "keystore.json"


@contextlib.contextmanager
def opened(options: argparse.Namespace) -> Iterator[keystore.Keystore]:
    """Open the named keystore with the passphrase from the first source that has one.

    Raises:
        KeystoreError: see ``keystore.opened``; E_LOCKED_KEY without a passphrase.
    """
    path = keystore_path(options)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not path.exists() and not path.is_symlink():
        raise KeystoreError(
            f"there is no keystore at {path}", code="E_MISSING", hint="make one with: blindsight holder key init"
        )
    with keystore.opened(path, read(options)) as store:
        yield store


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
    raw = _given(options)
    if raw is None:
        raw = _ask(new)
    if len(raw) > MAX_BYTES:
        raise KeystoreError(f"the passphrase is longer than {MAX_BYTES} bytes", code="E_PASSPHRASE")
    secret = raw.removesuffix(b"\r\n" if raw.endswith(b"\r\n") else b"\n")
    if not secret:
        raise KeystoreError("the passphrase is empty", code="E_PASSPHRASE")
    return secret


def _given(options: argparse.Namespace) -> bytes | None:
    if options.passphrase_fd is not None:
        return _from_descriptor(options.passphrase_fd)
    named = options.passphrase_file or os.environ.get("BLINDSIGHT_PASSPHRASE_FILE")
    if named:
        return _from_file(Path(named))
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (path := Path(credentials) / "blindsight-passphrase").exists():
        return _from_file(path, by_systemd=True)
    if text := os.environ.get("BLINDSIGHT_PASSPHRASE"):
        say("warning: $BLINDSIGHT_PASSPHRASE is inherited by every child process; a passphrase file is better")
        return text.encode()
    return None


def _from_descriptor(number: int) -> bytes:
    try:
        with os.fdopen(os.dup(number), "rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, OverflowError) as error:
        raise KeystoreError(f"file descriptor {number} cannot be read", code="E_IO") from error


def _from_file(path: Path, *, by_systemd: bool = False) -> bytes:
    try:
        # systemd guards its credentials by an access list, which shows as bits of the group.
        if not by_systemd and path.stat().st_mode & 0o077:
            raise KeystoreError(
                f"the passphrase file {path} can be read by others", code="E_PERMS", hint=f"chmod 600 {path}"
            )
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise KeystoreError(f"the passphrase file {path} cannot be read: {error.strerror}", code="E_IO") from error


def _ask(new: bool) -> bytes:
    if not sys.stdin.isatty():
        raise LockedKeyError(
            "a passphrase is needed and there is no terminal to ask",
            hint="--passphrase-file FILE, --passphrase-fd N, $BLINDSIGHT_PASSPHRASE_FILE, "
            "a systemd credential blindsight-passphrase, or $BLINDSIGHT_PASSPHRASE",
        )
    try:
        first = getpass.getpass("passphrase: ")
        second = getpass.getpass("again: ") if new else first
    except EOFError as error:
        raise LockedKeyError("the terminal was closed before a passphrase came") from error
    if second != first:
        raise KeystoreError("the two passphrases differ; nothing was written", code="E_PASSPHRASE")
    return first.encode()
