"""From a finished run to a signed model bundle."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from blindsight.protocol import bundle, tensorfile
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import FederationError
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.log import Log
from blindsight.protocol.manifest import Manifest
from blindsight.trainer import checkpoint, weights
from blindsight.trainer.checkpoint import BEST, LAST, Checkpoint
from blindsight.trainer.config import RunConfig
from blindsight.trainer.job import Job
from blindsight.trainer.model import arch_of, model_for
from blindsight.trainer.onnx_export import to_onnx
from blindsight.trainer.stems import UNIT_CENTRE

SOFTWARE = ("blindsight", "flwr", "torch", "onnx")


def export(
    run: Path, manifests: Sequence[Manifest], log: Log, key: SigningKey, out: Path, *, name: str, created: str
) -> Envelope:
    """Write the best model of a run as a bundle.

    Args:
        run: the run's folder.
        manifests: the verified manifests it was trained on.
        log: the membership log.
        key: a trainer of the roster.
        out: the bundle's folder; must not exist.
        name: the model's name.
        created: the present time.

    Returns:
        The signed statement.

    Raises:
        MembershipError: E_ROSTER, the key is no trainer of this federation.
        FederationError: E_FEDERATION, the run is not finished or was trained on other manifests.
        BlindsightError: E_EXISTS, the folder exists.
    """
    log.roster.trainer(key.entry.fpr)
    job = Job.load(run)
    job.demand_manifests(manifests)
    config = RunConfig.from_flower(job.config)
    best = _best(run, job, config.rounds)
    files = _files(best, manifests[0], config)
    predicate = _predicate(best, job, config, manifests, log, key.entry.fpr)
    model = {"id": os.urandom(16).hex(), "name": name, "version": "1"}
    return bundle.make(out, key, {**predicate, "model": model, "created": created}, files)


def _best(run: Path, job: Job, rounds: int) -> Checkpoint:
    history = checkpoint.load(run / LAST, job.digest).history if (run / LAST).exists() else ()
    if not history or history[-1].number < rounds:
        done = history[-1].number if history else 0
        raise FederationError(f"{run} is not finished: {done} of {rounds} rounds", hint="blindsight trainer fit")
    return checkpoint.load(run / BEST, job.digest)


def _files(best: Checkpoint, manifest: Manifest, config: RunConfig) -> dict[str, bytes]:
    """The bundle's files by name."""
    descriptor, classes = manifest.descriptor, manifest.classes
    network = model_for(descriptor, len(classes), config)
    weights.unpack(best.weights, network)
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
    return {
        bundle.MODEL: to_onnx(network, descriptor.encrypted_shape),
        bundle.WEIGHTS: tensorfile.to_bytes(state, {"v": 1, "kind": "weights"}),
        bundle.CONFIG: bundle.config_file(config.network, _arch(manifest, config)),
        bundle.LABELS: bundle.labels_file(classes),
    }


def _arch(manifest: Manifest, config: RunConfig) -> dict[str, Any]:
    """The network's parameters as they stand in documents."""
    arch = arch_of(manifest.descriptor, len(manifest.classes), config)
    return {**arch, "shape": list(arch["shape"])}


def _predicate(
    best: Checkpoint, job: Job, config: RunConfig, manifests: Sequence[Manifest], log: Log, trainer: str
) -> dict[str, Any]:
    stated: Mapping[str, Any] = manifests[0].predicate
    same = ("fed", "epoch", "record", "kcv", "scheme", "scheme_digest", "scv", "task")
    arch = _arch(manifests[0], config)
    centre, scale = UNIT_CENTRE[arch["unit"]]
    return {
        "v": 1,
        "trainer": trainer,
        "head": log.head,
        **{name: stated[name] for name in same},
        "arch": {"id": config.network, "params": arch},
        "input": {
            "shape": arch["shape"],
            "dtype": "u8",
            "layout": "NHWC",
            "mean": [str(centre)],
            "std": [str(scale)],
        },
        "labels_digest": stated["task"]["labels_digest"],
        "training": {
            "manifests": list(job.manifests),
            "rounds": best.number,
            "strategy": config.strategy,
            "clients": job.holders,
            "seed": config.seed,
            "software": {name: version(name) for name in SOFTWARE},
        },
        "metrics": {"val-accuracy": f"{best.best:.6f}", "val-loss": f"{best.history[-1].loss:.6f}"},
        "serial": 1,
        "supersedes": None,
    }
