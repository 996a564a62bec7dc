"""The relay's sockets: uvicorn in this process, with an end to every connection that keeps us waiting."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from weakref import WeakSet

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from blindsight.protocol.errors import DataError, FormatError
from blindsight.relay.limits import client_of

IDLE_SECONDS = 30  # between two requests on one connection, and for the head of one to arrive
REQUEST_SECONDS = 120  # from a request's head to the last byte of its answer
LINGER_SECONDS = 5  # for the rest of a request that has been refused midway: hanging up at once would lose the answer
MAX_CONNECTIONS = 512
MAX_CONNECTIONS_OF_ONE = 128
MAX_HEAD_BYTES = 2**14
BACKLOG = 128
GRACE_SECONDS = 5  # for requests in progress when the relay ends


class Impatient(H11Protocol):
    """HTTP/1.1 that hangs up on whoever is slow to ask or slow to read."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._allow(IDLE_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request; its time begins when its head is complete."""
        cycle = self.cycle
        super().data_received(data)
        if self.cycle is not cycle:
            self._allow(REQUEST_SECONDS)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, which may be there already, or for the rest of one that was refused."""
        cycle = self.cycle
        super().on_response_complete()
        waiting = LINGER_SECONDS if self.conn.their_state is h11.SEND_BODY else IDLE_SECONDS
        self._allow(waiting if self.cycle is cycle else REQUEST_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._cancel()
        super().connection_lost(exc)

    def _allow(self, seconds: float) -> None:
        self._cancel()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _cancel(self) -> None:
        if self._timer:
            self._timer.cancel()


class Doorkeeper(socket.socket):
    """A listening socket that hangs up on a client with too many connections, before any handshake."""

    __slots__ = ("_admitted",)
    _admitted: dict[str, WeakSet[socket.socket]]

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection.

        Raises:
            ConnectionAbortedError: its client has too many; the connection is closed.
        """
        connection, address = super().accept()
        mine = self._admitted.setdefault(client_of(address[0]), WeakSet())
        if sum(other.fileno() >= 0 for other in mine) >= MAX_CONNECTIONS_OF_ONE:
            connection.close()
            raise ConnectionAbortedError
        mine.add(connection)
        self._admitted = {client: theirs for client, theirs in self._admitted.items() if theirs}
        return connection, address

    @classmethod
    def of(cls, family: int, kind: int, number: int) -> Doorkeeper:
        """A new socket."""
        made = cls(family, kind, number)
        made._admitted = {}
        return made


def bound(host: str, port: int) -> socket.socket:
    """A listening address.

    Raises:
        DataError: it cannot be had.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = Doorkeeper.of(family, kind, number)
    except OSError as error:
        raise DataError(f"{host} is no address of this machine: {error.strerror}") from error
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        raise DataError(f"{host} port {port} cannot be used: {error.strerror}", hint="--port N") from error
    return found


def server(app: Starlette, certificate: Path | None = None, key: Path | None = None) -> uvicorn.Server:
    """A server for the relay's application.

    Args:
        app: see ``service.application``.
        certificate: PEM, with the chain; plain HTTP without.
        key: PEM; in the certificate's file when None.

    Raises:
        FormatError: E_IO, certificate or key cannot be used.
    """
    config = uvicorn.Config(
        app,
        http=Impatient,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or "not PEM, or they do not fit together"
        raise FormatError(f"certificate and key cannot be used: {why}", code="E_IO") from error
    if config.ssl:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return uvicorn.Server(config)


@contextlib.contextmanager
def ending_well(running: uvicorn.Server) -> Iterator[None]:
    """Make SIGTERM an order that is carried out: uvicorn raises it once more when it has finished what it was doing."""

    def end(*_: object) -> None:
        running.should_exit = True

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
