"""What came out and what the controls mean, in plain words that follow the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from blindsight.simulation.report.figures import percent, wilson
from blindsight.simulation.report.values import Report

NEAR_CHANCE: Final = 0.1  # part of the gain over chance up to which a control is still called near chance


@dataclass(frozen=True, slots=True)
class Finding:
    """One measured accuracy, the number of images behind it, what it is called and what it means."""

    name: str
    share: float
    count: int
    meaning: str
    main: bool = False


def headline(report: Report) -> str:
    """Says in a few sentences what came out and what the controls say."""
    count = len(report.setup.holders)
    who = f"{count} holders trained one network together" if count > 1 else "One holder trained a network"
    images = "plain images" if report.setup.is_plain else "perceptually encrypted images"
    named = percent(report.accuracy.encrypted)
    result = f"It names {named} of the test images rightly; guessing gives {percent(report.accuracy.chance)}."
    return f"{who} on {images}. {result} {_controls(report)}"


def _controls(report: Report) -> str:
    if report.setup.is_plain:
        return "Nothing was encrypted in this run, so the controls say nothing about a key."
    accuracy = report.accuracy
    other, plain = percent(accuracy.other_key), percent(accuracy.plain_images)
    told = f"On {_these(report)} encrypted under another key it reaches {other}, on plain images {plain}."
    if not _has_learned(report):
        return f"{told} It has not learned yet, so these controls say nothing."
    if _near(accuracy.other_key, report) and _near(accuracy.plain_images, report):
        return f"{told} Both are near chance: the model is bound to the holders’ key."
    return f"{told} At least one is above chance: part of what it learned works without the holders’ key."


def _these(report: Report) -> str:
    return "the same images" if report.control_count == report.test_count else f"{report.control_count} of these images"


def findings(report: Report) -> tuple[Finding, ...]:
    """Lists the accuracies in the order of the table."""
    return tuple(_findings(report))


def _findings(report: Report) -> Iterator[Finding]:
    accuracy, tests, controls = report.accuracy, report.test_count, report.control_count
    name = "Plain test images" if report.setup.is_plain else "Perceptually encrypted test images"
    yield Finding(name, accuracy.encrypted, tests, "The result.", main=True)
    for name, share in (
        ("encrypted under another key", accuracy.other_key),
        ("plain test images", accuracy.plain_images),
    ):
        yield Finding(f"Control: {name}", share, controls, _meaning(share, report))
    if accuracy.control_plain is not None:
        yield Finding("Control: trained and tested on plain images", accuracy.control_plain, tests, _price(report))


def _meaning(share: float, report: Report) -> str:
    if report.setup.is_plain:
        return "Nothing was encrypted, so there is no key to miss."
    if not _has_learned(report):
        return "Says nothing while the result itself is near chance."
    if _near(share, report):
        return "Near chance, as it should be: the model is bound to the holders’ key."
    return f"Above chance: {_kept(share, report)} does not need the holders’ key."


def _kept(share: float, report: Report) -> str:
    return f"{min(100, 100 * _part(share, report)):.0f}\u00a0% of what the model gained over guessing"


def _price(report: Report) -> str:
    cost = (report.accuracy.control_plain or 0.0) - report.accuracy.encrypted
    if abs(cost) < 0.0005:
        return "The same network on plain data: no difference."
    return (
        f"The same network on plain data: encryption {'costs' if cost > 0 else 'gains'} {100 * abs(cost):.1f} points."
    )


def _near(share: float, report: Report) -> bool:
    low, _ = wilson(share, report.control_count)
    return low <= report.accuracy.chance or _part(share, report) <= NEAR_CHANCE


def _part(share: float, report: Report) -> float:
    """Returns how much of the model's gain over chance a control keeps; asked only where there is a gain."""
    chance = report.accuracy.chance
    return (share - chance) / (report.accuracy.encrypted - chance)


def _has_learned(report: Report) -> bool:
    low, _ = wilson(report.accuracy.encrypted, report.test_count)
    return low > report.accuracy.chance
