"""Tables of the report, with their headers where a screen reader looks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from blindsight.simulation.report import figures
from blindsight.simulation.report.markup import Markup, element, join
from blindsight.simulation.report.values import Report
from blindsight.simulation.report.words import Finding, findings, parameters

_FEW_ROUNDS: Final = 12  # rounds up to which their table stands open


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], style: str = "numbers") -> Markup:
    """Makes a table whose first row and first column are headers.

    Args:
        caption: what the table shows.
        head: names of the columns.
        rows: cells; the first of each names the row.
        style: class of the table.

    Returns:
        The table in a box that scrolls sideways where the page is narrow.
    """
    top = element("thead", element("tr", *(element("th", name, scope="col") for name in head)))
    body = element("tbody", *map(_row, rows))
    whole = element("table", element("caption", caption), top, body, class_=style)
    return element("div", whole, class_="scroll", role="region", aria_label=caption, tabindex=0)


def _row(cells: Sequence[str]) -> Markup:
    return element("tr", element("th", cells[0], scope="row"), *(element("td", cell) for cell in cells[1:]))


def results(report: Report) -> Markup:
    """Makes the table of accuracies with their controls."""
    found = findings(report)
    rows: list[tuple[str, str, str, str]] = [
        (_named(entry), figures.whole(entry.count), _figure(entry), _gauge(entry, report)) for entry in found
    ]
    rows.append(("Guessing", "", figures.percent(report.accuracy.chance), ""))
    caption = f"Accuracy on {figures.whole(report.test_count)} test images, with 95 % Wilson interval"
    head = ("what the model was shown", "images", "named rightly", "0 to 100 %, line: chance")
    return table(caption, head, rows, "results")


def _named(entry: Finding) -> Markup:
    return join(element("span", entry.name), element("span", entry.meaning, class_="meaning"))


def _figure(entry: Finding) -> Markup:
    strong = element("strong", figures.percent(entry.share))
    return join(strong, element("span", figures.interval(entry.share, entry.count), class_="interval"))


def _gauge(entry: Finding, report: Report) -> Markup:
    low, high = figures.wilson(entry.share, entry.count)
    chance = 200 * report.accuracy.chance
    parts = join(
        element("rect", x=0, y=7, width=200, height=10, rx=2, class_="track"),
        element(
            "rect", x=0, y=7, width=200 * entry.share, height=10, rx=2, class_="fill" if entry.main else "fill-control"
        ),
        element("path", d=f"M{200 * low:.1f},12H{200 * high:.1f}", class_="whisker"),
        element("path", d=f"M{chance:.1f},3V21", class_="level"),
    )
    title = element("title", f"{entry.name}: {figures.percent(entry.share)}")
    return element("svg", title, parts, role="img", viewBox="-2 0 204 24", class_="gauge")


def rounds(report: Report) -> Markup:
    """Makes the table of rounds, folded where there are many."""
    measured = any(entry.holders for entry in report.history)
    holders = report.setup.holders if measured else ()
    rows = [
        (str(entry.number), figures.percent(entry.accuracy), f"{entry.loss:.3f}", *_each(entry.holders, len(holders)))
        for entry in report.history
    ]
    body = table("Accuracy and loss by round", ("round", "accuracy", "loss", *holders), rows)
    if len(rows) <= _FEW_ROUNDS:
        return body
    return element("details", element("summary", f"Numbers of all {len(rows)} rounds"), body)


def _each(shares: Sequence[float], count: int) -> tuple[str, ...]:
    return tuple(map(figures.percent, shares)) if shares else ("–",) * count


def sizes(report: Report) -> Markup:
    """Makes the table of bytes."""
    rows = [(figures.name(key), figures.size(count), figures.whole(count)) for key, count in report.sizes.items()]
    return table("Written and exchanged", ("what", "size", "bytes"), rows)


def times(report: Report) -> Markup:
    """Makes the table of stages and their durations."""
    rows = [(figures.name(key), figures.duration(seconds)) for key, seconds in report.seconds.items()]
    rows.append(("all stages", figures.duration(sum(report.seconds.values()))))
    return table("Time by stage", ("stage", "time"), rows)


def setup(report: Report) -> Markup:
    """Makes the table of what was asked for and agreed on."""
    given, agreed = report.setup, report.federation
    rows = [
        ("scheme", ", ".join((given.scheme, *parameters(given)))),
        ("data", f"{given.data}, {given.views} view{'s' if given.views > 1 else ''} per image"),
        ("holders", f"{len(given.holders)}: {', '.join(given.holders)}"),
        ("partition", given.partition),
        ("network", given.network),
        ("rounds", str(given.rounds)),
        ("engine", given.engine),
        ("seed", str(given.seed)),
        ("federation code", agreed.code),
        ("epoch", f"{agreed.epoch}, key check value {agreed.kcv}"),
        ("model bundle", agreed.bundle),
        ("bundle digest", agreed.digest),
    ]
    return table("This run", ("what", "value"), rows, "words")


def versions(report: Report) -> Markup:
    """Makes the table of software versions."""
    return table("Software", ("software", "version"), list(report.versions.items()), "words")
