"""What a user's command remembers between runs, outside any keystore: ``$XDG_STATE_HOME/blindsight``."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blindsight.protocol import fields
from blindsight.protocol.errors import FormatError
from blindsight.protocol.files import write_whole

if TYPE_CHECKING:
    from blindsight.protocol.manifest import Manifest

SERIALS = "serials.json"
_SERIALS = fields.dictionary(fields.dictionary(fields.integer(1), most=1_000_000), most=1_000_000)


def folder() -> Path:
    """The folder; made with mode 0700."""
    named = os.environ.get("XDG_STATE_HOME")
    path = (Path(named) if named else Path.home() / ".local" / "state") / "blindsight"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def serials(fed: str) -> Mapping[str, int]:
    """``Manifest.series`` → greatest serial of a manifest admitted so far, in one federation.

    Raises:
        FormatError: E_FORMAT, the file is damaged.
    """
    return _read().get(fed, {})


def remember(fed: str, manifests: Sequence[Manifest]) -> None:
    """Remember the serials of admitted manifests: an older one is refused from now on."""
    with _locked():
        known = _read()
        mine = known.setdefault(fed, {})
        for manifest in manifests:
            mine[manifest.series] = max(mine.get(manifest.series, 0), manifest.predicate["serial"])
        write_whole(folder() / SERIALS, json.dumps(known, indent=1, sort_keys=True).encode() + b"\n", mode=0o600)


def _read() -> dict[str, dict[str, int]]:
    path = folder() / SERIALS
    if not path.exists():
        return {}
    try:
        found: dict[str, dict[str, int]] = json.loads(path.read_bytes())
        fields.demand(_SERIALS, found, SERIALS)
    except (ValueError, RecursionError, FormatError) as error:
        raise FormatError(
            f"{path} is damaged: which manifests were seen before is not known",
            hint="remove it; older manifests are then not noticed until newer ones have been checked again",
        ) from error
    return found


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    descriptor = os.open(folder(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
