"""What a simulation has shown: the table, the JSON object and the report."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from blindsight.holder import federation
from blindsight.holder.ciphers import cipher_for
from blindsight.protocol.files import write_whole
from blindsight.protocol.log import Log
from blindsight.protocol.scheme import Descriptor, scheme_key
from blindsight.simulation import report
from blindsight.simulation.agreeing import opened
from blindsight.simulation.dealing import Dealt
from blindsight.simulation.operating import Answers, Measured, ids_of, test_images, under_other_key
from blindsight.simulation.settings import Settings
from blindsight.simulation.training import Trained
from blindsight.trainer.fit import Verified

REPORT = "report.html"
PICTURES = 8
SEALED = ("sealed/*/*", "sealing-*.json")
SOFTWARE = ("blindsight", "flwr", "torch", "onnxruntime", "numpy", "cryptography")
CURVE_NOTE = (
    "Each point is the averaged model measured by every holder on its own held-out part of the training images, "
    "encrypted, without views. The table above is measured once, on the test images."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that was measured.

    Args:
        settings: what was played.
        out: the simulation's folder.
        dealt: the data.
        log: the membership log.
        verified: the manifests trained on.
        trained: run and bundle.
        measured: answers of the exported model.
        control_plain: test accuracy of the same federation without encryption, or None.
        seconds: stage → wall seconds.
    """

    settings: Settings
    out: Path
    dealt: Dealt
    log: Log
    verified: Verified
    trained: Trained
    measured: Measured
    control_plain: float | None
    seconds: Mapping[str, float]

    @property
    def descriptor(self) -> Descriptor:
        """Scheme and shape."""
        return self.verified.manifests[0].descriptor

    def accuracy(self) -> dict[str, float | None]:
        """The accuracies by name, 0 to 1; None for a control that would say nothing under this scheme."""
        found = {
            "encrypted": self.measured.encrypted.accuracy,
            "other_key": _accuracy(self.measured.other_key),
            "plain_images": _accuracy(self.measured.plain),
        }
        return found if self.control_plain is None else {**found, "control_plain": self.control_plain}

    def sizes(self) -> dict[str, int]:
        """Bytes by what they carried; weights count every transfer between server and holders."""
        weights, rounds = self.trained.last.weights.nbytes, self.trained.last.number
        box = self.out / "dropbox"
        kept = [self.out / name / "datasets" / split for name in self.settings.names for split in ("train", "val")]
        return {
            "weights_exchanged": weights * self.settings.holders * (2 * rounds + 1),
            "identities_log_and_ceremony": sum(_size(path) for path in box.rglob("*.json") if _is_common(path, box)),
            "manifests": sum(_size(path) for path in box.rglob("manifest.dsse.json")),
            "sealed_test_images": sum(_size(path) for name in SEALED for path in box.glob(f"*/data/*/*/{name}")),
            "bundle": sum(_size(path) for path in self.trained.bundle.iterdir()),
            "shards_kept_at_holders": sum(_size(path) for folder in kept for path in folder.rglob("shards/*")),
        }

    def to_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "scheme": self.descriptor.id,
            "params": dict(self.descriptor.params),
            "holders": self.settings.holders,
            "rounds": self.trained.last.number,
            "accuracy": {name: _rounded(value) for name, value in self.accuracy().items()},
            "test_images": self.measured.encrypted.asked,
            "control_images": self.measured.controls,
            "model": self.trained.model,
            "bundle": str(self.trained.bundle),
            "report": str(self.out / REPORT),
            "bytes": self.sizes(),
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
            "versions": versions(),
        }

    def table(self) -> list[str]:
        """The short table for stdout."""
        shares = [(name.replace("_", " "), value) for name, value in self.accuracy().items() if value is not None]
        rows = [(f"accuracy, {name}", f"{value:.4f}") for name, value in shares]
        rows += [("test images", str(self.measured.encrypted.asked)), ("rounds", str(self.trained.last.number))]
        rows += [(f"bytes, {name.replace('_', ' ')}", f"{value:,}") for name, value in self.sizes().items()]
        rows += [(f"seconds, {name}", f"{value:.1f}") for name, value in self.seconds.items()]
        rows += [("model", self.trained.model[:16]), ("bundle", str(self.trained.bundle))]
        width = max(len(name) for name, _ in rows)
        return [f"{name:<{width}}  {value}" for name, value in [*rows, ("report", str(self.out / REPORT))]]


