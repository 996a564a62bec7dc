"""What the runs of a table have cost, and what they were computed with; Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from blindsight.trainer.experiments.plan import Value
from blindsight.trainer.experiments.results import Result
from blindsight.trainer.experiments.spread import Spread
from blindsight.trainer.experiments.summary import PERCENT, Line

MISSING: Final = "–"
NO_RUN: Final = "No run is finished."
_RIGHT: Final = ("runs", "test %", "val %", "rounds", "samples seen", "core-seconds", "seconds", "weights")


def line_of(cells: Sequence[str]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def runs(lines: Sequence[Line]) -> Iterator[str]:
    """A table with a line for each variant that has a finished run; runs that rows share stand at the first.

    Args:
        lines: rows with what is known of them.
    """
    found: dict[tuple[str, ...], tuple[Line, str]] = {}
    for line in lines:
        for name in line.row.variants:
            if results := line.results(name):
                found.setdefault(tuple(one.run for one in results), (line, name))
    if not found:
        yield NO_RUN
        return
    heads = ["row", "network", "variant", "training", "first layer"]
    yield line_of([*heads, *_RIGHT])
    yield line_of([*["---"] * len(heads), *["---:"] * len(_RIGHT)])
    for line, name in found.values():
        yield line_of([line.row.label, line.row.network, name, *_budget(line.results(name), line.accuracy(name))])


def _budget(results: Sequence[Result], accuracy: Spread | None) -> Iterator[str]:
    first = results[0]
    yield first.training
    yield f"{first.config['stem']}, {first.config['unit']}"
    yield str(len(results))
    for spread in (accuracy, Spread.of([PERCENT * one.val_accuracy for one in results])):
        yield MISSING if spread is None else spread.shown(2)
    yield f"{first.rounds}"
    for values in (
        [one.samples for one in results],
        [one.core_seconds for one in results],
        [one.seconds for one in results],
    ):
        yield f"{sum(values) / len(values):,.0f}"
    yield f"{first.parameters:,}"


def circumstances(results: Sequence[Result]) -> Iterator[str]:
    """Machines, software and commands, each once, with the number of runs.

    Args:
        results: each finished run once.
    """
    if not results:
        yield NO_RUN
        return
    for what, count in Counter(_computed_with(one) for one in results).items():
        yield f"* {what}: {_count(count, 'run')}"
    yield from (f"* `{command}`" for command in dict.fromkeys(one.command for one in results) if command)


def _computed_with(result: Result) -> str:
    machine = result.machine
    words = [f"{machine['processor']}", *(_count(machine[f"{name}s"], name) for name in ("core", "thread"))]
    words += [f"{machine['device']}", f"{machine['precision']}"]
    words += [f"{name} {version}" for name, version in result.versions.items()]
    changed = "-changed" if result.commit.endswith("-changed") else ""
    words.append(f"commit {result.commit[:12]}{changed}" if result.commit else "no commit")
    return ", ".join(words)


def _count(number: Value, noun: str) -> str:
    return f"{number} {noun if number == 1 else f'{noun}s'}"
