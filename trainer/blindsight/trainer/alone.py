"""One process at a time in a run's folder: two would sweep and overwrite each other's checkpoints."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from blindsight.protocol.errors import FederationError


@contextlib.contextmanager
def alone(folder: Path, hint: str = "") -> Iterator[int]:
    """Hold a folder; it is held on as long as a child that keeps the descriptor lives.

    Args:
        folder: made if missing; the lock is on the folder itself, so that no file stays behind.
        hint: what to do when another process holds it.

    Yields:
        A file descriptor for children to keep open.

    Raises:
        FederationError: E_FEDERATION, another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    except BlockingIOError as error:
        raise FederationError(f"another process works in {folder}", hint=hint or "wait for it to end") from error
    finally:
        os.close(descriptor)
