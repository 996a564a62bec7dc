"""Publishing, admission, training and export, each by the party whose work it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from blindsight.cli.output import progress, say
from blindsight.holder import federation
from blindsight.holder.plan import Plan, Views, make_plan
from blindsight.holder.publish import interrupted, offer, publish
from blindsight.holder.quality_cli import demand_effect
from blindsight.holder.sealing import recipients_in, seal_dataset
from blindsight.holder.sources import open_source
from blindsight.protocol import manifest
from blindsight.protocol.admission import demand_admitted, verify_federation
from blindsight.protocol.clock import now, to_text
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.log import Log
from blindsight.simulation.agreeing import OPERATOR, TRAINER, opened
from blindsight.simulation.chance import entropy
from blindsight.simulation.dealing import IMAGES, TEST
from blindsight.simulation.settings import Settings
from blindsight.trainer import export, weights
from blindsight.trainer.checkpoint import BEST, Checkpoint, Round, load
from blindsight.trainer.config import RunConfig
from blindsight.trainer.fit import Verified, fit, verify
from blindsight.trainer.job import Job

SPLITS = ("train", "val", TEST)
MODEL = "model"


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training.

    Args:
        last: the last checkpoint with the whole history.
        model: digest of the exported weights, hex.
        bundle: the bundle's folder in the drop-box.
        statement: the bundle's id, hex.
    """

    last: Checkpoint
    model: str
    bundle: Path
    statement: str


def publish_all(settings: Settings, out: Path, log: Log) -> None:
    """Every holder encrypts and publishes its splits; only the test split's shards leave it, sealed to the operator."""
    for name in settings.names:
        with opened(out / name) as store:
            _, secret = federation.epoch_secret(store, log, None)
            for split in SPLITS:
                plan = _plan(settings, out / name, split, log, secret)
                if plan is not None:
                    demand_effect(plan.cipher)
                    _publish(settings, out, name, plan, store.key, log)


def _plan(settings: Settings, folder: Path, split: str, log: Log, secret: bytes) -> Plan | None:
    source = open_source(f"npz:{folder / IMAGES}")
    if split not in source.splits:
        return None
    return make_plan(
        source.splits[split],
        split_name=split,
        name="images",
        classes=source.classes,
        fit=source.fit,
        views=settings.augmentation(mirror=source.mirror) if split == "train" else Views(),
        scheme=(settings.scheme, settings.params),
        epoch=log.latest,
        epoch_secret=secret,
        log=log,
    )


def _publish(settings: Settings, out: Path, name: str, plan: Plan, key: SigningKey, log: Log) -> None:
    folder = out / name / "datasets" / plan.split_name
    if not (folder / manifest.FILE_NAME).exists() or interrupted(folder):
        draws = entropy(settings.seed, "publish", name, plan.split_name)
        with progress(f"{name} publishes {plan.split_name}", plan.rows) as advance:
            publish(plan, key, folder, to_text(now()), advance, entropy=draws)
    box = DropBox(out / "dropbox")
    if plan.split_name == TEST:
        _seal(settings, box, folder, key, log)
    offer(folder, box, box.data(log.fed, key.entry.fpr))


def _seal(settings: Settings, box: DropBox, folder: Path, key: SigningKey, log: Log) -> None:
    people = recipients_in(box, log, now(), [OPERATOR])
    draws = entropy(settings.seed, "seal", key.entry.name, folder.name)
    seal_dataset(folder, box, log, key, people, to_text(now()), lambda shards: None, entropy=draws)


def check(settings: Settings, out: Path, log: Log) -> Verified:
    """The trainer verifies what lies in the drop-box; the folders of the nodes are the holders' own.

    Raises:
        FederationError: E_FEDERATION, naming every fault.
    """
    offered = sorted((out / "dropbox").glob("*/data/*/*/" + manifest.FILE_NAME))
    envelopes = manifest.offers_in(offered)
    _, faults = verify_federation(log, envelopes, now())
    demand_admitted(faults)
    folders = [out / name / "datasets" / split for name in settings.names for split in ("train", "val")]
    return verify(out / "dropbox", log.code, [folder for folder in folders if folder.exists()])


def train(settings: Settings, out: Path, config: RunConfig, verified: Verified, workers: int) -> Checkpoint:
    """Train, saying after every round how it goes."""

    def report(one: Round) -> None:
        say(f"after round {one.number} of {config.rounds}: val accuracy {one.accuracy:.4f}, loss {one.loss:.4f}")

    folder = out / TRAINER / "run"
    engine = settings.engine
    return fit(verified, out / "dropbox", config, folder, engine=engine, workers=workers, report=report)


def export_model(out: Path, verified: Verified, log: Log, last: Checkpoint) -> Trained:
    """The trainer signs the best model into the drop-box."""
    run = out / TRAINER / "run"
    target = out / "dropbox" / DropBox(out / "dropbox").models(log.fed) / MODEL
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened(out / TRAINER) as store:
            export.export(run, verified.manifests, log, store.key, target, name=MODEL, created=to_text(now()))
    best = load(run / BEST, Job.load(run).digest)
    statement = Envelope.from_bytes((target / "bundle.dsse.json").read_bytes())
    return Trained(last, weights.digest(best.weights), target, statement.mid)
