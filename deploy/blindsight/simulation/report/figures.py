"""How numbers are written for people, and the interval that goes with a share."""

from __future__ import annotations

from typing import Final

from blindsight.protocol.interval import wilson as of_hits

_UNITS: Final = ("kB", "MB", "GB", "TB")
_SPACE: Final = "\u00a0"


def wilson(share: float, count: int) -> tuple[float, float]:
    """Computes the 95 % score interval of a share.

    Args:
        share: observed share, 0 to 1.
        count: number of trials, 1 or more.

    Returns:
        Lower and upper end, 0 to 1.
    """
    return of_hits(round(share * count), count)


def percent(share: float) -> str:
    """Writes a share with one decimal, as in 96.4 %."""
    return f"{100 * share:.1f}{_SPACE}%"


def interval(share: float, count: int) -> str:
    """Writes the 95 % interval of a share, as in 95.1 to 97.4 %."""
    low, high = wilson(share, count)
    return f"{100 * low:.1f} to {100 * high:.1f}{_SPACE}%"


def size(count: int) -> str:
    """Writes a number of bytes in decimal units, as in 12.3 MB."""
    if count < 1000:
        return f"{count}{_SPACE}B"
    value = float(count)
    for unit in _UNITS:
        value /= 1000
        if value < 999.95 or unit == _UNITS[-1]:
            break
    return f"{value:.1f}{_SPACE}{unit}"


def duration(seconds: float) -> str:
    """Writes a duration, as in 0.42 s, 12.3 s, 4 min 05 s or 2 h 07 min."""
    if seconds < 59.95:
        return f"{seconds:.{2 if seconds < 0.995 else 1}f}{_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{_SPACE}min {rest:02d}{_SPACE}s"
    return f"{minutes // 60}{_SPACE}h {minutes % 60:02d}{_SPACE}min"


def whole(count: int) -> str:
    """Writes an integer with thousands set off by thin spaces."""
    return f"{count:,}".replace(",", "\u202f")


def name(key: str) -> str:
    """Turns a key such as ``encrypt_images`` into words."""
    return key.replace("_", " ")
