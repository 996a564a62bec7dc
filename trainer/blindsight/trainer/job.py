"""A training job: what was verified when it was begun, so that server and resume hold to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blindsight.protocol.encoding import canonical
from blindsight.protocol.errors import FederationError
from blindsight.protocol.files import write_whole
from blindsight.protocol.manifest import Manifest
from blindsight.trainer.config import RunConfig

FILE_NAME = "job.json"


@dataclass(frozen=True, slots=True)
class Job:
    """What a run is about.

    Args:
        fed: federation id, hex.
        log: where the server reads the membership log.
        manifests: ids of the manifests taking part, hex, ascending.
        holders: number of holders.
        config: the run configuration as Flower carries it.
        despite_notice: whether a person has decided to train in spite of a warning about the epoch.
    """

    fed: str
    log: str
    manifests: tuple[str, ...]
    holders: int
    config: Mapping[str, Any]
    despite_notice: bool = False

    @classmethod
    def of(
        cls, log_place: Path | str, manifests: Sequence[Manifest], config: RunConfig, *, despite_notice: bool = False
    ) -> Job:
        """The job over verified manifests."""
        predicates = [manifest.predicate for manifest in manifests]
        return cls(
            fed=predicates[0]["fed"],
            log=str(log_place),
            manifests=tuple(sorted(manifest.envelope.mid for manifest in manifests)),
            holders=len({predicate["holder"] for predicate in predicates}),
            config=config.to_flower(),
            despite_notice=despite_notice,
        )

    @property
    def digest(self) -> str:
        """The job's id: hex of 32 bytes over everything that decides its result, and not over paths."""
        config = {key: repr(value) for key, value in self.config.items() if key != "timeout"}
        document = {"fed": self.fed, "manifests": list(self.manifests), "config": config}
        return hashlib.sha256(canonical(document)).hexdigest()

    def save(self, folder: Path) -> None:
        """Write the job file, or demand that the one in the folder is of the same job.

        Raises:
            FederationError: E_FEDERATION, the folder holds another job.
        """
        file = folder / FILE_NAME
        if file.exists() and Job.load(folder).digest != self.digest:
            raise FederationError(
                f"{folder} holds a run with other settings or manifests", hint="name another folder with --out"
            )
        document = {name: getattr(self, name) for name in self.__slots__}
        write_whole(file, json.dumps(document, indent=1).encode() + b"\n")

    @classmethod
    def load(cls, folder: Path) -> Job:
        """Read the job file.

        Raises:
            FederationError: E_FEDERATION, there is none.
        """
        try:
            document = json.loads((folder / FILE_NAME).read_bytes())
        except (OSError, ValueError) as error:
            raise FederationError(f"{folder} holds no training job", hint="blindsight trainer fit") from error
        return cls(**{**document, "manifests": tuple(document["manifests"])})

    def demand_config(self, config: RunConfig) -> None:
        """Refuse to run another configuration than the one verified.

        Raises:
            FederationError: E_FEDERATION, the differing keys are named.
        """
        got = config.to_flower()
        if different := [key for key, value in self.config.items() if got.get(key) != value]:
            raise FederationError(f"the run configuration differs from the job's in: {', '.join(different)}")

    def demand_manifests(self, manifests: Iterable[Manifest]) -> None:
        """Refuse nodes that offer other manifests than those verified.

        Raises:
            FederationError: E_FEDERATION.
        """
        offered = {manifest.envelope.mid: manifest.holder for manifest in manifests}
        strange = sorted(holder for mid, holder in offered.items() if mid not in self.manifests)
        absent = set(self.manifests) - set(offered)
        if strange or absent:
            who = f"; not part of the job: {', '.join(strange)}" if strange else ""
            raise FederationError(f"{len(absent)} manifest(s) of the job are offered by no node{who}")


def read_nodes(file: Path) -> list[Path]:
    """All data set folders of a run's nodes.

    Raises:
        FederationError: E_FEDERATION, the run has no node table.
    """
    try:
        return [Path(folder) for folders in json.loads(file.read_bytes()) for folder in folders]
    except (OSError, ValueError) as error:
        raise FederationError(f"{file} cannot be read", hint="blindsight trainer fit") from error
