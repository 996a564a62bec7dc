"""An experiment's runs are real trainings in processes of their own; what is killed goes on, what is done stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from blindsight.protocol.errors import DataError, FederationError
from blindsight.trainer.alone import alone
from blindsight.trainer.experiments import circumstances, measuring, publishing
from blindsight.trainer.experiments.measuring import Order
from blindsight.trainer.experiments.progress import Progress, duration, expected
from blindsight.trainer.experiments.publishing import Places, command_for
from blindsight.trainer.experiments.results import FILE_NAME
from blindsight.trainer.experiments.rows import cells_of, rows_of
from blindsight.trainer.experiments.runner import BASE, PUBLISHED, RUNS, Runner
from blindsight.trainer.experiments.spent import Spent
from tests.trainer import experiment_samples as samples
from tests.trainer import sites

PAIR = {"schemes": ["block-shuffle", "le"]}


@pytest.fixture(scope="module")
def drawer(tmp_path_factory):
    """What two holders have published under two schemes, in the folders in which a simulation leaves it."""
    root, world = tmp_path_factory.mktemp("drawer"), sites.federation(2)
    for scheme in PAIR["schemes"]:
        sites.write_log(world, root / scheme / "dropbox")
        for place in range(2):
            for split, rows in (("train", 16 + place), ("val", 7), ("test", 9)):
                folder = root / scheme / f"holder-{place + 1}" / "datasets" / split
                sites.published(world, place, folder, split, rows, scheme=(scheme, {"block": 4}))
    return root


@pytest.fixture
def publish(drawer):
    """Publish by copying, and remember what was asked for."""

    def publish(publication, place, out, lock):
        publish.asked.append(publication.scheme)
        if not out.exists():
            shutil.copytree(drawer / publication.scheme, out)

    publish.asked = []
    return publish


@pytest.fixture
def begun(tmp_path, publish):
    """Begin an experiment in a folder, or go on with it: the runner and its cells."""
    out = tmp_path / "out"
    with alone(out) as lock:

        def begin(keep=False, **changes):
            made = samples.experiment(tmp_path, **(PAIR | changes))
            return Runner(made, out, lock, threads=1, keep=keep, publish=publish), cells_of(rows_of(made))

        yield begin


def order_for(drawer, folder, scheme="le", **changes):
    """An order to train on what was published under a scheme."""
    made = cells_of(samples.rows(folder.parent, schemes=[scheme], **changes))[0].run
    images = drawer / scheme
    return Order(
        dropbox=str(images / "dropbox"),
        train=publishing.folders(images, "train") + publishing.folders(images, "val"),
        test=publishing.folders(images, "test"),
        folder=str(folder),
        config=made.config.to_flower(),
        training=made.training,
        threads=1,
    )


@pytest.mark.parametrize("training", ["pooled", "federated"])
def test_a_run_is_a_training_and_one_look_at_the_test_images(drawer, tmp_path, training):
    said = []
    order = order_for(drawer, tmp_path / "run", training=training, recipe={**samples.SMALL["recipe"], "rounds": 6})
    found = measuring.measure(order, said.append)
    assert [one["round"] for one in said] == list(range(7)) == [number for number, _ in found.history]
    assert (found.images, found.correct) == (18, round(18 * found.accuracy))
    assert found.accuracy > 0.5  # of three colours
    assert found.val_accuracy == max(accuracy for _, accuracy in found.history)
    assert found.val_accuracy == found.history[found.best_round][1]
    assert (found.rounds, found.precision) == (6, "fp32")
    assert found.samples == 6 * (33 if training == "pooled" else 2 * 16 + 2 * 17)
    assert found.core_seconds > 0


def test_what_is_measured_again_is_the_same(drawer, tmp_path):
    order = order_for(drawer, tmp_path / "run")
    first, again = measuring.measure(order, print), measuring.measure(order, print)
    assert replace(again, seconds=0, core_seconds=0) == replace(first, seconds=0, core_seconds=0)
    assert again.seconds >= first.seconds


def test_test_images_that_are_not_what_their_holder_signed_are_refused(drawer, tmp_path):
    shutil.copytree(drawer / "le", tmp_path / "le")
    shard = next((tmp_path / "le" / "holder-2" / "datasets" / "test" / "shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1] + b"\xff")
    with pytest.raises(FederationError, match="test images of"):
        measuring.measure(order_for(tmp_path, tmp_path / "run"), print)


def test_runs_are_made_in_processes_of_their_own_and_written_down(begun, publish, tmp_path):
    runner, cells = begun()
    heard = []
    for cell in cells:
        runner.make(cell, "somewhere", heard.append)
        runner.forget(cell.run, [])
    lines = [json.loads(line) for line in (tmp_path / "out" / FILE_NAME).read_text().splitlines()]
    assert [line["cell"] for line in lines] == ["block-shuffle/small/scheme/0", "le/small/scheme/0"]
    assert [line["images"] for line in lines] == [18, 18]
    assert [one["round"] for one in heard] == [0, 1, 2, 0, 1, 2]
    assert lines[1]["machine"]["threads"] == 1
    assert lines[1]["publication"] == cells[1].run.publication.to_json()
    assert publish.asked == PAIR["schemes"]
    assert list((tmp_path / "out" / RUNS).iterdir()) == []
    assert list((tmp_path / "out" / PUBLISHED).iterdir()) == []


def test_images_and_checkpoints_stay_where_they_are_wanted(begun, tmp_path):
    runner, (first, second) = begun(keep=True, schemes=["le"], networks=["small", {"id": "vit"}])
    kept = tmp_path / "out" / PUBLISHED / first.run.publication.digest
    kept.mkdir(parents=True)
    runner.forget(first.run, [])
    assert kept.exists()
    runner, _ = begun(schemes=["le"], networks=["small", {"id": "vit"}])
    runner.forget(first.run, [second])  # which is trained on the same images
    assert kept.exists()
    runner.forget(second.run, [])
    assert not kept.exists()


def test_images_that_were_removed_half_way_are_removed_by_the_next_start(begun, tmp_path):
    half = tmp_path / "out" / PUBLISHED / f"0123{publishing.GONE}" / "holder-1"
    half.mkdir(parents=True)
    begun()
    assert list((tmp_path / "out" / PUBLISHED).iterdir()) == []


def test_a_training_does_not_go_on_with_other_images_than_it_began_with(begun, tmp_path):
    runner, (cell, _) = begun()
    stale = runner._folder(cell.run)
    stale.mkdir(parents=True)
    (stale / "job.json").write_text("{}")  # of manifests that are gone
    assert runner.make(cell, "somewhere", print).rounds == 2


def test_a_run_that_is_killed_goes_on_where_it_was(drawer, tmp_path):
    whole = measuring.measure(order_for(drawer, tmp_path / "whole"), print)
    order = order_for(drawer, tmp_path / "killed")
    command = [sys.executable, "-P", "-m", "blindsight.trainer.experiments.measuring"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        child.stdin.write(json.dumps(asdict(order)) + "\n")
        child.stdin.flush()
        assert json.loads(child.stdout.readline())["round"] == 0
        child.kill()
    again = measuring.measure(order, print)
    assert (again.history, again.accuracy, again.samples) == (whole.history, whole.accuracy, whole.samples)


def test_a_run_ends_with_the_process_that_waits_for_it(drawer, tmp_path):
    order = order_for(drawer, tmp_path / "run", recipe={**samples.SMALL["recipe"], "rounds": 1000})
    command = [sys.executable, "-P", "-m", "blindsight.trainer.experiments.measuring"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as child:
        child.stdin.write(json.dumps(asdict(order)) + "\n")
        child.stdin.close()  # as when the other end is killed
        assert child.wait(timeout=60) == measuring.INTERRUPTED


def test_a_run_that_is_refused_says_why(begun, tmp_path):
    runner, (cell, _) = begun()
    images = tmp_path / "out" / PUBLISHED / cell.run.publication.digest / "holder-1" / "datasets"
    (images / "test").mkdir(parents=True)
    (images / "train").mkdir()  # without a manifest
    with pytest.raises(FederationError, match=r"manifest .*holder-1/datasets/train"):
        runner.make(cell, "somewhere", print)
    assert runner.results.of(cell.run) is None


# the folder


def test_a_folder_is_worked_in_by_one_process_at_a_time(tmp_path):
    with alone(tmp_path) as lock:
        with pytest.raises(FederationError, match="another process works in"), alone(tmp_path):
            pass
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock])
    with pytest.raises(FederationError, match="another process works in"), alone(tmp_path):
        pass  # the child of one that has gone still runs
    child.communicate(b"\n")
    with alone(tmp_path) as lock:
        assert os.fstat(lock)


def test_a_folder_holds_one_experiment(begun, tmp_path):
    runner, _ = begun()
    runner.demand_same({"colours": "these"})
    runner.demand_same({"colours": "these", "faces": "those"})
    other, _ = begun(recipe={**samples.SMALL["recipe"], "lr": 0.03, "momentum": 0.5})
    with pytest.raises(DataError, match=r"holds an experiment that differs in recipe.lr, recipe.momentum$"):
        other.demand_same({"colours": "these"})
    assert json.loads((tmp_path / "out" / BASE).read_bytes())["sources"] == {"colours": "these", "faces": "those"}


def test_other_images_under_the_same_name_are_refused(begun):
    runner, _ = begun()
    runner.demand_same({"colours": "these"})
    with pytest.raises(DataError, match="holds results on other images called colours"):
        runner.demand_same({"colours": "others"})


# the holders' part


def test_the_holders_are_played_by_a_command(tmp_path):
    data = {"source": "colours", "holders": 5, "views": 4, "crop": 2, "jitter": 0.1, "val": 100, "limit": 900}
    cell = {"label": "a", "scheme": {"id": "pixel", "params": {"scope": "image"}}, "network": "small"}
    run = samples.runs(tmp_path, data=data, schemes=None, cells=[cell], seeds=[3])["a/small/scheme/3"]
    words = command_for(run.publication, "npz:/data/colours.npz", tmp_path / "out")
    assert words[1:9] == ["-P", "-m", "blindsight.cli", "simulate", "--until", "publish", "--resume", "--out"]
    given = dict(zip(words[8::2], words[9::2], strict=True))
    assert given == {
        "--out": str(tmp_path / "out"),
        "--data": "npz:/data/colours.npz",
        "--scheme": "pixel",
        "--seed": "3",
        "--param": "scope=image",
        "--holders": "5",
        "--partition": "iid",
        "--views": "4",
        "--crop": "2",
        "--jitter": "0.1",
        "--val": "100",
        "--limit": "900",
    }


def test_the_command_understands_every_word_that_it_is_given(tmp_path):
    from blindsight.simulation.cli import _parser, _settings

    data = {"source": "a", "limit": 9, "holders": 2, "partition": "dirichlet:0.3", "views": 2, "crop": 3}
    data |= {"jitter": 0.2, "cutout": 4, "val": 1}
    run = samples.runs(tmp_path, data=data)["le/small/scheme/0"]
    settings = _settings(_parser().parse_args(command_for(run.publication, "digits", tmp_path)[5:]))
    assert (settings.data, settings.scheme, settings.params) == ("digits", "le", {"block": "4"})
    assert {name: getattr(settings, name) for name in data if name != "source"} == {
        n: v for n, v in data.items() if n != "source"
    }


def test_published_images_are_not_published_again(tmp_path):
    run = samples.runs(tmp_path)["le/small/scheme/0"]
    (tmp_path / "images.done").touch()
    publishing.publish(run.publication, "/no/such/place", tmp_path / "images", -1)
    publishing.forget(tmp_path / "images")
    assert not (tmp_path / "images.done").exists()


def test_a_name_without_a_place_is_refused_with_what_to_type(tmp_path):
    with pytest.raises(DataError, match="it is not said where cifar10 lies") as caught:
        Places({}).of("cifar10")
    assert caught.value.hint == "--data cifar10=PLACE"
    with pytest.raises(DataError, match="there is no /no/such"):
        Places({"cifar10": "/no/such"}).of("cifar10")


def test_places_are_absolute_and_keep_their_kind(tmp_path, monkeypatch):
    (tmp_path / "images.npz").write_bytes(b"1234")
    monkeypatch.chdir(tmp_path)
    places = Places({"a": "images.npz", "b": "npz:images.npz"})
    assert places.of("a") == str(tmp_path / "images.npz")
    assert places.of("b") == f"npz:{tmp_path / 'images.npz'}"
    assert places.of("digits") == "digits"
    assert places.of(str(tmp_path)) == str(tmp_path)


def test_images_are_told_from_others_wherever_they_lie(tmp_path):
    for name, size in (("one", 4), ("moved", 4), ("other", 5)):
        (tmp_path / name / "train").mkdir(parents=True)
        (tmp_path / name / "train" / "a.bin").write_bytes(bytes(size))
    one, moved, other = (Places({}).contents(str(tmp_path / name)) for name in ("one", "moved", "other"))
    assert one == moved != other


# what it was computed with


def test_the_commit_is_that_of_a_tracked_file(tmp_path):
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True, text=True
        ).stdout

    ours, other = tmp_path / "ours.py", tmp_path / "other.py"
    ours.write_text("one")
    other.write_text("one")
    assert circumstances.commit(ours) == ""  # no repository
    git("init", "--quiet")
    git("add", "ours.py")
    git("commit", "--quiet", "--message", "one")
    assert circumstances.commit(ours) == git("rev-parse", "HEAD").strip()
    assert circumstances.commit(other) == ""  # a package that was installed somewhere in another project
    ours.write_text("two")
    assert circumstances.commit(ours) == git("rev-parse", "HEAD").strip() + "-changed"


def test_machine_and_software_are_named():
    assert circumstances.machine(2, "fp32").items() >= {"threads": 2, "precision": "fp32"}.items()
    assert circumstances.processor()
    assert set(circumstances.versions()) == {"python", *circumstances.SOFTWARE}


# how long it takes


def test_seconds_are_added_up_over_interruptions(tmp_path):
    seconds, cores = Spent(tmp_path).until_now()
    (tmp_path / "spent.json").write_text(json.dumps([seconds + 1000, cores + 500]))
    again = Spent(tmp_path).until_now()
    assert again[0] >= seconds + 1000
    assert again[1] >= cores + 500


def test_runs_are_expected_to_take_as_long_as_those_of_their_network(tmp_path):
    named = samples.runs(tmp_path, networks=["small", "vit", "fast"])
    small, vit, fast = (cells_of(samples.rows(tmp_path, networks=[name]))[0] for name in ("small", "vit", "fast"))
    done = [samples.result(named["le/small/scheme/0"], "a", "b", seconds=10.0)]
    assert expected([small, vit], done, (vit, 100.0)) == 110
    assert expected([fast], done, (vit, 100.0)) == 55  # nothing is known of it
    assert expected([], done, (vit, 100.0)) == 0


def test_progress_says_what_is_left(begun):
    runner, (first, second) = begun()
    heard = []
    progress = Progress([first, second], runner.results, heard.append)
    progress.begin(first)
    progress.measured(first, {"round": 1, "accuracy": 0.5, "seconds": 90.0})
    assert heard == [
        "run 1 of 2: block-shuffle/small/scheme/0",
        "block-shuffle/small/scheme/0: round 1 of 2, val accuracy 0.5000; about 2 min left, 4 min in all",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (3599, "60 min"), (3600, "1 h 00 min"), (11_100, "3 h 05 min")],
)
def test_durations_are_written_for_people(seconds, words):
    assert duration(seconds) == words
