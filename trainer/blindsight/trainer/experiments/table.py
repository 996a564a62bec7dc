"""``table.md``: accuracies with their spread, what they cost, and what they were computed with; Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from blindsight.trainer.experiments import ledger
from blindsight.trainer.experiments.ledger import MISSING, line_of
from blindsight.trainer.experiments.plan import Experiment
from blindsight.trainer.experiments.results import Result
from blindsight.trainer.experiments.spread import Spread, standard_error
from blindsight.trainer.experiments.summary import COSTS, PERCENT, Line
from blindsight.trainer.experiments.variants import VARIANTS

FILE_NAME: Final = "table.md"
HEADS: Final = {
    "scheme": "under the scheme",
    "unit": "unit control",
    "reference": "plain reference",
    "fresh": "fresh reference",
}
MEANINGS: Final = {
    "key": "*key*: under the scheme − unit control; the same network, first layer and views, with the key and without.",
    "stem": "*stem*: unit control − plain reference; plain images, a first layer that sees blocks, or pixels.",
    "views": "*views*: plain reference − fresh reference; views made once, or a fresh crop in every step.",
}
SAME: Final = "same run"


def render(experiment: Experiment, lines: Sequence[Line]) -> str:
    """The whole document.

    Args:
        experiment: what is compared.
        lines: its rows with what is known of them.
    """
    results = list(
        {one.run: one for line in lines for name in line.row.variants for one in line.results(name)}.values()
    )
    parts = [
        f"# {experiment.title}",
        experiment.question,
        "\n".join(_accuracies(experiment, lines)),
        "\n".join(f"* {note}" for note in _notes(experiment, lines, results)),
        "## Runs",
        "\n".join(ledger.runs(lines)),
        "## Computed with",
        "\n".join(ledger.circumstances(results)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _used(lines: Sequence[Line]) -> tuple[list[str], list[str]]:
    """The variants and differences that some row has."""
    variants = [name for name in VARIANTS if any(name in line.row.variants for line in lines)]
    return variants, [cost for cost, pair in COSTS.items() if set(pair) <= set(variants)]


def _accuracies(experiment: Experiment, lines: Sequence[Line]) -> Iterator[str]:
    variants, costs = _used(lines)
    heads = ["row", "network", *(HEADS[name] for name in variants), *costs]
    heads += ["published"] if experiment.published else []
    yield line_of(heads)
    yield line_of(["---", "---", *["---:"] * (len(heads) - 2)])
    for line in lines:
        cells = [line.row.label, line.row.network, *(_accuracy(line, name) for name in variants)]
        cells += [_cost(line, *COSTS[name]) for name in costs]
        yield line_of([*cells, *([_published(experiment, line)] if experiment.published else [])])


def _accuracy(line: Line, variant: str) -> str:
    return _counted(line.accuracy(variant), len(line.row.variants.get(variant, ())), sign=False)


def _cost(line: Line, first: str, second: str) -> str:
    if line.same(first, second):
        return SAME
    return _counted(line.difference(first, second), len(line.row.variants.get(first, ())), sign=True)


def _counted(spread: Spread | None, wanted: int, *, sign: bool) -> str:
    if spread is None:
        return MISSING
    count = str(spread.count) if spread.count == wanted else f"{spread.count} of {wanted}"
    return f"{spread.shown(2, sign=sign)} ({count})"


def _published(experiment: Experiment, line: Line) -> str:
    numbers = {source: number for number, source in enumerate(_sources(experiment), start=1)}
    mine = [one for one in experiment.published if one.row == line.row.label and one.network in ("", line.row.network)]
    return ", ".join(f"{PERCENT * one.accuracy:.2f} [{numbers[one.source]}]" for one in mine) or MISSING


def _sources(experiment: Experiment) -> list[str]:
    return list(dict.fromkeys(one.source for one in experiment.published))


def _notes(experiment: Experiment, lines: Sequence[Line], results: Sequence[Result]) -> Iterator[str]:
    """What the figures mean, and what they do not."""
    counts = " or ".join(f"{count:,} " for count in sorted({one.images for one in results}))
    yield f"Percent of {counts}test images; mean ± sample standard deviation over seeds (runs); one run has no spread."
    yield "A seed decides everything that is drawn: key, split, views, weights and order."
    yield "Models were chosen on held-out training images (val); test images were looked at once, afterwards."
    yield from (
        f"{MEANINGS[cost]} In points, seed by seed; negative where accuracy is lost." for cost in _used(lines)[1]
    )
    if results:
        largest = max(PERCENT * standard_error(one.accuracy, one.images) for one in results)
        yield f"The number of test images alone leaves each accuracy a standard error of up to {largest:.2f} points."
    if any(None in line.found[name] for line in lines for name in line.row.variants):
        yield f"{MISSING}, or fewer runs than seeds: not run yet."
    yield from (f"[{number}] as published: {source}." for number, source in enumerate(_sources(experiment), start=1))
