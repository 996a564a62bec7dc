"""What a user's command remembers between runs, outside any keystore: ``$XDG_STATE_HOME/blindsight``."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blindsight.protocol.files import write_whole

if TYPE_CHECKING:
    from blindsight.protocol.manifest import Manifest

SERIALS = "serials.json"


def folder() -> Path:
    """The folder; made with mode 0700."""
    named = os.environ.get("XDG_STATE_HOME")
    path = (Path(named) if named else Path.home() / ".local" / "state") / "blindsight"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def serials(fed: str) -> Mapping[str, int]:
    """Data set id → greatest serial of a manifest admitted so far, in one federation."""
    return _read().get(fed, {})


def remember(fed: str, manifests: Sequence[Manifest]) -> None:
    """Remember the serials of admitted manifests: an older one is refused from now on."""
    with _locked():
        known = _read()
        mine = known.setdefault(fed, {})
        for manifest in manifests:
            dataset = manifest.predicate["dataset"]["id"]
            mine[dataset] = max(mine.get(dataset, 0), manifest.predicate["serial"])
        write_whole(folder() / SERIALS, json.dumps(known, indent=1, sort_keys=True).encode() + b"\n", mode=0o600)


def _read() -> dict[str, dict[str, int]]:
    path = folder() / SERIALS
    found: dict[str, dict[str, int]] = json.loads(path.read_bytes()) if path.exists() else {}
    return found


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    descriptor = os.open(folder(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
