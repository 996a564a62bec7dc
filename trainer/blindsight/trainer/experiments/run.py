"""One run of an experiment: what is published for it, how it is trained; named by a digest of all that decides it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from blindsight.trainer.config import RunConfig
from blindsight.trainer.experiments.plan import Data, Value

_DEFAULTS: Final = RunConfig().to_flower()


@dataclass(frozen=True, slots=True)
class Publication:
    """What the holders of a run publish.

    Args:
        data: the images.
        scheme: name of the scheme.
        params: its public parameters, as far as they are stated.
        seed: keys, partition and views follow from it.
    """

    data: Data
    scheme: str
    params: Mapping[str, Value]
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Everything that decides what is published."""
        return {"data": self.data.to_json(), "scheme": self.scheme, "params": dict(self.params), "seed": self.seed}

    @property
    def digest(self) -> str:
        """Its id, 24 hexadecimal digits."""
        return digest_of(self.to_json())


@dataclass(frozen=True, slots=True)
class Run:
    """One training and its measurement.

    Args:
        publication: what is trained on.
        config: the run configuration; it names the first layer, so that equal runs are seen to be equal.
        training: ``pooled`` or ``federated``.
    """

    publication: Publication
    config: RunConfig
    training: str

    @property
    def seed(self) -> int:
        """Of data and weights."""
        return self.publication.seed

    @property
    def digest(self) -> str:
        """Its id, 24 hexadecimal digits: over what is published, and the keys that differ from their defaults.

        A default that another version of the software changes shows in the whole configuration, which results carry.
        """
        config = self.config.to_flower()
        own = {key: value for key, value in config.items() if value != _DEFAULTS[key] and key != "timeout"}
        return digest_of({"publication": self.publication.to_json(), "config": own, "training": self.training})


def digest_of(document: Mapping[str, Any]) -> str:
    """24 hexadecimal digits that name a document."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:24]
