"""What an experiment compares, as values; ``document`` reads them from a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

CONTROLS: Final = ("unit", "reference", "fresh")
TRAININGS: Final = ("pooled", "federated")
Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Data:
    """Which images are published, and how; what is None is left to ``blindsight simulate``.

    Args:
        source: ``digits``, a name that ``--data`` gives a place, or a path.
        limit: at most so many training images.
        holders: among how many they are dealt.
        partition: ``iid`` or ``dirichlet:ALPHA``.
        views: encrypted views of each training image.
        crop: largest shift of a view in pixels.
        jitter: strength of the changes of colour of a view, 0 to 1.
        cutout: side of the covered square of a view in pixels.
        val: training images that each holder holds out, on which models are compared.
    """

    source: str
    limit: int | None = None
    holders: int = 1
    partition: str = "iid"
    views: int = 1
    crop: int | None = None
    jitter: float | None = None
    cutout: int | None = None
    val: int | None = None

    def with_one_view(self) -> Data:
        """The same images, each published once as it is."""
        return dataclasses.replace(self, views=1, crop=None, jitter=None, cutout=None)

    def to_json(self) -> dict[str, Value]:
        """What decides the published images: what one view does not use, or nobody stated, is left out."""
        effective = self.with_one_view() if self.views == 1 else self
        return {name: value for name, value in dataclasses.asdict(effective).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Scheme:
    """A scheme with what is said of its parameters.

    Args:
        id: its name.
        params: public parameters; what is left out takes the scheme's default.
        networks: the only networks it is compared with; empty for all of the experiment.
    """

    id: str
    params: Mapping[str, Value] = field(default_factory=dict)
    networks: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How its row is called: ``vit-block block=8``."""
        return " ".join([self.id, *(f"{name}={value}" for name, value in sorted(self.params.items()))])


@dataclass(frozen=True, slots=True)
class Network:
    """A network with what its recipe has of its own.

    Args:
        id: its name.
        recipe: keys of the run configuration that replace the experiment's.
    """

    id: str
    recipe: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Published:
    """An accuracy that somebody published.

    Args:
        row: label of the row it is printed in.
        network: the only network it is printed for; empty for all of the row.
        accuracy: 0 to 1.
        source: paper and table.
    """

    row: str
    accuracy: float
    source: str
    network: str = ""


@dataclass(frozen=True, slots=True)
class Extra:
    """One more row, where a comparison is none of schemes and networks.

    Args:
        label: how the row is called.
        scheme: the scheme.
        network: name of the network, with the recipe that the experiment gives it.
        recipe: keys of the run configuration that replace the experiment's and the network's.
        data: what differs of the data.
        training: ``pooled`` or ``federated``; empty for the experiment's.
        controls: the controls of this row.
    """

    label: str
    scheme: Scheme
    network: str
    recipe: Mapping[str, Value] = field(default_factory=dict)
    data: Mapping[str, Value] = field(default_factory=dict)
    training: str = ""
    controls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is compared.

    Args:
        title: for people.
        question: what is asked, one sentence.
        data: the images.
        recipe: keys of the run configuration.
        training: ``pooled`` or ``federated``.
        schemes: rows, one with each network.
        networks: the networks with their own recipes.
        seeds: of keys, partition, views, weights and order, all at once.
        controls: which controls every row of ``schemes`` has.
        fresh: keys of the run configuration that the control ``fresh`` adds.
        published: figures of others, to stand beside ours.
        cells: rows besides.
    """

    title: str
    question: str
    data: Data
    recipe: Mapping[str, Value]
    training: str
    schemes: tuple[Scheme, ...]
    networks: tuple[Network, ...]
    seeds: tuple[int, ...]
    controls: tuple[str, ...]
    fresh: Mapping[str, Value]
    published: tuple[Published, ...]
    cells: tuple[Extra, ...]

    def base(self) -> dict[str, Any]:
        """What all rows have in common: another base is another experiment."""
        return {"data": self.data.to_json(), "recipe": dict(self.recipe), "training": self.training}
