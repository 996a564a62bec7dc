"""A real relay for tests, on a free port of this machine, in a thread of this process.

Use as ``from tests.relay import serving``.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from blindsight.protocol.transport.relay import Relay
from blindsight.relay import server, service
from blindsight.relay.limits import Limits, Rate
from blindsight.relay.store import Store
from blindsight.relay.tokens import Tokens

ROOM = "ward-7"


@dataclass(frozen=True)
class Serving:
    """A relay that runs."""

    url: str
    store: Store
    connections: set[object]

    def party(self, room: str = ROOM) -> Relay:
        """A client of its own, as every party has one."""
        return Relay(f"{self.url}/{room}", seconds=20, sleep=lambda seconds: None)

    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> http.client.HTTPResponse:
        """One request by hand; the answer has been read, its body is in ``data``."""
        return ask(self.url, method, target, body, **headers)


def ask(url: str, method: str, target: str, body: bytes | None = None, **headers: str) -> http.client.HTTPResponse:
    """One request by hand; the answer has been read, its body is in ``data``."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    with contextlib.closing(connection):
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        answer.data = answer.read()
        return answer


@contextlib.contextmanager
def serving(
    root: Path,
    *,
    tokens: Tokens | None = None,
    rate: Rate | None = None,
    tls: tuple[Path, Path] | None = None,
    **limits: float,
) -> Iterator[Serving]:
    """A relay that runs while the block does."""
    store = Store(root, Limits(**limits))
    with running(service.application(store, tokens, rate), tls) as (url, found):
        yield Serving(url, store, found.server_state.connections)
    store.close()


@contextlib.contextmanager
def running(app, tls: tuple[Path, Path] | None = None) -> Iterator[tuple[str, uvicorn.Server]]:
    """Any application on the relay's own server: its URL, and the server."""
    found = server.server(app, *(tls or ()))
    with server.bound("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=found.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{listening.getsockname()[1]}", found
        finally:
            found.should_exit = True
            thread.join(20)
