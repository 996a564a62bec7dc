"""A relay: a room on a server that keeps documents and understands none. FORMAT.md section K.

The relay is not trusted. The digest that it lists is checked against what it gives; names that are not safe are passed
over; sizes, lists and waits have ends. It can keep things back and delay, and nothing else.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from blindsight.protocol.encoding import MAX_DOCUMENT_BYTES
from blindsight.protocol.errors import BlindsightError, DataError, FormatError, KeystoreError
from blindsight.protocol.files import write_whole
from blindsight.protocol.transport import SUFFIX, Piece
from blindsight.protocol.transport.line import Answer, Line
from blindsight.protocol.transport.names import MAX_NAME_CHARACTERS, demand_safe, is_safe

ROOM = re.compile(r"[A-Za-z0-9-]{3,64}")
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,256}")
TOKEN_FILE = "BLINDSIGHT_RELAY_TOKEN_FILE"
PAGE = 1000
MAX_PAGE_BYTES = 2**20
MAX_ENTRIES = 200_000
MAX_FOLDER_BYTES = 512 * 2**20
MAX_KEPT_BYTES = 32 * 2**20
EXCHANGE_SECONDS = 120.0
CALL_EXCHANGES = 5  # a call may last that many times as long as one exchange
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a relay's list.

    Args:
        name: of a document.
        digest: SHA-256 of its bytes, hex.
        size: bytes, as the relay says.
    """

    name: str
    digest: str
    size: int


