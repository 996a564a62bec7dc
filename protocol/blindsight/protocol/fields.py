"""Strict shapes of JSON documents: what a field must be, with every fault named at once.

A ``Check`` takes a value and its place in the document and yields one phrase per fault. Unknown and missing fields
are faults: a reader that ignores what it does not know can be talked past.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from blindsight.protocol.encoding import MAX_INTEGER, TIME, TIME_FORMAT, from_b64
from blindsight.protocol.errors import FormatError

Check = Callable[[Any, str], Iterator[str]]
HEX32 = re.compile(r"[0-9a-f]{64}")
HEX16 = re.compile(r"[0-9a-f]{32}")
MAX_SHOWN_FAULTS = 8


def demand(check: Check, value: Any, what: str) -> None:
    """Raise one error that names every fault of ``value``.

    Raises:
        FormatError: E_FORMAT.
    """
    faults = list(check(value, ""))
    if faults:
        more = f" (and {len(faults) - MAX_SHOWN_FAULTS} more)" if len(faults) > MAX_SHOWN_FAULTS else ""
        sentence = f"{what} is malformed: " + "; ".join(faults[:MAX_SHOWN_FAULTS]) + more
        raise FormatError("".join(c if c.isprintable() else "?" for c in sentence))


def mapping(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with exactly these fields."""
    known = {**required, **(optional or {})}

    def check(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{at or 'the document'} must be an object"
            return
        for name in sorted(set(required) - set(value)):
            yield f"field {_join(at, name)} is missing"
        for name in sorted(set(value) - set(known)):
            yield f"field {_join(at, name)[:80]} is unknown"
        for name in sorted(set(value) & set(known)):
            yield from known[name](value[name], _join(at, name))

    return check


def dictionary(item: Check, *, most: int = 64) -> Check:
    """An object with free keys and values of one kind."""

    def check(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, dict) or len(value) > most:
            yield f"{at} must be an object of at most {most} entries"
            return
        for name in sorted(value):
            yield from item(value[name], _join(at, name[:40]))

    return check


def listing(item: Check, *, least: int = 0, most: int = 1_000_000) -> Check:
    """An array of ``least`` to ``most`` values of one kind."""

    def check(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            yield f"{at} must be an array of {least} to {most} entries"
            return
        for place, entry in enumerate(value):
            yield from item(entry, f"{at}[{place}]")

    return check


def constant(expected: Any) -> Check:
    """Exactly this value."""
    return one_of([expected])


def one_of(choices: Sequence[Any]) -> Check:
    """One of a few values."""

    def check(value: Any, at: str) -> Iterator[str]:
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            yield f"{at} must be {' or '.join(repr(choice) for choice in choices)}, got {str(value)[:40]!r}"

    return check


def either(*checks: Check) -> Check:
    """A value that satisfies at least one of several shapes; the faults shown are those of the first."""

    def check(value: Any, at: str) -> Iterator[str]:
        faults = [list(attempt(value, at)) for attempt in checks]
        if all(faults):
            yield from faults[0]

    return check


def integer(least: int = 0, most: int = MAX_INTEGER) -> Check:
    """An integer in a closed range."""

    def check(value: Any, at: str) -> Iterator[str]:
        if type(value) is not int or not least <= value <= most:
            yield f"{at} must be an integer from {least} to {most}"

    return check


def text(most: int = 200) -> Check:
    """A string of at most ``most`` printable characters: nothing that moves a terminal's cursor."""

    def check(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, str) or len(value) > most or not value.isprintable():
            yield f"{at} must be a string of at most {most} printable characters"

    return check


def pattern(expression: re.Pattern[str], meaning: str) -> Check:
    """A string that matches a regular expression as a whole."""

    def check(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, str) or not expression.fullmatch(value):
            yield f"{at} must be {meaning}"

    return check


def key(length: int | None) -> Check:
    """Base64url text without padding of ``length`` bytes (any number if None)."""

    def check(value: Any, at: str) -> Iterator[str]:
        try:
            from_b64(value if isinstance(value, str) else "?", length)
        except FormatError:
            yield f"{at} must be base64url without padding" + (f" of {length} bytes" if length else "")

    return check


hex32 = pattern(HEX32, "64 lower-case hex characters")
hex16 = pattern(HEX16, "32 lower-case hex characters")
decimal = pattern(re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?"), "a decimal number written as a string")


def time(value: Any, at: str) -> Iterator[str]:
    """A moment that the calendar knows, written like ``2026-11-20T13:00:00Z``."""
    try:
        sound = isinstance(value, str) and TIME.fullmatch(value) and datetime.strptime(value, TIME_FORMAT)
    except ValueError:
        sound = False
    if not sound:
        yield f"{at} must be a time like 2026-11-20T13:00:00Z"


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name
