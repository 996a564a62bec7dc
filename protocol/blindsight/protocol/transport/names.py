"""Names of documents in a drop-box: what any disk, any object store and any terminal takes. FORMAT.md section K."""

from __future__ import annotations

import re

from blindsight.protocol.errors import FormatError

MAX_NAME_CHARACTERS = 255
# Blanks, brackets and apostrophes occur in the copies that syncing programs make of files in conflict.
_PART = r"(?![. ])[A-Za-z0-9 ._+=,@()~'&-]+(?<! )"
_SAFE = re.compile(rf"{_PART}(?:/{_PART})*")


def is_safe(name: str) -> bool:
    """Whether a name may stand in a drop-box.

    Relative, 1 to 255 characters of ``A-Z a-z 0-9``, blank and ``._+=,@()~'&-``, ``/`` between folders; no part begins
    with a dot or a blank or ends with a blank.
    """
    return len(name) <= MAX_NAME_CHARACTERS and _SAFE.fullmatch(name) is not None


def demand_safe(name: str) -> str:
    """Return a name that may stand in a drop-box.

    Raises:
        FormatError: it may not.
    """
    if not is_safe(name):
        raise FormatError(f"{name[:60]!a} cannot be a name in a drop-box", hint="use letters, digits, . _ -")
    return name
