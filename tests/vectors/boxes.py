"""What is sealed at random is sealed once, kept in ``boxes.json``, and sealed again only when it opens no longer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

from blindsight.protocol import kem
from blindsight.protocol.encoding import from_b64, to_b64
from blindsight.protocol.errors import BlindsightError

NAME = "boxes.json"
_KEPT: dict[str, str] = json.loads(found.read_text()) if (found := Path(__file__).with_name(NAME)).exists() else {}
_USED: dict[str, str] = {}


def once(name: str, make: Callable[[], bytes], fits: Callable[[bytes], bool]) -> bytes:
    """Random bytes that stay the same.

    Args:
        name: under which they are kept.
        make: makes new ones.
        fits: whether kept ones still hold what they should; an error means no.

    Raises:
        ValueError: two different things have one name.
    """
    held = _USED.get(name, _KEPT.get(name))
    sound = False
    if held is not None:
        with contextlib.suppress(BlindsightError):
            sound = fits(from_b64(held))
    if name in _USED and not sound:
        raise ValueError(f"two different things are kept as {name!r}")
    data = from_b64(held) if held is not None and sound else make()
    _USED[name] = to_b64(data)
    return data


def box(name: str, seed: bytes, plain: bytes, info: bytes) -> bytes:
    """A box for the key of a seed (A.7)."""
    return once(
        name,
        lambda: kem.seal(kem.public_key(seed), plain, info),
        lambda held: kem.unseal(seed, held, info, len(plain)) == plain,
    )


def kept() -> bytes:
    """The file: everything that was asked for since the program began."""
    return json.dumps(_USED, indent=1, sort_keys=True).encode() + b"\n"
