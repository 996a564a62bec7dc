"""A run in a process of its own: train on what was published, then look at the test images, once.

``python -m blindsight.trainer.experiments.measuring`` reads an order from its standard input, one line of JSON, and
writes one line of JSON for each measured model, and a last one with what came out. It ends when its standard input
does: then nobody waits for it any more.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from blindsight.protocol.errors import BlindsightError, FederationError
from blindsight.protocol.manifest import shard_faults
from blindsight.protocol.scheme import Descriptor
from blindsight.trainer import checkpoint, task, weights
from blindsight.trainer.checkpoint import BEST, Round
from blindsight.trainer.config import RunConfig
from blindsight.trainer.device import device_for
from blindsight.trainer.experiments.spent import Spent
from blindsight.trainer.fit import Verified, fit, verify
from blindsight.trainer.job import Job
from blindsight.trainer.model import model_for
from blindsight.trainer.precision import resolve
from blindsight.trainer.shards import EncryptedShards, in_order

ENGINES: Final = {"pooled": "pooled", "federated": "inprocess"}
BATCH: Final = 500
INTERRUPTED: Final = 130
Say = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done.

    Args:
        dropbox: where the membership log lies.
        train: folders with manifest and shards to train on and to compare models on.
        test: folders with manifest and shards of the test images.
        folder: the run's own.
        config: the run configuration.
        training: ``pooled`` or ``federated``.
        threads: that compute.
    """

    dropbox: str
    train: Sequence[str]
    test: Sequence[str]
    folder: str
    config: Mapping[str, Any]
    training: str
    threads: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out; the fields are those of ``results.Result``."""

    parameters: int
    accuracy: float
    correct: int
    images: int
    val_accuracy: float
    best_round: int
    rounds: int
    samples: int
    seconds: float
    core_seconds: float
    history: Sequence[tuple[int, float]]
    precision: str


def measure(order: Order, say: Say) -> Measured:
    """Train, or go on training, and measure the best model on the test images.

    Args:
        order: what is to be done.
        say: called for every measured model.

    Raises:
        FederationError: E_FEDERATION, a manifest or shard is refused, or training cannot go on.
    """
    config = RunConfig.from_flower(order.config)
    verified = verify(order.dropbox, None, [Path(folder) for folder in order.train])
    spent = Spent(Path(order.folder))

    def report(one: Round) -> None:
        seconds, _ = spent.until_now()
        say({"round": one.number, "accuracy": one.accuracy, "loss": one.loss, "seconds": seconds})

    last = fit(
        verified,
        order.dropbox,
        config,
        Path(order.folder),
        engine=ENGINES[order.training],
        workers=order.threads,
        report=report,
    )
    seconds, core_seconds = spent.until_now()
    correct, images, parameters = _tested(order, verified.manifests[0].predicate["task"]["classes"])
    best = max(last.history, key=lambda one: (one.accuracy, one.number))  # of equals, the longer trained, as kept
    return Measured(
        parameters=parameters,
        accuracy=correct / images,
        correct=correct,
        images=images,
        val_accuracy=best.accuracy,
        best_round=best.number,
        rounds=last.number,
        samples=samples(config, order.training, _rows(verified)),
        seconds=seconds,
        core_seconds=core_seconds,
        history=[(one.number, one.accuracy) for one in last.history],
        precision=resolve(config.precision),
    )


def samples(config: RunConfig, training: str, rows: Sequence[int]) -> int:
    """Rows shown to the network in a whole training, but for a last batch of one row that a pass may leave out.

    Args:
        config: the run configuration.
        training: ``pooled`` or ``federated``.
        rows: training rows of each holder.
    """
    parts = [sum(rows)] if training == "pooled" else rows
    chosen = [max(1, round(part * config.recipe.share)) for part in parts]
    return config.rounds * sum(config.recipe.local_epochs(part) * part for part in chosen)


def _rows(verified: Verified) -> list[int]:
    """Training rows of each holder."""
    stated = [manifest.predicate for manifest in verified.manifests]
    return [one["rows"] for one in stated if one["dataset"]["split"] == "train"]


def _tested(order: Order, classes: int) -> tuple[int, int, int]:
    """Test images that the best model classifies rightly, test images, values in its weights."""
    torch.set_num_threads(order.threads)  # an engine may have left another number
    shards, descriptor = _test_images(order)
    shards.demand_labels(classes)
    job = Job.load(Path(order.folder))
    best = checkpoint.load(Path(order.folder) / BEST, job.digest)
    network = model_for(descriptor, classes, RunConfig.from_flower(job.config))
    weights.unpack(best.weights, network)
    _, correct, seen = task.evaluate(network.to(device_for()), in_order(shards, BATCH))
    return correct, seen, len(best.weights)


def _test_images(order: Order) -> tuple[EncryptedShards, Descriptor]:
    """All holders' test images, verified like those that are trained on, and how they were encrypted."""
    manifests = verify(order.dropbox, None, [Path(folder) for folder in order.test]).manifests
    paths: list[Path] = []
    for folder, manifest in zip(order.test, manifests, strict=True):
        for fault in shard_faults(manifest, Path(folder)):
            raise FederationError(f"test images of {manifest.holder}: {fault.message}", code=fault.code)
        paths += [Path(folder) / entry["path"] for entry in manifest.predicate["shards"]]
    return EncryptedShards(paths), manifests[0].descriptor


def main() -> int:
    """Do what standard input orders.

    Returns:
        0 done, 1 refused, 130 interrupted.
    """
    order = Order(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_whoever_waits, daemon=True).start()
    try:
        _say({"measured": asdict(measure(order, _say))})
    except KeyboardInterrupt:
        return INTERRUPTED
    except BlindsightError as error:
        _say({"refused": {"message": error.message, "code": error.code, "hint": error.hint}})
        return 1
    return 0


def _say(document: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def _end_with_whoever_waits() -> None:
    """Files are written whole, so that this may happen at any time."""
    while os.read(0, 1):  # not through sys.stdin, whose lock a sleeping thread would hold at exit
        pass
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
