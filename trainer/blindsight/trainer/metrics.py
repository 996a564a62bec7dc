"""The figures of a model as a bundle states them: decimals by name, with the number of rows and the interval."""

from __future__ import annotations

from collections.abc import Mapping

from blindsight.protocol.interval import wilson
from blindsight.trainer.checkpoint import Round

ACCURACY, LOSS, ROWS, LOW, HIGH = "val-accuracy", "val-loss", "val-n", "val-accuracy-low", "val-accuracy-high"
Metrics = dict[str, str]


def metrics_of(one: Round) -> Metrics:
    """State a measurement.

    Args:
        one: a model, measured on every holder's ``val`` rows.

    Returns:
        ``val-accuracy``, ``val-loss``, ``val-n``, ``val-accuracy-low`` and ``-high`` (95 %), and the same but for the
        loss under ``holder/<fingerprint>/``. Where there was no row there is ``val-n`` alone; where rows were not
        counted there is neither it nor an interval.
    """
    counted = sum(one.rows.values()) if one.rows else None
    loss = {} if counted == 0 else {LOSS: f"{one.loss:.6f}"}
    every = _share(one.accuracy, counted) | loss
    for fpr, accuracy in one.holders.items():
        every |= {f"{prefix_of(fpr)}{name}": value for name, value in _share(accuracy, one.rows.get(fpr)).items()}
    return every


def prefix_of(fpr: str) -> str:
    """What the names of one holder's figures begin with."""
    return f"holder/{fpr}/"


def holders_of(metrics: Mapping[str, str]) -> list[str]:
    """Fingerprints of the holders for whom there are figures."""
    return sorted({name.split("/")[1] for name in metrics if name.startswith("holder/") and name.count("/") == 2})


def _share(accuracy: float, rows: int | None) -> Metrics:
    if rows is None:
        return {ACCURACY: f"{accuracy:.6f}"}
    if rows == 0:
        return {ROWS: "0"}
    low, high = wilson(round(accuracy * rows), rows)
    return {ACCURACY: f"{accuracy:.6f}", ROWS: str(rows), LOW: f"{low:.6f}", HIGH: f"{high:.6f}"}
