"""Accuracy over the rounds, as an inline SVG drawing and its legend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from blindsight.simulation.report.figures import percent
from blindsight.simulation.report.markup import Markup, element, join
from blindsight.simulation.report.values import Report

STYLES: Final = 8  # lines told apart by colour, dashes and marker; more holders than that share one thin line style

_WIDTH, _HEIGHT = 440, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 12, 12, 42  # margins
_DASHES: Final = ("none", "7 3", "2 3", "9 3 2 3", "5 5", "12 4", "3 2 1 2", "1 4")
_MARKERS: Final = (
    "M-3.2,-3.2H3.2V3.2H-3.2Z",  # square
    "M0,-4L4,3H-4Z",  # triangle
    "M0,-4.4L4.4,0L0,4.4L-4.4,0Z",  # diamond
    "M0,4L4,-3H-4Z",  # triangle, point down
)


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    style: str
    dashes: str
    marker: str
    points: tuple[tuple[int, float], ...]  # (round, accuracy)


@dataclass(frozen=True, slots=True)
class _Axis:
    first: int
    last: int

    def x(self, number: float) -> float:
        span = self.last - self.first
        part = (number - self.first) / span if span else 0.5
        return _LEFT + part * (_WIDTH - _LEFT - _RIGHT)

    def ticks(self) -> range:
        step = next(
            step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**6) if (self.last - self.first) <= 9 * step
        )
        return range(-(-self.first // step) * step, self.last + 1, step)


def draw(report: Report) -> Markup:
    """Draws the accuracy of the aggregated model and of every holder, and chance as a level.

    Args:
        report: with a history of one round or more.

    Returns:
        A figure with the drawing and its legend.
    """
    lines = tuple(_lines(report))
    numbers = [entry.number for entry in report.history]
    axis = _Axis(min(numbers), max(numbers))
    body = join(_grid(axis), _chance(report.accuracy.chance), *(_plot(line, axis) for line in reversed(lines)))
    drawing = _svg(_describe(report), body)
    return element("div", drawing, _legend(lines, len(report.setup.holders)), class_="curve")


def _lines(report: Report) -> Iterator[_Line]:
    everyone = tuple((entry.number, entry.accuracy) for entry in report.history)
    yield _Line(
        "all holders together", "line-all", "none", "M-3.6,0A3.6,3.6 0 1 0 3.6,0A3.6,3.6 0 1 0 -3.6,0Z", everyone
    )
    many = len(report.setup.holders) > STYLES
    for index, holder in enumerate(report.setup.holders):
        points = tuple((entry.number, entry.holders[index]) for entry in report.history if entry.holders)
        if points:
            yield _crowd(holder, points) if many else _holder(holder, index, points)


def _holder(name: str, index: int, points: tuple[tuple[int, float], ...]) -> _Line:
    return _Line(name, f"line-{index}", _DASHES[index], _MARKERS[index % len(_MARKERS)], points)


def _crowd(name: str, points: tuple[tuple[int, float], ...]) -> _Line:
    return _Line(name, "line-crowd", "4 3", "", points)


def _y(share: float) -> float:
    return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)


def _grid(axis: _Axis) -> Markup:
    return join(*_levels(), *_rounds(axis))


def _levels() -> Iterator[Markup]:
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = _y(share)
        yield element("path", d=f"M{_LEFT},{y:g}H{_WIDTH - _RIGHT}", class_="grid")
        yield element("text", f"{100 * share:g} %", x=_LEFT - 7, y=y + 4, text_anchor="end")


def _rounds(axis: _Axis) -> Iterator[Markup]:
    for number in axis.ticks():
        yield element("text", str(number), x=axis.x(number), y=_HEIGHT - _BOTTOM + 18, text_anchor="middle")
    yield element("text", "round", x=(_LEFT + _WIDTH - _RIGHT) / 2, y=_HEIGHT - 6, text_anchor="middle")


def _chance(share: float) -> Markup:
    y = _y(share)
    label_y = y - 5 if share < 0.9 else y + 14
    level = element("path", d=f"M{_LEFT},{y:g}H{_WIDTH - _RIGHT}", class_="chance", stroke_dasharray="1 4")
    return join(level, element("text", "chance", x=_WIDTH - _RIGHT - 2, y=label_y, text_anchor="end"))


def _plot(line: _Line, axis: _Axis) -> Markup:
    corners = [(axis.x(number), _y(share)) for number, share in line.points]
    path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    return element("g", _stroke(path, line), *_markers(line, corners), class_=line.style)


def _stroke(path: str, line: _Line) -> Markup:
    return element("path", d=path, fill="none", stroke_dasharray=line.dashes)


def _markers(line: _Line, corners: Sequence[tuple[float, float]]) -> Iterator[Markup]:
    if not line.marker:
        return
    every = -(-len(corners) // 20)  # at most about 20 markers on a line
    for x, y in corners[::-1][::every]:
        yield element("path", d=line.marker, transform=f"translate({x:.1f} {y:.1f})", class_="mark")


def _svg(description: str, body: Markup) -> Markup:
    head = join(element("title", "Accuracy by round"), element("desc", description))
    return element("svg", head, body, role="img", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", class_="chart")


def _describe(report: Report) -> str:
    first, last = report.history[0], report.history[-1]
    return (
        f"Accuracy of the model of all holders together: {percent(first.accuracy)} in round {first.number}, "
        f"{percent(last.accuracy)} in round {last.number}. Chance is {percent(report.accuracy.chance)}. "
        "The table of rounds gives all values."
    )


def _legend(lines: Sequence[_Line], holders: int) -> Markup:
    if len(lines) > STYLES + 1:
        crowd = _Line(f"each of the {holders} holders", "line-crowd", "4 3", "", ())
        lines = (lines[0], crowd)
    return element("ul", *(element("li", _sample(line), line.name) for line in lines), class_="legend")


def _sample(line: _Line) -> Markup:
    mark = [element("path", d=line.marker, transform="translate(20 8)", class_="mark")] if line.marker else []
    drawn = element("g", _stroke("M1,8H39", line), *mark, class_=line.style)
    return element(
        "svg", element("title", f"line of {line.name}"), drawn, role="img", viewBox="0 0 40 16", class_="sample"
    )
