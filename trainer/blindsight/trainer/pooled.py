"""The pooled engine: one loop over the shards of all holders, on one machine.

Encrypted shards of several holders may be trained on like one data set where they lie on one machine: in an
experiment, or at a trainer whom the holders sealed them to. There is no server and no averaging; a round is a share of
all rows, after which the model is measured on every holder's ``val`` rows and a checkpoint is written. Momentum and
the moving average live through all rounds, and through interruptions: ``pooled.safetensors`` holds what is in no
checkpoint, and is written before it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from blindsight.protocol import tensorfile
from blindsight.protocol.errors import FederationError
from blindsight.protocol.files import sweep_parts, write_whole
from blindsight.trainer import task, weights
from blindsight.trainer.alone import alone
from blindsight.trainer.checkpoint import BEST, LAST, Checkpoint, Round, resume
from blindsight.trainer.config import RunConfig
from blindsight.trainer.device import Joined, device_for
from blindsight.trainer.ema import Average
from blindsight.trainer.job import Job
from blindsight.trainer.model import model_for
from blindsight.trainer.node import NodeData
from blindsight.trainer.precision import resolve
from blindsight.trainer.shards import Batches, Indices, in_order, share_of, shuffled
from blindsight.trainer.whitening import Moments, moments_for, whiten

STATE: Final = "pooled.safetensors"
WEIGHTS, AVERAGE, MEMORY = "weights", "average", "memory/"
EVALUATION_BATCH: Final = 500


def run(job: Job, nodes: Sequence[NodeData], config: RunConfig, out: Path) -> Checkpoint:
    """Train to the last round, going on where an interrupted run was.

    Args:
        job: what the run is about.
        nodes: the holders' verified data, by ascending fingerprint.
        config: the run configuration.
        out: the run's folder.

    Returns:
        The last checkpoint, which ``last.safetensors`` holds as well.

    Raises:
        FederationError: E_FEDERATION, the recipe asks for what the scheme does not allow; or the folder holds another
            run.
    """
    with alone(out):
        sweep_parts(out)
        return _run(Running(job, nodes, config), resume(out, job.digest), config.rounds, out)


def _run(running: Running, state: Checkpoint | None, rounds: int, out: Path) -> Checkpoint:
    if state is not None:
        running.load(out / STATE)
        if running.number not in (state.number, state.number + 1):
            raise FederationError(f"{STATE} does not belong to {LAST} in {out}", hint="name another folder with --out")
    while state is None or state.number < rounds:
        if state is not None and running.number == state.number:
            running.train()
        running.save(out / STATE)
        history = () if state is None else state.history
        state = Checkpoint(running.job, running.number, running.packed(), (*history, running.measured()))
        if state.history[-1].accuracy >= state.best:  # of equals, the longer trained
            state.save(out / BEST)
        state.save(out / LAST)
    return state


class Running:
    """A pooled run in memory.

    Args:
        job: what the run is about.
        nodes: the holders' data.
        config: the run configuration.

    Attributes:
        number: rounds that are done.
        job: digest of what the run is about.
    """

    def __init__(self, job: Job, nodes: Sequence[NodeData], config: RunConfig) -> None:
        self.number = 0
        self.job, self._nodes, self._config = job.digest, nodes, config
        self._precision = resolve(config.precision, device_for().type)
        device = device_for()
        self._rows = Joined([node.train for node in nodes], device)
        self._network = begun(nodes, config).to(device)
        changes = task.Changes.of(nodes[0].descriptor, config.recipe)
        self._fitting = task.Fitting(self._network, config.recipe, changes, self._precision)
        decay = config.recipe.ema
        self._average = Average(self._network, decay) if decay else None
        self._steps = 0

    def train(self) -> None:
        """One round."""
        number, recipe = self.number + 1, self._config.recipe
        rates = [recipe.rate_at((number - step) / self._config.rounds) for step in (1, 0)]
        rng = self._rng(f"round {number}")
        task.train_epoch(self._fitting, self._batches(number, rng), (rates[0], rates[1]), rng, after=self._follow)
        self.number = number

    def _batches(self, number: int, rng: np.random.Generator) -> Batches:
        recipe = self._config.recipe
        chosen: Indices | None = None
        if recipe.share < 1:
            chosen = share_of(len(self._rows), recipe.share, number, lambda turn: self._rng(f"pass {turn}"))
        epochs = recipe.local_epochs(len(self._rows) if chosen is None else len(chosen))
        return shuffled(self._rows, recipe.batch, epochs, rng, chosen)

    def _follow(self) -> None:
        self._steps += 1
        if self._average is not None:
            self._average.follow(self._network, self._steps)

    def _rng(self, what: str) -> np.random.Generator:
        digest = hashlib.sha256(f"{self._config.seed}/pooled/{what}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "big"))

    def _shown(self) -> nn.Module:
        """The network that is measured and exported."""
        return self._network if self._average is None else self._average.module

    def packed(self) -> weights.Flat:
        """Its weights."""
        return weights.pack(self._shown().state_dict())

    def measured(self) -> Round:
        """Measure it on every holder's ``val`` rows."""
        counts = {node.holder: self._measure(node) for node in self._nodes}
        rows = sum(seen for _, _, seen in counts.values())
        correct = sum(right for _, right, _ in counts.values())
        loss = sum(mean * seen for mean, _, seen in counts.values())
        holders = {fpr: right / max(seen, 1) for fpr, (_, right, seen) in counts.items()}
        seen = {fpr: each for fpr, (_, _, each) in counts.items()}
        return Round(self.number, correct / max(rows, 1), loss / max(rows, 1), holders, seen)

    def _measure(self, node: NodeData) -> tuple[float, int, int]:
        if node.val is None:
            return 0.0, 0, 0
        return task.evaluate(self._shown(), in_order(node.val, EVALUATION_BATCH), precision=self._precision)

    def save(self, file: Path) -> None:
        """Write what goes on after an interruption."""
        tensors = {MEMORY + name: _array(value) for name, value in self._fitting.optimizers.state().items()}
        tensors[WEIGHTS] = weights.pack(self._network.state_dict())
        if self._average is not None:
            tensors[AVERAGE] = weights.pack(self._average.module.state_dict())
        state = {"v": 1, "kind": "pooled", "job": self.job, "round": self.number, "steps": self._steps}
        write_whole(file, tensorfile.to_bytes(tensors, state))

    def load(self, file: Path) -> None:
        """Go on from what ``save`` wrote for the same job.

        Raises:
            FederationError: E_FEDERATION, there is none, or it is of another run.
            FormatError: E_SHARD, it is damaged.
        """
        tensors, state = _read(file, self.job)
        weights.unpack(tensors.pop(WEIGHTS), self._network)
        if self._average is not None:
            weights.unpack(tensors.pop(AVERAGE), self._average.module)
        memory = {name.removeprefix(MEMORY): torch.from_numpy(value.copy()) for name, value in tensors.items()}
        self._fitting.optimizers.load(memory)
        self.number, self._steps = state["round"], state["steps"]


def _array(value: Tensor) -> weights.Flat:
    return value.detach().to("cpu", torch.float32).contiguous().numpy()


def _read(file: Path, job: str) -> tuple[dict[str, weights.Flat], dict[str, Any]]:
    if not file.is_file():
        raise FederationError(f"{file} is missing: the run cannot go on", hint="name another folder with --out")
    data = file.read_bytes()
    layout = tensorfile.parse_layout(data, len(data), file.name)
    state: dict[str, Any] = json.loads(layout.metadata)
    if state["job"] != job:
        raise FederationError(f"{file} belongs to another run", hint="name another folder with --out")
    return {name: tensorfile.view(data, layout, name) for name in layout.tensors}, state


def begun(nodes: Sequence[NodeData], config: RunConfig) -> nn.Module:
    """The network before its first step, equal for equal seeds and rows.

    Args:
        nodes: the holders' data.
        config: the run configuration.
    """
    first = nodes[0]
    network = model_for(first.descriptor, first.classes, config)
    if config.whiten:
        parts = [moments_for(network, node.train, config.seed) for node in nodes]
        if known := [one for one in parts if one is not None]:
            whiten(network, Moments.of(known))
    return network
