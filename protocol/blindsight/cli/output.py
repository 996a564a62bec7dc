"""What the command says: data on stdout, talk and progress on stderr."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Advance = Callable[[int], None]
SECONDS_BETWEEN_LINES = 5.0


def say(sentence: str) -> None:
    """One line of talk."""
    sys.stderr.write(f"blindsight: {sentence}\n")
    sys.stderr.flush()


def emit(line: str) -> None:
    """One line of data."""
    sys.stdout.write(line + "\n")


def emit_json(document: Mapping[str, Any]) -> None:
    """One object of data, on one line."""
    emit(json.dumps(document, ensure_ascii=False))


def emit_facts(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """A small table of names and values, or one JSON object: blanks in names for people, underscores for programs."""
    if as_json:
        emit_json({name.replace(" ", "_"): value for name, value in facts.items()})
        return
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        emit(f"{name.replace('_', ' '):<{width}}  {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown(item) for item in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_shown(item)}" for name, item in value.items()) or "none"
    return str(value)


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[Advance]:
    """Show how far a long task has come: a bar on a terminal, else a line every few seconds.

    Args:
        title: what is being done.
        total: number of steps.

    Yields:
        A function to call with the number of steps just done.
    """
    if sys.stderr.isatty():
        with _bar(title, total) as advance:
            yield advance
    else:
        yield _lines(title, total)


@contextlib.contextmanager
def _bar(title: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda steps: bar.advance(task, steps)


def _lines(title: str, total: int) -> Advance:
    done, last = 0, time.monotonic()

    def advance(steps: int) -> None:
        nonlocal done, last
        done += steps
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            say(f"{title}: {done} of {total}")
            last = time.monotonic()

    return advance
