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
from blindsight.trainer.experiments.summary import PERCENT, Line
from blindsight.trainer.experiments.table import HEADS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACCURACY, CURVES = "accuracy.svg", "curves.svg"
MARKERS: Final = {"scheme": "o", "unit": "s", "reference": "^", "fresh": "D"}
DASHES: Final = {"scheme": "-", "unit": "--", "reference": "-.", "fresh": ":"}
COLOURS: Final = {"scheme": "#d1495b", "unit": "#00798c", "reference": "#8d96a3", "fresh": "#30638e"}
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


def _figure(height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, height), layout="constrained")
    return figure, [figure.add_subplot(panels, 1, place + 1) for place in range(panels)]


def _accuracies(title: str, lines: Sequence[Line]) -> Figure:
    """A line for each row, a mark for each variant, a bar of one standard deviation to each side."""
    figure, (axes,) = _figure(1.2 + 0.35 * len(lines))
    for variant, marker in MARKERS.items():
        places = [(place, line.accuracy(variant)) for place, line in enumerate(lines)]
        drawn = [(place, spread) for place, spread in places if spread is not None]
        if drawn:
            axes.errorbar(
                [spread.mean for _, spread in drawn],
                [place for place, _ in drawn],
                xerr=[spread.deviation or 0.0 for _, spread in drawn],
                fmt=marker,
                color=COLOURS[variant],
                label=HEADS[variant],
                capsize=2,
                markersize=5,
            )
    axes.set_yticks(range(len(lines)), [f"{line.row.label}, {line.row.network}" for line in lines])
    axes.invert_yaxis()
    axes.set(title=title, xlabel="test accuracy, percent; mean ± one standard deviation over seeds")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(frameon=False, loc="best")
    return figure


def _curves(title: str, lines: Sequence[Line]) -> Figure:
    """A panel for each row: accuracy on ``val`` over the samples seen, a curve for each variant."""
    figure, every = _figure(0.6 + 1.9 * len(lines), len(lines))
    for line, axes in zip(lines, every, strict=True):
        for variant in line.row.variants:
            if results := line.results(variant):
                samples, accuracy = _mean_curve(results)
                axes.plot(
                    samples, accuracy, DASHES[variant], color=COLOURS[variant], label=HEADS[variant], linewidth=1.2
                )
        axes.set(title=f"{line.row.label}, {line.row.network}", ylabel="val accuracy, percent")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="lower right")
    every[-1].set_xlabel("samples seen")
    figure.suptitle(title)
    return figure


def _mean_curve(results: Sequence[Result]) -> tuple[list[float], list[float]]:
    """Samples seen, and accuracy in percent on ``val``, mean over seeds; where some seed was not measured, none."""
    common = set.intersection(*({number for number, _ in one.history} for one in results))
    numbers = sorted(common)
    heights = [dict(one.history) for one in results]
    first = results[0]
    samples = [first.samples * number / first.rounds for number in numbers]
    return samples, [PERCENT * sum(one[number] for one in heights) / len(heights) for number in numbers]
