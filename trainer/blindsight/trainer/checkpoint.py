"""Checkpoints: weights and progress in one tensor file, replaced whole after every round; no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.protocol import tensorfile
from blindsight.protocol.errors import FederationError
from blindsight.protocol.files import sweep_parts, write_whole
from blindsight.protocol.tensorfile import Layout
from blindsight.trainer.weights import Flat

LAST, BEST = "last.safetensors", "best.safetensors"
STATE = "state"


@dataclass(frozen=True, slots=True)
class Round:
    """One model of the run, measured on every holder's ``val`` rows.

    Args:
        number: rounds of training behind the model; 0 is the untrained one.
        accuracy: share of right answers over all holders' rows, 0 to 1.
        loss: mean cross-entropy a row.
        holders: fingerprint → accuracy.
        rows: fingerprint → number of ``val`` rows; empty when the run was begun by a version that did not count them.

    Raises:
        ValueError: rows of other holders, or fewer than none.
    """

    number: int
    accuracy: float
    loss: float
    holders: dict[str, float]
    rows: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rows and (set(self.rows) != set(self.holders) or min(self.rows.values()) < 0):
            raise ValueError(f"expected a number of rows of each of {len(self.holders)} holders, got {self.rows}")


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
        text = np.frombuffer(json.dumps(state).encode(), np.uint8)  # a header is bounded, a history is not
        tensors: dict[str, NDArray[Any]] = {"weights": self.weights, STATE: text}
        write_whole(path, tensorfile.to_bytes(tensors, {"v": 2, "kind": "checkpoint"}))


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
    state = _state(data, layout)
    if state["job"] != job:
        raise FederationError(
            f"{path} belongs to a run with other settings or manifests", hint="name another folder with --out"
        )
    history = tuple(Round(**one) for one in state["history"])
    return Checkpoint(job, state["round"], tensorfile.view(data, layout, "weights").copy(), history)


def _state(data: bytes, layout: Layout) -> Mapping[str, Any]:
    """Job, round and history; checkpoints of version 1 have them in their header."""
    held = STATE in layout.tensors
    text = tensorfile.view(data, layout, STATE).tobytes() if held else json.loads(layout.metadata)["state"]
    state: Mapping[str, Any] = json.loads(text)
    return state


def resume(folder: Path, job: str) -> Checkpoint | None:
    """The last checkpoint of a run, or None when it has none yet."""
    sweep_parts(folder)
    return load(folder / LAST, job) if (folder / LAST).exists() else None
