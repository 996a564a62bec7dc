"""Sealed files: a shard under a file key, written and read as a stream. FORMAT.md section H.

Cobblestone-256 (C2SP chunked-encryption: salt and key commitment, then chunks of 16 KiB, each with its own tag)
refuses a wrong key or context at the first byte, and a changed or moved chunk where it stands; that a file ends too
early or too late shows at its end only. So nothing gets its name before the end came and its SHA-256 fits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from blindsight.protocol.errors import FormatError, SignatureError
from blindsight.protocol.files import replacing

KEY_BYTES = 32
PIECE_BYTES = 2**20
HEAD_BYTES = 56
CHUNK_BYTES = 16 * 2**10
TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a file is known by.

    Args:
        bytes: its size.
        sha256: hex of 32 bytes.
    """

    bytes: int
    sha256: str


def sealed_bytes(plain: int) -> int:
    """The size of a sealed file of so many plain bytes."""
    return HEAD_BYTES + plain + TAG_BYTES * (plain // CHUNK_BYTES + 1)


def seal(pieces: Iterable[bytes], key: bytes, context: bytes) -> Iterator[bytes]:
    """Seal a stream, holding one piece at a time.

    Args:
        pieces: the plain bytes.
        key: 32 bytes.
        context: what the opener must name identically.
    """
    encryptor = Cobblestone256Encryptor(key, context)
    for piece in pieces:
        yield encryptor.update(piece)
    yield encryptor.finalize()


def unseal(pieces: Iterable[bytes], key: bytes, context: bytes) -> Iterator[bytes]:
    """Open a sealed stream. What it yields is genuine, but not known to be all before it has ended.

    Args:
        pieces: the sealed bytes.
        key: 32 bytes.
        context: as named when sealing.

    Raises:
        SignatureError: E_TAMPERED, changed, cut, extended, or sealed under another key or context.
    """
    decryptor = Cobblestone256Decryptor(key, context)
    try:
        for piece in pieces:
            yield decryptor.update(piece)
        yield decryptor.finalize()
    except (InvalidTag, ValueError) as error:
        raise SignatureError(
            "a sealed file does not open: it was changed, or sealed for something else", code="E_TAMPERED"
        ) from error


def seal_file(source: Path, target: Path, key: bytes, context: bytes, plain: Stamp) -> Stamp:
    """Seal a file into a new one (mode 0600), if it is the one that was signed.

    Args:
        source: the plain file.
        target: the sealed file; it appears when it is complete.
        key: 32 bytes.
        context: what the opener must name identically.
        plain: what the manifest says of the plain file.

    Returns:
        Size and digest of the sealed file.

    Raises:
        FormatError: E_SHARD, another size; E_IO.
        SignatureError: E_SHA, another content than was signed.
    """
    read, written = _Meter(), _Meter()
    try:
        with source.open("rb") as file, replacing(target, mode=0o600) as sealed:
            for piece in written.through(seal(read.through(_pieces(file)), key, context)):
                sealed.write(piece)
            _demand_plain(source.name, read.stamp, plain)
    except OSError as error:
        raise FormatError(f"{source.name} cannot be sealed: {error.strerror}", code="E_IO") from error
    return written.stamp


def unseal_file(source: Path, target: Path, key: bytes, context: bytes, sealed: Stamp, plain: Stamp) -> None:
    """Open a sealed file into a new one, which gets its name when everything fits.

    Args:
        source: the sealed file.
        target: the plain file.
        key: 32 bytes.
        context: as named when sealing.
        sealed: what the sealing says of the sealed file.
        plain: what the manifest says of the plain file.

    Raises:
        FormatError: E_SHARD, of another size; E_IO.
        SignatureError: E_TAMPERED, the sealed file was changed; E_SHA, it holds another file than was signed.
    """
    read, written = _Meter(), _Meter()
    try:
        _demand_size(target.name, source.stat().st_size, sealed.bytes)
        with source.open("rb") as file, replacing(target, mode=0o640) as opened:
            for piece in written.through(unseal(read.through(_pieces(file)), key, context)):
                opened.write(piece)
            if read.stamp != sealed:
                raise SignatureError(f"the sealed {target.name} is not the one its sealing names", code="E_TAMPERED")
            _demand_plain(target.name, written.stamp, plain)
    except OSError as error:
        raise FormatError(f"{target.name} cannot be unsealed: {error.strerror}", code="E_IO") from error


def _demand_size(name: str, got: int, expected: int) -> None:
    if got != expected:
        raise FormatError(f"the sealed {name} has {got} bytes, its sealing states {expected}", code="E_SHARD")


def _demand_plain(name: str, got: Stamp, expected: Stamp) -> None:
    if got.bytes != expected.bytes:
        raise FormatError(f"{name} has {got.bytes} bytes, the manifest states {expected.bytes}", code="E_SHARD")
    if got != expected:
        raise SignatureError(f"{name} is not the file that was signed: its SHA-256 differs", code="E_SHA")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece


class _Meter:
    """Counts and hashes what flows through it."""

    __slots__ = ("_bytes", "_digest")

    def __init__(self) -> None:
        self._bytes, self._digest = 0, hashlib.sha256()

    def through(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._bytes += len(piece)
            self._digest.update(piece)
            yield piece

    @property
    def stamp(self) -> Stamp:
        return Stamp(self._bytes, self._digest.hexdigest())
