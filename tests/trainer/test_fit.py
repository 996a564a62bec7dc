"""Training gives the same model whatever interrupts it and however many holders compute at a time."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from blindsight.protocol.errors import FederationError, FormatError
from blindsight.trainer import checkpoint, weights
from blindsight.trainer.checkpoint import BEST, LAST
from blindsight.trainer.fit import NODES_FILE, offers_in
from blindsight.trainer.job import Job, read_nodes
from tests.trainer import sites
from tests.trainer.sites import CONFIG

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def last(finished):
    return checkpoint.load(finished / LAST, Job.load(finished).digest)


@pytest.fixture(scope="module")
def best(finished):
    return checkpoint.load(finished / BEST, Job.load(finished).digest)


def test_a_run_leaves_job_nodes_last_and_best_and_nothing_else(finished):
    assert {path.name for path in finished.iterdir()} == {"job.json", NODES_FILE, LAST, BEST}


def test_every_model_was_measured_from_the_untrained_to_the_last(world, last):
    assert [one.number for one in last.history] == [0, 1, 2]
    for one in last.history:
        assert set(one.holders) == {key.entry.fpr for key in world.keys}
        assert one.accuracy == pytest.approx(sum(one.holders.values()) / 2)  # as many val rows at both


def test_the_best_checkpoint_is_the_best_measured_and_of_equals_the_longest_trained(last, best):
    winner = max(last.history, key=lambda one: (one.accuracy, one.number))
    assert (best.number, best.history[-1]) == (winner.number, winner)


def test_a_network_learns_to_tell_encrypted_colours_apart(box, folders, tmp_path):
    config = dataclasses.replace(CONFIG, rounds=4, recipe=dataclasses.replace(CONFIG.recipe, least_steps=12))
    learnt = sites.trained(box, folders, tmp_path / "run", config)
    assert max(one.accuracy for one in learnt.history) > 0.8


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_number_of_workers_does_not_matter(box, folders, finished, tmp_path, workers):
    sites.trained(box, folders, tmp_path / "run", workers=workers)
    for name in (LAST, BEST):
        assert (tmp_path / "run" / name).read_bytes() == (finished / name).read_bytes()


def test_the_order_in_which_folders_are_named_does_not_matter(box, folders, last, tmp_path):
    assert weights.digest(sites.trained(box, folders[::-1], tmp_path / "run").weights) == weights.digest(last.weights)


def test_three_holders_train_together(tmp_path):
    world = sites.federation(3)
    box = sites.write_log(world, tmp_path / "box")
    folders = sites.offered(world, tmp_path / "sites")
    digests = {
        weights.digest(sites.trained(box, folders, tmp_path / f"run-{workers}", workers=workers).weights)
        for workers in (1, 3)
    }
    assert len(digests) == 1


def test_another_seed_gives_another_model(box, folders, last, tmp_path):
    other = sites.trained(box, folders, tmp_path / "run", dataclasses.replace(CONFIG, seed=1))
    assert weights.digest(other.weights) != weights.digest(last.weights)


def test_every_measured_model_is_reported_once(box, folders, tmp_path):
    seen = []
    sites.trained(box, folders, tmp_path / "run", report=seen.append)
    assert [one.number for one in seen] == [0, 1, 2]


def test_a_finished_run_is_not_trained_again(box, folders, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    sites.trained(box, folders, tmp_path / "run")
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_another_configuration_in_the_same_folder_is_refused(box, folders, finished):
    with pytest.raises(FederationError, match="other settings or manifests"):
        sites.trained(box, folders, finished, dataclasses.replace(CONFIG, rounds=3))


def test_other_manifests_in_the_same_folder_are_refused(box, folders, finished):
    with pytest.raises(FederationError, match="other settings or manifests"):
        sites.trained(box, folders[:2], finished)


def test_the_nodes_of_a_run_are_remembered_by_ascending_fingerprint(folders, finished):
    assert read_nodes(finished / NODES_FILE) == [folder.resolve() for folder in folders]


def test_without_val_splits_the_last_model_is_kept(box, folders, tmp_path):
    sites.trained(box, [folders[0], folders[2]], tmp_path / "run")
    digest = Job.load(tmp_path / "run").digest
    assert checkpoint.load(tmp_path / "run" / BEST, digest).number == 2


def test_a_changed_shard_is_refused_before_training(box, folders, tmp_path):
    copy = tmp_path / "train"
    shutil.copytree(folders[0], copy)
    shard = sorted((copy / "shards").iterdir())[1]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(FederationError, match=r"shards/00001\.safetensors is not the file that was signed"):
        sites.trained(box, [copy, *folders[1:]], tmp_path / "run")
    assert not (tmp_path / "run" / LAST).exists()


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(FormatError, match="cannot be read") as caught:
        offers_in([tmp_path / "nowhere"])
    assert caught.value.code == "E_IO"


def test_a_checkpoint_of_a_folder_that_was_copied_goes_on_elsewhere(box, folders, finished, last, tmp_path):
    shutil.copytree(finished, tmp_path / "moved")
    (tmp_path / "moved" / LAST).unlink()
    again = sites.trained(box, folders, tmp_path / "moved")
    assert weights.digest(again.weights) == weights.digest(last.weights)


# Killed at every moment: before each file of the run takes its place.

KILLER = """
import itertools, os, signal, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from blindsight.trainer import client_app, server_app
from tests.trainer import sites

box, out = Path(sys.argv[1]), Path(sys.argv[2])
folders = [Path(name) for name in sys.argv[3:]]

def attempt(run, left):
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    def count(event, arguments):
        nonlocal left
        if event == "os.rename":
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    sites.trained(box, folders, run, workers=1)
    os._exit(0)

for moment in itertools.count(1):
    run = out / f"{moment:02}"
    if attempt(run, moment) == 0:
        break
    print(attempt(run, 0), flush=True)
"""


@pytest.fixture(scope="module")
def killed(box, folders, tmp_path_factory):
    """A run for every moment at which one was killed and then repeated."""
    root = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(box), str(root), *map(str, folders)],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return root, [int(line) for line in done.stdout.split()]


def test_a_killed_run_goes_on(killed):
    _, statuses = killed
    assert len(statuses) > 5
    assert set(statuses) == {0}


def test_a_killed_run_ends_with_the_same_model_and_history_as_one_that_was_not(killed, finished):
    root, _ = killed
    for run in root.iterdir():
        assert {path.name for path in run.iterdir()} == {path.name for path in finished.iterdir()}
        for name in (LAST, BEST):
            assert (run / name).read_bytes() == (finished / name).read_bytes(), run.name
