"""A line to a relay: one HTTP connection kept open, with an end to every wait. Standard library only.

Whoever answers may be hostile: an answer has a greatest size and a greatest time in all, however slowly it drips; no
redirection is followed; certificates are verified. A broken line and a busy relay are tried again a few times.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from blindsight.protocol.errors import FormatError

PAUSES = (0.0, 1.0, 2.0, 4.0)  # seconds before the second, third … attempt
MAX_PAUSE = 10.0  # seconds; a relay that asks for more patience gets no more
BUSY = frozenset({429, 500, 502, 503, 504})
PIECE = 2**16  # bytes sent between two looks at the clock


@dataclass(frozen=True, slots=True)
class Answer:
    """What a relay answered.

    Args:
        status: of HTTP.
        body: at most one byte more than was asked for.
        patience: seconds that it asks to wait.
    """

    status: int
    body: bytes
    patience: float = 0.0


class Line:
    """A line to one host.

    Args:
        url: its scheme, host and port count.
        headers: sent with every request.
        seconds: greatest time for one exchange.
        sleep: how to wait between two attempts.
    """

    def __init__(
        self, url: SplitResult, headers: dict[str, str], *, seconds: float, sleep: Callable[[float], None]
    ) -> None:
        self._url, self._headers, self._seconds, self._sleep = url, headers, seconds, sleep
        self._connection: http.client.HTTPConnection | None = None
        self.left = float("inf")  # seconds to wait for this relay in all, until somebody allows more

    def __del__(self) -> None:
        self.close()

    def ask(self, method: str, target: str, body: bytes | None = None, *, most: int) -> Answer:
        """Send a request, several times if need be, and read the answer.

        Args:
            method: one that may be repeated.
            target: path and query.
            body: what is sent.
            most: bytes expected at most.

        Raises:
            FormatError: E_IO, no answer came that keeps to the rules.
        """
        began = time.monotonic()
        try:
            answer = self._insist(method, target, body, most)
        finally:
            self.left -= time.monotonic() - began
        if answer is None:
            raise self._fault("breaks the connection or refuses it")
        if answer.status in BUSY:
            raise self._fault(f"is busy or broken: it answers {answer.status}")
        return answer

    def close(self) -> None:
        """End the connection; the next request opens another."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _insist(self, method: str, target: str, body: bytes | None, most: int) -> Answer | None:
        answer = self._attempt(method, target, body, most)
        for pause in PAUSES:
            if answer and answer.status not in BUSY:
                break
            self._sleep(max(pause, min(answer.patience if answer else 0.0, MAX_PAUSE)))
            answer = self._attempt(method, target, body, most)
        return answer

    def _attempt(self, method: str, target: str, body: bytes | None, most: int) -> Answer | None:
        """One exchange; None when the line broke."""
        deadline = time.monotonic() + min(self._seconds, self.left)
        try:
            return self._exchange(method, target, body, most, deadline)
        except (ConnectionError, http.client.IncompleteRead, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            self.close()
            return None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise self._fault(_why(error)) from error
        except BaseException:
            self.close()
            raise

    def _exchange(self, method: str, target: str, body: bytes | None, most: int, deadline: float) -> Answer:
        connection = self._opened(deadline)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it hung up
            pieces = None if body is None else _hurried(body, connection, deadline)
            connection.request(method, target, pieces, self._headers | _length(body))
        response = connection.getresponse()
        data = response.read(most + 1)
        if len(data) > most:
            raise http.client.HTTPException("too long")
        if response.length:
            raise http.client.IncompleteRead(data)
        if response.will_close or not response.isclosed():
            self.close()
        return Answer(response.status, data, _patience(response.getheader("Retry-After")))

    def _opened(self, deadline: float) -> http.client.HTTPConnection:
        connection = self._connection or _connection(self._url)
        connection.timeout = _left(deadline)
        connection.response_class = partial(_Response, deadline=deadline)  # type: ignore[assignment]
        if not connection.sock:
            connection.connect()
        connection.sock.settimeout(_left(deadline))
        self._connection = connection
        return connection

    def _fault(self, what: str) -> FormatError:
        return FormatError(f"the relay at {self._url.netloc} {what}", code="E_IO")


class _Response(http.client.HTTPResponse):
    """An answer whose every byte comes before a deadline."""

    def __init__(self, sock: socket.socket, *args: Any, deadline: float, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp: io.BufferedReader = io.BufferedReader(_Hurried(self.fp.detach(), sock, deadline))


class _Hurried(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        self._raw, self._sock, self._deadline = raw, sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left(self._deadline))
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _connection(url: SplitResult) -> http.client.HTTPConnection:
    host = url.hostname or ""
    if url.scheme == "http":
        return http.client.HTTPConnection(host, url.port)
    context = ssl.create_default_context()
    proxy = "" if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get("https", "")
    if not proxy:
        return http.client.HTTPSConnection(host, url.port, context=context)
    way = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    connection = http.client.HTTPSConnection(way.hostname or "", way.port or 80, context=context)
    connection.set_tunnel(host, url.port or 443, headers=_proxy_headers(way))
    return connection


def _proxy_headers(way: SplitResult) -> dict[str, str]:
    if not way.username:
        return {}
    pair = f"{unquote(way.username)}:{unquote(way.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def _hurried(body: bytes, connection: http.client.HTTPConnection, deadline: float) -> Iterator[bytes]:
    """The body in pieces, none of which is sent after the deadline."""
    for start in range(0, len(body), PIECE):
        connection.sock.settimeout(_left(deadline))
        yield body[start : start + PIECE]


def _length(body: bytes | None) -> dict[str, str]:
    return {} if body is None else {"Content-Length": str(len(body)), "Content-Type": "application/octet-stream"}


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _patience(text: str | None) -> float:
    return float(text) if text and text.isdecimal() and len(text) < 9 else 0.0


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "takes too long"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "shows a certificate that does not verify"
    if isinstance(error, ssl.SSLError):
        return "does not speak TLS as expected"
    if isinstance(error, OSError):
        return "cannot be reached"
    return "answers something that is no short HTTP answer"
