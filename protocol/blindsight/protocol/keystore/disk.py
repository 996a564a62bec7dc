"""Where a keystore lies: its lock, its first writing, what a killed writer left. FORMAT.md section G."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
from collections.abc import Iterator
from pathlib import Path

from blindsight.protocol.errors import KeyExistsError, KeystoreError
from blindsight.protocol.files import sync_folder


def demand_present(path: Path) -> None:
    """Refuse to look for a secret where no keystore stands.

    Raises:
        KeystoreError: E_MISSING.
    """
    if not path.exists() and not path.is_symlink():
        raise KeystoreError(
            f"there is no keystore at {path}",
            code="E_MISSING",
            hint="make one with key init: blindsight holder key init, or trainer, operator",
        )


def demand_absent(path: Path) -> None:
    """Refuse to make a keystore where one stands, before anybody chooses a passphrase.

    Raises:
        KeyExistsError: E_EXISTS.
    """
    if path.exists() or path.is_symlink():
        raise KeyExistsError(
            f"a keystore stands at {path} already; it is never overwritten", hint="name another file with --keystore"
        )


def write_new(path: Path, data: bytes) -> None:
    """Write a file of its owner's alone where nothing stands; its folder is made with mode 0700 if missing.

    Raises:
        KeyExistsError: E_EXISTS, something stands there; it is left as it is.
        KeystoreError: E_IO.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}.part")
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
        sync_folder(path.parent)
    except FileExistsError:
        demand_absent(path)
        raise
    except OSError as error:
        raise KeystoreError(f"the keystore cannot be written to {path}: {error.strerror}", code="E_IO") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def sweep(path: Path) -> None:
    """Remove what killed saves of this keystore left: sealed, but it may hold a secret that was to be gone."""
    for name in (path.name, path.name + ".gen"):
        for part in path.parent.glob(f".{glob.escape(name)}.{'[0-9a-f]' * 12}.part"):
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold ``<file>.lock`` until the block ends.

    Raises:
        KeystoreError: E_LOCKED, another process holds it; E_IO.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise KeystoreError(f"{lock} cannot be locked: {error.strerror}", code="E_IO") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise KeystoreError(
                f"another process uses the keystore {path}", code="E_LOCKED", hint="wait for it to end, then repeat"
            ) from error
        yield
    finally:
        os.close(descriptor)