def _accuracy(answers: Answers | None) -> float | None:
    return None if answers is None else answers.accuracy


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 6)


def versions() -> dict[str, str]:
    """What the run was computed with."""
    return {"python": platform.python_version(), **{name: version(name) for name in SOFTWARE}}


def write_report(outcome: Outcome) -> Path:
    """Write ``report.html``; it shows plain images, so only its owner may read it."""
    path = outcome.out / REPORT
    write_whole(path, report.render(_report(outcome)).encode(), mode=0o600)
    return path


def _report(outcome: Outcome) -> report.Report:
    settings, epoch = outcome.settings, outcome.log.latest
    return report.Report(
        title=f"{outcome.dealt.name} under {settings.scheme}, {settings.holders} holders",
        setup=report.Setup(
            descriptor=outcome.descriptor,
            data=outcome.dealt.name,
            holders=settings.names,
            rounds=outcome.trained.last.number,
            engine=settings.engine,
            network=settings.network,
            seed=settings.seed,
            views=settings.views,
            partition=settings.partition,
        ),
        accuracy=_shares(outcome),
        test_count=outcome.measured.encrypted.asked,
        control_count=outcome.measured.controls,
        history=_history(outcome),
        class_names=outcome.dealt.classes,
        label_split=outcome.dealt.counts,
        sizes=outcome.sizes(),
        seconds=dict(outcome.seconds),
        versions=versions(),
        federation=report.Federation(
            outcome.log.code, epoch.number, epoch.kcv, str(outcome.trained.bundle), outcome.trained.statement
        ),
        sheet=_sheet(outcome),
        curve_note=CURVE_NOTE,
    )


def _shares(outcome: Outcome) -> report.Accuracy:
    measured = outcome.measured
    return report.Accuracy(
        encrypted=measured.encrypted.accuracy,
        other_key=_accuracy(measured.other_key),
        plain_images=_accuracy(measured.plain),
        chance=1 / len(outcome.dealt.classes),
        control_plain=outcome.control_plain,
    )


def _history(outcome: Outcome) -> tuple[report.Round, ...]:
    order = _fingerprints(outcome)
    return tuple(
        report.Round(one.number, one.accuracy, one.loss, tuple(one.holders[fpr] for fpr in order))
        for one in outcome.trained.last.history
    )


def _fingerprints(outcome: Outcome) -> list[str]:
    by_name = {member.name: member.fpr for member in outcome.log.roster.members}
    return [by_name[name] for name in outcome.settings.names]


def _sheet(outcome: Outcome) -> report.Sheet:
    """Plain images, what they are encrypted to, and what another key makes of that, if the scheme has such a thing."""
    settings, descriptor = outcome.settings, outcome.descriptor
    plain, labels = test_images(settings, outcome.out, settings.names[0], PICTURES)
    with opened(outcome.out / settings.names[0]) as store:
        epoch, secret = federation.epoch_secret(store, outcome.log, None)
    cipher = cipher_for(descriptor, scheme_key(secret, outcome.log.fed, epoch.number, descriptor.digest))
    encrypted = cipher.encrypt(plain, ids_of(plain))
    keyed = descriptor.traits.scope != "none" and descriptor.traits.invertible
    other = under_other_key(settings, descriptor, encrypted, undo=True) if keyed else None
    return report.Sheet(np.asarray(plain), encrypted, other, tuple(labels.tolist()))


def _is_common(path: Path, box: Path) -> bool:
    """Whether a document is neither about a data set nor part of a bundle."""
    return not {"data", "models"} & set(path.relative_to(box).parts)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
