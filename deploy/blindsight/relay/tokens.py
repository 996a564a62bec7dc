"""Who may use a room: one bearer token a room, from a file that only the relay's user can read. RFC 6750."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from blindsight.protocol.errors import DataError, FormatError, KeystoreError
from blindsight.protocol.transport.relay import ROOM, TOKEN


class Tokens:
    """The tokens of rooms; a room without one does not exist.

    Args:
        by_room: room → token.
    """

    def __init__(self, by_room: dict[str, str]) -> None:
        self._digests = {room: _digest(token) for room, token in by_room.items()}

    def fits(self, room: str, header: str) -> bool:
        """Whether a request's ``Authorization`` opens a room; takes as long for a room that does not exist."""
        kind, _, token = header.partition(" ")
        expected = self._digests.get(room, _digest(""))
        return hmac.compare_digest(_digest(token), expected) and kind.lower() == "bearer" and room in self._digests

    @classmethod
    def read(cls, path: Path) -> Tokens:
        """Read a file with one room and its token a line; ``#`` begins a comment.

        Raises:
            KeystoreError: E_PERMS, others can read it.
            DataError: a line is not of this form, or names a room twice.
            FormatError: E_IO.
        """
        try:
            if path.stat().st_mode & 0o077:
                raise KeystoreError(f"the file {path} can be read by others", code="E_PERMS", hint=f"chmod 600 {path}")
            lines = path.read_text("utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise FormatError(f"the file {path} cannot be read", code="E_IO") from error
        by_room: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            if words := line.partition("#")[0].split():
                room, token = _understood(words, f"line {number} of {path}")
                if room in by_room:
                    raise DataError(f"line {number} of {path} names the room {room} again")
                by_room[room] = token
        return cls(by_room)


def _understood(words: list[str], where: str) -> tuple[str, str]:
    if len(words) != 2 or not ROOM.fullmatch(words[0]) or not TOKEN.fullmatch(words[1]):
        raise DataError(
            f"{where} is not a room and a token of 16 to 256 characters",
            hint="ward-7 $(head -c 24 /dev/urandom | base64)",
        )
    return words[0], words[1]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
