"""A place that fsspec reaches: an object store, WebDAV, SFTP, the memory of this process. Extra ``remote``.

Credentials come from where the store's own library looks for them (environment, profile files, the machine's role),
never from the URL. Listings are not cached: other parties write at the same time.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from blindsight.protocol.encoding import MAX_DOCUMENT_BYTES
from blindsight.protocol.errors import BlindsightError, DataError, FormatError, MissingExtraError
from blindsight.protocol.files import replacing
from blindsight.protocol.transport import SUFFIX, Piece, copy
from blindsight.protocol.transport.names import demand_safe, is_safe

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})
"""Stores in which an object appears whole or not at all, and in which folders need not be made."""


class Remote:
    """A place below an fsspec URL.

    Args:
        url: ``s3://bucket/prefix``, ``memory://box`` …

    Raises:
        DataError: the URL holds credentials or options, or chains several.
        MissingExtraError: fsspec, or its library for this kind of place, is not installed.
    """

    def __init__(self, url: str) -> None:
        self._place = _plain(url)
        self._files, self._root = _opened(self._place)
        self._puts_whole = self._place.partition("://")[0] in OBJECT_STORES

    def __repr__(self) -> str:
        return f"Remote({self._place!r})"

    @property
    def place(self) -> str:
        """The URL."""
        return self._place

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder."""
        return sorted({name for name, about in self._inside(folder).items() if about["type"] == "directory"})

    def documents(self, folder: str) -> Iterator[Piece]:
        """Every document directly in a folder."""
        for name, about in sorted(self._inside(folder).items()):
            if about["type"] == "file" and name.endswith(SUFFIX):
                yield self._piece(f"{folder}/{name}" if folder else name, about["size"])

    def files(self, folder: str) -> list[str]:
        """The names of all files directly in a folder."""
        return sorted(name for name, about in self._inside(folder).items() if about["type"] == "file")

    def put(self, name: str, data: bytes) -> str:
        """Put a document unless the same one lies there."""
        path = self._path(demand_safe(name))
        with self._in_a_sentence(f"take {name}"):
            if not self._holds(path, data):
                with self._beside(path) as target:
                    self._files.pipe_file(target, data)
        return f"{self._place}/{name}"

    def send(self, source: Path, name: str) -> None:
        """Copy a file to the place."""
        path = self._path(demand_safe(name))
        _demand_file(source)
        with self._in_a_sentence(f"take {name}"), self._beside(path) as target:
            self._files.put_file(str(source), target)

    def fetch(self, name: str, target: Path, most: int) -> None:
        """Copy a file from the place."""
        path = self._path(demand_safe(name))
        with self._in_a_sentence(f"give {name}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._files.open(path, "rb") as reader, replacing(target) as writer:
                copy(reader, writer, most, name)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _inside(self, folder: str) -> dict[str, dict[str, Any]]:
        """What lies directly in a folder: name → what the store says about it."""
        path = self._path(folder)
        with self._in_a_sentence("be listed"):
            try:
                self._files.invalidate_cache()
                found = self._files.ls(path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return {}
        named = ((about["name"].rstrip("/").rpartition("/"), about) for about in found)
        return {name: about for (above, _, name), about in named if _same(above, path) and is_safe(name)}

    def _piece(self, name: str, size: int | None) -> Piece:
        try:
            with self._in_a_sentence(f"give {name}"):
                return Piece(name, self._start_of(self._path(name), size))
        except FormatError as error:
            return Piece(name, b"", error)

    def _start_of(self, path: str, size: int | None) -> bytes:
        """At most one byte more than a document may have; a range of an empty object would be an error."""
        if size == 0:
            return b""
        data: bytes = self._files.cat_file(path, start=0, end=MAX_DOCUMENT_BYTES + 1)
        return data

    def _holds(self, path: str, data: bytes) -> bool:
        try:
            size = self._files.info(path)["size"]
            return size == len(data) and self._start_of(path, size) == data
        except FileNotFoundError:
            return False

    @contextlib.contextmanager
    def _beside(self, path: str) -> Iterator[str]:
        """Where to write so that the file appears under its name whole or not at all."""
        if self._puts_whole:
            yield path
            return
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/.{name}.{secrets.token_hex(6)}.part"
        self._files.makedirs(folder, exist_ok=True)
        try:
            yield temporary
            self._files.mv(temporary, path)
        except BaseException:
            with contextlib.suppress(Exception):
                self._files.rm_file(temporary)
            raise

    @contextlib.contextmanager
    def _in_a_sentence(self, what: str) -> Iterator[None]:
        """Each of the many libraries below has errors of its own, some of which quote the request with its secrets."""
        try:
            yield
        except BlindsightError:
            raise
        except Exception as error:
            raise FormatError(
                f"{self._place} cannot {what}: {_reason(error)}", code="E_IO", hint=_hint(error)
            ) from None


def _plain(url: str) -> str:
    kind, _, rest = url.partition("://")
    if "::" in url:
        raise DataError("a place is one URL, got a chain with '::'", hint="name the last place of the chain")
    if "@" in rest.partition("/")[0]:
        raise DataError(
            f"the {kind} URL holds a user or a password, which everybody on this machine could read",
            hint="leave it out; the store's library finds credentials in its own files or in the environment",
        )
    if "?" in url or "#" in url:
        raise DataError(f"the {kind} URL holds options after '?' or '#', which a place cannot have")
    if set("*[]{}") & set(url):
        raise DataError(f"the {kind} URL holds one of * [ ] {{ }}, which libraries take for patterns")
    return url.rstrip("/")


def _opened(url: str) -> tuple[Any, str]:
    kind, library = url.partition("://")[0], _library()
    try:
        files, root = library.core.url_to_fs(url, skip_instance_cache=True)
    except ImportError as error:
        raise MissingExtraError(
            f"{kind}:// needs a library that is not installed",
            hint='pip install "blindsight[remote]" for s3://; fsspec names the library for other places',
        ) from error
    except Exception as error:
        raise DataError(f"{kind}:// is no place that fsspec can open: {_reason(error)}") from None
    with contextlib.suppress(AttributeError):
        files.dircache.use_listings_cache = False
    return files, str(root).rstrip("/")


def _library() -> ModuleType:
    try:
        return importlib.import_module("fsspec")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "places other than folders and relays need fsspec, which is not installed",
            hint='pip install "blindsight[remote]"',
        ) from error


def _demand_file(source: Path) -> None:
    try:
        source.open("rb").close()
    except OSError as error:
        raise FormatError(f"{source} cannot be read: {error.strerror}", code="E_IO") from error


def _same(one: str, other: str) -> bool:
    return one.strip("/") == other.strip("/")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and isinstance(error.errno, int):
        return os.strerror(error.errno)
    return type(error).__name__


def _hint(error: Exception) -> str:
    if isinstance(error, PermissionError) or "Credential" in type(error).__name__:
        return "credentials come from the store's own files or environment; may they read, list and write there?"
    return ""
