"""An experiment's file is read strictly: what is not understood is refused with its name, and nothing is guessed."""

from __future__ import annotations

import pytest

from blindsight.protocol.errors import DataError
from blindsight.trainer.experiments import document
from blindsight.trainer.experiments.plan import Data
from blindsight.trainer.experiments.rows import cells_of, rows_of
from tests.trainer import experiment_samples as samples

SHIPPED = sorted(document._IN_CHECKOUT.glob("*.yaml"))


def refusal(tmp_path, **changes):
    with pytest.raises(DataError) as caught:
        samples.rows(tmp_path, **changes)
    return caught.value.message


def test_what_the_file_says_is_what_is_compared(tmp_path):
    made = samples.experiment(tmp_path, schemes=["le", {"id": "vit-block", "params": {"block": 8}}], seeds=[3, 1])
    assert (made.title, made.training, made.seeds) == ("Colours", "pooled", (3, 1))
    assert [scheme.label for scheme in made.schemes] == ["le", "vit-block block=8"]
    assert made.data == Data("colours", holders=2, views=2)
    assert made.fresh == {"crop": 4, "mirror": True}


@pytest.mark.parametrize("key", ["v", "title", "question", "data", "recipe", "seeds"])
def test_a_key_that_is_missing_is_named(tmp_path, key):
    assert f"field {key} is missing" in refusal(tmp_path, **{key: None})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"shemes": ["le"]}, "field shemes is unknown"),
        ({"v": 2}, "v must be 1"),
        ({"data": {"source": "colours", "view": 2}}, "field data.view is unknown"),
        ({"data": {"views": 2}}, "field data.source is missing"),
        ({"data": {"source": "colours", "views": 0}}, "data.views must be an integer from 1"),
        ({"data": {"source": "colours", "views": True}}, "data.views must be an integer from 1"),
        ({"recipe": {"lr": [0.1]}}, "recipe.lr must be a number, a word, true or false"),
        ({"training": "alone"}, "training must be 'pooled' or 'federated'"),
        ({"controls": ["units"]}, "controls[0] must be 'unit' or 'reference' or 'fresh'"),
        ({"seeds": []}, "seeds must be an array of 1 to"),
        ({"schemes": [{"id": "le", "param": {}}]}, "field schemes[0].param is unknown"),
        ({"schemes": ["LE"]}, "schemes[0] must be a name in lower case"),
        ({"published": [{"row": "le", "accuracy": 86.3, "source": "A"}]}, "published[0].accuracy must be a number"),
        (
            {"cells": [{"label": "a/b", "scheme": "le", "network": "small"}]},
            "cells[0].label must be 1 to 60 characters",
        ),
        (
            {"cells": [{"label": "a", "scheme": "le", "network": "small", "seeds": [1]}]},
            "field cells[0].seeds is unknown",
        ),
    ],
)
def test_what_is_not_understood_is_named(tmp_path, changes, named):
    assert named in refusal(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schemes": None, "networks": None}, "there is no row"),
        ({"networks": None}, "there is no row"),
        ({"seeds": [1, 2, 1]}, "seed 1 is named twice"),
        ({"networks": ["small", {"id": "small"}]}, "network small is named twice"),
        ({"schemes": [{"id": "le", "networks": ["vit"]}]}, "le asks for network vit, which is not listed"),
        ({"recipe": {"seed": 3}}, "a recipe names the seed"),
        ({"networks": [{"id": "small", "recipe": {"network": "vit"}}]}, "a recipe names the network"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, changes, sentence):
    assert sentence in refusal(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"recipe": {"learning": 0.1}}, "there is no key 'learning'"),
        ({"recipe": {"lr": "1e-3"}}, "lr must be float, got '1e-3' (str)"),
        ({"recipe": {"lr": 1000}}, "lr must be from"),
        ({"networks": ["huge"]}, "network must be one of"),
        ({"schemes": ["rot13"]}, "scheme rot13 v1 is not known here"),
        ({"schemes": [{"id": "le", "params": {"blok": 4}}]}, "scheme le has no parameter blok"),
        ({"schemes": [{"id": "le", "params": {"block": "four"}}]}, "block must be an integer"),
        ({"recipe": {"crop": 4}}, "crop and mirror work on plain images, not under le"),
    ],
)
def test_a_row_that_cannot_be_trained_is_refused_before_anything_is_published(tmp_path, changes, sentence):
    message = refusal(tmp_path, **changes)
    assert sentence in message
    assert " with " in message  # the row


def test_two_rows_of_one_name_are_refused(tmp_path):
    cell = {"label": "le", "scheme": "le", "network": "small", "recipe": {"lr": 0.1}}
    assert refusal(tmp_path, cells=[cell]) == "the row le with small stands twice"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("v: 1\nv: 1\n", "the key v stands twice"),
        ("data: {source: a, source: b}\n", "the key source stands twice"),
        ("1: one\n", "the key 1 is not text"),
        ("v: [1\n", "is not readable as YAML"),
        ("", "must be an object"),
        ("a: !!python/object:os.system {}\n", "is not readable as YAML"),
        ("x" * 70_000, "must be at most 65536 bytes"),
    ],
)
def test_a_file_that_another_reader_would_pass_over_is_refused(tmp_path, text, sentence):
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    with pytest.raises(DataError, match=sentence):
        document.read(file)


def test_an_experiment_that_ships_is_found_by_its_name():
    assert document.find("digits").name == "digits.yaml"


@pytest.mark.parametrize("word", ["no-such", "../digits", "no/such.yaml", ""])
def test_what_is_neither_a_file_nor_a_name_is_refused_and_the_names_are_told(word):
    with pytest.raises(DataError, match="there is no experiment") as caught:
        document.find(word)
    assert "digits, " in caught.value.hint


def test_there_are_experiments():
    assert len(SHIPPED) >= 9


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_experiment_that_ships_can_be_read_and_has_runs(file):
    made = document.read(file)
    rows = rows_of(made)
    assert cells_of(rows)
    assert {one.row for one in made.published} <= {row.label for row in rows}
    assert {one.network for one in made.published} <= {"", *(row.network for row in rows)}
    assert len(file.read_text().splitlines()[0]) > 20  # says what it is
