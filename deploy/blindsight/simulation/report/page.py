"""Puts the report together: one HTML file without script, network or any other file."""

from __future__ import annotations

from typing import Final

from blindsight.simulation.report import bars, curve, figures, limits, sheet, tables
from blindsight.simulation.report.markup import Markup, element, join
from blindsight.simulation.report.style import STYLE
from blindsight.simulation.report.values import Report
from blindsight.simulation.report.words import findings, headline, parameters

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def render(report: Report) -> str:
    """Writes the page.

    Args:
        report: the values of the run.

    Returns:
        A whole HTML document, to be stored as UTF-8. It shows plain images: store it like them.
    """
    body = element("body", _header(report), element("main", *_sections(report)), _footer(report))
    return "<!doctype html>\n" + element("html", _head(report), body, lang="en") + "\n"


def _head(report: Report) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", report.title),
        element("link", rel="icon", href="data:,"),
        element("style", Markup(STYLE)),
    )


def _header(report: Report) -> Markup:
    given = report.setup
    facts = (
        f"{given.data} · {', '.join((given.scheme, *parameters(given)))} · {len(given.holders)} holder"
        f"{'s' if len(given.holders) > 1 else ''} · {given.rounds} round{'s' if given.rounds > 1 else ''} · "
        f"{given.network}"
    )
    lead = element("p", headline(report), class_="lead")
    return element("header", element("h1", report.title), element("p", facts, class_="facts"), lead, _tiles(report))


def _tiles(report: Report) -> Markup:
    tiles = [_tile(entry.name, entry.share, "tile main" if entry.main else "tile") for entry in findings(report)]
    tiles.append(_tile("Guessing", report.accuracy.chance, "tile"))
    return element("dl", *tiles, class_="tiles")


def _tile(name: str, share: float, style: str) -> Markup:
    return element("div", element("dt", name), element("dd", figures.percent(share)), class_=style)


def _section(title: str, *parts: str) -> Markup:
    return element("section", element("h2", title), *parts)


def _paragraph(text: str, style: str = "note") -> Markup:
    return element("p", text, class_=style)


def _sections(report: Report) -> tuple[Markup, ...]:
    return (
        _section("Result and controls", tables.results(report)),
        _section("Accuracy by round", *_course(report)),
        _section(sheet.title(report), *_pictures(report)),
        _section("What this does and does not protect", *_limits(report)),
        _section("Labels at each holder", *_labels(report)),
        _section("Sizes and times", element("div", tables.sizes(report), tables.times(report), class_="pair")),
        _section("How it was run", element("div", tables.setup(report), tables.versions(report), class_="pair")),
    )


def _course(report: Report) -> tuple[Markup, ...]:
    if not report.history:
        return (_paragraph("No round was recorded."),)
    note = (_paragraph(report.curve_note),) if report.curve_note else ()
    return (*note, curve.draw(report), tables.rounds(report))


def _pictures(report: Report) -> tuple[Markup, ...]:
    note = sheet.note(report)
    told = (_paragraph(note),) if note else ()
    return (_paragraph(sheet.WARNING, "warning"), *told, sheet.draw(report))


def _limits(report: Report) -> tuple[Markup, ...]:
    told = tuple(_paragraph(text, "limit") for text in limits.paragraphs(report))
    rows = [(party.name, party.holds, party.can) for party in limits.parties(report)]
    if not rows:
        return told
    return (
        *told,
        tables.table("Who can do what", ("who", "what they hold in this run", "what they can do"), rows, "parties"),
    )


def _labels(report: Report) -> tuple[Markup, ...]:
    note = "Each bar is one holder; its pieces are the classes, in the order of the table."
    return (_paragraph(f"{note} Partition: {report.setup.partition}."), bars.draw(report), bars.numbers(report))


def _footer(report: Report) -> Markup:
    kept = "It loads nothing and sends nothing."
    return element("footer", element("p", join("Made by blindsight. ", sheet.WARNING, " ", kept)))
