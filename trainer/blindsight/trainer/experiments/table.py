"""``table.md``: accuracies with their spread, what they cost, and what they were computed with; Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from blindsight.trainer.experiments.plan import Experiment, Published
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
    "key": "*key*: under the scheme − unit control. The same network and first layer, the same views; without the key.",
    "stem": "*stem*: unit control − plain reference. Plain images on both sides; the first layer sees blocks, or pixels.",
    "views": "*views*: plain reference − fresh reference. Views made once, or a fresh crop in every step.",
}
MISSING: Final = "–"
SAME: Final = "same run"


def render(experiment: Experiment, lines: Sequence[Line]) -> str:
    """The whole document.

    Args:
        experiment: what is compared.
        lines: its rows with what is known of them.
    """
    results = list(_all(lines))
    parts = [[f"# {experiment.title}", "", experiment.question, ""]]
    parts += [[*_accuracies(experiment, lines), ""], [*_notes(experiment, lines, results), ""]]
    parts += [["## Runs", "", *_runs(lines), ""], ["## Computed with", "", *_circumstances(results), ""]]
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def _all(lines: Sequence[Line]) -> Iterator[Result]:
    """Every result once."""
    seen: set[str] = set()
    for line in lines:
        for result in (one for variant in line.row.variants for one in line.results(variant)):
            if result.run not in seen:
                seen.add(result.run)
                yield result


def _used(lines: Sequence[Line]) -> tuple[list[str], list[str]]:
    """The variants and differences that some row has."""
    variants = [name for name in VARIANTS if any(name in line.row.variants for line in lines)]
    return variants, [cost for cost, pair in COSTS.items() if set(pair) <= set(variants)]


def _accuracies(experiment: Experiment, lines: Sequence[Line]) -> Iterator[str]:
    variants, costs = _used(lines)
    heads = ["row", "network", *(HEADS[name] for name in variants), *costs]
    published = bool(experiment.published)
    yield _table_line([*heads, "published"] if published else heads)
    yield _table_line(["---", "---", *(["---:"] * (len(heads) - 2 + published))])
    for line in lines:
        cells = [line.row.label, line.row.network]
        cells += [_accuracy(line, name) for name in variants]
        cells += [_cost(line, *COSTS[name]) for name in costs]
        yield _table_line([*cells, _others(experiment, line)] if published else cells)


def _table_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _accuracy(line: Line, variant: str) -> str:
    spread, wanted = line.accuracy(variant), len(line.row.variants.get(variant, ()))
    return _with_count(spread, wanted, sign=False)


def _cost(line: Line, first: str, second: str) -> str:
    if line.same(first, second):
        return SAME
    return _with_count(line.difference(first, second), len(line.row.variants.get(first, ())), sign=True)


def _with_count(spread: Spread | None, wanted: int, *, sign: bool) -> str:
    if spread is None:
        return MISSING
    count = str(spread.count) if spread.count == wanted else f"{spread.count} of {wanted}"
    return f"{spread.shown(2, sign=sign)} ({count})"


def _others(experiment: Experiment, line: Line) -> str:
    found = [f"{PERCENT * one.accuracy:.2f} [{_sources(experiment).index(one.source) + 1}]" for one in experiment.published if _is_for(one, line)]
    return ", ".join(found) or MISSING


def _is_for(published: Published, line: Line) -> bool:
    return published.row == line.row.label and published.network in ("", line.row.network)


def _sources(experiment: Experiment) -> list[str]:
    return list(dict.fromkeys(one.source for one in experiment.published))


def _notes(experiment: Experiment, lines: Sequence[Line], results: Sequence[Result]) -> Iterator[str]:
    """What the figures mean and what they do not."""
    images = _several(f"{count:,}" for count in sorted({one.images for one in results}))
    yield f"* Percent of {images or 'the'} test images; mean ± sample standard deviation over seeds (number of runs); " \
        "one run has no spread."
    yield "* A seed decides everything that is drawn: key, split, views, weights, order."
    yield "* Models were chosen on held-out training images (*val*); the test images were looked at once, afterwards."
    _, costs = _used(lines)
    yield from (f"* {MEANINGS[cost]} In points, seed by seed." for cost in costs)
    if results:
        largest = max(PERCENT * standard_error(one.accuracy, one.images) for one in results)
        yield f"* The test set's own size leaves every accuracy a standard error of up to {largest:.2f} points."
    if any(None in line.found.get(name, ()) for line in lines for name in line.row.variants):
        yield f"* {MISSING}, or fewer runs than seeds: not run yet."
    yield from (f"* [{number}] {source}, as published." for number, source in enumerate(_sources(experiment), start=1))
