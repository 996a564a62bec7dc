"""The rows of an experiment's table, and the runs behind them; runs that several rows share are one."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from blindsight.protocol.errors import BlindsightError, DataError
from blindsight.trainer.experiments.plan import Experiment, Extra, Value
from blindsight.trainer.experiments.run import Run
from blindsight.trainer.experiments.variants import VARIANTS, Bench


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Args:
        label: the scheme, or what the experiment calls it.
        network: the network.
        variants: name of the variant → one run a seed.
    """

    label: str
    network: str
    variants: Mapping[str, tuple[Run, ...]]

    def named(self) -> Iterator[tuple[str, Run]]:
        """The runs with their names, ``label/network/variant/seed``."""
        for variant, runs in self.variants.items():
            for run in runs:
                yield f"{self.label}/{self.network}/{variant}/{run.seed}", run


@dataclass(frozen=True, slots=True)
class Cell:
    """A run with the names of all places in the table that it stands for.

    Args:
        run: the run.
        names: ``label/network/variant/seed``, at least one.
    """

    run: Run
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """The first of its names."""
        return self.names[0]

    def matches(self, patterns: Sequence[str]) -> bool:
        """Whether a shell pattern covers one of its names, or a beginning of it that ends before a slash."""
        return any(fnmatchcase(name, p) or fnmatchcase(name, f"{p}/*") for name in self.names for p in patterns)


def rows_of(experiment: Experiment) -> tuple[Row, ...]:
    """All rows of an experiment, in the order of its file.

    Raises:
        DataError: a scheme, a parameter or a key of the recipe is not known or not allowed; the row is named.
    """
    extras = [
        Extra(scheme.label, scheme, network.id, controls=experiment.controls)
        for scheme in experiment.schemes
        for network in experiment.networks
        if not scheme.networks or network.id in scheme.networks
    ]
    rows = tuple(_row(extra, experiment) for extra in (*extras, *experiment.cells))
    names = [f"{row.label} with {row.network}" for row in rows]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"the row {twice[0]} stands twice", hint="give one of them another label, under cells")
    return rows


def _row(extra: Extra, experiment: Experiment) -> Row:
    recipes = {network.id: network.recipe for network in experiment.networks}
    own = recipes.get(extra.network, {})
    values: dict[str, Value] = {**experiment.recipe, **own, **extra.recipe, "network": extra.network}
    data, training = replace(experiment.data, **extra.data), extra.training or experiment.training  # type: ignore[arg-type]
    wanted = [name for name in VARIANTS if name == "scheme" or name in extra.controls]
    benches = [Bench(extra.scheme, data, {**values, "seed": s}, training, experiment.fresh) for s in experiment.seeds]
    try:
        return Row(extra.label, extra.network, {name: tuple(one.run(name) for one in benches) for name in wanted})
    except BlindsightError as error:
        raise DataError(f"{extra.label} with {extra.network}: {error.message}", hint=error.hint) from error


def cells_of(rows: Sequence[Row]) -> tuple[Cell, ...]:
    """Every run once, in the order in which they are best made.

    Seed by seed, so that an experiment that is cut short can be compared as far as it came; within a seed by what is
    published, so that the images of few runs lie on the disk at a time.

    Args:
        rows: what ``rows_of`` gave.
    """
    names: dict[str, list[str]] = {}
    runs: dict[str, Run] = {}
    for row in rows:
        for name, run in row.named():
            names.setdefault(run.digest, []).append(name)
            runs.setdefault(run.digest, run)
    seeds = _places(run.seed for run in runs.values())
    published = _places(run.publication.digest for run in runs.values())
    order = sorted(runs, key=lambda one: (seeds[runs[one].seed], published[runs[one].publication.digest]))
    return tuple(Cell(runs[one], tuple(names[one])) for one in order)


def _places(values: Iterable[Hashable]) -> dict[Hashable, int]:
    """Value → when it came first."""
    return {value: place for place, value in enumerate(dict.fromkeys(values))}
