"""Experiments and results for tests: a small file, and results as hand-made as a table's arithmetic needs them.

Use as ``from tests.trainer import experiment_samples as samples``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from blindsight.trainer.experiments import document
from blindsight.trainer.experiments.plan import Experiment
from blindsight.trainer.experiments.results import Result
from blindsight.trainer.experiments.rows import Row, cells_of, rows_of
from blindsight.trainer.experiments.run import Run, digest_of

SMALL: dict[str, Any] = {
    "v": 1,
    "title": "Colours",
    "question": "Does it learn colours?",
    "data": {"source": "colours", "holders": 2, "views": 2},
    "recipe": {"rounds": 2, "lr": 0.02, "batch": 8, "least-steps": 4, "precision": "fp32"},
    "schemes": ["le"],
    "networks": ["small"],
    "seeds": [0],
}


def written(folder: Path, **changes: Any) -> Path:
    """A file that says what ``SMALL`` says, but for changes; None takes a key away."""
    entries = {key: value for key, value in {**SMALL, **changes}.items() if value is not None}
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(entries))
    return file


def experiment(folder: Path, **changes: Any) -> Experiment:
    """What such a file says."""
    return document.read(written(folder, **changes))


def rows(folder: Path, **changes: Any) -> tuple[Row, ...]:
    """Its rows."""
    return rows_of(experiment(folder, **changes))


def runs(folder: Path, **changes: Any) -> dict[str, Run]:
    """Its runs by all their names."""
    return {name: cell.run for cell in cells_of(rows(folder, **changes)) for name in cell.names}


def base(made: Experiment) -> str:
    """The digest that its results carry."""
    return digest_of(made.base())


def result(run: Run, name: str, experiment_digest: str, accuracy: float = 0.5, **changes: Any) -> Result:
    """The result of a run, as if it had been made."""
    values: dict[str, Any] = {
        "v": 1,
        "experiment": experiment_digest,
        "run": run.digest,
        "cell": name,
        "publication": run.publication.to_json(),
        "training": run.training,
        "config": run.config.to_flower(),
        "seed": run.seed,
        "parameters": 1000,
        "accuracy": accuracy,
        "correct": round(accuracy * 10_000),
        "images": 10_000,
        "val_accuracy": accuracy,
        "best_round": run.config.rounds,
        "rounds": run.config.rounds,
        "samples": 4000,
        "seconds": 60.0,
        "core_seconds": 100.0,
        "history": [[number, accuracy * number / run.config.rounds] for number in range(run.config.rounds + 1)],
        "machine": {"processor": "A", "cores": 2, "threads": 2, "device": "cpu", "precision": "fp32"},
        "versions": {"python": "3.11.0", "torch": "2.13.0"},
        "commit": "ab" * 20,
        "command": "blindsight trainer experiment small",
        "finished": "2026-11-20T13:00:00Z",
    }
    return Result(**(values | changes))
