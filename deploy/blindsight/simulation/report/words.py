"""What came out and what the controls mean, in plain words that follow the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from blindsight.simulation.report import figures
from blindsight.simulation.report.figures import percent, wilson
from blindsight.simulation.report.values import Report, Setup

NEAR_CHANCE: Final = 0.1  # part of the gain over chance up to which a control is still called near chance


@dataclass(frozen=True, slots=True)
class Finding:
    """One measured accuracy, the number of images behind it, what it is called and what it means."""

    name: str
    share: float
    count: int
    meaning: str
    main: bool = False


def parameters(setup: Setup) -> tuple[str, ...]:
    """Writes the scheme's parameters for people, as in blocks of 4 × 4 pixels, or vortices 5."""
    given = dict(setup.descriptor.params)
    block = given.pop("block", None)
    blocks = () if block is None else (f"blocks of {block} × {block} pixels",)
    return (*blocks, *(f"{figures.name(name)} {value}" for name, value in given.items()))


def headline(report: Report) -> str:
    """Says in a few sentences what came out and what the controls say."""
    count = len(report.setup.holders)
    who = f"{count} holders trained one network together" if count > 1 else "One holder trained a network"
    images = f"{form(report)} images"
    named = percent(report.accuracy.encrypted)
    result = f"It names {named} of the test images rightly; guessing gives {percent(report.accuracy.chance)}."
    return f"{who} on {images}. {result} {_controls(report)}"


def form(report: Report) -> str:
    """What was done to the images: a scheme without a key does not encrypt."""
    if report.setup.is_plain:
        return "plain"
    return "perceptually encrypted" if report.setup.has_key else f"changed ({report.setup.scheme}, no key)"


def _controls(report: Report) -> str:
    told, shares = _told(report), _control_shares(report)
    if not shares:
        return "Nothing was encrypted in this run, so there is no control to measure."
    if not _has_learned(report):
        controls = "these controls say" if len(shares) > 1 else "this control says"
        return f"{told} It has not learned yet, so {controls} nothing."
    if not report.setup.has_key:
        return f"{told} The scheme has no key, so there is none that the model could be bound to."
    if not report.setup.can_bind:
        return f"{told} Every image has a key of its own, so there is none that the model could be bound to."
    if all(_near(share, report) for share in shares):
        return f"{told} Both are near chance: the model is bound to the holders’ key."
    return f"{told} At least one is above chance: part of what it learned works without the holders’ key."


def _told(report: Report) -> str:
    other, plain, told = report.accuracy.other_key, report.accuracy.plain_images, []
    if other is not None:
        told.append(f"encrypted under another key it reaches {percent(other)}")
    if plain is not None:
        told.append(f"{'on plain images' if told else 'left plain it reaches'} {percent(plain)}")
    return f"On {_these(report)} {', '.join(told)}."


def _control_shares(report: Report) -> tuple[float, ...]:
    shares = (report.accuracy.other_key, report.accuracy.plain_images)
    return tuple(share for share in shares if share is not None)


def _these(report: Report) -> str:
    return "the same images" if report.control_count == report.test_count else f"{report.control_count} of these images"


def findings(report: Report) -> tuple[Finding, ...]:
    """Lists the accuracies in the order of the table."""
    return tuple(_findings(report))


def _findings(report: Report) -> Iterator[Finding]:
    accuracy, tests, controls = report.accuracy, report.test_count, report.control_count
    name = f"{form(report).capitalize()} test images"
    yield Finding(name, accuracy.encrypted, tests, "The result.", main=True)
    if (share := accuracy.other_key) is not None:
        yield Finding("Control: encrypted under another key", share, controls, _meaning_other(share, report))
    if (share := accuracy.plain_images) is not None:
        yield Finding(f"Control: plain test images{_scaled(report)}", share, controls, _meaning_plain(share, report))
    if accuracy.control_plain is not None:
        yield Finding("Control: trained and tested on plain images", accuracy.control_plain, tests, _price(report))


def _scaled(report: Report) -> str:
    """Says that plain images had to be made smaller for the model, if they had."""
    height, width, _ = report.setup.descriptor.encrypted_shape
    if (height, width) == report.setup.descriptor.shape[:2]:
        return ""
    return f", scaled to the {height} × {width} pixels of encrypted ones"


def _meaning_other(share: float, report: Report) -> str:
    if _has_learned(report) and not report.setup.can_bind:
        return "Every image has a key of its own, so to the model these are like the ones of the result."
    return _meaning(share, report)


def _meaning_plain(share: float, report: Report) -> str:
    if not _has_learned(report) or report.setup.can_bind:
        return _meaning(share, report)
    if _near(share, report):
        return "Near chance: what the model learned does not carry over to plain images."
    return f"Above chance: {_kept(share, report)} carries over to plain images."


def _meaning(share: float, report: Report) -> str:
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
