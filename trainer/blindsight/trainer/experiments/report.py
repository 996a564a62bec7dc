"""What stands in an experiment's folder for people: ``table.md`` and, where matplotlib is installed, two plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from blindsight.protocol.files import write_whole
from blindsight.trainer.experiments import plot, table
from blindsight.trainer.experiments.plan import Experiment
from blindsight.trainer.experiments.results import Results
from blindsight.trainer.experiments.rows import Row
from blindsight.trainer.experiments.summary import lines_of

NO_PLOTS: Final = 'plots are left out, for matplotlib is not installed: pip install "blindsight[experiments]"'


def write_table(folder: Path, experiment: Experiment, rows: Sequence[Row], results: Results) -> Path:
    """Write the table as far as results are there; rows without any are in it too."""
    file = folder / table.FILE_NAME
    write_whole(file, table.render(experiment, lines_of(rows, results)).encode())
    return file


def write_plots(folder: Path, experiment: Experiment, rows: Sequence[Row], results: Results) -> list[Path]:
    """Draw the plots; nothing is drawn where matplotlib is not installed or no run is finished."""
    return plot.write(folder, experiment.title, lines_of(rows, results)) if plot.available() else []
