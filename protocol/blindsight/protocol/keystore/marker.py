"""Noticing that a keystore is older than the last save. FORMAT.md section G.

Beside a keystore ``F`` stands ``F.gen`` with the id, generation and sum of the last save. It is written after the
keystore: killed in between, the marker is behind, which locks nobody out, and the next opening brings it level. A
keystore behind its marker is refused: its owner could sign a second time what the newer file promised already.

It notices a file put back from a backup, a snapshot of the keystore alone, a copy that went on elsewhere. It does not
notice a folder or a whole machine that was put back, marker included; a marker that was removed; a keystore moved
without it; nor a save that was undone before the marker followed. Whoever can write the folder can do all of that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blindsight.protocol import fields
from blindsight.protocol.encoding import canonical, parse_canonical
from blindsight.protocol.errors import BlindsightError, FormatError, KeystoreError
from blindsight.protocol.files import write_whole
from blindsight.protocol.keystore.document import read_guarded

FORMAT = "blindsight-keystore-marker"
MAX_BYTES = 1024
_SHAPE = fields.mapping(
    {
        "format": fields.constant(FORMAT),
        "v": fields.constant(1),
        "id": fields.hex16,
        "gen": fields.integer(1),
        "sum": fields.hex32,
    }
)


def path_of(path: Path) -> Path:
    """Where the marker of a keystore stands."""
    return path.with_name(path.name + ".gen")


def demand_current(path: Path, document: Mapping[str, Any]) -> None:
    """Refuse a keystore that is not the last one saved here.

    Args:
        path: the keystore.
        document: its content, after a slot and the body have opened.

    Raises:
        KeystoreError: E_ROLLBACK, it is older, or another one of the same generation, or the marker is unreadable.
    """
    known = _read(path)
    if known is None or known["id"] != document["id"] or known["gen"] < document["gen"]:
        return
    if known["gen"] > document["gen"]:
        raise _rollback(f"{path} is older than the last save here: generation {document['gen']}, not {known['gen']}")
    if known["sum"] != document["sum"]:
        raise _rollback(f"{path} is not what was saved here last: both are generation {known['gen']}")


def keep(path: Path, document: Mapping[str, Any]) -> None:
    """Remember that this document was saved, unless that is known.

    Raises:
        KeystoreError: E_IO, the marker cannot be written; the keystore itself is saved.
    """
    wanted = canonical({"format": FORMAT, "v": 1, **{name: document[name] for name in ("id", "gen", "sum")}}) + b"\n"
    place = path_of(path)
    with contextlib.suppress(KeystoreError):  # missing, or not mine alone: written anew
        if read_guarded(place, MAX_BYTES) == wanted:
            return
    try:
        write_whole(place, wanted, mode=0o600)
    except OSError as error:
        raise KeystoreError(f"the marker {place} cannot be written: {error.strerror}", code="E_IO") from error


def _read(path: Path) -> dict[str, Any] | None:
    place = path_of(path)
    if not place.exists() and not place.is_symlink():
        return None
    try:
        line, newline, rest = read_guarded(place, MAX_BYTES).partition(b"\n")
        if not newline or rest:
            raise FormatError("the marker is not one line")
        marker: dict[str, Any] = parse_canonical(line, "the marker", limit=MAX_BYTES)
        fields.demand(_SHAPE, marker, "the marker")
    except BlindsightError as error:
        raise _rollback(f"the marker {place} is unreadable, so whether {path} is the last save is not known") from error
    return marker


def _rollback(sentence: str) -> KeystoreError:
    return KeystoreError(
        f"{sentence}; a member that forgets what it promised can sign twice, which the others take for fraud",
        code="E_ROLLBACK",
        hint="put the newest file back; if it is lost for good, tell the other members, then repeat with "
        "--accept-rollback",
    )
