"""What a new epoch costs: which data sets are encrypted under older ones, which models can be re-keyed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from blindsight.holder.absorption import absorbs
from blindsight.protocol import bundle, manifest
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ProtocolError
from blindsight.protocol.log import Log
from blindsight.protocol.scheme import Descriptor

REKEY = "blindsight holder rekey BUNDLE --to-epoch N"


@dataclass(frozen=True, slots=True)
class Encrypted:
    """A data set that was offered under an agreed epoch.

    Args:
        name: of the data set, with its split.
        holder: label of its holder.
        epoch: number of its epoch.
        rows: number of images.
        bytes: size of its shards.
    """

    name: str
    holder: str
    epoch: int
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Trained:
    """A model that was offered under an agreed epoch.

    Args:
        name: of the model.
        epoch: number of its epoch.
        scheme: id of its scheme.
        rekeyable: whether its first layer absorbs the scheme's key, so that a holder can re-key it exactly; else it is
            trained anew.
    """

    name: str
    epoch: int
    scheme: str
    rekeyable: bool


@dataclass(frozen=True, slots=True)
class Cost:
    """Everything in the box that is bound to an epoch.

    Args:
        datasets: to be encrypted again.
        models: to be re-keyed or trained again.
    """

    datasets: tuple[Encrypted, ...]
    models: tuple[Trained, ...]

    def sentences(self) -> list[str]:
        """For people."""
        rows, size = sum(one.rows for one in self.datasets), sum(one.bytes for one in self.datasets)
        said = [f"to be encrypted again: {len(self.datasets)} data sets, {rows} rows, {size} bytes"]
        said += [f"  {d.name} of {d.holder}, epoch {d.epoch}: {d.rows} rows, {d.bytes} bytes" for d in self.datasets]
        said += [
            f"model {model.name}, epoch {model.epoch}, scheme {model.scheme}: "
            + (f"can be re-keyed without training: {REKEY}" if model.rekeyable else "has to be trained again")
            for model in self.models
        ]
        return said

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        datasets = [{name: getattr(one, name) for name in Encrypted.__slots__} for one in self.datasets]
        models = [{name: getattr(one, name) for name in Trained.__slots__} for one in self.models]
        return {"datasets": datasets, "models": models}


def cost_of(box: DropBox, log: Log) -> Cost:
    """What lies in the box under the agreed epochs; what does not verify is passed over."""
    return Cost(tuple(_datasets(box, log)), tuple(_models(box, log)))


def _datasets(box: DropBox, log: Log) -> Iterator[Encrypted]:
    root = f"{box.federation(log.fed)}/data"
    for holder in box.transport.folders(root):
        for name in box.transport.folders(f"{root}/{holder}"):
            for envelope in _named(box, f"{root}/{holder}/{name}", manifest.FILE_NAME):
                try:
                    found = manifest.read(envelope, log)
                except ProtocolError:
                    continue
                data = found.predicate["dataset"]
                size = sum(entry["bytes"] for entry in found.predicate["shards"])
                title = f"{data['name']}/{data['split']}"
                yield Encrypted(title, found.holder, found.predicate["epoch"], found.predicate["rows"], size)


def _models(box: DropBox, log: Log) -> Iterator[Trained]:
    root = box.models(log.fed)
    for name in box.transport.folders(root):
        for envelope in _named(box, f"{root}/{name}", bundle.STATEMENT):
            try:
                _, predicate = bundle.parse_unsigned(envelope)
                bundle.demand_signed(envelope, predicate, log)
                scheme, arch = Descriptor.from_json(predicate["scheme"]), predicate["arch"]
                rekeyable = absorbs(scheme.traits, arch)
                yield Trained(predicate["model"]["name"], predicate["epoch"], scheme.id, rekeyable)
            except ProtocolError:
                continue


def _named(box: DropBox, folder: str, file: str) -> list[Envelope]:
    return [found.envelope for found in box.found(folder) if found.envelope and found.name.endswith("/" + file)]
