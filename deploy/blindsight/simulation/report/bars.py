"""How the labels are spread over the holders: stacked bars and the table behind them."""

from __future__ import annotations

from collections.abc import Iterator
from colorsys import hls_to_rgb
from typing import Final

import numpy as np
import numpy.typing as npt

from blindsight.simulation.report.figures import whole
from blindsight.simulation.report.markup import Markup, element, join
from blindsight.simulation.report.tables import table
from blindsight.simulation.report.values import Report

# Paul Tol's "light" scheme with one more tone: apart for colour-blind eyes, and dark text is readable on each.
# Source: P. Tol 2021, "Colour Schemes", SRON/EPS/TN/09-002, issue 3.2, figure 5.
_TOL_LIGHT: Final = (
    "#77aadd", "#ee8866", "#eedd88", "#ffaabb", "#99ddff", "#44bb99", "#bbcc33", "#aaaa00", "#dddddd", "#c9a6e4",
)  # fmt: skip
_WIDTH: Final = 440
_ROW: Final = 46
_BAR: Final = 22
_LETTER: Final = 7.8  # width of a letter of 13 units, the largest that the style sheet uses here
_FEW: Final = 12  # classes up to which the table stands open


def draw(report: Report) -> Markup:
    """Draws one bar per holder, as long as its share of images, cut into classes."""
    rows = join(*(_bar(report, index) for index in range(len(report.setup.holders))))
    height = _ROW * len(report.setup.holders) + 4
    head = join(element("title", "Images of each class at each holder"), element("desc", _describe(report)))
    return element("svg", head, rows, role="img", viewBox=f"0 0 {_WIDTH} {height}", class_="chart bars")


def numbers(report: Report) -> Markup:
    """Makes the table of classes and holders, folded where there are many classes."""
    head = ("class", *report.setup.holders, "all")
    rows = [(_keyed(report, index), *_counts(report.label_split[:, index])) for index in range(len(report.class_names))]
    rows.append(("all", *_counts(report.label_split.sum(axis=1))))
    body = table("Images of each class at each holder", head, rows)
    if len(report.class_names) <= _FEW:
        return body
    return element("details", element("summary", f"Numbers of all {len(report.class_names)} classes"), body)


def _keyed(report: Report, number: int) -> Markup:
    colour = _colour(number, len(report.class_names))
    swatch = element("span", class_="swatch", style=f"background:{colour}")
    return element("span", swatch, report.class_names[number], class_="keyed")


def _counts(counts: npt.NDArray[np.integer]) -> tuple[str, ...]:
    return (*map(whole, counts.tolist()), whole(int(counts.sum())))


def _describe(report: Report) -> str:
    totals = report.label_split.sum(axis=1)
    held = (f"{name} {whole(int(total))}" for name, total in zip(report.setup.holders, totals, strict=True))
    return f"Images per holder: {', '.join(held)}. The table that follows gives the number of every class."


def _bar(report: Report, index: int) -> Markup:
    counts = report.label_split[index]
    caption = f"{report.setup.holders[index]} · {whole(int(counts.sum()))} images"
    title = element("text", caption, x=0, y=_ROW * index + 14)
    return element("g", title, *_segments(report, index))


def _segments(report: Report, index: int) -> Iterator[Markup]:
    longest = max(1, int(report.label_split.sum(axis=1).max()))
    x, y = 0.0, _ROW * index + 20
    for number, count in enumerate(report.label_split[index]):
        width = _WIDTH * int(count) / longest
        if count:
            yield _segment(
                report.class_names[number], int(count), _colour(number, len(report.class_names)), x, y, width
            )
        x += width


def _segment(name: str, count: int, colour: str, x: float, y: float, width: float) -> Markup:
    box = element("rect", element("title", f"{name}: {whole(count)}"), x=x, y=y, width=width, height=_BAR, fill=colour)
    if len(name) * _LETTER + 4 > width:
        return box
    return join(box, element("text", name, x=x + width / 2, y=y + 15, text_anchor="middle", class_="inside"))


def _colour(number: int, classes: int) -> str:
    if classes <= len(_TOL_LIGHT):
        return _TOL_LIGHT[number]
    parts = hls_to_rgb(number / classes, 0.76 if number % 2 else 0.66, 0.6)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)
