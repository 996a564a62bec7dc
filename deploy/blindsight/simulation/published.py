"""What a simulation has published: which holder's encrypted images lie where, under which key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blindsight.protocol import manifest
from blindsight.protocol.log import Log
from blindsight.protocol.scheme import Descriptor
from blindsight.simulation.dealing import Dealt
from blindsight.simulation.settings import Settings
from blindsight.simulation.training import SPLITS
from blindsight.trainer.fit import Verified


@dataclass(frozen=True, slots=True)
class Dataset:
    """One split of one holder, encrypted.

    Args:
        holder: the holder's name.
        split: ``train``, ``val`` or ``test``.
        rows: encrypted images, views counted.
        folder: manifest and shards, at the holder's own site.
    """

    holder: str
    split: str
    rows: int
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """One object of the list that ``--json`` prints."""
        return {"holder": self.holder, "split": self.split, "rows": self.rows, "folder": str(self.folder)}


@dataclass(frozen=True, slots=True)
class Published:
    """A simulation up to the point at which training could begin.

    Args:
        settings: what was played.
        out: the simulation's folder.
        dealt: which images each holder has.
        log: the membership log.
        verified: what the trainer has verified.
        seconds: stage → seconds, over interruptions too.
    """

    settings: Settings
    out: Path
    dealt: Dealt
    log: Log
    verified: Verified
    seconds: dict[str, float]

    @property
    def descriptor(self) -> Descriptor:
        """Scheme and shape."""
        return self.verified.manifests[0].descriptor

    def datasets(self) -> list[Dataset]:
        """Every split of every holder, in this order; a holder with too few images has no ``val`` or no ``test``."""
        return [
            Dataset(name, split, int(manifest.load(folder, self.log).predicate["rows"]), folder)
            for name in self.settings.names
            for split in SPLITS
            if (folder := self.out / name / "datasets" / split).exists()
        ]

    def to_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "scheme": self.descriptor.id,
            "params": dict(self.descriptor.params),
            "federation": self.log.code,
            "epoch": self.log.latest.number,
            "log": str(self.out / "dropbox"),
            "classes": list(self.dealt.classes),
            "datasets": [one.to_json() for one in self.datasets()],
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }

    def table(self) -> list[str]:
        """The short table for stdout."""
        rows = [(f"{one.holder}, {one.split}", f"{one.rows:,} images in {one.folder}") for one in self.datasets()]
        rows += [("federation", self.log.code), ("log", str(self.out / "dropbox"))]
        width = max(len(name) for name, _ in rows)
        return [f"{name:<{width}}  {value}" for name, value in rows]
