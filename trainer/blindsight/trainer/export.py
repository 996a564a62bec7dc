"""From a finished run to a signed model bundle."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from blindsight.cli.output import say
from blindsight.protocol import bundle, manifest, tensorfile
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError, FederationError
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.log import Log
from blindsight.protocol.manifest import Manifest
from blindsight.trainer import checkpoint, fingerprint, weights
from blindsight.trainer.card import POOLED, card
from blindsight.trainer.checkpoint import BEST, LAST, Checkpoint
from blindsight.trainer.config import RunConfig
from blindsight.trainer.fit import NODES_FILE
from blindsight.trainer.job import Job, read_nodes
from blindsight.trainer.metrics import metrics_of
from blindsight.trainer.model import Arch, arch_of, model_for
from blindsight.trainer.onnx_export import to_onnx
from blindsight.trainer.pooled import STATE
from blindsight.trainer.selftest import selftest_of
from blindsight.trainer.stems import UNIT_CENTRE

SOFTWARE = ("blindsight", "flwr", "torch", "onnx")


def export(
    run: Path,
    manifests: Sequence[Manifest],
    log: Log,
    key: SigningKey,
    out: Path,
    *,
    name: str,
    created: str,
    tell: Callable[[str], None] = say,
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
        tell: takes a sentence about what the bundle lacks, for people.

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
    model = {"id": os.urandom(16).hex(), "name": name, "version": "1"}
    predicate = _predicate(best, job, config, manifests, log, key.entry.fpr) | {"model": model, "created": created}
    predicate["training"]["strategy"] = _strategy(run, config)
    files = _files(best, manifests[0], config) | _fingerprint(run, manifests, config, tell)
    files[bundle.CARD] = card(predicate, config, manifests, log, files)
    return bundle.make(out, key, predicate, files)


def _best(run: Path, job: Job, rounds: int) -> Checkpoint:
    history = checkpoint.load(run / LAST, job.digest).history if (run / LAST).exists() else ()
    if not history or history[-1].number < rounds:
        done = history[-1].number if history else 0
        raise FederationError(f"{run} is not finished: {done} of {rounds} rounds", hint="blindsight trainer fit")
    return checkpoint.load(run / BEST, job.digest)


def _strategy(run: Path, config: RunConfig) -> str:
    """How the holders' rows came together; the pooled engine leaves a file of its own, and averages nothing."""
    return POOLED if (run / STATE).exists() else config.strategy


def _files(best: Checkpoint, first: Manifest, config: RunConfig) -> dict[str, bytes]:
    """The files that follow from the weights, by name."""
    descriptor, classes = first.descriptor, first.classes
    network = model_for(descriptor, len(classes), config)
    weights.unpack(best.weights, network)
    return {
        bundle.MODEL: to_onnx(network, descriptor.encrypted_shape),
        bundle.WEIGHTS: _weights_file(network),
        bundle.CONFIG: bundle.config_file(config.network, _arch(first, config)),
        bundle.LABELS: bundle.labels_file(classes),
        bundle.SELFTEST: selftest_of(network, descriptor.encrypted_shape).to_bytes(),
    }


def _weights_file(network: nn.Module) -> bytes:
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
    return tensorfile.to_bytes(state, {"v": 1, "kind": "weights"})


def _fingerprint(
    run: Path, manifests: Sequence[Manifest], config: RunConfig, tell: Callable[[str], None]
) -> dict[str, bytes]:
    """The fingerprint, where the scheme has one and the shards are at hand."""
    arch = _arch_of(manifests[0], config)
    if not fingerprint.has_fingerprint(manifests[0].descriptor, arch):
        return {}
    try:
        shards = _shards(run, manifests)
    except BlindsightError as error:
        tell(f"the bundle gets no fingerprint, for which the training images are needed: {error.message}")
        return {}
    return {bundle.FINGERPRINT: fingerprint.to_bytes(fingerprint.fingerprint_of(shards, arch))}


def _shards(run: Path, manifests: Sequence[Manifest]) -> list[Path]:
    """Verified shards of all ``train`` splits, by ascending fingerprint of their holders.

    Raises:
        FederationError: E_FEDERATION, the folder of a data set is not known here.
        BlindsightError: E_IO, E_SHA, E_SHARD, E_SCHEME, a shard is missing or not the one that was signed.
    """
    written = {(folder / manifest.FILE_NAME).read_bytes(): folder for folder in _folders(run)}
    found: list[Path] = []
    for one in sorted((m for m in manifests if m.split == "train"), key=lambda m: str(m.predicate["holder"])):
        folder = written.get(one.envelope.to_bytes())
        if folder is None:
            raise FederationError(f"the data set of {one.holder} is not on this machine")
        for fault in manifest.shard_faults(one, folder):
            raise fault
        found += [folder / entry["path"] for entry in one.predicate["shards"]]
    return found


def _folders(run: Path) -> list[Path]:
    return [folder for folder in read_nodes(run / NODES_FILE) if (folder / manifest.FILE_NAME).is_file()]


def _arch_of(first: Manifest, config: RunConfig) -> Arch:
    return arch_of(first.descriptor, len(first.classes), config)


def _arch(first: Manifest, config: RunConfig) -> dict[str, Any]:
    """The network's parameters as they stand in documents."""
    arch = _arch_of(first, config)
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
        "metrics": metrics_of(best.history[-1]),
        "serial": 1,
        "supersedes": None,
    }
