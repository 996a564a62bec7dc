"""The relay's HTTP interface. FORMAT.md section K.

    PUT /v1/<room>/m/<sha256>?name=<hint>    201 new, 200 known
    GET /v1/<room>/m?after=<cursor>&limit=   a page of the list
    GET /v1/<room>/m/<sha256>                a document
    GET /healthz                             200

Limits hold while bytes arrive, not afterwards: a document that is too large or too slow is given up midway.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import math
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from blindsight.cli.output import say
from blindsight.protocol.transport.names import is_safe
from blindsight.protocol.transport.relay import PAGE, ROOM
from blindsight.relay.limits import Limits, Rate, client_of
from blindsight.relay.store import Entry, Full, Store
from blindsight.relay.tokens import Tokens

BUSY_SECONDS = 2
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FULL = {"name": (409, "this name has as many versions as are kept"), "room": (507, "the room is full")}
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class Refusal(HTTPException):
    """A request that is not served.

    Args:
        status: of HTTP.
        sentence: why.
        wait: seconds after which it may be tried again.
    """

    def __init__(self, status: int, sentence: str, wait: float = 0.0) -> None:
        headers = {"Retry-After": str(math.ceil(wait))} if wait else {}
        super().__init__(status, sentence, headers | ({"WWW-Authenticate": "Bearer"} if status == 401 else {}))


@dataclass(slots=True)
class Service:
    """What answers requests.

    Args:
        store: where documents lie.
        tokens: who may use which room; anybody any room when None.
        rate: how often one client may ask.
    """

    store: Store
    tokens: Tokens | None
    rate: Rate
    held: int = field(default=0, init=False)  # bytes of documents that are arriving

    @property
    def limits(self) -> Limits:
        """What is taken."""
        return self.store.limits

    async def health(self, request: Request) -> Response:
        """Say that the relay runs."""
        return PlainTextResponse("ok\n")

    async def entries(self, request: Request) -> Response:
        """A page of a room's list."""
        room = self._admitted(request)
        after, limit = _number(request, "after", 0), max(1, min(_number(request, "limit", PAGE), PAGE))
        found = self.store.room(room)
        page: tuple[Sequence[Entry], bool] = found.after(after, limit) if found else ((), False)
        lines, more = page
        following = lines[-1].cursor if lines else after
        return JSONResponse(
            {"entries": [entry.to_json() for entry in lines], "next": following, "more": more}, headers=_HEADERS
        )

    async def document(self, request: Request) -> Response:
        """A document's bytes."""
        room, digest = self.store.room(self._admitted(request)), _digest(request)
        path = room.path(digest) if room else None
        if not path or not await run_in_threadpool(path.is_file):
            raise Refusal(404, "there is no such document in this room")
        return FileResponse(path, media_type="application/octet-stream", headers=_HEADERS)

    async def put(self, request: Request) -> Response:
        """Take a document."""
        room, digest, name = self._admitted(request), _digest(request), _name(request)
        async with self._arriving(request) as data:
            if hashlib.sha256(data).hexdigest() != digest:
                raise Refusal(400, "the body does not have the digest in the path")
            try:
                entry, is_new = await run_in_threadpool(self.store.put, room, name, digest, data)
            except Full as full:
                raise Refusal(*_FULL.get(full.what, (507, "this relay keeps no more rooms"))) from full
            except OSError as error:
                raise _not_stored(error) from error
        return JSONResponse(entry.to_json(), 201 if is_new else 200, headers=_HEADERS)

    def _admitted(self, request: Request) -> str:
        """The room asked for, if this client may use it now."""
        if wait := self.rate.wait(client_of(request.client.host if request.client else "")):
            raise Refusal(429, "too many requests", wait)
        room: str = request.path_params["room"]
        if not ROOM.fullmatch(room):
            raise Refusal(400, "a room is 3 to 64 letters, digits and hyphens")
        if self.tokens and not self.tokens.fits(room, request.headers.get("Authorization", "")):
            raise Refusal(401, "this room wants its token")
        return room

    @asynccontextmanager
    async def _arriving(self, request: Request) -> AsyncIterator[bytes]:
        """A request's body, counted as long as it is in memory."""
        self._demand_declared(request)
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.seconds):
                async for chunk in request.stream():
                    body += chunk
                    self.held += len(chunk)
                    self._demand_space(len(body))
            yield bytes(body)
        except TimeoutError as error:
            raise Refusal(408, "the body takes too long") from error
        except ClientDisconnect as error:
            raise Refusal(400, "the body ends early") from error
        finally:
            self.held -= len(body)

    def _demand_declared(self, request: Request) -> None:
        declared = request.headers.get("Content-Length", "0")
        if not declared.isdecimal() or len(declared) > 15:
            raise Refusal(400, "Content-Length is no number")
        self._demand_space(int(declared))

    def _demand_space(self, size: int) -> None:
        if size > self.limits.document:
            raise Refusal(413, f"a document has at most {self.limits.document} bytes")
        if self.held > self.limits.uploads:
            raise Refusal(503, "too much is arriving at once", BUSY_SECONDS)


def application(store: Store, tokens: Tokens | None = None, rate: Rate | None = None) -> Starlette:
    """The relay as an ASGI application.

    Args:
        store: where documents lie, with its limits.
        tokens: who may use which room; anybody any room when None.
        rate: how often one client may ask; as the store's limits say when None.
    """
    service = Service(store, tokens, rate or Rate(store.limits.rate))
    routes = [
        Route("/healthz", service.health),
        Route("/v1/{room}/m", service.entries),
        Route("/v1/{room}/m/{digest}", service.document),
        Route("/v1/{room}/m/{digest}", service.put, methods=["PUT"]),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refuse})
    app.router.redirect_slashes = False
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    status, detail, headers = 500, "", None
    if isinstance(error, HTTPException):
        status, detail, headers = error.status_code, error.detail, error.headers
    return JSONResponse({"error": detail}, status, headers=_HEADERS | dict(headers or {}))


def _not_stored(error: OSError) -> Refusal:
    say(f"a document could not be stored: {error.strerror}")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refusal(507, "the relay's disk is full")
    return Refusal(500, "the relay could not store the document")


def _digest(request: Request) -> str:
    digest: str = request.path_params["digest"]
    if not _DIGEST.fullmatch(digest):
        raise Refusal(400, "a document is named by its SHA-256 in lower-case hex")
    return digest


def _name(request: Request) -> str:
    names = request.query_params.getlist("name")
    if len(names) != 1 or not is_safe(names[0]):
        raise Refusal(400, "name= must be one relative path of at most 255 plain characters")
    return names[0]


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise Refusal(400, f"{name}= must be a whole number")
    return int(text)
