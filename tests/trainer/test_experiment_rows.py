"""Each control differs from its row by one thing, equal runs are one, and a run keeps its name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blindsight.trainer.config import RunConfig
from blindsight.trainer.experiments.measuring import samples as samples_of
from blindsight.trainer.experiments.plan import Data
from blindsight.trainer.experiments.rows import cells_of
from blindsight.trainer.experiments.run import Publication, Run
from blindsight.trainer.experiments.variants import with_as_many_samples
from blindsight.trainer.recipe import Recipe
from tests.trainer import experiment_samples as samples

ALL = ["unit", "reference", "fresh"]


def changed(one, other):
    """Keys of the run configuration in which two runs differ."""
    pairs = zip(one.config.to_flower().items(), other.config.to_flower().values(), strict=True)
    return {key for (key, value), twin in pairs if value != twin}


@pytest.fixture(scope="module")
def le(tmp_path_factory):
    """The runs of learnable encryption with all controls, by variant."""
    named = samples.runs(tmp_path_factory.mktemp("le"), controls=ALL)
    return {name.split("/")[2]: run for name, run in named.items()}


def test_a_row_has_the_controls_that_were_asked_for(tmp_path, le):
    assert set(le) == {"scheme", *ALL}
    assert set(samples.runs(tmp_path, controls=["unit"])) == {"le/small/scheme/0", "le/small/unit/0"}
    assert set(samples.runs(tmp_path)) == {"le/small/scheme/0"}


def test_the_unit_control_differs_by_the_key_alone(le):
    assert changed(le["unit"], le["scheme"]) == set()
    assert (le["unit"].config.stem, le["unit"].config.unit, le["unit"].config.block) == ("block", "nibble", 4)
    assert le["unit"].publication == replace(le["scheme"].publication, scheme="plain")


def test_the_reference_differs_from_the_unit_control_by_the_first_layer_alone(le):
    assert changed(le["reference"], le["unit"]) == {"stem", "unit"}
    assert (le["reference"].config.stem, le["reference"].config.unit) == ("pixels", "byte")
    assert le["reference"].publication == le["unit"].publication


def test_the_fresh_reference_is_published_once_and_cropped_in_every_step(le):
    assert le["fresh"].publication.data == Data("colours", holders=2)
    assert changed(le["fresh"], le["reference"]) == {"crop", "mirror", "rounds", "least-steps"}
    assert (le["fresh"].config.recipe.crop, le["fresh"].config.recipe.mirror) == (4, True)
    assert le["fresh"].config.rounds == 4  # two views, two rounds over them


def test_networks_of_patches_have_patches_of_bytes_as_their_reference(tmp_path):
    named = samples.runs(tmp_path, networks=["vit"], controls=ALL)
    assert (named["le/vit/reference/0"].config.stem, named["le/vit/reference/0"].config.unit) == ("patch", "byte")
    assert (named["le/vit/unit/0"].config.stem, named["le/vit/unit/0"].config.unit) == ("patch", "nibble")


def test_blocks_are_not_moved_in_the_control_of_a_scheme_that_forbids_it(tmp_path):
    recipe = {**samples.SMALL["recipe"], "shift": 0.5, "cutmix": 0.3}
    named = samples.runs(tmp_path, schemes=["le", "ele"], controls=["unit", "reference"], recipe=recipe)
    assert changed(named["ele/small/unit/0"], named["le/small/unit/0"]) == {"shift", "cutmix"}
    assert named["ele/small/reference/0"] == named["le/small/reference/0"]


@pytest.mark.parametrize(
    ("scheme", "stem", "unit", "blocks"),
    [
        ("block-shuffle", "block", "byte", (4, 4)),
        ("cat-map", "block", "byte", (0, 4)),
        ("pixel", "position", "byte", (0, 4)),
        ("logistic-xor", "position", "bit", (0, 4)),
        ("patch-mix", "mixture", "byte", (2, 4)),  # patches of 4 are 2 wide when their quarters are mixed
        ({"id": "le", "params": {"block": 8}}, "block", "nibble", (8, 8)),
    ],
)
def test_the_control_has_the_first_layer_of_the_scheme(tmp_path, scheme, stem, unit, blocks):
    under, control = samples.runs(tmp_path, schemes=[scheme], controls=["unit"]).values()
    assert [(one.config.stem, one.config.unit) for one in (under, control)] == [(stem, unit)] * 2
    assert (under.config.block, control.config.block) == blocks
    assert control.publication.params == {"block": blocks[1]}


def test_a_network_with_a_first_layer_of_its_own_has_it_in_the_control_too(tmp_path):
    named = samples.runs(tmp_path, networks=["pyramidal"], controls=["unit", "reference"])
    assert [run.config.stem for run in named.values()] == ["paper", "paper", "pixels"]


def test_runs_that_several_rows_share_are_made_once(tmp_path):
    cells = cells_of(samples.rows(tmp_path, schemes=["plain", "block-shuffle", "le"], controls=ALL))
    names = {cell.names for cell in cells}
    assert ("plain/small/scheme/0", "plain/small/unit/0", "block-shuffle/small/unit/0") in names
    assert tuple(f"{scheme}/small/reference/0" for scheme in ("plain", "block-shuffle", "le")) in names
    assert len(cells) == 6  # two schemes, bytes and nibbles, one reference, one fresh


def test_a_parameter_that_says_the_default_is_no_other_run(tmp_path):
    stated = samples.runs(tmp_path, schemes=[{"id": "le", "params": {"block": 4}}])
    assert stated["le block=4/small/scheme/0"] == samples.runs(tmp_path)["le/small/scheme/0"]


def test_runs_are_made_seed_by_seed_and_within_a_seed_by_what_is_published(tmp_path):
    cells = cells_of(samples.rows(tmp_path, networks=["small", "vit"], controls=["unit"], seeds=[5, 2]))
    assert [cell.name for cell in cells] == [
        f"le/{network}/{variant}/{seed}"
        for seed in (5, 2)
        for variant in ("scheme", "unit")
        for network in ("small", "vit")
    ]


def test_recipes_of_network_and_cell_take_precedence(tmp_path):
    networks = [{"id": "small", "recipe": {"lr": 0.03, "batch": 16}}]
    cell = {"label": "slow", "scheme": "le", "network": "small", "recipe": {"lr": 0.01}, "data": {"views": 1}}
    named = samples.runs(tmp_path, networks=networks, cells=[{**cell, "training": "federated", "controls": ["unit"]}])
    slow, normal = named["slow/small/scheme/0"], named["le/small/scheme/0"]
    assert (normal.config.recipe.lr, normal.config.recipe.batch, normal.training) == (0.03, 16, "pooled")
    assert (slow.config.recipe.lr, slow.config.recipe.batch, slow.training) == (0.01, 16, "federated")
    assert (slow.publication.data.views, slow.publication.data.holders) == (1, 2)
    assert named["slow/small/unit/0"].training == "federated"


def test_a_seed_is_that_of_keys_and_of_weights(tmp_path):
    run = samples.runs(tmp_path, seeds=[7])["le/small/scheme/7"]
    assert (run.seed, run.config.seed, run.publication.seed) == (7, 7, 7)


@pytest.mark.parametrize(
    ("views", "rounds", "share", "expected"),
    [
        (1, 10, 1.0, (10, 1.0)),
        (4, 10, 1.0, (40, 1.0)),
        (4, 40, 0.25, (40, 1.0)),
        (2, 40, 0.25, (40, 0.5)),
        (4, 10, 0.4, (20, 0.8)),
        (3, 10, 0.125, (10, 0.375)),
    ],
)
def test_the_fresh_reference_sees_as_many_samples(views, rounds, share, expected):
    made = with_as_many_samples(RunConfig(rounds=rounds, recipe=Recipe(share=share)), views)
    assert (made.rounds, made.recipe.share) == expected
    assert made.rounds * made.recipe.share == pytest.approx(rounds * share * views)


@pytest.mark.parametrize("images", [1298, 10_000])
@pytest.mark.parametrize("training", ["pooled", "federated"])
@pytest.mark.parametrize(("views", "share"), [(1, 1.0), (2, 1.0), (4, 0.25), (2, 0.5)])
def test_also_where_few_images_are_repeated(images, training, views, share):
    config = RunConfig(rounds=3, recipe=Recipe(share=share))
    seen = samples_of(config, training, [views * images, views * images])
    again = samples_of(with_as_many_samples(config, views), training, [images, images])
    assert again == pytest.approx(seen, rel=0.01)


RUN = Run(
    Publication(Data("cifar10", views=2), "le", {"block": 4}, 0),
    RunConfig(rounds=8, stem="block", unit="nibble", block=4, recipe=Recipe(share=0.25)),
    "pooled",
)


def test_a_run_keeps_its_name_from_version_to_version():
    assert RUN.publication.digest == "ff48d921533a20be473fce5a"
    assert RUN.digest == "ade125406f93735ef760ec5d"


def test_what_decides_a_run_decides_its_name():
    others = [
        replace(RUN, training="federated"),
        replace(RUN, config=replace(RUN.config, rounds=9)),
        replace(RUN, config=replace(RUN.config, seed=1)),
        replace(RUN, publication=replace(RUN.publication, seed=1)),
        replace(RUN, publication=replace(RUN.publication, params={"block": 8})),
        replace(RUN, publication=replace(RUN.publication, data=replace(RUN.publication.data, limit=9))),
    ]
    assert len({run.digest for run in (RUN, *others)}) == 7


def test_what_does_not_decide_a_run_does_not_decide_its_name():
    assert replace(RUN, config=replace(RUN.config, timeout=5.0)).digest == RUN.digest


def test_how_views_are_made_does_not_matter_where_there_is_one():
    one = Publication(Data("cifar10", views=1, crop=2, jitter=0.1, cutout=4), "le", {}, 0)
    assert one.digest == replace(one, data=Data("cifar10")).digest


@pytest.mark.parametrize(
    ("pattern", "count"),
    [("le", 4), ("le/*/unit", 1), ("*/reference/*", 1), ("le/small/scheme/0", 1), ("l", 0), ("*", 4)],
)
def test_a_pattern_covers_names_and_their_beginnings(tmp_path, pattern, count):
    cells = cells_of(samples.rows(tmp_path, controls=ALL))
    assert sum(cell.matches([pattern]) for cell in cells) == count
