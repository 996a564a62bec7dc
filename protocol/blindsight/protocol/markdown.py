"""Names that people chose, inside the Markdown of a model card."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"([\\`*_\[\]<>|&#~])")


def escaped(words: str) -> str:
    """Write words so that none of them can pass for a part of the page.

    Args:
        words: one line of text.

    Returns:
        The same with every special character escaped.
    """
    return _SPECIAL.sub(r"\\\1", words)