class Relay:
    """A room on a relay; used by one thread at a time.

    Args:
        url: ``https://host[:port][/prefix]/room``.
        seconds: greatest time for one exchange with the relay.
        sleep: how to wait between two attempts.

    Raises:
        DataError: the URL is not of this form, or would carry a token in the clear.
        KeystoreError: the token's file cannot be read, or others can read it.
    """

    def __init__(
        self, url: str, *, seconds: float = EXCHANGE_SECONDS, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        parts, self._room = _understood(url)
        self._place = f"relay+{parts.geturl()}"
        self._line = Line(parts, _headers(parts), seconds=seconds, sleep=sleep)
        self._seconds = seconds
        self._entries: dict[tuple[str, str], Entry] = {}
        self._cursor = 0
        self._kept: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"Relay({self._place!r})"

    @property
    def place(self) -> str:
        """The URL of the room."""
        return self._place

    def close(self) -> None:
        """End the connection; the next call opens another."""
        self._line.close()

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder."""
        return sorted({below.partition("/")[0] for below, _ in self._below(folder) if "/" in below})

    def documents(self, folder: str) -> Iterator[Piece]:
        """Every document directly in a folder, all versions; those of one name in the order in which they came.

        Where they are too much together the largest are faults: whoever fills a room must not hide what is small.
        """
        inside = [entry for below, entry in self._below(folder) if "/" not in below and below.endswith(SUFFIX)]
        taken, total = _affordable(inside), 0
        for entry in sorted(inside, key=lambda entry: entry.name):
            piece = self._piece(entry) if entry in taken else Piece(entry.name, b"", self._refused(_TOO_MUCH))
            total += len(piece.data)
            if total > MAX_FOLDER_BYTES:
                raise self._refused(_TOO_MUCH)
            yield piece

    def files(self, folder: str) -> list[str]:
        """The names of all files directly in a folder."""
        return sorted({below for below, _ in self._below(folder) if "/" not in below})

    def put(self, name: str, data: bytes) -> str:
        """Put a document unless the same one is listed.

        Where the relay keeps no more versions of a name, the document goes under a name of its own beside it: others
        must not be able to occupy the place of a document, and names are hints.
        """
        if len(data) > MAX_DOCUMENT_BYTES:
            raise _too_large(name)
        digest = hashlib.sha256(data).hexdigest()
        for candidate in (demand_safe(name), _aside(name, digest)):
            self._refresh()
            if (candidate, digest) in self._entries or self._put(candidate, digest, data):
                return f"{self._place}/{candidate}"
        raise self._refused(f"takes no more versions of {name}")

    def send(self, source: Path, name: str) -> None:
        """Put a file that is no larger than a document."""
        try:
            with source.open("rb") as file:
                data = file.read(MAX_DOCUMENT_BYTES + 1)
        except OSError as error:
            raise FormatError(f"{source} cannot be read: {error.strerror}", code="E_IO") from error
        self.put(name, data)

    def fetch(self, name: str, target: Path, most: int) -> None:
        """Write the newest version of a file into a new local file."""
        self._refresh()
        versions = [entry for entry in self._entries.values() if entry.name == demand_safe(name)]
        if not versions:
            raise self._refused(f"has no {name}")
        data = self._content(versions[-1])
        if len(data) > most:
            raise FormatError(f"{name} has more than the {most} bytes expected", code="E_SHARD")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, data)
        except OSError as error:
            raise FormatError(f"{target} cannot be written: {error.strerror}", code="E_IO") from error

    def _below(self, folder: str) -> list[tuple[str, Entry]]:
        """Entries below a folder, in the order in which they came, with the rest of their names."""
        self._refresh()
        prefix = f"{folder}/" if folder else ""
        return [(e.name.removeprefix(prefix), e) for e in self._entries.values() if e.name.startswith(prefix)]

    def _refresh(self) -> None:
        """Read on where the list ended the last time."""
        self._line.left = CALL_EXCHANGES * self._seconds
        more = True
        while more:
            answer = self._ask("GET", f"/m?after={self._cursor}&limit={PAGE}", most=MAX_PAGE_BYTES)
            found, after, more = self._page(answer.body)
            if more and after <= self._cursor:
                raise self._refused("gives a list that does not go on")
            self._cursor = max(after, self._cursor)
            self._entries |= {(entry.name, entry.digest): entry for entry in found}
            if len(self._entries) > MAX_ENTRIES:
                raise self._refused(f"lists more than {MAX_ENTRIES} documents")

    def _page(self, body: bytes) -> tuple[list[Entry], int, bool]:
        try:
            page = json.loads(body)
            entries = [_entry(item) for item in page["entries"]]
            after, more = page["next"], page["more"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise self._refused("gives a list that cannot be read") from error
        if type(after) is not int or type(more) is not bool:
            raise self._refused("gives a list that cannot be read")
        return [entry for entry in entries if entry], after, more

    def _piece(self, entry: Entry) -> Piece:
        try:
            return Piece(entry.name, self._content(entry))
        except _WithheldError as error:
            return Piece(entry.name, b"", error)
        except DataError as error:
            return Piece(entry.name, b"", FormatError(error.message))

    def _content(self, entry: Entry) -> bytes:
        """A document's bytes, of the digest listed."""
        if entry.digest in self._kept:
            return self._kept[entry.digest]
        if entry.size > MAX_DOCUMENT_BYTES:
            raise _too_large(entry.name)
        answer = self._ask("GET", f"/m/{entry.digest}", most=MAX_DOCUMENT_BYTES, also=(404,))
        if answer.status == 404 or hashlib.sha256(answer.body).hexdigest() != entry.digest:
            raise _WithheldError(f"the relay lists {entry.name} and gives something else or nothing", code="E_IO")
        self._keep(entry.digest, answer.body)
        return answer.body

    def _keep(self, digest: str, data: bytes) -> None:
        """Remember bytes that can never change; the oldest make room."""
        self._kept[digest] = data
        while sum(map(len, self._kept.values())) > MAX_KEPT_BYTES:
            del self._kept[next(iter(self._kept))]

    def _put(self, name: str, digest: str, data: bytes) -> bool:
        """Whether the relay took it; False when it keeps no more versions of the name."""
        target = f"/m/{digest}?name={quote(name, safe='')}"
        return self._ask("PUT", target, data, most=MAX_PAGE_BYTES, also=(201, 409)).status != 409

    def _ask(
        self, method: str, target: str, body: bytes | None = None, *, most: int, also: tuple[int, ...] = ()
    ) -> Answer:
        answer = self._line.ask(method, f"{self._room}{target}", body, most=most)
        if answer.status == 200 or answer.status in also:
            return answer
        raise self._refusal(answer.status)

    def _refusal(self, status: int) -> BlindsightError:
        if status in (401, 403):
            return self._refused("refuses this site", hint=f"${TOKEN_FILE} names a file with the room's token")
        if status == 413:
            return DataError("the relay takes only smaller documents", hint="use a shared folder or S3")
        if status == 507:
            return self._refused("is full", hint="ask whoever runs it for room")
        if 300 <= status < 400:
            return self._refused("sends us elsewhere, which is not followed", hint="name the relay's own address")
        return self._refused(f"answers {status}", hint="is this the address of a relay and a room?")

    def _refused(self, what: str, *, hint: str = "") -> FormatError:
        return FormatError(f"the relay {self._place} {what}", code="E_IO", hint=hint)


_TOO_MUCH = f"holds more than {MAX_FOLDER_BYTES // 2**20} MiB in one folder"


def _affordable(entries: Sequence[Entry]) -> set[Entry]:
    """The smallest, as many as a folder may hold."""
    ordered = sorted(entries, key=lambda entry: entry.size)
    sums = accumulate(entry.size for entry in ordered)
    return {entry for entry, total in zip(ordered, sums, strict=True) if total <= MAX_FOLDER_BYTES}


class _WithheldError(FormatError):
    """One document is listed and not given."""


def _entry(item: Any) -> Entry | None:
    """A line of the list, or None where it is not one that a client takes."""
    name, digest, size = item["name"], item["digest"], item["bytes"]
    if not isinstance(name, str) or not isinstance(digest, str) or type(size) is not int:
        raise TypeError
    return Entry(name, digest, size) if is_safe(name) and _DIGEST.fullmatch(digest) and size >= 0 else None


def _too_large(name: str) -> DataError:
    return DataError(
        f"a relay carries documents up to {MAX_DOCUMENT_BYTES // 2**20} MiB, and {name} is larger",
        hint="put shards on a shared folder or S3",
    )


def _aside(name: str, digest: str) -> str:
    """A name beside a name, for one content."""
    stem, suffix = (name.removesuffix(SUFFIX), SUFFIX) if name.endswith(SUFFIX) else (name, "")
    tail = f"-{digest[:12]}{suffix}"
    return stem[: MAX_NAME_CHARACTERS - len(tail)].rstrip("/ ") + tail


def _understood(url: str) -> tuple[SplitResult, str]:
    """The URL, and the path under which the room lies."""
    try:
        parts = urlsplit(url.rstrip("/"))
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise DataError("the relay's URL cannot be read", hint="relay+https://host/room") from error
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise DataError(
            "a relay's URL holds no user, no password and no options", hint=f"${TOKEN_FILE} names a file with the token"
        )
    prefix, _, room = parts.path.rpartition("/")
    if not usable or not ROOM.fullmatch(room) or not re.fullmatch(r"[A-Za-z0-9/._~-]*", prefix):
        raise DataError(
            "a relay's room is written relay+https://host/room, the room being 3 to 64 letters, digits and hyphens"
        )
    return parts, f"{prefix}/v1/{room}"


def _headers(parts: SplitResult) -> dict[str, str]:
    token = _token()
    if not token:
        return {}
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise DataError("a token is not sent over http:// to another machine", hint="use relay+https://…")
    return {"Authorization": f"Bearer {token}"}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token() -> str:
    named = os.environ.get(TOKEN_FILE)
    if not named:
        return ""
    path = Path(named)
    try:
        if path.stat().st_mode & 0o077:
            raise KeystoreError(
                f"the token's file {path} can be read by others", code="E_PERMS", hint=f"chmod 600 {path}"
            )
        text = path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise KeystoreError(f"the token's file {path} cannot be read", code="E_IO") from error
    if not TOKEN.fullmatch(text):
        raise KeystoreError(f"the file {path} holds no token of 16 to 256 characters", code="E_FORMAT")
    return text
