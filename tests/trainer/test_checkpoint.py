"""Checkpoints hold weights and history to the bit, belong to one run, and appear whole."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from blindsight.protocol import tensorfile
from blindsight.protocol.errors import BlindsightError, FederationError
from blindsight.trainer.checkpoint import LAST, Checkpoint, Round, load, resume

HISTORY = (
    Round(0, 0.1, 2.3, {"aa": 0.1}, {"aa": 10}),
    Round(1, 0.7, 1 / 3, {"aa": 0.7}, {"aa": 10}),
    Round(2, 0.5, 1.0, {"aa": 0.5}),
)
CHECKPOINT = Checkpoint("job", 3, np.linspace(-1, 1, 7, dtype=np.float32), HISTORY)


@pytest.fixture
def file(tmp_path):
    CHECKPOINT.save(tmp_path / LAST)
    return tmp_path / LAST


def test_a_checkpoint_survives_its_file_to_the_bit(file):
    found = load(file, "job")
    assert (found.number, found.history) == (3, HISTORY)
    assert found.weights.tobytes() == CHECKPOINT.weights.tobytes()


def test_equal_checkpoints_are_equal_files(file, tmp_path):
    load(file, "job").save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == file.read_bytes()


def test_the_best_is_the_highest_accuracy_measured():
    assert CHECKPOINT.best == 0.7


def test_without_a_measurement_everything_is_better():
    assert Checkpoint("job", 0, CHECKPOINT.weights, ()).best < 0


def test_a_checkpoint_of_another_run_is_refused(file):
    with pytest.raises(FederationError, match="belongs to a run with other settings") as caught:
        load(file, "another")
    assert "--out" in caught.value.hint


def test_a_checkpoint_that_knows_no_rows_can_still_be_read(tmp_path):
    old = [dataclasses.asdict(one) for one in HISTORY]
    for one in old:
        del one["rows"]
    state = json.dumps({"job": "job", "round": 3, "history": old})
    metadata = {"v": 1, "kind": "checkpoint", "state": state}
    (tmp_path / LAST).write_bytes(tensorfile.to_bytes({"weights": CHECKPOINT.weights}, metadata))
    found = load(tmp_path / LAST, "job")
    assert [dataclasses.replace(one, rows={}) for one in HISTORY] == list(found.history)
    assert found.weights.tobytes() == CHECKPOINT.weights.tobytes()


def test_a_history_of_many_rounds_of_many_holders_can_be_read_again(tmp_path):
    holders = [f"{number:064x}" for number in range(50)]
    one = Round(0, 0.5, 1.0, dict.fromkeys(holders, 1 / 3), dict.fromkeys(holders, 1000))
    long = tuple(dataclasses.replace(one, number=number) for number in range(200))
    Checkpoint("job", 199, CHECKPOINT.weights, long).save(tmp_path / LAST)
    assert load(tmp_path / LAST, "job").history == long


@pytest.mark.parametrize("rows", [{"bb": 1}, {"aa": 1, "bb": 1}, {"aa": -1}])
def test_rows_of_nobody_or_fewer_than_none_are_no_measurement(rows):
    with pytest.raises(ValueError, match="expected a number of rows of each of 1 holders"):
        Round(0, 0.5, 1.0, {"aa": 0.5}, rows)


@pytest.mark.parametrize("size", [0, 7, 100, -4])
def test_a_checkpoint_that_is_cut_short_is_refused(file, size):
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(BlindsightError):
        load(file, "job")


def test_weights_that_were_loaded_may_be_written_to(file):
    load(file, "job").weights[:] = 0


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path):
    assert resume(tmp_path, "job") is None


def test_what_a_killed_writer_left_is_swept_up(file):
    left = file.parent / f".{LAST}.0123456789ab.part"
    left.write_bytes(b"half")
    resumed = resume(file.parent, "job")
    assert resumed is not None
    assert resumed.number == 3
    assert not left.exists()
