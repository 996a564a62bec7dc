"""An experiment's file: what is compared, on which images, with which recipe.

    v: 1
    title: What the key costs
    question: How far does the accuracy fall when the images are encrypted?
    data: {source: cifar10, views: 2}          # cifar10: a name to which --data gives a place
    recipe: {rounds: 20, share: 0.25}          # keys of the run configuration
    training: pooled                           # or federated
    schemes: [le, {id: vit-block, params: {block: 8}, networks: [vit]}]
    networks: [small, {id: vit, recipe: {optimizer: adamw, lr: 0.001}}]
    seeds: [0, 1, 2]
    controls: [unit, reference, fresh]
    fresh: {crop: 4, mirror: true}             # what the control ``fresh`` does to plain images in every step
    published: [{row: le, accuracy: 0.863, source: "Tanaka 2018, Table I"}]
    cells: [{label: "le, federated", scheme: le, network: small, training: federated, data: {holders: 5}}]

Every key that is not listed here is an error, as is a key that stands twice. ``trainer/EXPERIMENTS.md`` explains all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from blindsight.protocol import fields
from blindsight.protocol.errors import DataError, FormatError
from blindsight.trainer.experiments.plan import CONTROLS, TRAININGS, Data, Experiment, Extra, Network, Published, Scheme

MAX_BYTES: Final = 64 * 1024
MOST_SEEDS: Final = 100
HINT: Final = "the keys of an experiment stand in trainer/EXPERIMENTS.md"
HINT_NUMBERS: Final = f"{HINT}; write small numbers as 0.001: YAML reads 1e-3 as text"
_NAME: Final = re.compile(r"[a-z0-9-]{1,40}")
_LABEL: Final = re.compile(r"[^/\x00-\x1f|]{1,60}")
_BESIDE: Final = Path(__file__).with_name("files")  # where a wheel has them
_IN_CHECKOUT: Final = Path(__file__).parents[3] / "experiments"


def find(word: str) -> Path:
    """The file that a word on the command line means: a path, or the name of an experiment that ships with blindsight.

    Raises:
        DataError: there is neither; the experiments that ship are named.
    """
    path = Path(word).expanduser()
    if path.is_file():
        return path
    folder = _BESIDE if _BESIDE.is_dir() else _IN_CHECKOUT
    if _NAME.fullmatch(word) and (folder / f"{word}.yaml").is_file():
        return folder / f"{word}.yaml"
    known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
    raise DataError(f"there is no experiment {word[:80]}", hint=f"a path, or one of those in {folder}: {known}")


def read(path: Path) -> Experiment:
    """Read an experiment.

    Raises:
        DataError: the file cannot be read, or says something that is not understood; every fault is named.
    """
    document = _loaded(path)
    try:
        fields.demand(_EXPERIMENT, document, str(path))
    except FormatError as error:
        raise DataError(error.message, hint=HINT_NUMBERS) from None
    experiment = _experiment(document)
    if faults := list(_faults(experiment)):
        raise DataError(f"{path}: " + "; ".join(faults), hint=HINT)
    return experiment


class _Strict(yaml.SafeLoader):
    """A loader that refuses what another one would pass over."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Demand keys that are text and stand once."""
        names = [key.value for key, _ in node.value]
        if strange := [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:str"]:
            raise yaml.YAMLError(f"the key {str(strange[0])[:40]} is not text")
        if twice := [name for name in names if names.count(name) > 1]:
            raise yaml.YAMLError(f"the key {twice[0][:40]} stands twice")
        return super().construct_mapping(node, deep)


def _loaded(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} must be at most {MAX_BYTES} bytes, got {path.stat().st_size}")
        return yaml.load(path.read_text(encoding="utf-8"), _Strict)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{path} is not readable as YAML: {' '.join(str(error).split())}", hint=HINT) from None


def number(least: float, most: float) -> fields.Check:
    """A number in a closed range."""

    def check(value: Any, at: str) -> Iterator[str]:
        if type(value) not in (int, float) or not least <= value <= most:
            yield f"{at} must be a number from {least:g} to {most:g}, got {str(value)[:40]!r}"

    return check


def scalar(value: Any, at: str) -> Iterator[str]:
    """A number, a word, true or false."""
    if type(value) not in (bool, int, float, str) or len(str(value)) > 80:
        yield f"{at} must be a number, a word, true or false"


def _word_or(whole: fields.Check) -> fields.Check:
    def check(value: Any, at: str) -> Iterator[str]:
        yield from (_ID if isinstance(value, str) else whole)(value, at)

    return check


_VALUES = fields.dictionary(scalar)
_ID = fields.pattern(_NAME, "a name in lower case")
_ROW = fields.pattern(_LABEL, "1 to 60 characters, none of them / or |")
_TRAINING = fields.one_of(TRAININGS)
_CONTROLS = fields.listing(fields.one_of(CONTROLS), most=len(CONTROLS))
_DATA: Mapping[str, fields.Check] = {
    "source": fields.text(300),
    "limit": fields.integer(1),
    "holders": fields.integer(1, 256),
    "partition": fields.text(40),
    "views": fields.integer(1, 1000),
    "crop": fields.integer(0, 1024),
    "jitter": number(0, 1),
    "cutout": fields.integer(0, 1024),
    "val": fields.integer(1),
}
_SCHEME = fields.mapping({"id": _ID}, {"params": _VALUES, "networks": fields.listing(_ID, least=1, most=64)})
_NETWORK = fields.mapping({"id": _ID}, {"recipe": _VALUES})
_PUBLISHED = fields.mapping(
    {"row": _ROW, "accuracy": number(0, 1), "source": fields.text(200)},
    {"network": _ID},
)
_EXTRA = fields.mapping(
    {"label": _ROW, "scheme": _word_or(fields.mapping({"id": _ID}, {"params": _VALUES})), "network": _ID},
    {"recipe": _VALUES, "data": fields.mapping({}, _DATA), "training": _TRAINING, "controls": _CONTROLS},
)
_EXPERIMENT = fields.mapping(
    {
        "v": fields.constant(1),
        "title": fields.text(120),
        "question": fields.text(400),
        "data": fields.mapping({"source": _DATA["source"]}, _DATA),
        "recipe": _VALUES,
        "seeds": fields.listing(fields.integer(0, 2**31 - 1), least=1, most=MOST_SEEDS),
    },
    {
        "training": _TRAINING,
        "schemes": fields.listing(_word_or(_SCHEME), most=64),
        "networks": fields.listing(_word_or(_NETWORK), most=64),
        "controls": _CONTROLS,
        "fresh": _VALUES,
        "published": fields.listing(_PUBLISHED, most=200),
        "cells": fields.listing(_EXTRA, most=200),
    },
)


def _experiment(document: Mapping[str, Any]) -> Experiment:
    return Experiment(
        title=document["title"],
        question=document["question"],
        data=Data(**document["data"]),
        recipe=document["recipe"],
        training=document.get("training", TRAININGS[0]),
        schemes=tuple(_scheme(one) for one in document.get("schemes", [])),
        networks=tuple(Network(**_named(one)) for one in document.get("networks", [])),
        seeds=tuple(document["seeds"]),
        controls=tuple(document.get("controls", [])),
        fresh=document.get("fresh", {"crop": 4, "mirror": True}),
        published=tuple(Published(**one) for one in document.get("published", [])),
        cells=tuple(_extra(one) for one in document.get("cells", [])),
    )


def _named(entry: str | dict[str, Any]) -> dict[str, Any]:
    return {"id": entry} if isinstance(entry, str) else entry


def _scheme(entry: str | dict[str, Any]) -> Scheme:
    named = _named(entry)
    return Scheme(named["id"], named.get("params", {}), tuple(named.get("networks", ())))


def _extra(entry: Mapping[str, Any]) -> Extra:
    controls = tuple(entry.get("controls", ()))
    return Extra(**{**entry, "scheme": _scheme(entry["scheme"]), "controls": controls})


def _faults(experiment: Experiment) -> Iterator[str]:
    """What does not go together."""
    known = [network.id for network in experiment.networks]
    if not (experiment.schemes and experiment.networks) and not experiment.cells:
        yield "there is no row: schemes and networks, or cells, must be given"
    elif experiment.schemes and not experiment.networks:
        yield "schemes are given, but no networks"
    for what, names in (("network", known), ("seed", experiment.seeds), ("control", experiment.controls)):
        yield from (f"{what} {name} is named twice" for name in _repeated(names))
    wanted = [(scheme.label, name) for scheme in experiment.schemes for name in scheme.networks]
    yield from (f"{label} asks for network {name}, which is not listed" for label, name in wanted if name not in known)
    recipes = [experiment.recipe, experiment.fresh, *(network.recipe for network in experiment.networks)]
    recipes += [cell.recipe for cell in experiment.cells]
    for key in ("network", "seed"):
        if any(key in recipe for recipe in recipes):
            yield f"a recipe names the {key}, which has a place of its own"


def _repeated(names: Sequence[object]) -> list[object]:
    return sorted({name for name in names if names.count(name) > 1}, key=str)
