"""Checkpoints: weights and progress in one tensor file, replaced whole after every round; no pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blindsight.protocol import tensorfile
from blindsight.protocol.errors import FederationError
from blindsight.protocol.files import sweep_parts, write_whole
from blindsight.trainer.weights import Flat

LAST, BEST = "last.safetensors", "best.safetensors"


@dataclass(frozen=True, slots=True)
class Round:
    """One model of the run, measured on every holder's ``val`` rows.

    Args:
        number: rounds of training behind the model; 0 is the untrained one.
        accuracy: share of right answers over all holders' rows, 0 to 1.
        loss: mean cross-entropy a row.
        holders: fingerprint → accuracy.
    """

    number: int
    accuracy: float
    loss: float
    holders: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A model and how it came about.

    Args:
        job: digest of everything that decides the run.
        number: rounds of training behind the weights.
        weights: ``(values,)`` float32.
        history: the models measured so far.
    """

    job: str
    number: int
    weights: Flat
    history: tuple[Round, ...]

    @property
    def best(self) -> float:
        """Highest accuracy measured so far; below zero when none was."""
        return max((one.accuracy for one in self.history), default=-1.0)

    def save(self, path: Path) -> None:
        """Write the file whole."""
        state = {"job": self.job, "round": self.number, "history": [asdict(one) for one in self.history]}
        metadata = {"v": 1, "kind": "checkpoint", "state": json.dumps(state)}
        write_whole(path, tensorfile.to_bytes({"weights": self.weights}, metadata))


def load(path: Path, job: str) -> Checkpoint:
    """Read a checkpoint of a run.

    Args:
        path: the file.
        job: the run it must belong to.

    Raises:
        FederationError: E_FEDERATION, it belongs to another run.
        FormatError: E_SHARD, the file is damaged.
    """
    data = path.read_bytes()
    layout = tensorfile.parse_layout(data, len(data), path.name)
    state: dict[str, Any] = json.loads(json.loads(layout.metadata)["state"])
    if state["job"] != job:
        raise FederationError(
            f"{path} belongs to a run with other settings or manifests", hint="name another folder with --out"
        )
    history = tuple(Round(**one) for one in state["history"])
    return Checkpoint(job, state["round"], tensorfile.view(data, layout, "weights").copy(), history)


def resume(folder: Path, job: str) -> Checkpoint | None:
    """The last checkpoint of a run, or None when it has none yet."""
    sweep_parts(folder)
    return load(folder / LAST, job) if (folder / LAST).exists() else None
