"""``blindsight trainer experiment`` lists, runs, goes on and says in one sentence what it will not do."""

from __future__ import annotations

import json

import pytest

from blindsight.cli import main
from blindsight.trainer.experiments.results import FILE_NAME, Results
from tests.trainer import experiment_samples as samples

TINY = {
    "data": {"source": "digits", "limit": 300, "views": 2, "val": 30},
    "recipe": {"rounds": 6, "lr": 0.05, "least-steps": 4, "precision": "fp32"},
    "controls": ["unit"],
}


@pytest.fixture
def experiment(capsys, tmp_path):
    """Run the verb in a folder: exit status, stdout, stderr."""

    def run(*words, **changes):
        file = samples.written(tmp_path, **changes)
        capsys.readouterr()
        status = main(["trainer", "experiment", str(file), "--out", str(tmp_path / "out"), *words])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_it_lists_its_runs_and_which_are_finished(experiment, tmp_path):
    made = samples.experiment(tmp_path, controls=["unit"])
    named = samples.runs(tmp_path, controls=["unit"])
    (tmp_path / "out").mkdir()
    results = Results(tmp_path / "out", samples.base(made))
    results.add(samples.result(named["le/small/scheme/0"], "le/small/scheme/0", samples.base(made), accuracy=0.875))
    status, out, err = experiment("--list", controls=["unit"])
    assert (status, err) == (0, "")
    assert out.splitlines() == ["0.8750  le/small/scheme/0", "to do   le/small/unit/0"]


def test_the_list_is_one_object_a_line_for_programs(experiment):
    status, out, _ = experiment("--list", "--json", schemes=["block-shuffle", "plain"], controls=["unit"])
    listed = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [one["accuracy"] for one in listed] == [None, None]
    assert listed[1]["cells"] == ["block-shuffle/small/unit/0", "plain/small/scheme/0", "plain/small/unit/0"]


def test_a_pattern_chooses_runs(experiment):
    _, out, _ = experiment("--list", "--only", "le/*/unit", "--only", "*/1", controls=["unit"], seeds=[0, 1])
    assert [line.split()[-1] for line in out.splitlines()] == [
        "le/small/unit/0",
        "le/small/scheme/1",
        "le/small/unit/1",
    ]


@pytest.mark.parametrize("words", [["--only", "xe"], ["--only", "xe", "--list"]])
def test_a_pattern_that_chooses_nothing_is_refused(experiment, words):
    status, _, err = experiment(*words)
    assert status == 1
    assert "error: no run matches xe [E_DATA]" in err
    assert "--list" in err


def test_images_that_lie_nowhere_are_refused_before_anything_is_written(experiment, tmp_path):
    status, _, err = experiment()
    assert status == 1
    assert "error: it is not said where colours lies [E_DATA]" in err
    assert "hint: --data colours=PLACE" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("word", ["colours", "=place", "colours="])
def test_a_place_without_a_name_is_wrong_usage(experiment, word):
    with pytest.raises(SystemExit) as ended:
        experiment("--data", word)
    assert ended.value.code == 2


def test_a_changed_recipe_is_refused_with_what_differs(experiment, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "out").mkdir()
    written = {"v": 1, "base": samples.experiment(tmp_path).base(), "sources": {}}
    (tmp_path / "out" / "experiment.json").write_text(json.dumps(written))
    status, _, err = experiment("--data", f"colours={tmp_path / 'images'}", recipe={"rounds": 3})
    assert status == 1
    assert "holds an experiment that differs in recipe.batch, recipe.least-steps, recipe.lr" in err


def test_runs_that_could_not_be_made_are_named_and_the_table_stands(experiment, tmp_path):
    (tmp_path / "images").mkdir()  # which is no source of images
    status, out, err = experiment("--data", f"colours={tmp_path / 'images'}", "--json")
    assert status == 1
    assert "le/small/scheme/0 was not made: the images were not published" in err
    assert "error: 1 of 1 runs were not made: le/small/scheme/0 [E_FEDERATION]" in err
    facts, refusal = (json.loads(line) for line in out.splitlines())
    assert (facts["runs"], facts["plots"]) == (0, [])
    assert refusal["error"]["hint"] == "the same command tries them again"
    assert "No run is finished." in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.slow  # real identities, ceremonies and trainings: about a minute
def test_a_small_experiment_on_digits_from_end_to_end(experiment, tmp_path):
    status, out, err = experiment("--only", "le/small/unit", "--threads", "1", **TINY)
    assert (status, "1 run(s) left" in err) == (0, False)
    lines = (tmp_path / "out" / FILE_NAME).read_text().splitlines()
    assert [json.loads(line)["cell"] for line in lines] == ["le/small/unit/0"]
    status, out, err = experiment("--threads", "1", "--json", **TINY)
    facts = json.loads(out)
    assert (status, facts["runs"]) == (0, 2)
    found = [json.loads(line) for line in (tmp_path / "out" / FILE_NAME).read_text().splitlines()]
    assert [one["cell"] for one in found] == ["le/small/unit/0", "le/small/scheme/0"]
    assert {one["images"] for one in found} == {359}
    assert all(one["accuracy"] > 0.3 for one in found)
    assert found[0]["samples"] == found[1]["samples"] == 6 * 540
    assert found[0]["command"].endswith("small.yaml --threads 1")
    table = (tmp_path / "out" / "table.md").read_text()
    assert f"| le | small | {100 * found[1]['accuracy']:.2f} (1) | {100 * found[0]['accuracy']:.2f} (1) |" in table
    assert not list((tmp_path / "out" / "published").iterdir())
    before = {file: file.read_bytes() for file in (tmp_path / "out").iterdir() if file.is_file()}
    assert experiment("--threads", "1", **TINY)[0] == 0  # finished: nothing is made again
    assert {file: file.read_bytes() for file in (tmp_path / "out").iterdir() if file.is_file()} == before
