"""HTML elements from values; text is escaped unless it is already ``Markup``."""

from __future__ import annotations

import html
from typing import Final

# C0 and C1 controls may not stand in HTML, surrogates (odd file names) not in UTF-8; direction overrides would let a
# name rewrite the line around it.
_DIRECTIONS: Final = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROLS: Final = (*range(0x00, 0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000), *_DIRECTIONS)
_REPLACED: Final = dict.fromkeys(_CONTROLS, "\ufffd") | {0x09: " ", 0x0A: " ", 0x0D: " "}
_VOID: Final = frozenset({"img", "link", "meta"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """Escapes text for an element's content or a quoted attribute; control characters become U+FFFD."""
    return text if isinstance(text, Markup) else Markup(html.escape(text.translate(_REPLACED), quote=True))


def join(*parts: str) -> Markup:
    """Puts parts one behind the other, escaping what is not ``Markup``."""
    return Markup("".join(map(escape, parts)))


def element(tag: str, /, *children: str, **attributes: str | float) -> Markup:
    """Makes an element.

    Args:
        tag: name of the element.
        *children: content, escaped where it is not ``Markup``.
        **attributes: a trailing underscore is dropped (``class_``), others become hyphens (``stroke_width``).

    Returns:
        The element, closed.
    """
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{join(*children)}</{tag}>")


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else f"{round(value, 2):g}"
