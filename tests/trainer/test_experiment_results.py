"""Results are lines that stand or do not: whatever is killed, nothing finished is lost and nothing is made twice."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from blindsight.protocol.errors import DataError
from blindsight.trainer.experiments.results import FILE_NAME, Results
from tests.trainer import experiment_samples as samples


@pytest.fixture
def runs(tmp_path):
    """Two runs by name."""
    return samples.runs(tmp_path, controls=["unit"])


@pytest.fixture
def base(tmp_path):
    return samples.base(samples.experiment(tmp_path))


@pytest.fixture
def results(tmp_path, runs, base):
    """A folder's results: of the first run only."""
    made = Results(tmp_path, base)
    made.add(samples.result(*reversed(next(iter(runs.items()))), base, accuracy=0.7))
    return made


def test_a_result_is_found_again_by_its_run(tmp_path, runs, base, results):
    first, second = runs.values()
    again = Results(tmp_path, base)
    assert again.of(first) == results.of(first)
    assert again.of(first).accuracy == 0.7
    assert again.of(second) is None


def test_no_file_is_no_result(tmp_path, runs, base):
    assert [Results(tmp_path / "none", base).of(run) for run in runs.values()] == [None, None]


def test_reading_changes_nothing(tmp_path, base, results):
    (tmp_path / FILE_NAME).write_bytes(before := results.file.read_bytes() + b'{"v": 1, "exp')
    Results(tmp_path, base)
    assert results.file.read_bytes() == before


@pytest.mark.parametrize("kept", [1, 40, 400, -1])
def test_a_half_line_is_passed_over_and_cut_off_by_the_next_result(tmp_path, runs, base, results, kept):
    whole = results.file.read_bytes()
    results.file.write_bytes(whole + whole[:kept])
    again, (first, second) = Results(tmp_path, base), runs.items()
    assert again.of(first[1]).accuracy == 0.7
    again.add(samples.result(second[1], second[0], base))
    assert results.file.read_bytes().startswith(whole)
    assert [json.loads(line)["cell"] for line in results.file.read_text().splitlines()] == [first[0], second[0]]


def test_of_two_results_of_a_run_the_last_counts(tmp_path, runs, base, results):
    (name, run), _ = runs.items()
    results.add(samples.result(run, name, base, accuracy=0.9))
    assert Results(tmp_path, base).of(run).accuracy == 0.9


def test_results_of_another_experiment_are_refused(tmp_path, base, results):
    with pytest.raises(DataError, match="holds results of an experiment with other data, recipe or training"):
        Results(tmp_path, "another")


def test_seeds_and_schemes_and_controls_may_be_added(tmp_path, base, results):
    more = samples.experiment(tmp_path, seeds=[4, 0], schemes=["block-shuffle", "le"], controls=["fresh", "unit"])
    assert samples.base(more) == base
    named = samples.runs(tmp_path, seeds=[4, 0], schemes=["block-shuffle", "le"], controls=["fresh", "unit"])
    again = Results(tmp_path, samples.base(more))
    assert [name for name, run in named.items() if again.of(run)] == ["le/small/scheme/0"]


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": {**samples.SMALL["recipe"], "lr": 0.03}},
        {"data": {"source": "colours", "holders": 2, "views": 3}},
        {"training": "federated"},
    ],
)
def test_another_recipe_or_other_images_are_another_experiment(tmp_path, base, changes):
    assert samples.base(samples.experiment(tmp_path, **changes)) != base


def test_a_default_that_has_changed_since_makes_a_run_again(runs, base):
    (name, run), _ = runs.items()
    made = samples.result(run, name, base)
    assert made.is_of(run)
    assert not replace(made, config={**made.config, "momentum": 0.95}).is_of(run)


def test_a_key_that_is_new_since_does_not(runs, base):
    (name, run), _ = runs.items()
    made = samples.result(run, name, base)
    assert replace(made, config={key: value for key, value in made.config.items() if key != "share"}).is_of(run)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda line: b"{]", "is not readable as JSON"),
        (lambda line: line.replace(b'"accuracy": 0.7', b'"accuracy": 7'), "accuracy must be a number from 0 to 1"),
        (lambda line: line.replace(b'"commit"', b'"comit"'), "field comit is unknown"),
        (lambda line: line.replace(b'"v": 1', b'"v": 2', 1), "v must be 1"),
        (lambda line: b"[]", "must be an object"),
    ],
)
def test_a_damaged_line_is_refused_with_its_number(tmp_path, base, results, change, sentence):
    line = results.file.read_bytes().rstrip()
    results.file.write_bytes(line + b"\n" + change(line) + b"\n")
    with pytest.raises(DataError) as caught:
        Results(tmp_path, base)
    assert f"{FILE_NAME}, line 2" in caught.value.message
    assert sentence in caught.value.message
