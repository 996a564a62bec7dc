"""``accuracy.svg`` and ``curves.svg``: the table and the trainings as pictures, the same bytes for the same results.

Matplotlib draws them (extra ``experiments``); it is imported here and nowhere else, and only when plots are drawn.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from blindsight.protocol.files import write_whole
from blindsight.trainer.experiments.results import Result
from blindsight.trainer.experiments.spread import Spread
from blindsight.trainer.experiments.summary import PERCENT, Line
from blindsight.trainer.experiments.table import HEADS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACCURACY, CURVES = "accuracy.svg", "curves.svg"
MARKERS: Final = {"scheme": "o", "unit": "s", "reference": "^", "fresh": "D"}
DASHES: Final = {"scheme": "-", "unit": "--", "reference": "-.", "fresh": ":"}
COLOURS: Final = {"scheme": "#d1495b", "unit": "#00798c", "reference": "#8d96a3", "fresh": "#30638e"}
STEP: Final = 0.15  # from one variant's marks to the next one's, in rows
STYLE: Final[Mapping[str, Any]] = {
    "svg.hashsalt": "blindsight",  # names inside the file would be drawn at random
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def write(folder: Path, title: str, lines: Sequence[Line]) -> list[Path]:
    """Draw what results there are.

    Args:
        folder: where the pictures go.
        title: stands above them.
        lines: rows with what is known of them.

    Returns:
        The files, none if there is no result.
    """
    from matplotlib import rc_context

    known = [line for line in lines if any(line.results(name) for name in line.row.variants)]
    if not known:
        return []
    style: Any = dict(STYLE)  # whose keys matplotlib types one by one, others in each version
    with rc_context(style):
        for name, figure in ((ACCURACY, _accuracies(title, known)), (CURVES, _curves(title, known))):
            write_whole(folder / name, _svg(figure))
    return [folder / ACCURACY, folder / CURVES]


def _svg(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": "blindsight"})
    return file.getvalue()


def _figure(title: str, height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, height), layout="constrained")
    figure.suptitle(title)
    return figure, [figure.add_subplot(panels, 1, place + 1) for place in range(panels)]


def _accuracies(title: str, lines: Sequence[Line]) -> Figure:
    """A line for each row, a mark for each variant, a bar of one standard deviation to each side."""
    figure, (axes,) = _figure(title, 1.5 + 0.4 * len(lines))
    for number, variant in enumerate(MARKERS):
        found = [(place, line.accuracy(variant)) for place, line in enumerate(lines)]
        drawn = [(place + STEP * (number - 1.5), spread) for place, spread in found if spread is not None]
        _marks(axes, variant, drawn)
    axes.set_yticks(range(len(lines)), [f"{line.row.label}, {line.row.network}" for line in lines])
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlabel("test accuracy, percent; mean ± one standard deviation over seeds")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=len(MARKERS), frameon=False)
    return figure


def _marks(axes: Axes, variant: str, drawn: Sequence[tuple[float, Spread]]) -> None:
    if drawn:
        heights, spreads = zip(*drawn, strict=True)
        axes.errorbar(
            [spread.mean for spread in spreads],
            heights,
            xerr=[spread.deviation or 0.0 for spread in spreads],
            fmt=MARKERS[variant],
            color=COLOURS[variant],
            label=HEADS[variant],
            capsize=2,
            markersize=4,
        )


def _curves(title: str, lines: Sequence[Line]) -> Figure:
    """A panel for each row: accuracy on ``val`` over the samples seen, a curve for each variant."""
    figure, every = _figure(title, 1.0 + 1.9 * len(lines), len(lines))
    for line, axes in zip(lines, every, strict=True):
        for variant in line.row.variants:
            if results := line.results(variant):
                curve = _mean_curve(results)
                axes.plot(*curve, DASHES[variant], color=COLOURS[variant], label=HEADS[variant], linewidth=1.2)
        axes.set_title(f"{line.row.label}, {line.row.network}", fontsize="medium")
        axes.set_ylabel("val accuracy, percent")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="lower right")
    every[-1].set_xlabel("samples seen")
    return figure


def _mean_curve(results: Sequence[Result]) -> tuple[list[float], list[float]]:
    """Samples seen, and accuracy in percent on ``val``: means over seeds."""
    heights = [dict(one.history) for one in results]
    rounds = sorted(set.intersection(*map(set, heights)))
    samples = sum(one.samples for one in results) / len(results)
    means = [PERCENT * sum(one[number] for one in heights) / len(heights) for number in rounds]
    return [samples * number / results[0].rounds for number in rounds], means
